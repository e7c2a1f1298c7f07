"""What a command's MODEL is: the project's own network, a file, or the folder of a run; and what is known of it."""

from pathlib import Path

from unet_segnet.errors import InputError

NETWORK = "model.keras"  # in the folder of a finished run


def find_model(source: str) -> tuple[str, dict]:
    """What `load_model` takes for a MODEL, and what is known of it.

    Raises:
        InputError: a folder that is no finished run, or holds several, or facts that are damaged.
    """
    from unet_segnet.data.catalogue import RELEASED
    from unet_segnet.networks.facts import check_facts, read_facts
    from unet_segnet.networks.load import model_facts
    from unet_segnet.output.records import read_json

    is_folder = Path(source).is_dir()
    file = _network_of(Path(source)) if is_folder else Path(source)
    if file.suffix == ".mat":
        return source, {"data": RELEASED}
    if file.suffix == ".keras":
        facts = read_facts(file) if file.is_file() else {}
        beside = file.with_name("config.json")  # of runs whose networks were kept without facts
        if not facts and (is_folder or (file.name == NETWORK and beside.is_file())):
            facts = _facts_of_run(read_json(beside))
            try:
                check_facts(facts)
            except ValueError as error:
                raise InputError(f"{beside}: has an {error} of its network; restore the file") from error
        return str(file), facts
    return source, _facts_of_run(model_facts(source))


def load_found(path: str, facts: dict):
    """The network that `find_model` found, see `load_model`.

    Raises:
        InputError: it cannot be loaded, or is no longer that of which these facts are known.
    """
    from unet_segnet.networks.load import CHANGED, load_model

    model = load_model(path)
    if find_model(path)[1] != facts:
        raise InputError(f"{path}: {CHANGED}")
    return model


def _network_of(folder: Path) -> Path:
    """The network of a run's folder, or of the only run in a folder of runs."""
    if (folder / NETWORK).is_file():
        return folder / NETWORK
    runs = sorted(file.parent.name for file in folder.glob(f"*/{NETWORK}"))
    if not runs:
        raise InputError(f"{folder}: no network in this folder ({NETWORK}); expected the folder of a finished run")
    if len(runs) > 1:
        some = ", ".join(runs[:6]) + (", ..." if len(runs) > 6 else "")
        raise InputError(f"{folder}: holds the networks of {len(runs)} runs ({some}); give one of these folders")
    return folder / runs[0] / NETWORK


def _facts_of_run(config: dict) -> dict:
    """Of a run of the first study, or of an own network's card: the data that it was trained on."""
    data = config.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
        return {}
    return {"class_names": data["classes"], "window": data.get("window"), "data": data.get("name")}
