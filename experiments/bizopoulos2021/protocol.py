"""The options of `python -m experiments.compare`."""

from __future__ import annotations

from experiments.reporting.content import Study

EXPERIMENTS = ("lung", "lesion_a", "lesion_b")
SELECTORS = ("architecture", "encoder")


COMPREHENSIVE_COMPARISON = Study(
    "Four architectures, 25 encoders: lungs and COVID\N{NON-BREAKING HYPHEN}19 lesions on CT, the study repeated",
    "Bizopoulos P, Vretos N, Daras P. Comprehensive comparison of deep learning models for lung and COVID-19 lesion "
    "segmentation in CT scans. arXiv:2009.06412v2 (2021)",
    "unet_segnet comparison report",
)
