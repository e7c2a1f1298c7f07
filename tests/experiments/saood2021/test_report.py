"""The report from end to end: from committed results alone, the same twice, whole or not at all."""

import contextlib
import functools
import io
import sys

import pytest
from forked import ROOT, run_command
from markupsafe import Markup
from quick_figures import write_figures_quickly
from tables import read_records

from experiments import report as command
from experiments.bizopoulos2021.protocol import COMPREHENSIVE_COMPARISON
from experiments.reporting.content import sections
from experiments.reporting.write import check_out
from experiments.saood2021 import published
from experiments.saood2021.protocol import U_NET_VERSUS_SEGNET
from experiments.saood2021.report import SECTIONS
from unet_segnet.errors import InputError
from unet_segnet.output.whole_folder import whole_folder
from unet_segnet.web.page import render_page

MARKS = ("file",)
report = functools.partial(run_command, "report")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a report without any data, with small figures, and what the command printed."""
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        write_figures_quickly(patch)
        patch.setenv("UNET_SEGNET_DATA", str(out / "nowhere"))
        patch.setattr(sys, "argv", ["report", "--out", str(out / "first")])
        with pytest.raises(SystemExit) as ended:
            command.main()
    assert ended.value.code == 0
    return out / "first", printed.getvalue()


def test_committed_results_make_a_report(made):
    out, _ = made
    names = {path.name for path in out.rglob("*")}
    assert {"index.html", "verdicts.csv", "errata.csv", "table3_binary_released.tex", "figure4_training.pdf"} <= names


@pytest.mark.slow
def test_the_same_report_twice(tmp_path):
    for name in ("first", "second"):
        result = report("--out", tmp_path / name, UNET_SEGNET_DATA=str(tmp_path / "nowhere"))
        assert result.returncode == 0, result.stderr
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file())
        for name in ("first", "second")
    ]
    assert files[0] == files[1]
    for file in files[0]:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_missing_data_is_said(made):
    _, printed = made
    assert "missing: The slices" in printed
    assert "cannot be decided:" in printed


def test_published_numbers_stand_in_the_tables(made):
    out, _ = made

    def rows(name):
        return read_records(out / "tables" / f"{name}.csv")

    for problem, number in (("binary", 3), ("multiclass", 5)):
        found = rows(f"table{number}_{problem}_released")
        for net, name in (("segnet", "SegNet"), ("unet", "U-Net")):
            for experiment, value in published.global_accuracy(net, problem).items():
                row = next(row for row in found if (row["network"], row["exp."]) == (name, str(experiment)))
                printed = [float(row[f"published {key}"]) for key in ("mean", "sigma", "var")]
                assert printed == [value.mean, value.standard_deviation, value.variance]
            scores = rows(f"table{number + 1}_{problem}_released")
            for class_name, printed in published.class_scores(net, problem).items():
                row = next(
                    r for r in scores if (r["network"], r["source"], r["class"]) == (name, "published", class_name)
                )
                keys = ("sensitivity", "specificity", "Dice", "G-mean", "F2")
                assert [float(row[key]) for key in keys] == list(printed.values())
            folds = rows(f"table7_{problem}_released")
            for class_name, printed in published.five_fold(net, problem).items():
                row = next(r for r in folds if (r["network"], r["class"]) == (f"{name}, publ.", class_name))
                assert [float(cell) for cell in list(row.values())[2:]] == [
                    v for pair in printed.values() for v in pair
                ]
    sizes = {row["class"]: float(row["published class"]) for row in rows("table1_class_sizes")}
    assert sizes == {name: pixels for name, (pixels, _) in published.class_sizes().items()}
    settings = {
        (r["network"], r["exp."]): (float(r["initial learning rate"]), r["mini-batch"])
        for r in rows("table2_configurations")
    }
    for net, name in (("segnet", "SegNet"), ("unet", "U-Net")):
        for experiment, value in published.hyperparameters(net).items():
            assert settings[name, str(experiment)] == (value.initial_learning_rate, str(value.mini_batch))


@pytest.mark.slow
def test_with_the_real_slices_everything_is_drawn(real_data, tmp_path):
    readmes = {tmp_path / name: ROOT / name for name in ("README.md", "experiments/results/README.md")}
    for copy, readme in readmes.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(readme.read_bytes())
    result = report("--data", real_data, "--out", tmp_path / "report", "--readme", *readmes)
    assert result.returncode == 0, result.stderr
    assert "missing: The slices" not in result.stdout
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    for start in ("figure1", "figure2", "figure3", "figure4", "figure5", "contours", "dice", "confusion"):
        assert any(name.startswith(start) for name in drawn), start
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert 'class="viewer"' in page and len(page) < 30_000_000
    for copy, readme in readmes.items():
        assert copy.read_bytes() == readme.read_bytes(), readme  # it has the tables of the committed runs


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="something other than a report"):
        check_out(tmp_path, False, U_NET_VERSUS_SEGNET)
    with pytest.raises(InputError, match="something other than a report"):
        check_out(tmp_path, True, U_NET_VERSUS_SEGNET)
    check_out(tmp_path / "new", False, U_NET_VERSUS_SEGNET)


def test_the_page_of_another_command_is_no_report(tmp_path):
    (tmp_path / "index.html").write_text(render_page("a scan", Markup("<p>volumes</p>")), encoding="utf-8")
    (tmp_path / "labels.nii.gz").write_bytes(b"")
    for force in (False, True):
        with pytest.raises(InputError, match="something other than a report"):
            check_out(tmp_path, force, U_NET_VERSUS_SEGNET)


def test_the_other_studys_report_is_replaced_by_force_alone(tmp_path):
    (tmp_path / "index.html").write_text(f'<meta name="generator" content="{COMPREHENSIVE_COMPARISON.generator}">')
    with pytest.raises(InputError, match="a report of another study"):
        check_out(tmp_path, False, U_NET_VERSUS_SEGNET)
    check_out(tmp_path, True, U_NET_VERSUS_SEGNET)
    check_out(tmp_path, False, COMPREHENSIVE_COMPARISON)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "report"
    with pytest.raises(RuntimeError), whole_folder(out, MARKS) as new:
        (new / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for content in ("old", "new"):
        with whole_folder(out, MARKS) as new:
            (new / "file").write_text(content)
    assert (out / "file").read_text() == "new" and list(tmp_path.iterdir()) == [out]
    with pytest.raises(RuntimeError), whole_folder(out, MARKS) as new:
        raise RuntimeError
    assert (out / "file").read_text() == "new"


def test_the_spread_of_the_trainings_comes_first(made):
    out, _ = made
    page = (out / "index.html").read_text(encoding="utf-8")
    for heading, number in (("Binary segmentation", 3), ("Four classes", 5)):
        section = page.split(f">{heading}</h2>")[1]
        places = [section.index(f'id="{name}') for name in (f"figure-spread_table{number}", f"table-table{number}")]
        assert places == sorted(places)
        assert section.index("<figure") < places[0] < section.index("<figure", places[0])
        assert section.index(f'id="figure-spread_table{number + 1}"') < places[1]


def test_each_name_is_under_one_heading():
    names = ["table3_binary_released", "figure1_slices", "errata"]
    assert [name for under in sections(names, SECTIONS).values() for name in under] == [
        "figure1_slices",
        names[0],
        "errata",
    ]
    assert next(iter(SECTIONS)) == "The data"
    with pytest.raises(ValueError, match="no section"):
        sections(["stray"], SECTIONS)
