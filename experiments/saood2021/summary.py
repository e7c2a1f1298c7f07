"""What a study shows at its end: tables on the screen and as files, pictures of one run."""

import textwrap
from pathlib import Path

from experiments.saood2021.runs import read_run
from unet_segnet.errors import InputError
from unet_segnet.output.tabular import write_tables
from unet_segnet.runs.folder import AGAIN, dtype_in, read_result


def finished_runs(folders: list[Path], options) -> tuple[list, list[str]]:
    """The counts of the runs that ended well, and notes for the tables on how they came about.

    Raises:
        InputError: every run diverged, or a result does not say how its run ended.
    """
    runs, notes = [], []
    if options.epochs != 160:
        notes.append(f"Trained for {options.epochs} epochs; the published runs for 160.")
    if options.size != 256:
        notes.append(f"Slices of {options.size}x{options.size}; the published runs' have 256x256.")
    if options.loss != "weights":
        notes.append("The loss is divided by the number of pixels (equation 1), not as the published runs did it.")
    if options.stream == "matlab":
        notes.append("Random numbers: the authors' MATLAB stream, replayed.")
    if options.encoder_weights:
        notes.append(f"VGG16 encoder started from {options.encoder_weights}.")
    in_type: dict[str | None, list[str]] = {}
    for folder in folders:
        config, result, counts = read_run(folder)
        where = f"{folder.parent.name}/{folder.name}"  # runs of two networks have the same folder names
        if counts is None:
            notes.append(f"{where} diverged in epoch {result.get('epoch', '?')} and is left out.")
            continue
        if result.get("one_class_only"):
            notes.append(f"{where} predicts one class only and is in the table as it is.")
        runs.append(counts)
        in_type.setdefault(dtype_in(config), []).append(where)
    if not runs:
        raise InputError(f"no run to show: {' '.join(notes)}")
    notes += [f"In {dtype}: {', '.join(of)}." for dtype, of in in_type.items() if dtype != "float32"]
    return runs, notes


def grid_tables(problem: str, runs, **about) -> dict:
    """Tables 3 and 4 (binary) or 5 and 6 (multiclass) by file name; `about` is handed to both."""
    from experiments.saood2021.tables.scores import accuracy_table, class_table

    first = 3 if problem == "binary" else 5
    return {f"table{first}": accuracy_table(runs, **about), f"table{first + 1}": class_table(runs, **about)}


def report_tables(tables: dict, runs, folders, data, folder: Path) -> None:
    """Print the tables, write them, and draw one run.

    Arguments:
        tables: `Table` by file name.
        runs: the `RunCounts` that the tables show.
        folders: the run folders.
        data: `LoadedData`.
        folder: where the files go.
    """
    files = write_tables(tables, folder)
    run, drawn = _best_run(runs, folders)
    test = [data.slices.names.index(name) for name in run.test_names]
    files += [figure.name for figure in draw_run(drawn, data.slices.subset(test), folder)]
    print(textwrap.fill(f"written to {folder}: {', '.join(files)}", 100, subsequent_indent="  "))


def _best_run(runs, folders):
    """The run with the highest mean global accuracy on its test slices, of the folds the first, and its folder."""
    from unet_segnet.measures.metrics import global_accuracy

    finished = [folder for folder in folders if read_result(folder)["status"] == "finished"]
    first = [pair for pair in zip(runs, finished, strict=True) if pair[0].fold in (None, 0)] or [(runs[0], finished[0])]
    return max(first, key=lambda pair: global_accuracy(pair[0].test_confusion).mean())


def draw_run(run_folder: Path, test, folder: Path) -> list[Path]:
    """Draw the training curves of a run and its segmentation of up to six test slices.

    Arguments:
        run_folder: of a finished run.
        test: its test slices.
        folder: where the PNG files go.

    Returns:
        The files; of a run that came without its network (model.keras), the curves alone.

    Raises:
        InputError: one of the run's files is damaged.
    """
    import numpy as np

    from unet_segnet.inference.prediction import predict
    from unet_segnet.networks.load import load_model
    from unet_segnet.plots import save_figure, segmentations, training_curves
    from unet_segnet.runs.folder import read_arrays
    from unet_segnet.training.class_weighted import HISTORY_KEYS

    title = f"{run_folder.parent.name}, {run_folder.name}"
    curves = training_curves(read_arrays(run_folder / "history.npz", HISTORY_KEYS), title)
    save_figure(curves, folder / "training.png")
    if not (run_folder / "model.keras").exists():
        return [folder / "training.png"]
    try:
        model = load_model(run_folder / "model.keras")
    except InputError as error:
        raise InputError(f"{error}; or {AGAIN}") from error
    lesion = (test.labels > 0).sum(axis=(1, 2))
    shown = np.sort(np.argsort(-lesion, kind="stable")[:6])
    few = test.subset(shown)
    overlays = segmentations(few.images, few.labels, predict(model, few.images), few.names, few.class_names, title)
    save_figure(overlays, folder / "segmentations.png")
    return [folder / "training.png", folder / "segmentations.png"]
