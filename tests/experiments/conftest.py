"""Fixtures of the studies' tests."""

import pytest


@pytest.fixture(scope="module")
def no_committed_runs(tmp_path_factory):
    """The second study's runs that a module makes are all that there are; their data are not at hand."""
    from experiments.bizopoulos2021 import evidence

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "RESULTS", tmp_path_factory.mktemp("results"))
        patch.setenv("UNET_SEGNET_DATA", str(tmp_path_factory.mktemp("nowhere")))
        yield
