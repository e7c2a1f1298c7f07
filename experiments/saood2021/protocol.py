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
# The side study of mini-batches, on small slices, so that many trainings can be had. Of each learning rate the smallest
# and the largest mini-batch of Table 2, for as many epochs (SIDE), and the smallest once more for as many updates as
# the largest makes (SIDE_CUT). There the learning rate falls after as many updates too, so that mini-batch alone varies
# between the two; in SIDE, as in the article, the smallest makes three to six times the updates. What cannot be equal
# as well is how often a slice is seen. With 162 epochs in place of 160 equal updates are whole epochs of both:
# 972 = 162 * 6 = 54 * 18 (SegNet) = 27 * 36 (U-Net).
SIDE, SIDE_CUT = "side", "side-cut"
SIDE_STUDIES = (SIDE, SIDE_CUT)
SIDE_SIZE, SIDE_EPOCHS = 128, 162
STUDIES = ("grid", "kfold", *SIDE_STUDIES)
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


def length(study: str, net: str, experiment: int, epochs: int, drop_period: int) -> tuple[int, int]:
    """For how many epochs a training goes on, and after how many its learning rate falls each time.

    Arguments:
        study: one of `STUDIES`.
        net, experiment: which configuration.
        epochs, drop_period: of a training that is not cut.

    Returns:
        These; of a cut one, what makes as many updates as the largest mini-batch of its network makes in them.
    """
    if study != SIDE_CUT:
        return epochs, drop_period
    batches = {number: setting.mini_batch for number, setting in configurations(net).items()}
    share = batches[experiment] / max(batches.values())
    return max(round(epochs * share), 1), max(round(drop_period * share), 1)
