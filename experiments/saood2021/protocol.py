"""What the first study holds fixed: networks, problems, configurations, sizes."""

from __future__ import annotations

from experiments.reporting.content import Study

NETS = ("segnet", "unet")


PROBLEMS = ("binary", "multiclass")


SIZE = 256  # height and width of the study's slices


EXPERIMENTS = range(1, 10)


VARIANTS = ("paper", "released")


STREAMS = ("numpy", "matlab")


STUDY_PARTS = ("best", "grid", "folds", "seeds", "more")


U_NET_VERSUS_SEGNET = Study(
    "U-Net versus SegNet on COVID\N{NON-BREAKING HYPHEN}19 lung CT: the study repeated",
    "Saood A, Hatem I. COVID-19 lung CT image segmentation using deep learning methods: U-Net versus SegNet. "
    "BMC Medical Imaging 21, 19 (2021). doi:10.1186/s12880-020-00529-5",
    "unet_segnet report",
)
