"""A report of a folder that also holds results on one's own data says where their tables are."""

import argparse
from dataclasses import replace
from types import SimpleNamespace

from web_sample import sample_report

from experiments.reporting.command import results_on_own_data, write_study_report
from experiments.saood2021.protocol import U_NET_VERSUS_SEGNET


def write(runs, *names):
    for name in names:
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).write_text("")


def test_tables_of_trainings_and_evaluations_are_named(tmp_path):
    assert results_on_own_data(tmp_path) is None
    write(tmp_path, "grid/released-binary-unet/exp4-seed0/result.json", "report/scores.md")
    assert results_on_own_data(tmp_path) is None
    write(tmp_path, "own/scans-unet/seed0/result.json")
    assert results_on_own_data(tmp_path).endswith("1 training on data of your own; they have no tables, for no test "
                                                  "slices were scored")  # fmt: skip
    write(tmp_path, *(f"own/scans-unet/fold{k}-seed0/result.json" for k in (1, 2)))
    write(tmp_path, "own/scans-unet/folds-seed0/scores.md", "own/scans-unet/.seed1.new/result.json")
    write(tmp_path, "evaluation/evaluation.json", "evaluation/scores.md")
    assert results_on_own_data(tmp_path) == (
        "not in this report: 3 trainings and 1 evaluation on data of your own; their tables are "
        f"{tmp_path}/own/scans-unet/folds-seed0/scores.md, {tmp_path}/evaluation/scores.md"
    )
    write(tmp_path, *(f"own/scans-unet/seed{k}/scores.md" for k in range(9)))
    assert results_on_own_data(tmp_path).endswith(" and 5 more")


def test_the_command_says_it_of_both_studies_and_reports_all_the_same(tmp_path, capsys):
    runs = tmp_path / "runs"
    write(runs, "own/scans-unet/seed0/result.json", "own/scans-unet/seed0/scores.md")
    report = sample_report()
    report = replace(report, verdicts=report.verdicts[:2], tables={}, figures=(), sections={}, views=())

    def printed(of):
        options = argparse.Namespace(runs=of, data=None, out=tmp_path / "report", readme=(), force=False)
        found = (lambda runs, data: SimpleNamespace(runs=()), lambda evidence: report)
        write_study_report(options, U_NET_VERSUS_SEGNET, {}, *found)
        assert (tmp_path / "report" / "index.html").is_file()
        return " ".join(capsys.readouterr().out.split())

    assert f"1 training on data of your own; their tables are {runs}/own/scans-unet/seed0/scores.md" in printed(runs)
    assert "data of your own" not in printed(None)
