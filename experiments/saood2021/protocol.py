"""What the first study holds fixed: networks, problems, configurations, sizes."""

from experiments.reporting.content import Study
from experiments.saood2021 import published
from unet_segnet.data import catalogue
from unet_segnet.models.registry import NETWORKS

NETS = ("segnet", "unet")  # the article's; grid and kfold take every network of the registry
DREAMING = "segnet"  # whose classes Figure 5 shows
PROBLEMS = catalogue.PROBLEMS
VARIANTS = ("released", "paper")  # what the authors trained comes first
SIZE = 256  # height and width of the study's slices, pixels
EPOCHS = 160
LAST_EPOCHS = 40  # after each of them a training counts test and validation slices, a quarter of the article's epochs
EXPERIMENTS = range(1, 10)
STREAMS = ("numpy", "matlab")
PARTS = ("best", "grid", "folds", "seeds", "more")  # of the study, in the order of worth
U_NET_VERSUS_SEGNET = Study(
    "U-Net versus SegNet on COVID\N{NON-BREAKING HYPHEN}19 lung CT: the study repeated",
    "Saood A, Hatem I. COVID-19 lung CT image segmentation using deep learning methods: U-Net versus SegNet. "
    "BMC Medical Imaging 21, 19 (2021). doi:10.1186/s12880-020-00529-5",
    "unet_segnet report",
)


def configurations(net: str) -> dict[int, published.Hyperparameters]:
    """The configurations that a network is trained with in the grid, by number.

    Those of Table 2; for a network that the study has not, number 1, by the recipe of its entry in the registry.
    """
    if found := published.hyperparameters(net):
        return found
    recipe = NETWORKS[net].recipe
    return {1: published.Hyperparameters(recipe["learning_rate"], recipe["batch_size"])}
