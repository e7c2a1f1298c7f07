"""Trained networks as files."""

from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.files import whole_file


def save_network(model, path: Path, facts: dict | None = None) -> None:
    """Write a network as a .keras file, whole or not at all; see `unet_segnet.networks.facts` for the facts in it.

    Raises:
        InputError: this machine's clock is not set.
    """
    from unet_segnet.networks.facts import write_facts

    try:
        with whole_file(path) as temporary:
            model.save(temporary)
            if facts is not None:
                write_facts(temporary, facts)
    except ValueError as error:
        if "1980" not in str(error):  # what a ZIP archive's dates begin with
            raise
        raise InputError(
            f"{path}: cannot be written while this machine's clock stands before 1980; set it, and start the same "
            "command again: what is finished is kept"
        ) from error
