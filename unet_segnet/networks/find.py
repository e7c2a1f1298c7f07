"""What a command's MODEL is: the project's own network, a file, the folder of a run, or a network on the hub; and what
is known of it."""

from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.networks.ensemble import NETWORK, Folds, common_facts


def find_model(source: str) -> tuple[str, dict]:
    """What `load_model` takes for a MODEL, and what is known of it.

    Raises:
        InputError: a folder that is no finished run, or holds several, or facts that are damaged, or a network that
            cannot be downloaded.
    """
    from unet_segnet.data.catalogue import RELEASED
    from unet_segnet.networks.facts import facts_of_studies

    source, facts = _found(source)
    return source, {**facts_of_studies(), **facts} if facts.get("data") == RELEASED else facts


def _found(source: str) -> tuple[str, dict]:
    from unet_segnet.data.catalogue import RELEASED
    from unet_segnet.networks.load import in_folder, model_facts

    in_it = in_folder(source)
    found = in_it or Path(source)
    if isinstance(found, Folds):
        return source, common_facts([_facts_in(file, True) for file in found.files])
    if found.suffix == ".mat":
        return source, {"data": RELEASED}
    if found.suffix == ".keras":
        return str(found), _facts_in(found, in_it is not None)
    return source, _facts_of_run(model_facts(source))


def _facts_in(file: Path, is_run: bool) -> dict:
    """The facts in a .keras file; of a run whose network was kept without them, those of its settings."""
    from unet_segnet.networks.facts import check_facts, read_facts
    from unet_segnet.output.records import read_json

    facts = read_facts(file) if file.is_file() else {}
    beside = file.with_name("config.json")
    if facts or not (is_run or (file.name == NETWORK and beside.is_file())):
        return facts
    facts = _facts_of_run(read_json(beside))
    try:
        check_facts(facts)
    except ValueError as error:
        raise InputError(f"{beside}: has an {error} of its network; restore the file") from error
    return facts


def load_found(path: str, facts: dict):
    """The network that `find_model` found, to be applied, see `load_model`.

    Raises:
        InputError: it cannot be loaded, or is no longer that of which these facts are known.
    """
    from unet_segnet.networks.load import CHANGED, load_model

    model = load_model(path, folded=True)
    if find_model(path)[1] != facts:
        raise InputError(f"{path}: {CHANGED}")
    return model


def _facts_of_run(config: dict) -> dict:
    """Of a run of the first study, or of an own network's card: the data that it was trained on."""
    data = config.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
        return {}
    return {"class_names": data["classes"], "window": data.get("window"), "data": data.get("name")}
