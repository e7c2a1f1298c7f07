"""Slices in: one data type, its readers, the splits, the class balance."""

from unet_segnet.data.balance import class_sizes, median_frequency_weights
from unet_segnet.data.catalogue import load_slices
from unet_segnet.data.slices import Slices
from unet_segnet.data.splits import Split, five_folds, paper_split

__all__ = [
    "Slices",
    "Split",
    "class_sizes",
    "five_folds",
    "load_slices",
    "median_frequency_weights",
    "paper_split",
]
