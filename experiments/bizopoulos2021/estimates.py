"""What the second study's trainings cost: counted on the networks, timed on finished runs or on a bare convolution."""

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.bizopoulos2021.runs import KIND
from unet_segnet.errors import InputError
from unet_segnet.runs.reading import read_run
from unet_segnet.runs.timing import Machine, epoch_times

STATE_BYTES = 16  # of a parameter in training: itself, its gradient and Adam's two moments


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: trainable ones.
        inference, step: multiply-adds of one slice, without and with training.
        memory: bytes that a mini-batch in training takes at least: parameters, gradients, moments, layer outputs.
    """

    parameters: int
    inference: int
    step: int
    memory: int


def network_cost(architecture: str, encoder: str, size: int, batch_size: int, dtype: str = "float32") -> Cost:
    """Build a network and count."""
    import keras

    from unet_segnet.models import build_model

    with keras.StatelessScope(initialize_variables=False):  # values that nothing needs take most of the time
        model = build_model(architecture, encoder=encoder, input_shape=(size, size, 1))
    cost = model_cost(model, batch_size, dtype)
    keras.utils.clear_session(free_memory=False)
    return cost


def model_cost(model, batch_size: int, dtype: str = "float32") -> Cost:
    """The cost of a functional network with fixed height and width."""
    from unet_segnet.models.cost import multiply_adds

    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    number_bytes = 4 if dtype == "float32" else 2
    return Cost(parameters, *multiply_adds(model), STATE_BYTES * parameters + batch_size * outputs * number_bytes)


@dataclass(frozen=True)
class Rate:
    """Seconds per multiply-add, and what they were measured on."""

    seconds: float
    source: str


def rates(out: Path, machine: Machine) -> dict[tuple[str, str] | None, Rate]:
    """By architecture and encoder, from finished runs that were trained like this; None: the mean of all.

    Arguments:
        out: folder of all runs; what is damaged there is passed over.
        machine: what runs must have in common with the coming ones.
    """
    found: dict[tuple[str, str] | None, list[float]] = {}
    for folder in KIND.folders(out):
        try:
            run = read_run(folder, KIND)
            config, result = run.config, run.result
            where = (result["device"], result["backend"], result["threads"], run.dtype, config["data"]["size"])
            if where != (machine.device, machine.backend, machine.threads, machine.dtype, machine.size):
                continue
            per_epoch, trained, _ = epoch_times(run)
            rate = per_epoch / (trained * 3 * result["multiply_adds"])
        except (InputError, KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
        for key in ((config["architecture"], config["encoder"]), None):
            found.setdefault(key, []).append(rate)
    return {
        key: Rate(statistics.fmean(values), "runs of this network" if key else "runs of other networks")
        for key, values in found.items()
    }


def convolution_rate() -> Rate:
    """Seconds per multiply-add of a few bare convolutions in training: the least that a network can need."""
    import keras
    import numpy as np

    from unet_segnet.layers import Conv2D
    from unet_segnet.models.cost import multiply_adds
    from unet_segnet.training.compilation import compile_fastest

    inputs = x = keras.Input((64, 64, 32))
    for _ in range(4):
        x = Conv2D(32, 3, padding="same")(x)
    model = keras.Model(inputs, x)
    compile_fastest(model, 1, optimizer="sgd", loss="mse")
    batch = np.zeros((2, 64, 64, 32), np.float32)
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        model.train_on_batch(batch, batch)
        seconds.append(time.perf_counter() - began)
    keras.utils.clear_session(free_memory=True)
    return Rate(statistics.median(seconds[2:]) / (2 * multiply_adds(model)[1]), "a convolution: networks take longer")
