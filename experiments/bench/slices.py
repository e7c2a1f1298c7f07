"""Made-up slices to measure on, and what is measured without a network: augmentation and scores."""

import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.bench.workers import Channel

NUM_CLASSES = 2
CLASS_WEIGHTS = (0.5, 7.0)
"""Of the cross-entropy; about those of the binary problem."""

SPACING = (5.0, 0.7, 0.7)
"""Of a scan's voxels in mm, slices first."""

BLOCK = 32
"""Slices that are scored at a time."""

SKLEARN_SCORES = ("sensitivity", "precision", "dice", "f2", "iou", "global_accuracy", "mean_accuracy")
SCORES = (*SKLEARN_SCORES, "specificity", "g_mean", "mean_iou", "weighted_iou")


def made_up_slices(num_slices: int, size: int, num_classes: int = NUM_CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Two lungs with lesions of a usual size in them; always the same ones. What they show has no effect on the time.

    Arguments:
        num_slices, size: how many, and their height and width in pixels.
        num_classes: two or more.

    Returns:
        images and labels, each (num_slices, size, size) uint8.
    """
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size
    lungs = np.logical_or.reduce([((columns - x) / 0.16) ** 2 + ((rows - 0.5) / 0.3) ** 2 < 1 for x in (0.3, 0.7)])
    labels = np.zeros((num_slices, size, size), np.uint8)
    for label in labels:
        for lesion in range(2 * num_classes):
            row, column = generator.uniform(0.25, 0.75, 2)
            height, width = generator.uniform(0.02, 0.12, 2)
            inside = ((columns - column) / width) ** 2 + ((rows - row) / height) ** 2 < 1
            label[inside & lungs] = 1 + lesion % (num_classes - 1)
    noise = generator.integers(0, 40, labels.shape, dtype=np.uint8)
    images = np.where(lungs, 60 + 40 * np.minimum(labels, 2) + noise, 0).astype(np.uint8)
    return images, labels


def peak_memory() -> float:
    """The largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # not the resource usage, which Linux lets a process have from the one that began it
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def augmentations(channel: Channel, size, num_slices):
    """Worker: seconds per slice of the first study's augmentation, a mini-batch of `num_slices` at a time."""
    from unet_segnet.training.translations import augment

    images, labels = made_up_slices(num_slices, size)
    generator = np.random.default_rng(0)
    for _, count in channel.turns():
        uniforms = generator.random((count, num_slices, 8))
        started = time.perf_counter()
        for drawn in uniforms:
            augment(images, labels, drawn)
        channel.reply((time.perf_counter() - started) / count / num_slices)


def scored_blocks(num_slices: int, size: int, num_classes: int, block: int = BLOCK) -> Iterator[tuple]:
    """Labels and predictions of `block` slices at a time, each pair (block, size, size) uint8.

    The labels are a few made-up ones, moved; the predictions are those labels, moved a little further.
    """
    _, few = made_up_slices(min(num_slices, 8), size, num_classes)
    for start in range(0, num_slices, block):
        numbers = range(start, min(start + block, num_slices))
        labels = np.stack([np.roll(few[number % len(few)], number, axis=0) for number in numbers])
        yield labels, np.roll(labels, (size // 100 + 1, -(size // 60)), axis=(1, 2))


def our_scores(labels, predictions, num_classes) -> dict[str, np.ndarray]:
    """All `SCORES` of each slice by `unet_segnet.measures.metrics`, (num_slices, num_classes) or (num_slices,) each."""
    from unet_segnet.measures import metrics

    counts = metrics.confusion_matrices(labels, predictions, num_classes)
    return {name: getattr(metrics, name)(counts) for name in SCORES}


def sklearn_scores(labels, predictions, num_classes) -> dict[str, np.ndarray]:
    """All `SKLEARN_SCORES` of each slice by scikit-learn's score functions, and its confusion matrices."""
    from sklearn import metrics

    classes = list(range(num_classes))
    per_class = {"labels": classes, "average": None, "zero_division": np.nan}
    found = {name: [] for name in (*SKLEARN_SCORES, "counts")}
    for label, prediction in zip(labels, predictions, strict=True):
        pair = label.ravel(), prediction.ravel()
        counts = metrics.confusion_matrix(*pair, labels=classes)
        present = counts.sum(axis=0) + counts.sum(axis=1) > 0
        found["counts"].append(counts)
        found["sensitivity"].append(metrics.recall_score(*pair, **per_class))
        found["precision"].append(metrics.precision_score(*pair, **per_class))
        found["dice"].append(metrics.f1_score(*pair, **per_class))
        found["f2"].append(metrics.fbeta_score(*pair, beta=2, **per_class))
        overlap = metrics.jaccard_score(*pair, labels=classes, average=None, zero_division=0)
        found["iou"].append(np.where(present, overlap, np.nan))
        found["global_accuracy"].append(metrics.accuracy_score(*pair))
        found["mean_accuracy"].append(metrics.balanced_accuracy_score(*pair))
    return {name: np.array(values) for name, values in found.items()}


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest absolute difference; two NaN are equal, one NaN is infinitely far from a number."""
    if (np.isnan(ours) != np.isnan(theirs)).any():
        return float("inf")
    return float(np.nanmax(np.abs(ours - theirs), initial=0.0))


def scores(channel: Channel, size, num_slices, num_classes):
    """Worker: one pass over all slices, by the task's name.

    "counts" and "scores" count pixels, without and with all scores of them; "boundary" computes boundary scores;
    "scikit-learn counts" and "scikit-learn scores" do it there, slice by slice. The answer is a dictionary: seconds
    per slice of each block, and the largest memory of the process so far in MiB.
    """
    from unet_segnet.measures import metrics

    warnings.filterwarnings("ignore", module="sklearn")
    work = {
        "counts": lambda *pair: metrics.confusion_matrices(*pair, num_classes),
        "scores": lambda *pair: our_scores(*pair, num_classes),
        "boundary": lambda *pair: [metrics.bf_scores(*one, num_classes) for one in zip(*pair, strict=True)],
        "scikit-learn counts": lambda *pair: _sklearn_counts(*pair, num_classes),
        "scikit-learn scores": lambda *pair: sklearn_scores(*pair, num_classes),
    }
    for task, _ in channel.turns():
        seconds = []
        for pair in scored_blocks(num_slices, size, num_classes, 1 if task.startswith("scikit-learn") else BLOCK):
            started = time.perf_counter()
            work[task](*pair)
            seconds.append((time.perf_counter() - started) / len(pair[0]))
        channel.reply({"seconds": seconds, "memory": peak_memory()})


def _sklearn_counts(labels, predictions, num_classes):
    from sklearn.metrics import confusion_matrix

    return [
        confusion_matrix(label.ravel(), prediction.ravel(), labels=list(range(num_classes)))
        for label, prediction in zip(labels, predictions, strict=True)
    ]


def severities(channel: Channel, size, num_slices, num_classes):
    """Worker: the severity figures of one scan. The answer: seconds, and the process' largest memory so far in MiB."""
    from unet_segnet.measures.severity import severity

    images, labels = made_up_slices(num_slices, size, num_classes)
    lungs = np.where(images > 0, 1 + (np.arange(size) >= size // 2), 0).astype(np.uint8)
    classes, names = [f"C{number}" for number in range(num_classes)], [f"{number:03}" for number in range(num_slices)]
    for _ in channel.turns():
        started = time.perf_counter()
        severity(labels, lungs, SPACING, classes, names)
        channel.reply({"seconds": time.perf_counter() - started, "memory": peak_memory()})


def score_difference(channel: Channel, size, num_slices, num_classes):
    """Worker: the largest difference between our scores and scikit-learn's; infinite if one of two is NaN."""
    warnings.filterwarnings("ignore", module="sklearn")
    channel.wait()
    largest = 0.0
    for pair in scored_blocks(num_slices, size, num_classes):
        ours, theirs = our_scores(*pair, num_classes), sklearn_scores(*pair, num_classes)
        largest = max(largest, *(largest_difference(ours[name], theirs[name]) for name in SKLEARN_SCORES))
    channel.reply(largest)
