"""Networks made faster for nothing but to be applied: normalisation folded, weights that cannot change."""

import keras

from unet_segnet.devices import accelerators
from unet_segnet.layers.backend import on_tensorflow
from unet_segnet.networks.fold import fold_normalisation

MANY_WEIGHTS = 5_000_000  # with fewer it is 1 to 3 % faster, which is not worth holding them twice


def optimise_for_inference(model: keras.Model) -> keras.Model:
    """A network that predicts the same (to within 1e-5, see `fold_normalisation`), and is not to be trained.

    Arguments:
        model: any; its attributes, such as `threshold`, are not taken over.

    Returns:
        What `fold_normalisation` gives; of a large network, where TensorFlow computes on a processor, one whose
        predictions are by the weights as they are when it first predicts.
    """
    folded = fold_normalisation(model)
    # In SegNets rounding decides between places, see `fold_normalisation`; those without any gain 1 % at most.
    is_large = folded is not model and folded.count_params() >= MANY_WEIGHTS
    if not is_large or not on_tensorflow() or accelerators():
        return folded
    return _WithConstants(folded.inputs, folded.outputs, name=folded.name)


class _WithConstants(keras.Model):
    """Predicts with constants, which oneDNN lays out once in the order that its kernels take, not for each mini-batch.

    5 to 11 % faster, after a first mini-batch that takes up to a second more.
    """

    def predict_step(self, data):
        import tensorflow as tf

        with tf.init_scope():  # outside of the function that is compiled
            given = [
                [weight.numpy() for weight in weights]
                for weights in (self.trainable_variables, self.non_trainable_variables)
            ]
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        outputs, _ = self.stateless_call(
            *(list(map(tf.constant, weights)) for weights in given), images, training=False
        )
        return outputs
