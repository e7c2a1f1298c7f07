"""Batch and group normalisation, faster under TensorFlow, and softmax."""

import keras
from keras import ops

from unet_segnet.devices import accelerators
from unet_segnet.layers.backend import PACKAGE, on_tensorflow


@keras.saving.register_keras_serializable(package=PACKAGE)
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation, of images over the last axis by TensorFlow's fused kernel where that is the backend.

    Same arguments, weights and results as `keras.layers.BatchNormalization` (tested equal), and one argument more.

    Arguments:
        unbiased: keep the moving average of the unbiased variance, as PyTorch does; batches are normalised by the
            biased one either way.
    """

    def __init__(self, *arguments, unbiased=False, **settings):
        super().__init__(*arguments, **settings)
        self.unbiased = unbiased

    def call(self, inputs, training=None, mask=None):
        images = len(inputs.shape) == 4 and self.axis in (-1, 3)
        fused = images and mask is None and inputs.dtype != "float64" and self.scale and self.center
        if not (on_tensorflow() and fused):
            if not (self.unbiased and training and self.trainable):
                return super().call(inputs, training=training, mask=mask)
            kept = self.moving_variance * self.momentum
            outputs = super().call(inputs, training=True, mask=mask)
            added = self.moving_variance - kept
            self.moving_variance.assign_add(added / ops.maximum(_pixels(inputs, mask, self.axis) - 1.0, 1.0))
            return outputs
        import tensorflow as tf

        training = bool(training and self.trainable)
        dtype = inputs.dtype
        if dtype == "bfloat16" and inputs.shape[-1] % 16 and not accelerators():
            inputs = ops.cast(inputs, "float32")  # oneDNN takes 2.5 to 20 times as long of 2 to 72 such channels
        alone = not training and inputs.shape[0] == 1
        if alone:
            # Of one slice, oneDNN fuses this with the convolution before it into a kernel that takes a hundred times as
            # long as the two; behind a reshape it does not.
            shape = ops.shape(inputs)
            inputs = ops.reshape(inputs, (shape[1], 1, *shape[2:]))
        unbiased = training and self.unbiased  # the kernel's own moving averages are of that kind
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=ops.convert_to_tensor(self.moving_mean) if unbiased or not training else None,
            variance=ops.convert_to_tensor(self.moving_variance) if unbiased or not training else None,
            epsilon=self.epsilon,
            is_training=training,
            exponential_avg_factor=1.0 - self.momentum if unbiased else 1.0,
        )
        if unbiased:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        elif training:
            pixels = _pixels(inputs)
            variance = variance * ((pixels - 1.0) / pixels)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return ops.cast(ops.reshape(outputs, shape) if alone else outputs, dtype)

    def get_config(self):
        return {**super().get_config(), "unbiased": self.unbiased}


def _pixels(inputs, mask=None, axis=-1):
    """How many values of each channel there are, as a float32 tensor."""
    if mask is not None:
        return ops.sum(ops.cast(mask, "float32"))
    shape = ops.shape(inputs)
    return ops.cast(ops.prod(shape) / shape[axis], "float32")


@keras.saving.register_keras_serializable(package=PACKAGE)
class GroupNormalization(keras.layers.GroupNormalization):
    """Keras' group normalisation, of images over the last axis 1.7 times as fast where TensorFlow computes it.

    Same arguments, weights and results as `keras.layers.GroupNormalization` (tested). Means are taken over the pixels
    first and then over the channels of a group: TensorFlow is slow where it sums over both sides of an axis.
    """

    def call(self, inputs):
        images = len(inputs.shape) == 4 and self.axis in (-1, 3)
        if not (on_tensorflow() and images and self.scale and self.center):
            return super().call(inputs)
        x = ops.cast(inputs, "float32") if inputs.dtype in ("float16", "bfloat16") else inputs
        deviations = x - self._means(x)
        scale = ops.rsqrt(self._means(ops.square(deviations)) + self.epsilon) * ops.cast(self.gamma, x.dtype)
        return ops.cast(deviations * scale + ops.cast(self.beta, x.dtype), inputs.dtype)

    def _means(self, x):
        """(batch, 1, 1, channels): of each image and each group of its channels."""
        channels = x.shape[-1]
        means = ops.mean(ops.reshape(ops.mean(x, axis=(1, 2)), (-1, self.groups, channels // self.groups)), axis=2)
        return ops.reshape(ops.repeat(means, channels // self.groups, axis=1), (-1, 1, 1, channels))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Softmax(keras.layers.Softmax):
    """Softmax whose gradient does not vanish where a wrong class is certain.

    The probabilities are those of `keras.layers.Softmax`, but at least 1e-35. In float32 they would be 0 where inputs
    lie more than 103 apart, and with them the gradient of their logarithm; here it is `target - p` everywhere, as for a
    cross-entropy of the inputs themselves.
    """

    def call(self, inputs, mask=None):
        distance = inputs - ops.stop_gradient(ops.max(inputs, axis=self.axis, keepdims=True))
        bounded = (distance - ops.stop_gradient(distance)) + ops.stop_gradient(ops.maximum(distance, -80.0))
        return super().call(bounded, mask=mask)
