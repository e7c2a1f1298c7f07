"""How a network is compiled for this machine, and in which data type."""

import contextlib

import keras
import numpy as np

from unet_segnet.devices import accelerators


def compile_fastest(model: keras.Model, iterations: int, **arguments) -> None:
    """`keras.Model.compile` with what is fastest here, and the optimiser's variables made.

    Losses are those of the plain way up to rounding, but for dropout: XLA draws other masks than the same seed gives
    without it.

    Arguments:
        model: changed in place.
        iterations: that can go at once.
        arguments: of `compile`.
    """
    accelerated, backend = bool(accelerators()), keras.config.backend()
    model.compile(
        **arguments,
        # On a processor, TensorFlow's own convolutions are a little faster than XLA's.
        jit_compile="auto" if accelerated or backend != "tensorflow" else False,
        # An accelerator is kept busy by whole epochs at a time; on a processor that would only hold up Ctrl-C, and
        # Keras cannot do it with PyTorch.
        steps_per_execution=iterations if accelerated and backend != "torch" else 1,
    )
    # TensorFlow traces a step that makes variables twice, which for large networks takes many seconds.
    model.optimizer.build(model.trainable_variables)


@contextlib.contextmanager
def dtype_policy(name):
    """Build layers in a data type, such as "mixed_bfloat16"; the policy is as before afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the random states of all dropout layers to what they are at the beginning of epoch 0, 1, ..."""
    for number, layer in enumerate(model.layers):
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign(np.array([seed + number, epoch << 16], dtype="uint32"))
