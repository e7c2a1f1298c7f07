"""Fixtures of the studies' tests."""

import pytest


@pytest.fixture(scope="session")
def twenty_slices(tmp_path_factory):
    """The folder of twenty phantom slices of 64 x 64 in the MedSeg file layout."""
    from unet_segnet.data.phantom import write_phantom

    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_phantom(folder, num_slices=20, seed=1, size=64)
    return folder


@pytest.fixture(scope="session")
def volumes_data(tmp_path_factory):
    """The folder of ten phantom slices and two volumes of three, 48 x 48, in the MedSeg file layout."""
    from unet_segnet.data.phantom import write_phantom

    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_phantom(folder, num_slices=10, seed=1, size=48, volumes=2, volume_slices=3)
    return folder


@pytest.fixture(scope="module")
def no_committed_runs(tmp_path_factory):
    """The second study's runs that a module makes are all that there are; their data are not at hand."""
    from experiments.bizopoulos2021 import evidence

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "RESULTS", tmp_path_factory.mktemp("results"))
        patch.setenv("UNET_SEGNET_DATA", str(tmp_path_factory.mktemp("nowhere")))
        yield
