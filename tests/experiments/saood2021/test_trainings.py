"""The report's table of the finished trainings, and how many of the protocol's they are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_runs import evidence, made_folds, made_run
from tables import records

from experiments.reporting.content import VERDICTS, Report, Verdict
from experiments.reporting.tallies import verdict_lines
from experiments.saood2021.protocol import U_NET_VERSUS_SEGNET
from experiments.saood2021.report import main_text, results_text
from experiments.saood2021.tables.comparisons import network_comparison
from experiments.saood2021.tables.data import paper_tables, trainings_table
from experiments.saood2021.tables.summary import summary_table
from experiments.saood2021.tables.trainings import notes_on_kinds
from unet_segnet.measures import metrics
from unet_segnet.models.registry import NETWORKS, Network

YES, _, _, OPEN = VERDICTS


def made_report(tables=None, verdicts=()):
    return Report(U_NET_VERSUS_SEGNET, verdicts, tables or {}, (), "COVID19-DL", (), ())


def test_finished_trainings_by_hand():
    origin = {"device": "a processor", "commit": "abc", "finished_at": "2021-02-09T00:00:00Z"}
    grid = made_run(training_seconds=3600.0, parameters=373192, **origin)
    fold = made_run("unet", "multiclass", "paper", fold=2, dtype="mixed_bfloat16")
    table = trainings_table(evidence(grid, fold))
    first, second = records(table)
    assert [first[key] for key in ("network", "variant", "problem")] == ["SegNet", "released", "binary"]
    assert (first["exp."], first["fold"], first["seed"], first["random numbers"]) == (4, None, 0, "NumPy's")
    assert (first["data type"], second["data type"]) == ("float32", "mixed_bfloat16")
    accuracies = [metrics.global_accuracy(run.counts.test_confusion).mean() for run in (grid, fold)]
    assert [first["accuracy"], second["accuracy"]] == pytest.approx(accuracies)
    assert first["diff."] == pytest.approx(accuracies[0] - 0.954)  # Table 3
    dice = [metrics.dice(run.counts.test_confusion.sum(axis=0))[1:].mean() for run in (grid, fold)]
    assert [first["Dice"], second["Dice"]] == pytest.approx(dice)
    assert second["diff."] is None  # of no fold an accuracy is printed
    assert (first["parameters"], second["parameters"]) == (373192, None)
    assert first["minutes"] == 60
    assert first["slices/s"] == pytest.approx(72 * 160 / 3600)
    assert [first[key] for key in ("device", "commit", "finished")] == list(origin.values())
    assert second["fold"] == 3  # of 1 to 5, as its folder is called
    assert second["minutes"] is second["slices/s"] is second["device"] is None
    assert trainings_table(evidence()) is None


def test_a_random_encoder_is_told_where_matlabs_is_pretrained():
    runs = [made_run(variant=variant, net=net) for variant in ("paper", "released") for net in ("segnet", "unet")]
    for of, is_told in ((runs, True), (runs[1:], False)):
        tables = paper_tables(evidence(*of))
        found = [summary_table(evidence(*of)), *(tables[f"table{n}_binary_paper"] for n in (3, 4))]
        assert [any("segnetLayers" in note for note in table.notes) for table in found] == [is_told] * 3
        assert not any("segnetLayers" in note for note in tables["table3_binary_released"].notes)


def test_slices_that_fill_no_batch_are_not_counted():
    """A fold has 70 training slices, of which mini-batches of 4 take 68 in an epoch."""
    table = trainings_table(evidence(made_run(fold=0, training_seconds=1000.0)))
    assert table.rows[0][table.columns.index("slices/s")] == pytest.approx(68 * 160 / 1000)


def test_tables_say_which_trainings_are_unlike():
    """One configuration trained twice, with other random numbers and in another data type: their mean is told."""
    replay = made_run("unet", dtype="mixed_bfloat16")
    replay = replace(replay, counts=replace(replay.counts, stream="matlab"))
    runs = [made_run(), made_run("unet"), replay]
    alike, unlike = (paper_tables(evidence(*of)) for of in (runs[:2], runs))
    compared = network_comparison(evidence(*runs), "binary", "released")
    for table in (unlike["table3_binary_released"], unlike["table4_binary_released"], compared):
        assert table.notes[-1] == (
            "Not all trained alike: SegNet 4, U-Net 4 with NumPy's random numbers in float32; U-Net 4 with MATLAB's "
            "random numbers in mixed_bfloat16."
        )
    folds = [*made_folds("segnet", folds=(0, 1)), *made_folds("segnet", folds=(2,), dtype="mixed_bfloat16")]
    assert paper_tables(evidence(*folds))["table7_binary_released"].notes[-1] == (
        "Not all trained alike: SegNet 4 (fold 1, 2) with NumPy's random numbers in float32; "
        "SegNet 4 (fold 3) with NumPy's random numbers in mixed_bfloat16."
    )
    assert not any("alike" in note for table in alike.values() for note in table.notes)


def test_tables_tell_backends_apart_where_there_are_several():
    runs = [replace(run, config={**run.config, "backend": backend})
            for run, backend in ((made_run(), "tensorflow"), (made_run("unet"), "jax"))]  # fmt: skip
    (note,) = notes_on_kinds(runs)
    assert "SegNet 4 with NumPy's random numbers in float32 on tensorflow; U-Net 4 with" in note and "on jax" in note
    assert notes_on_kinds(runs[:1]) == ()


def test_trainings_of_the_protocol_are_counted_once():
    runs = [made_run(), made_run(seed=1), made_run("unet", fold=2), made_run("unet", experiment=5, fold=2)]
    text = results_text(made_report(), evidence(*runs))
    assert "2 of the 112 trainings of the article's protocol (56 for each variant) are finished, and 2 with" in text
    text = results_text(made_report(), evidence(made_run()))
    assert "1 of the 112 trainings of the article's protocol (56 for each variant) is finished; losses" in text


def test_a_network_that_the_article_has_not_is_in_the_tables_and_no_part_of_its_protocol(monkeypatch):
    monkeypatch.setitem(NETWORKS, "own", Network("own", "Own", "own_network"))
    made = evidence(
        made_run(), made_run("own", experiment=1, training_seconds=60.0), made_run("own", experiment=1, fold=1)
    )
    assert [row[0] for row in trainings_table(made).rows] == ["SegNet", "Own", "Own"]
    assert "1 of the 112 trainings of the article's protocol" in results_text(made_report(), made)
    assert not any("Own" in row[1] for row in summary_table(made).rows)


@pytest.mark.parametrize(("runs", "shown"), [([made_run()], {3, 4}), (made_folds("segnet", folds=(0, 1)), {7})])
def test_the_readme_has_the_tables_of_what_was_trained(runs, shown):
    made = evidence(*runs)
    tables = paper_tables(made)
    text = results_text(made_report(tables), made)
    assert {number for number in range(3, 8) if f"**Table {number}." in text} == shown
    assert ("SegNet exp. 4: 2 of 5 folds." in text) == (shown == {7})


def test_the_summary_has_the_best_configurations_beside_the_published():
    runs = [made_run(), made_run(seed=1), made_run(experiment=5), made_run("unet", "multiclass", fold=2)]
    rows = {(row["problem"], row["network"]): row for row in records(summary_table(evidence(*runs)))}
    accuracies = [metrics.global_accuracy(run.counts.test_confusion).mean() for run in runs[:2]]
    dice = [metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs[:2]]
    row = rows["infected or not", "SegNet 4, released"]
    assert (row["trainings"], row["accuracy: published"], row["lesion Dice: published"]) == (2, 0.954, 0.749818)
    for name, values in (("accuracy: ours", accuracies), ("lesion Dice: ours", dice)):
        assert row[name] == f"{sum(values) / 2:.3f} ({min(values):.3f} to {max(values):.3f})"
    row = rows["four classes", "U-Net 4, released"]
    assert (row["trainings"], row["accuracy: ours"], row["lesion Dice: ours"]) == (0, None, None)  # a fold is none
    assert row["lesion Dice: published"] == pytest.approx((0.483 + 0.597 + 0.225) / 3)
    assert not any("paper" in network for _, network in rows)
    background = rows["infected or not", "all background"]
    truth = runs[0].counts.test_confusion.sum(axis=2)
    assert background["accuracy: ours"] == pytest.approx((truth[:, 0] / truth.sum(axis=1)).mean())


def test_the_summary_names_both_variants_where_both_ran():
    table = summary_table(evidence(made_run(), made_run(variant="paper")))
    assert [row[1] for row in table.rows if row[2]] == ["SegNet 4, released", "SegNet 4, paper"]


def test_the_main_text_is_the_summary_and_the_number_of_verdicts():
    made = evidence(made_run())
    verdicts = tuple(made_verdict(verdict) for verdict in VERDICTS)
    text = main_text(made_report(verdicts=verdicts), made)
    assert text.startswith(summary_table(made).to_markdown())
    assert text.endswith(
        "\n**Of 4 claims: 1 replicates (1 consistent with the article's own tables); 1 does not replicate (1 at odds "
        "with the article's own tables); 1 is a misprint or slip (1 at odds with the article's own tables); 1 cannot "
        "be decided (1 for want of trainings).**\n"
    )


def made_verdict(verdict, basis="tables"):
    decides = "Four: python -m experiments.grid." if verdict == VERDICTS[-1] else ""
    return Verdict("n", "c", "q", "s", verdict, "" if decides else basis, "e", decides, bool(decides))


def test_claims_are_counted_in_english():
    verdicts = [made_verdict(YES, "training"), made_verdict(YES), made_verdict(YES), made_verdict(OPEN)]
    lines = verdict_lines(SimpleNamespace(verdicts=verdicts[::-1]))
    assert lines[0] == (
        "**Of 4 claims: 3 replicate (2 consistent with the article's own tables, 1 reproduced by training here); "
        "1 cannot be decided (1 for want of trainings).**"
    )
    assert lines[-1] == "| cannot be decided |  | c |" and "reproduced by training here" in "".join(lines[4:7])
