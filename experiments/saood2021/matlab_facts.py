"""What MATLAB R2020a gave in the authors' runs and is in none of the files of `experiments/reference`.

Read from the networks in the authors' repository (their class weights, input means and training records; only the
binary SegNet's file is part of the released data set), or from the vendor's manual.
"""

import numpy as np

# Of the pixel classification layer, by number of classes; eight digits.
CLASS_WEIGHTS = {2: (0.53768872, 7.13328367), 4: (0.04103409, 0.80288489, 1.32539608, 7.27038567)}
# Of the input layer of the SegNets, by number of classes.
INPUT_MEANS = {2: 21.986183, 4: 21.974686}
# Loss of the first iteration of the four-class SegNet, mini-batch 4.
FIRST_LOSS_MULTICLASS = 1.7858
# FinalValidationLoss of the binary SegNet, experiment 4.
FINAL_VALIDATION_LOSS = 0.138101
# Of `unetLayers` with two classes and an encoder depth of 2.
UNET_PARAMETERS = 1_861_762
# Table 1 prints 33.4265e04 pixels of C3. The 100 slices have 26,214,400, and only 34,265 are left for it.
C3_PIXELS = 34_265
# rng(0); rand(1, 4) and rng(0); randn(1, 6): the manual.
RAND = (0.8147, 0.9058, 0.1270, 0.9134)
RANDN = (0.5377, 1.8339, -2.2588, 0.8622, 0.3188, -1.3077)


def are_released(slices) -> bool:
    """Are these the authors' 100 labelled slices? Their class weights tell.

    Arguments:
        slices: `unet_segnet.data.Slices` with labels of two or four classes.
    """
    from unet_segnet.data import median_frequency_weights

    if len(slices) != 100 or slices.num_classes not in CLASS_WEIGHTS:
        return False
    weights = median_frequency_weights(slices.labels, slices.num_classes)
    return bool(np.allclose(weights, CLASS_WEIGHTS[slices.num_classes], rtol=0, atol=1e-6))
