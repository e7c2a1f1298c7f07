"""The processor is prepared before TensorFlow begins its threads, and nothing that the user set is changed."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from unet_segnet import processor

ROOT = Path(__file__).parents[1]

# Trains a few steps and prints how many fresh pages of memory a step takes once the first ones are over. The heap may
# still grow in a step or two, where the layers' threads meet as they have not before: hence the median.
STEPS = """
import resource, statistics
{before}
from unet_segnet.output.console import import_keras
import_keras()
import keras, numpy as np
inputs = x = keras.Input((512, 512, 1))
for _ in range(3):
    x = keras.layers.Conv2D(16, 3, padding="same")(x)
model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(x))
model.compile("sgd", "mse", jit_compile=False)
images = np.zeros((4, 512, 512, 1), "float32")
pages = []
for step in range(12):
    model.train_on_batch(images, images)
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(int(statistics.median(after - before for before, after in zip(pages[2:], pages[3:]))))
"""


def pages_taken(before=""):
    code = STEPS.format(before=before)
    # oneDNN has an allocator of its own, which keeps memory whatever glibc does.
    plain = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain, cwd=ROOT)
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
    assert pages_taken() < 1_000
    assert pages_taken(EARLY_THREADS) > 200_000  # each tensor anew


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
