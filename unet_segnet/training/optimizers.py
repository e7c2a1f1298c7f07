"""The studies' optimisers: Adam with coupled L2, and Adam as PyTorch has it."""

import keras
from keras import ops

from unet_segnet.layers.backend import on_tensorflow


@keras.saving.register_keras_serializable(package="unet_segnet")
class CoupledAdam(keras.optimizers.Adam):
    """Adam with L2 added to the gradient, and a learning-rate factor for some parameters.

    MATLAB R2020a: `trainNetwork` with 'adam' and 'L2Regularization'. Not the decoupled decay of AdamW.

    Arguments:
        l2: factor of the parameter added to its gradient; parameters named "bias" are left out.
        rate_factors: learning-rate factor by the path of the variable, 1 where absent.
    """

    def __init__(self, learning_rate=1e-3, l2=1e-4, rate_factors=None, name="coupled_adam", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.l2 = l2
        self.rate_factors = dict(rate_factors or {})

    def build(self, variables):
        super().build(variables)
        self._decays = [0.0 if variable.name == "bias" else self.l2 for variable in variables]
        self._factors = [self.rate_factors.get(variable.path, 1.0) for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if self._decays[index]:
            gradient = gradient + self._decays[index] * ops.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate * self._factors[index])

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "rate_factors": self.rate_factors}


@keras.saving.register_keras_serializable(package="unet_segnet")
class TorchAdam(keras.optimizers.Adam):
    """Adam that adds epsilon to the root of the corrected second moment: `torch.optim.Adam`, and the paper's algorithm.

    `keras.optimizers.Adam` adds it before the correction, which makes it 30 times as large in the first step. Same
    arguments; there is no amsgrad.

    Raises:
        ValueError: amsgrad is asked for.

    Source: Kingma and Ba (2015), algorithm 1.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        if self.amsgrad:
            raise ValueError("amsgrad must be False: there is none. Received: amsgrad=True")

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not on_tensorflow():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        # A dozen small operations for each of some hundred variables are a tenth of a step, and half of its tracing.
        import tensorflow as tf

        rate, step = ops.cast(learning_rate, "float32"), ops.cast(self.iterations + 1, "float32")
        powers = [ops.power(ops.cast(beta, "float32"), step) for beta in (self.beta_1, self.beta_2)]
        # TensorFlow's kernel corrects the moments in the rate alone: its epsilon has to be as large as its root is.
        epsilon = self.epsilon * ops.sqrt(1 - powers[1])
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            tensors = variable, self._momentums[index], self._velocities[index]
            tf.raw_ops.ResourceApplyAdam(
                **dict(zip(("var", "m", "v"), (tensor.value.handle for tensor in tensors), strict=True)),
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=epsilon,
                grad=ops.cast(gradient, variable.dtype),
            )

    def update_step(self, gradient, variable, learning_rate):
        dtype, index = variable.dtype, self._get_variable_index(variable)
        gradient, rate, step = (ops.cast(value, dtype) for value in (gradient, learning_rate, self.iterations + 1))
        momentum, velocity = self._momentums[index], self._velocities[index]
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        mean, square = (
            moment / (1 - ops.power(ops.cast(beta, dtype), step))
            for moment, beta in ((momentum, self.beta_1), (velocity, self.beta_2))
        )
        self.assign_sub(variable, rate * mean / (ops.sqrt(square) + self.epsilon))
