"""Trained networks: the project's own, by the problem they solve, and those in files."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS
from unet_segnet.errors import InputError, missing_weights_are_errors, one_line
from unet_segnet.networks.ensemble import Ensemble, Folds, networks_in
from unet_segnet.networks.facts import facts_of_studies, read_facts
from unet_segnet.networks.hub import MAX_BYTES, PARTS, hub_file, is_hub
from unet_segnet.output.files import open_archive

WEIGHTS = Path(__file__).parent / "weights"
CHANGED = "was changed while it was read; start the same command again once nobody writes it"
MAX_CONFIG_BYTES = 2**24  # of its description of the layers, which takes many times as much in memory


def pretrained() -> dict[str, Path]:
    """The project's own trained networks: problem ("binary", "lesions", ...) -> .keras file; a model card beside it."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.keras"))}


def model_facts(problem: str) -> dict:
    """What is known of an own network: net, variant, experiment, scores, training data, provenance.

    Raises:
        InputError: there is none for this problem.
    """
    return json.loads(_pretrained_path(problem).with_suffix(".json").read_text(encoding="utf-8"))


def model_path(source: str | Path) -> Path:
    """The file of a network that `load_model` takes.

    Raises:
        InputError: there is none, or it cannot be downloaded.
    """
    if is_hub(source):
        return hub_file(source)
    path = Path(source)
    if path.suffix not in (".keras", ".mat"):
        path = _pretrained_path(str(source))
    if not os.path.isfile(path):  # False also of a name that is too long
        raise InputError(f"{path}: no such file; expected a trained network (.keras or .mat)")
    return path


def model_sha256(source: str | Path) -> str:
    """SHA-256 of the file of a network that `load_model` takes; of an ensemble, that of its members' SHA-256.

    Raises:
        InputError: there is none.
    """
    found = in_folder(source)
    if isinstance(found, Folds):
        return _sha256_of_all(map(model_sha256, found.files))
    return hashlib.sha256(model_path(found or source).read_bytes()).hexdigest()


def _sha256_of_all(members: Iterable[str]) -> str:
    return hashlib.sha256("".join(members).encode()).hexdigest()


def in_folder(source: str | Path) -> Path | Folds | None:
    """What `networks_in` finds in a folder, or the file of a network on the hub; else None, as of an own name."""
    if is_hub(source):
        return hub_file(source)
    return networks_in(source) if str(source) not in pretrained() and os.path.isdir(source) else None


def load_model(source: str | Path = "lesions", folded: bool = False):
    """A trained network, ready to predict.

    Arguments:
        source: "lesions", "lungs", "binary" or "multiclass" for the project's own, else a file: .keras (this project's
            networks, in Keras' safe mode: no code in it is run) or .mat (trained in MATLAB, see `matlab.load_network`);
            a folder: of a run, or of all folds of a cross-validation; or "hf://USER/NAME" on the Hugging Face hub, or
            a folder as there (see `hub`), with the same care.
        folded: for nothing but to be applied, which is faster then, see `fold.fold_normalisation`.

    Returns:
        Of all folds, an `Ensemble`, which is applied as one network; else:
        `keras.Model`: (batch, height, width, 1) grey levels 0..255 to (batch, height, width, num_classes)
        probabilities. Where its file says so, `class_names` (tuple), `window` (HU of the grey levels 0 and 255),
        `label_values` (dict: value in the label files that it learnt from -> class index), `takes`
        (`facts.LUNG_LEVELS` or `BODIES`: it takes no 8-bit grey levels), `learnt_from`, `threshold`, `temperature`,
        `seen` and `mirror_axes`, see `facts.write_facts`, are attributes of it; and always `sha256`, that of its file.

    Raises:
        InputError: no such own network; a file that is missing, damaged, or holds none, or cannot be downloaded, or is
            changed meanwhile; folds that are not finished or do not fit each other.
    """
    found = in_folder(source)
    if isinstance(found, Folds):
        names = [file.parent.name for file in found.files]
        members = [load_model(file, folded) for file in found.files]
        ensemble = Ensemble(members, names, str(source), found.diverged, found.tables)
        ensemble.sha256 = _sha256_of_all(member.sha256 for member in ensemble.members)
        return ensemble
    path = model_path(found or source)
    sha256 = model_sha256(path)
    model = _loaded(path, folded)
    if model_sha256(path) != sha256:  # it is opened several times: what was checked may not be what was loaded
        raise InputError(f"{path}: {CHANGED}")
    model.sha256 = sha256
    return model


def _loaded(path: Path, folded: bool):
    if path.suffix == ".mat":
        from unet_segnet.matlab import load_network

        return load_network(path).model  # none of which has anything to fold
    _check_archive(path)
    import keras

    import unet_segnet.layers  # noqa: F401  registers them

    try:
        _check_parameters(path)
        _check_weights(path)
        with missing_weights_are_errors():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if folded:
            from unet_segnet.networks.fold import fold_normalisation

            model = fold_normalisation(model)
        _tell(model, path)
        return model
    except InputError:
        raise
    except Exception as error:  # Keras raises many types on what it does not know
        raise InputError(f"{path}: holds no network that can be loaded ({one_line(error)})") from error


def _tell(model, path: Path) -> None:
    """Give a network what its file says about its classes and window."""
    facts = read_facts(path)
    if path.parent == WEIGHTS and not facts.get("takes"):
        facts = {**facts_of_studies(), **facts}
    if names := facts.get("class_names"):
        if len(names) != model.output_shape[-1]:
            raise InputError(f"{path}: names {len(names)} classes, the network tells {model.output_shape[-1]} apart")
        model.class_names = tuple(names)
    if window := facts.get("window"):
        model.window = tuple(map(float, window))
    if values := facts.get("label_values"):
        if max(index for _, index in values) >= model.output_shape[-1]:
            raise InputError(f"{path}: its label values stand for more classes than the network tells apart")
        model.label_values = dict(values)
    if takes := facts.get("takes"):
        model.takes = takes
    if axes := facts.get("mirror_axes"):
        model.mirror_axes = tuple(axes)
    if learnt := facts.get("learnt_from"):
        model.learnt_from = learnt
    if threshold := facts.get("threshold"):
        if model.output_shape[-1] != 2:
            raise InputError(f"{path}: has a threshold, which is for two classes; it tells {model.output_shape[-1]}")
        model.threshold = float(threshold)
        model.temperature = float(facts.get("temperature") or 1)
    if seen := facts.get("seen"):
        model.seen = seen


def check_takes_grey(model, source: str | Path) -> None:
    """Refuse a network that takes other values than 8-bit grey levels, where these are all that it would get.

    Raises:
        InputError: it does.
    """
    if takes := getattr(model, "takes", None):
        raise InputError(f"{source}: this network takes {takes}, no grey levels 0 to 255; it is for `predict` alone")


def slice_size(model) -> int:
    """Height and width of the slices that a network takes.

    Raises:
        InputError: it takes anything else than square grey slices of a fixed size, or gives something else than a
            probability of each class for each of their pixels.
    """
    taken, given = model.input_shape, model.output_shape
    fits = isinstance(taken, tuple) and len(taken) == 4 and taken[1] == taken[2] and taken[3] == 1
    if not fits or not isinstance(taken[1], int) or taken[1] ** 2 > MAX_SLICE_PIXELS:
        raise InputError(
            f"the network takes {_shape(taken)}; expected square slices of one grey channel, such as 256x256x1"
        )
    if not isinstance(given, tuple) or given[:3] != taken[:3] or len(given) != 4:
        raise InputError(
            f"the network gives {_shape(given)}; expected {taken[1]}x{taken[1]} pixels, each with its probabilities"
        )
    return taken[1]


def _shape(shape) -> str:
    return "x".join(map(str, shape[1:])) if isinstance(shape, tuple) else "several at once"


def _pretrained_path(problem: str) -> Path:
    found = pretrained()
    if problem not in found:
        there = ", ".join(found) or "none yet"
        raise InputError(
            f"{problem}: no trained network of that name comes with the project (there: {there}); give a .keras or "
            ".mat file"
        )
    return found[problem]


def _check_archive(path: Path) -> None:
    """Refuse what is no archive, what holds more than a network, which Keras would write to the disk, and what would
    unpack to more than any network of this project."""
    try:
        with open_archive(path) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise InputError(f"{path}: is damaged or no .keras file ({one_line(error)}); restore it") from error
    sizes = {member.filename: member.file_size for member in members}
    if others := sizes.keys() - set(PARTS):
        raise InputError(f"{path}: holds {min(others)!r:.99}; expected a .keras file with {', '.join(sorted(PARTS))}")
    if len(members) > len(sizes):
        raise InputError(f"{path}: holds a part twice; expected a .keras file as Keras writes it")
    for found, limit in ((sum(sizes.values()), MAX_BYTES), (sizes.get("config.json", 0), MAX_CONFIG_BYTES)):
        if found > limit:
            raise InputError(f"{path}: claims {found} bytes unpacked; expected at most {limit}")


def _check_parameters(path: Path) -> None:
    """Refuse a network whose layers claim more weights than the file holds, before memory is taken for them."""
    import keras
    from keras.src.backend.common.global_state import set_global_attribute

    with open_archive(path) as archive:
        config = json.loads(archive.read("config.json"))
        held = archive.getinfo("model.weights.h5").file_size
    config.pop("compile_config", None)
    try:
        with keras.StatelessScope(initialize_variables=False):  # the variables get a shape, but no values
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    finally:
        # Keras keeps them in a list, to give them values when the next scope ends.
        set_global_attribute("uninitialized_variables", [])
    claimed = sum(math.prod(weight.shape) for weight in model.weights)
    if claimed > held:  # a byte for each is the least there can be
        raise InputError(f"{path}: its layers claim {claimed} weights, the file holds {held} bytes of them; restore it")


def _check_weights(path: Path) -> None:
    from unet_segnet.networks.plain_weights import check_plain

    with open_archive(path) as archive:
        check_plain(archive.read("model.weights.h5"), path)
