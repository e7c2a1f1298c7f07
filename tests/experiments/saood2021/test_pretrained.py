"""Runs whose encoders started from other weights than random ones: shown, and mixed with no others."""

from types import SimpleNamespace

import pytest
from made_runs import evidence, made_run
from tables import records

from experiments.saood2021.report import compute_tables, results_text
from experiments.saood2021.spread import accuracy, repeated
from experiments.saood2021.tables import stopping
from experiments.saood2021.tables.data import paper_tables, trainings_table
from experiments.saood2021.tables.summary import summary_table
from unet_segnet.measures import metrics

RANDOM = [made_run(variant="paper", seed=seed) for seed in (0, 1)]
IMAGENET = made_run(variant="paper", missed=0.3, encoder_weights="imagenet")
FROM_FILE = made_run(variant="paper", missed=0.6, encoder_weights="vgg.h5 (SHA-256 01234567)")
FOLD = made_run(variant="paper", fold=1, num_slices=20, encoder_weights="imagenet")


def test_they_have_tables_of_their_own_for_each_source():
    tables = paper_tables(evidence(*RANDOM, IMAGENET, FROM_FILE, FOLD))
    assert [name for name in tables if "_pretrained" in name] == [
        *("table3_binary_paper_pretrained", "table4_binary_paper_pretrained", "table7_binary_paper_pretrained"),
        *("table3_binary_paper_pretrained2", "table4_binary_paper_pretrained2"),
    ]
    for name, run in (("pretrained", IMAGENET), ("pretrained2", FROM_FILE)):
        table = tables[f"table3_binary_paper_{name}"]
        assert f"variant paper, encoder from {run.counts.encoder_weights}, seed 0" in table.title
        row = next(row for row in records(table) if row["exp."] == 4)
        assert {row["network"] for row in records(table)} == {"SegNet", "all background"}
        assert row["runs"] == 1
        assert row["reproduced: mean"] == pytest.approx(metrics.global_accuracy(run.counts.test_confusion).mean())


def test_what_started_from_random_weights_is_as_it_is_without_them(monkeypatch):
    monkeypatch.setattr(stopping, "last_quarter", lambda *_: None)  # made runs have no history
    alone, beside = evidence(*RANDOM), evidence(*RANDOM, IMAGENET, FROM_FILE, FOLD)
    tables, with_them = compute_tables(alone), compute_tables(beside)
    own = {name for name in with_them if "_pretrained" in name}
    assert own and with_them.keys() - own == tables.keys()
    # By their text, for undefined scores are not equal to themselves.
    changed = [name for name in tables if tables[name].to_text() != with_them[name].to_text()]
    assert changed == ["trainings"]
    assert repeated(alone, "binary", accuracy) == repeated(beside, "binary", accuracy)
    assert summary_table(alone) == summary_table(beside)


def test_the_trainings_say_what_they_started_from():
    rows = records(trainings_table(evidence(RANDOM[0], IMAGENET, FROM_FILE)))
    assert [row["encoder from"] for row in rows] == ["random", "imagenet", "vgg.h5 (SHA-256 01234567)"]
    assert "encoder from" not in trainings_table(evidence(*RANDOM)).columns


def test_they_are_not_among_the_protocol_s_trainings_but_their_tables_are_shown():
    made = evidence(RANDOM[0], IMAGENET)
    tables = paper_tables(made)
    text = results_text(SimpleNamespace(verdicts=(), tables=tables), made)
    assert "1 of the 112 trainings of the article's protocol (56 for each variant) is finished; losses" in text
    assert text.count("encoder from imagenet") == 2
