"""What `experiments.bench` measures of our own networks; each worker below runs in a process of its own."""

import math
import resource
import time
from functools import cache
from pathlib import Path

import keras
import numpy as np
from keras import ops

from experiments.bench.slices import CLASS_WEIGHTS, NUM_CLASSES, made_up_slices, peak_memory
from experiments.bench.workers import Channel
from unet_segnet.data.normalise import normalise
from unet_segnet.devices import accelerators, has_bfloat16_units
from unet_segnet.inference.prediction import predict
from unet_segnet.models import build_model
from unet_segnet.models.cost import multiply_adds
from unet_segnet.networks.fold import fold_normalisation
from unet_segnet.output.records import write_arrays
from unet_segnet.processor import keep_freed_memory
from unet_segnet.runs.provenance import begin, provenance
from unet_segnet.training import soft_dice
from unet_segnet.training.class_weighted import Recipe, compile_model, train
from unet_segnet.training.compilation import dtype_policy
from unet_segnet.training.streams import NumpyStream

STUDY_SLICES = 72
"""In the authors' training part."""

SECOND_STUDY_SLICES = 80
"""In the second study's training part."""


def machine(channel: Channel):
    """Worker: where this is measured, on which kind of device, and whether that has bfloat16 units."""
    channel.wait()
    channel.reply(
        {
            "provenance": provenance(begin()),
            "device": "cuda" if accelerators() else "cpu",
            "bfloat16": has_bfloat16_units(),
        }
    )


class _HeldBatch(keras.utils.PyDataset):
    """The same mini-batch again and again."""

    def __init__(self, images, labels, num_steps):
        super().__init__()
        self.batch, self.num_steps = (images[..., None], labels), num_steps

    def __len__(self):
        return self.num_steps

    def __getitem__(self, index):
        return self.batch


class _Turns(keras.callbacks.Callback):
    """Takes turns from within `fit`, between two steps: training goes on as it does in a study.

    Arguments:
        channel: where the turns come from.
        inference: a function without arguments, for the turns that ask for it.
        together: steps that are executed at a time.
    """

    def __init__(self, channel, inference, together):
        super().__init__()
        self.channel, self.inference, self.together = channel, inference, together
        self.compiles, self.peak = True, None

    def on_train_begin(self, logs=None):
        self._take()

    def on_epoch_begin(self, epoch, logs=None):
        self.is_first = True

    def on_train_batch_end(self, batch, logs=None):
        if self.is_first:  # as in a study's training
            keep_freed_memory()
            self.is_first = False
        self.left -= 1
        if self.left:
            return
        float(np.asarray(logs["loss"]))  # waits for the device
        seconds = time.perf_counter() - self.started
        self.peak = _device_memory() or peak_memory()  # of training; inference comes later
        # The steps that are executed at a time are compiled once, not each of them.
        self.channel.reply(seconds if self.compiles else seconds / self.steps)
        self.compiles = False
        self._take()

    def _take(self):
        for task, count in self.channel.turns():
            if task == "step":
                self.left = math.ceil(count / self.together)
                self.steps = self.left * self.together
                self.started = time.perf_counter()
                return
            if task == "inference":
                self.model  # noqa: B018  brings the state back from the JAX trainer
                self.channel.reply(_seconds(self.inference, count))
            elif task == "multiply-adds":
                self.channel.reply(multiply_adds(self.model))
            else:
                self.channel.reply(self.peak or _device_memory() or peak_memory())


def _seconds(call, count):
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def network(channel: Channel, net, variant, dtype, batch, size):
    """Worker: seconds per "step" or "inference" of a mini-batch, "multiply-adds" of a slice, peak "memory" in MiB.

    A step is all of `train` but shuffling, augmentation and validation: network, loss, log, L2, Adam; the answer to the
    first turn is the time of all steps that are executed at once. Inference is `predict`: slices in, classes out. Of
    the second study's networks, "unet/resnet18" of variant None, they are those of
    `unet_segnet.training.soft_dice`. In inference normalisation is folded.
    """
    images, labels = made_up_slices(batch, size)
    build = _of_first_study if variant else _of_second_study
    model, infer, images, iterations = build(net, variant, dtype, images)
    # Not compiled, as it leaves a training, and as `load_model(folded=True)` gives it to those who apply it.
    applied = cache(lambda: fold_normalisation(keras.Model(model.inputs, model.outputs)))
    turns = _Turns(channel, lambda: infer(applied(), images, batch), model.steps_per_execution)
    held = _HeldBatch(images, labels, 50 * iterations)
    model.fit(held, epochs=10**6, shuffle=False, verbose=0, callbacks=[turns])


def _of_first_study(net, variant, dtype, images):
    """The compiled network, its inference, slices as it takes them, and the iterations of an epoch."""
    batch, *shape = images.shape
    with dtype_policy(dtype):
        model = build_model(net, variant, NUM_CLASSES, (*shape, 1))
    iterations = max(STUDY_SLICES // batch, 1)
    compile_model(model, Recipe(batch_size=batch, dtype=dtype), np.array(CLASS_WEIGHTS), iterations)
    return model, predict, images, iterations


def _of_second_study(net, _, dtype, images):
    batch, *shape = images.shape
    architecture, encoder = net.split("/")
    with dtype_policy(dtype):
        model = build_model(architecture, encoder=encoder, num_classes=1, input_shape=(*shape, 1))
    iterations = max(SECOND_STUDY_SLICES // batch, 1)
    keep_freed_memory()
    soft_dice.compile_model(model, soft_dice.EncoderRecipe(batch_size=batch, dtype=dtype), iterations)
    return model, soft_dice.predict_probabilities, normalise(images, "minmax"), iterations


def _train(slices, net, variant, dtype, batch, size, num_slices, epochs, report, validation="epoch"):
    """Train on the first of these slices (images, labels); the rest validate."""
    images, labels = slices

    def build(**random):
        return build_model(net, variant, NUM_CLASSES, (size, size, 1), **random)

    recipe = Recipe(batch_size=batch, epochs=epochs, dtype=dtype, validation=validation)
    training, watched = slice(0, num_slices), slice(num_slices, None)
    parts = images[training], labels[training], images[watched], labels[watched]
    return train(build, *parts, np.array(CLASS_WEIGHTS), recipe, NumpyStream(0), report=report)


def epochs(channel: Channel, num_slices, num_validation, validation, **setting):
    """Worker: seconds per epoch of a whole training, with shuffling, augmentation and validation.

    A turn is one epoch whatever the count.
    """
    channel.wait()
    before = time.perf_counter()

    def report(*_):
        nonlocal before
        channel.reply(time.perf_counter() - before)
        channel.wait()
        before = time.perf_counter()

    slices = made_up_slices(num_slices + num_validation, setting["size"])
    _train(slices, **setting, num_slices=num_slices, epochs=10**6, report=report, validation=validation)


def whole_training(channel: Channel, file, num_slices, num_validation, num_epochs, **setting):
    """Worker: a training; its losses, trainable weights, and classes of the validation slices go to an .npz `file`."""
    channel.wait()
    images, labels = made_up_slices(num_slices + num_validation, setting["size"])
    result = _train((images, labels), **setting, num_slices=num_slices, epochs=num_epochs, report=lambda *_: None)
    weights = np.concatenate([ops.convert_to_numpy(weight).ravel() for weight in result.model.trainable_weights])
    found = {"loss": result.history["loss"], "weights": weights, "classes": predict(result.model, images[num_slices:])}
    write_arrays(Path(file), found)
    channel.reply(None)


def long_run(channel: Channel, num_slices, num_epochs, **setting):
    """Worker: memory in MiB and seconds since the start at the end of each epoch, and the largest memory."""
    channel.wait()
    memory, seconds = [], []

    def report(*_):
        memory.append(_resident_memory())
        seconds.append(time.perf_counter())

    slices = made_up_slices(num_slices + 1, setting["size"])
    _train(slices, **setting, num_slices=num_slices, epochs=num_epochs, report=report)
    channel.reply({"memory": memory, "seconds": seconds, "peak": _device_memory() or peak_memory()})


def _resident_memory():
    """Memory that this process holds now, MiB; where Linux' /proc is missing, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_memory()
    return pages * resource.getpagesize() / 2**20


def _device_memory():
    """Peak memory on the first GPU in MiB; None without one, or where the backend keeps no count of it."""
    if not accelerators():
        return None
    backend, peak = keras.config.backend(), None
    if backend == "tensorflow":
        import tensorflow as tf

        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    elif backend == "jax":
        import jax

        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    elif backend == "torch":
        import torch

        peak = torch.cuda.max_memory_allocated()
    return peak / 2**20 if peak else None


def matrix_product(channel: Channel, size, dtype):
    """Worker: seconds per product of two square matrices of `size`."""
    generator = np.random.default_rng(0)
    kind = "bfloat16" if dtype == "mixed_bfloat16" else dtype
    left, right = (ops.convert_to_tensor(generator.random((size, size), dtype="float32")) for _ in range(2))
    left, right = ops.cast(left, kind), ops.cast(right, kind)
    for _, count in channel.turns():
        started = time.perf_counter()
        for _ in range(count):
            product = ops.matmul(left, right)
        float(ops.cast(product[0, 0], "float32"))  # waits for the device
        channel.reply((time.perf_counter() - started) / count)
