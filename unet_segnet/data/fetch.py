"""Downloads the first study's data: 100 slices, their masks and one trained network, as their authors released them."""

import csv
from collections.abc import Callable
from pathlib import Path

from unet_segnet.errors import InputError

COMMIT = "77f0e029eda602a014d914a3fa4c7a59036325ba"
BASE_URL = f"https://raw.githubusercontent.com/adnan-saood/COVID19-DL/{COMMIT}/"
ATTEMPTS = 3


def fetch_release(to: Path, base_url: str = BASE_URL, report: Callable[[int, int, str], None] | None = None) -> int:
    """Download the released files into a folder; those whose hash fits are kept.

    Arguments:
        to: the folder, made where it is missing.
        base_url: of the release, or of a mirror.
        report: called after each file with the numbers of finished files and of all, and its path in the release.

    Returns:
        How many files were downloaded.

    Raises:
        InputError: the network fails, a file's SHA-256 is not the manifest's, or a file cannot be written.
    """
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)  # `report` says it all
    manifest = read_manifest()
    source = pooch.create(path=to, base_url=base_url.rstrip("/") + "/", registry=manifest, retry_if_failed=ATTEMPTS - 1)
    downloader = pooch.HTTPDownloader(timeout=30)
    downloaded = 0
    for number, name in enumerate(manifest, 1):
        downloaded += pooch.core.download_action(to / name, manifest[name])[0] != "fetch"
        try:
            source.fetch(name, downloader=downloader)
        except requests.exceptions.RequestException as error:
            raise InputError(
                f"cannot download {source.get_url(name)} ({_reason(error)}): check the network and start "
                f"the same command again, what was downloaded is kept"
            ) from error
        except ValueError as error:  # pooch: the hash
            raise InputError(
                f"{source.get_url(name)} is not the released file (its SHA-256 differs) and was not "
                f"kept: start the same command again, or check what stands between you and the source"
            ) from error
        except OSError as error:
            raise InputError(f"cannot write {to / name} ({error.strerror}): choose another folder") from error
        if report:
            report(number, len(manifest), name)
    return downloaded


def read_manifest() -> dict[str, str]:
    """SHA-256 of each released file, by its path in the release."""
    from importlib.resources import files

    text = files("unet_segnet.data").joinpath("covid19_dl_sha256.csv").read_text()
    return {row["path"]: row["sha256"] for row in csv.DictReader(text.splitlines())}


def _reason(error: Exception) -> str:
    """The innermost reason of a failed download, short."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return type(error).__name__
