"""Processes that train side by side: one that dies costs its own run alone."""

import os
import signal
from types import SimpleNamespace

import pytest

from unet_segnet.runs import executors

LARGE = b"0" * 2**22  # more than a pipe holds


def die(pipe):
    os.kill(os.getpid(), signal.SIGKILL)


def tell(pipe):
    data, options = pipe.recv()
    while True:
        pipe.send((len(data), options.workers, pipe.recv()))


@pytest.fixture
def pool(tmp_path):
    made = executors.Pool(LARGE, SimpleNamespace(workers=1, out=tmp_path))
    yield made
    made.close()


def job(number):
    return SimpleNamespace(spec=SimpleNamespace(group=f"group{number}", name=f"run{number}"), number=number)


def test_a_process_that_dies_while_it_begins_is_a_run_that_failed(pool, monkeypatch):
    monkeypatch.setattr(executors, "_serve", die)
    pool.start(job(1))
    ended, outcome = pool.wait()
    assert ended.number == 1 and outcome.kind == "failed"
    assert "its process died (exit status -9)" in outcome.message
    monkeypatch.setattr(executors, "_serve", tell)
    pool.start(job(2))  # in a new process
    assert pool.wait()[0].number == 2


def test_a_process_has_the_data_once_and_jobs_one_by_one(pool, monkeypatch):
    monkeypatch.setattr(executors, "_serve", tell)
    for number in (1, 2):
        pool.start(job(number))
        _, (size, workers, received) = pool.wait()
        assert (size, workers, received.number) == (len(LARGE), 1, number)
    assert len(pool.idle) == 1
