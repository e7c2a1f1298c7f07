"""Spoilt files give a sound result or one clear line, and take neither long nor much memory nor write anything."""

import csv
from pathlib import Path

import fuzz
import fuzz_readers
import pytest
from forked import run_command

LIGHT = [reader for reader in fuzz_readers.READERS if reader not in fuzz_readers.WITH_KERAS]


def check(readers, count, seed=0):
    tallies = fuzz.fuzz(readers, count, seed)
    assert [line for tally in tallies.values() for line in tally.faults] == []
    for reader, tally in tallies.items():
        assert sum(tally.counts.values()) == count
        assert tally.counts["refused"] > count / 10, f"hardly any file of {reader} was spoilt"


def test_spoilt_files_without_keras():
    check(LIGHT, 20)


def test_spoilt_files_with_keras():
    check([reader for reader in fuzz_readers.READERS if reader in fuzz_readers.WITH_KERAS], 15)


@pytest.mark.slow
def test_two_thousand_spoilt_files():
    check(list(fuzz_readers.READERS), 200, seed=1)


@pytest.mark.slow
def test_the_spoilt_released_network(real_data):
    check(["released .mat"], 20)


def test_command_lines_are_refused_for_the_data_before_they_are_spoilt(tmp_path):
    """Else nothing beyond the parser would be tried."""
    for line in fuzz_readers.Commands.LINES:
        name, *words = line.split()
        result = run_command(name, *words, UNET_SEGNET_DATA=str(tmp_path / "none"))
        assert result.returncode == 2 and "usage:" not in result.stderr, (line, result.stderr)
        assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr, (line, result.stderr)


def test_the_committed_counts_are_of_every_reader_and_in_the_readme():
    results = Path(__file__).parents[2] / "experiments" / "results"
    with (results / "fuzz.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["reader"] for row in rows] == [*(fuzz_readers.TITLES[name] for name in fuzz_readers.READERS), "all"]
    assert int(rows[-1]["files"]) == sum(int(row["files"]) for row in rows[:-1]) >= 1000
    assert {row["anything else"] for row in rows} == {"0"}
    readme = (results / "README.md").read_text(encoding="utf-8")
    assert "\n".join(f"| {' | '.join(row.values())} |" for row in rows) in readme


def test_a_case_is_the_same_whenever_it_is_made():
    samples = [{"a.json": b'{"b": [1, 2]}', "c.bin": bytes(range(256))}]
    made = [fuzz.case_files("any", n, 3, samples, {"any": None}) for n in [*range(20), *range(20)]]
    assert made[:20] == made[20:] and len({told for _, told in made}) > 10
