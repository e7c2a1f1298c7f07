"""Every figure, each a function of arrays."""

from unet_segnet.plots.run import segmentations, training_curves
from unet_segnet.plots.style import CLASS_COLOURS, save_figure

__all__ = ["CLASS_COLOURS", "save_figure", "segmentations", "training_curves"]
