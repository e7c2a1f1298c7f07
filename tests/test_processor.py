"""The processor is prepared before TensorFlow begins its threads, and nothing that the user set is changed."""

import os
import platform
import subprocess
import sys

import keras
import pytest

from unet_segnet import processor

# Trains a few steps and prints how many fresh pages of memory the last ones took.
STEPS = """
import resource
{before}
from experiments.console import import_keras
import_keras()
import keras, numpy as np
inputs = x = keras.Input((512, 512, 1))
for _ in range(3):
    x = keras.layers.Conv2D(16, 3, padding="same")(x)
model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(x))
model.compile("sgd", "mse", jit_compile=False)
images = np.zeros((4, 512, 512, 1), "float32")
for step in range(6):
    if step == 3:
        pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.train_on_batch(images, images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages)
"""


def pages_taken(before=""):
    code = STEPS.format(before=before)
    # oneDNN has an allocator of its own, which keeps memory whatever glibc does.
    plain = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain)
    return int(done.stdout)


# Starts threads that have memory of their own before they are told to keep it.
EARLY_THREADS = """
import keras, numpy as np
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
model.predict(np.zeros((2, 8, 8, 1)), verbose=0)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or keras.config.backend() != "tensorflow", reason="for TensorFlow on glibc"
)
def test_training_steps_take_no_fresh_memory():
    assert pages_taken() < 100_000
    assert pages_taken(EARLY_THREADS) > 300_000  # each tensor anew


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setattr(processor, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    processor.prepare_processor()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


@pytest.mark.parametrize(("machine", "setting"), [("x86_64", "1"), ("AMD64", "1"), ("aarch64", None)])
def test_onednn_is_turned_on_where_it_was_measured(monkeypatch, machine, setting):
    monkeypatch.setattr(processor, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    processor.prepare_processor()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == setting
