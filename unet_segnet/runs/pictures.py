"""What a finished run shows: the curves of its training, and what its network makes of test slices."""

from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.runs.folder import AGAIN, read_arrays
from unet_segnet.training import PICTURE

NUM_SHOWN = 6  # slices


def draw_run(run_folder: Path, test, folder: Path, history: tuple[str, ...] | None = None) -> list[Path]:
    """Draw the training curves of a run and its segmentation of up to six test slices.

    Arguments:
        run_folder: of a finished run.
        test: `unet_segnet.data.Slices`, its test slices.
        folder: where the PNG files go.
        history: the names of the arrays in its history.npz; None: those of the first study's recipe.

    Returns:
        The files; of a run that came without its network (model.keras), the curves alone.

    Raises:
        InputError: one of the run's files is damaged.
    """
    from unet_segnet.inference.prediction import predict
    from unet_segnet.networks.load import load_model
    from unet_segnet.plots import save_figure, training_curves
    from unet_segnet.training.class_weighted import HISTORY_KEYS

    title = f"{run_folder.parent.name}, {run_folder.name}"
    files = [folder / PICTURE]
    watched = read_arrays(run_folder / "history.npz", history or HISTORY_KEYS)
    save_figure(training_curves(watched, title), files[-1])
    if not (run_folder / "model.keras").exists():
        return files
    try:
        model = load_model(run_folder / "model.keras")
    except InputError as error:
        raise InputError(f"{error}; or {AGAIN}") from error
    shown = test.subset(most_lesion(test.labels))
    files.append(folder / "segmentations.png")
    draw_slices(shown, predict(model, shown.images), title, files[-1])
    return files


def draw_slices(slices, predictions, title: str, file: Path) -> None:
    """Draw the segmentation of the up to six slices with most lesion.

    Arguments:
        slices: labelled `unet_segnet.data.Slices`.
        predictions: (num_slices, height, width) class index.
        title: of the figure.
        file: PNG.
    """
    from unet_segnet.plots import save_figure, segmentations

    shown = most_lesion(slices.labels)
    few = slices.subset(shown)
    figure = segmentations(few.images, few.labels, predictions[shown], few.names, few.class_names, title)
    save_figure(figure, file)


def most_lesion(labels):
    """Places of the slices with most lesion, in their order.

    Arguments:
        labels: (num_slices, height, width) class index.
    """
    import numpy as np

    return np.sort(np.argsort(-(labels > 0).sum(axis=(1, 2)), kind="stable")[:NUM_SHOWN])
