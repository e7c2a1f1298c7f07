"""Every parity check: MATLAB's figure, ours, the difference, and whether it is within its tolerance."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.parity import network as parity_network
from experiments.parity import replay as parity_replay
from experiments.saood2021 import matlab_facts as facts
from experiments.saood2021 import published
from unet_segnet.errors import InputError
from unet_segnet.output.console import Progress
from unet_segnet.output.tabular import Table

RELEASED_NETWORK = "results/networks/segnet2_result/segnet2_256_0.001_4_160.mat"
RUN = ("segnet", 4)  # the run that RELEASED_NETWORK ended
# Network, experiment, iterations. U-Net's dropout came from the GPU's own random numbers, and the longer, the more that
# matters; experiment 4 has the step after which all pixels are certain, and mistaken or not.
REPLAYED = ("segnet", 1, 24)
REPLAYED_WITH_DROPOUT = ("unet", 4, 11)
COLUMNS = ("check", "MATLAB", "ours", "difference", "tolerance", "result")
TITLE = "Parity with MATLAB R2020a on the authors' slices, networks and curves."
NOTES = (
    "Where a check compares several numbers, the two that differ most are shown.",
    "Bicubic resizing of images is not among the checks: `unet-segnet data fetch` gets images of 256x256 alone, masks "
    "of both sizes.",
)


@dataclass(frozen=True)
class Check:
    """One figure of MATLAB beside ours.

    Attributes:
        name: what is compared.
        matlab, ours: as text.
        difference: between them, not negative; in pixels or layers where these are counted.
        tolerance: the largest difference that passes.
    """

    name: str
    matlab: str
    ours: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """NaN fails."""
        return bool(self.difference <= self.tolerance)


class Material:
    """The authors' data, each part read when first asked for.

    Attributes:
        folder: of the release.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def of(cls, data: str | None) -> "Material":
        """The material of a data set.

        Raises:
            InputError: it is not the release with all its parts.
        """
        from unet_segnet.data.catalogue import PHANTOM, find_data
        from unet_segnet.data.png_tree import RAW_MASKS, tree_root

        if data == PHANTOM:
            raise InputError("parity is measured on the authors' slices, not on the phantom: leave --data out")
        root = tree_root(find_data(data))
        material = cls(root.parent if root else find_data(data))
        for part in (f"dataset/{RAW_MASKS}", RELEASED_NETWORK):
            if not (material.folder / part).is_file():
                raise InputError(
                    f"{material.folder / part}: no such file; every part of the release is needed, get it with "
                    "`unet-segnet data fetch`"
                )
        if not facts.are_released(material.binary):
            raise InputError(f"{material.folder}: holds other slices than the authors' 100; parity needs these")
        return material

    @cached_property
    def multiclass(self):
        """All slices with the labels C0 to C3."""
        from unet_segnet.data import load_slices

        slices = load_slices(str(self.folder), "multiclass")
        for note in slices.notes:
            print(f"note: {note}", flush=True)
        return slices

    @cached_property
    def binary(self):
        """All slices with two classes."""
        return self.multiclass.binary()

    @cached_property
    def raw_masks(self) -> np.ndarray:
        """(100, 512, 512) uint8 labels as MedSeg gave them."""
        from unet_segnet.data.nifti import read_labels
        from unet_segnet.data.png_tree import RAW_MASKS

        return read_labels(self.folder / "dataset" / RAW_MASKS)

    @cached_property
    def network(self):
        """The released network."""
        from unet_segnet.matlab import load_network

        return load_network(self.folder / RELEASED_NETWORK)

    @cached_property
    def evaluation(self):
        """The released network on the test slices."""
        from unet_segnet.data import paper_split

        return parity_network.evaluate(self.network, self.binary.subset(paper_split().test))


def make_checks(material: Material, quick: bool = False) -> list[Check]:
    """Make all checks in their order, those that train left out if `quick`."""
    groups = [*GROUPS, *(() if quick else SLOW_GROUPS)]
    checks, bar = [], Progress(len(groups), "parity", every=10)
    for done, group in enumerate(groups, 1):
        checks += group(material)
        bar.update(done, group.__name__.strip("_").replace("_", " "))
    return checks


def _random_numbers(material) -> Iterable[Check]:
    from unet_segnet.matlab import RandomStream

    yield _worst("random stream: first 4 of rand", facts.RAND, RandomStream(0).rand(4), 5e-5, ".4f")
    yield _worst("random stream: first 6 of randn", facts.RANDN, RandomStream(0).randn(6), 5e-5, ".4f")


def _split(material) -> Iterable[Check]:
    from unet_segnet.data import paper_split

    released = np.array(list(published.image_metrics(*RUN)))
    ours = paper_split().test + 1
    yield _count("split: test slices in their order", len(released), np.sum(ours == released), 0)


def _class_balance(material) -> Iterable[Check]:
    from unet_segnet.data import class_sizes, median_frequency_weights

    for name, slices in (("2 classes", material.binary), ("4 classes", material.multiclass)):
        weights = median_frequency_weights(slices.labels, slices.num_classes)
        yield _worst(f"class weights, {name}", facts.CLASS_WEIGHTS[slices.num_classes], weights, 1e-7, ".8f")
    sizes = class_sizes(material.raw_masks, 4)
    for column, (name, ours) in enumerate(zip(("pixels", "pixels of slices"), sizes, strict=True)):
        printed = [row[column] for row in published.class_sizes().values()]
        if column == 0:
            printed[3] = facts.C3_PIXELS
        yield _worst(f"class sizes (Table 1): {name}", printed, ours, 5e-5, ".6g", relative=True)


def _resizing(material) -> Iterable[Check]:
    from unet_segnet.data.resize import resize_labels

    labels = material.multiclass.labels
    ours = resize_labels(material.raw_masks, labels.shape[1:])
    yield _count("resizing: pixels of the 256x256 masks", labels.size, np.sum(ours == labels), 0)


def _architectures(material) -> Iterable[Check]:
    from unet_segnet.models import build_model

    theirs, mean = material.network.model, material.network.mean
    ours = build_model("segnet", variant="released", num_classes=2, mean=mean)
    ours_listed, theirs_listed = _layers(ours), _layers(theirs)
    equal = sum(one == other for one, other in zip(ours_listed, theirs_listed, strict=False))
    equal -= abs(len(ours_listed) - len(theirs_listed))
    yield _count("SegNet: layers by name, type, weights", len(theirs_listed), equal, 0)
    yield _count("SegNet: parameters", theirs.count_params(), ours.count_params(), 0)
    image = material.binary.images[:1, ..., None]
    ours.set_weights(theirs.get_weights())
    outputs = [np.asarray(model.predict_on_batch(image)).ravel() for model in (theirs, ours)]
    yield _worst("SegNet: outputs with MATLAB's weights", *outputs, 1e-5, ".6f")
    unet = build_model("unet", variant="released", num_classes=2)
    yield _count("U-Net: parameters", facts.UNET_PARAMETERS, unet.count_params(), 0)


def _layers(model) -> list[tuple]:
    """Name, type and shapes of the weights of each layer behind the input and its normalisation."""
    import keras

    inputs = (keras.layers.InputLayer, keras.layers.Rescaling)
    layers = [layer for layer in model.layers if not isinstance(layer, inputs)]
    return [(layer.name, type(layer).__name__, [tuple(w.shape) for w in layer.weights]) for layer in layers]


def _input_means(material) -> Iterable[Check]:
    for name, slices in (("2 classes", material.binary), ("4 classes", material.multiclass)):
        ours = parity_replay.input_mean("segnet", slices)
        yield _worst(f"input mean, SegNet, {name}", facts.INPUT_MEANS[slices.num_classes], ours, 1e-3, ".6f")


def _first_losses(material) -> Iterable[Check]:
    yield _first_loss("segnet", 1, material.binary, 5e-4)
    ours = parity_replay.first_loss("segnet", 4, material.multiclass)
    yield _worst("first loss, SegNet, 4 classes, batch 4", facts.FIRST_LOSS_MULTICLASS, ours, 1e-3, ".4f")
    for experiment in (1, 2, 3):
        yield _first_loss("unet", experiment, material.binary, 0.03)


def _first_loss(net: str, experiment: int, slices, tolerance: float) -> Check:
    """Against all released runs of this mini-batch: equal but for their dropout, where a network has one."""
    settings = published.hyperparameters(net)
    batch = settings[experiment].mini_batch
    alike = [k for k in settings if settings[k].mini_batch == batch]
    released = [float(published.training_curves(net, k)["training_loss"][0]) for k in alike]
    ours = parity_replay.first_loss(net, batch, slices)
    name = {"segnet": "SegNet", "unet": "U-Net"}[net]
    return _worst(f"first loss, {name}, 2 classes, batch {batch}", released, ours, tolerance, ".4f")


def _released_network(material) -> Iterable[Check]:
    evaluation = material.evaluation
    released = parity_network.find_released_run(Path(RELEASED_NETWORK), evaluation)
    differing = parity_network.differing_pixels(evaluation.pooled, released.confusion)
    wrong = [f"{matrix[0, 1]} + {matrix[1, 0]}" for matrix in (released.confusion, evaluation.pooled)]
    yield Check("released SegNet: wrong pixels", *wrong, differing, 4)
    for name, tolerance in (
        ("global_accuracy", 5e-5),
        ("mean_accuracy", 2e-4),
        ("mean_iou", 2e-4),
        ("weighted_iou", 2e-4),
        ("mean_bf_score", 2e-3),
    ):
        title = f"released SegNet: {name.replace('_', ' ').replace('iou', 'IoU').replace('bf', 'BF')}"
        yield _worst(title, released.image_metrics[name], evaluation.image_metrics[name], tolerance)
    table_4 = published.class_scores("segnet", "binary")["infected"]
    ours = [evaluation.scores()[name][1] for name in table_4]
    yield _worst("released SegNet: scores of Table 4", list(table_4.values()), ours, 5e-5, ".6f")


def _validation_loss(material) -> Iterable[Check]:
    from unet_segnet.data import paper_split
    from unet_segnet.training.losses import WeightedCrossEntropy

    validation = material.binary.subset(paper_split().validation)
    model = material.network.model
    batches = [model.predict_on_batch(images[None, ..., None]) for images in validation.images]
    loss = WeightedCrossEntropy(material.network.class_weights)
    ours = float(loss(validation.labels, np.concatenate(batches)))
    yield _worst("released SegNet: final validation loss", facts.FINAL_VALIDATION_LOSS, ours, 1e-4, ".6f")


def _replay(material) -> Iterable[Check]:
    net, experiment, iterations = REPLAYED
    done = parity_replay.replay(net, experiment, iterations, material.binary)
    means = [f"mean {losses.mean():.4f}" for losses in (done.released, done.replayed)]
    yield Check(f"replay, SegNet 1, {iterations} iterations: RMSE", *means, done.rmse, 0.003)


def _replay_with_dropout(material) -> Iterable[Check]:
    net, experiment, iterations = REPLAYED_WITH_DROPOUT
    done = parity_replay.replay(net, experiment, iterations, material.binary)
    means = [f"mean {losses.mean():.4f}" for losses in (done.released, done.replayed)]
    differences = np.abs(done.replayed / done.released - 1)
    title = f"replay, U-Net 4, {iterations} iterations: mean relative difference"
    yield Check(title, *means, float(differences.mean()), 0.05)


GROUPS = (
    _random_numbers,
    _split,
    _class_balance,
    _resizing,
    _architectures,
    _input_means,
    _first_losses,
    _released_network,
    _validation_loss,
)
SLOW_GROUPS = (_replay, _replay_with_dropout)


def _worst(name: str, matlab, ours, tolerance: float, form: str = ".5f", relative: bool = False) -> Check:
    """Compare numbers one by one; the check shows the two that differ most, NaN above all."""
    matlab, ours = np.broadcast_arrays(np.ravel(np.float64(matlab)), np.ravel(np.float64(ours)))
    difference = np.abs(matlab - ours) / (np.abs(matlab) if relative else 1)
    at = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    return Check(name, format(matlab[at], form), format(ours[at], form), float(difference[at]), tolerance)


def _count(name: str, matlab: int, ours: int, tolerance: float) -> Check:
    return Check(name, str(int(matlab)), str(int(ours)), abs(int(matlab) - int(ours)), tolerance)


def parity_table(checks: list[Check]) -> Table:
    """The checks as a table."""
    rows = []
    for check in checks:
        result = "pass" if check.passed else "FAIL"
        difference = f"{check.difference:.2g}"
        rows.append((check.name, check.matlab, check.ours, difference, f"{check.tolerance:g}", result))
    passed = sum(check.passed for check in checks)
    return Table(TITLE, COLUMNS, tuple(rows), (f"{passed} of {len(checks)} checks passed.", *NOTES))


def read_parity_table(path: Path) -> Table:
    """The table that `all` wrote.

    Raises:
        InputError: there is none, or it is something else.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); make it with `python -m experiments.parity all`"
        ) from error
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise InputError(f"{path}: is no table of parity checks; make it with `python -m experiments.parity all`")
    passed = sum(row[-1] == "pass" for row in rows)
    origin = "Made by `python -m experiments.parity all`, put here by `python -m experiments.parity table`."
    notes = (f"{passed} of {len(rows)} checks passed.", *NOTES, origin)
    return Table(TITLE, COLUMNS, tuple(map(tuple, rows)), notes)
