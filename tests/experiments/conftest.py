"""Fixtures of the commands' tests."""

import pytest


@pytest.fixture(scope="module")
def no_committed_runs(tmp_path_factory):
    """The second study's runs that a module makes are all that there are."""
    from experiments.compare import collect

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "RESULTS", tmp_path_factory.mktemp("results"))
        yield
