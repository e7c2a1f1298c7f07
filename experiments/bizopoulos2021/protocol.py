"""What the second study holds fixed: data, sizes, how its models are named."""

from experiments.bizopoulos2021.published import number
from experiments.reporting.content import Study

ARTICLE_DATA = "medseg"
ARTICLE_LESION_B = "COVID19-DL"  # the slices of which the article's lesion B was trained, as the first study cut them
ARTICLE_VOLUMES = "medseg9"  # the article's nine volumes, of the longest one every fourth slice
TRAIN_SHARE = 0.8  # of the slices; the others validate
SIZE, EPOCHS = int(number("size")), int(number("epochs"))
RELEASED_RULE, TEXT_RULE = "truth", "prediction"  # for empty slices (`foreground_scores`), in the code and in the text
# Test volumes that are one scan, reconstructed twice: data set -> volume -> the other one, by whose name they go.
# ct20's volumes are the same nine scans in another order.
ONE_SCAN = {ARTICLE_DATA: {"3": "2"}, ARTICLE_VOLUMES: {"3": "2"}, "ct20": {"2": "1"}}
SELECTORS = ("architecture", "encoder")
COMPREHENSIVE_COMPARISON = Study(
    "Four architectures, 25 encoders: lungs and COVID\N{NON-BREAKING HYPHEN}19 lesions on CT, the study repeated",
    "Bizopoulos P, Vretos N, Daras P. Comprehensive comparison of deep learning models for lung and COVID-19 lesion "
    "segmentation in CT scans. arXiv:2009.06412v2 (2021)",
    "unet_segnet comparison report",
)
