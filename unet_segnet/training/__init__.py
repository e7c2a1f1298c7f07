"""How networks are trained: a recipe and a loop for each study's kind of training, losses, optimisers, augmentation."""

PICTURE = "training.png"
"""What follows a training, in the folder of its run; here, where asking for the name imports no Keras."""
