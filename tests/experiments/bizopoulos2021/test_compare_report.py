"""The second study's report from end to end: what it reads, what it says is missing, whole files, the same twice."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked import run_command
from made_comparison import made_run
from quick_figures import write_figures_quickly

from experiments.bizopoulos2021 import evidence as collecting
from experiments.bizopoulos2021 import pictures, published
from experiments.bizopoulos2021.data import open_data
from experiments.bizopoulos2021.evidence import collect
from experiments.bizopoulos2021.figures.scores import figures
from experiments.bizopoulos2021.protocol import COMPREHENSIVE_COMPARISON
from experiments.bizopoulos2021.report import SECTIONS, main
from experiments.bizopoulos2021.tables.scores import score_tables
from experiments.bizopoulos2021.tables.table2 import table_two
from experiments.bizopoulos2021.verdicts import judge_scores
from experiments.bizopoulos2021.verdicts.claims import verdicts
from experiments.reporting.content import sections
from experiments.reporting.tallies import verdict_lines
from unet_segnet.data.nifti import SLICES, VOLUMES, read_volume, write_volume
from unet_segnet.errors import InputError
from unet_segnet.measures.metrics import confusion_matrices
from unet_segnet.runs import provenance

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data set is at hand, and no committed run."""
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(collecting, "RESULTS", tmp_path / "nothing")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data set of three small volumes, its description, and its volumes of each experiment."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    rng = np.random.default_rng(0)
    for names, num_slices in [(SLICES, 10)] + [([f"{kind}/{n}" for kind in VOLUMES], 4) for n in (1, 2, 3)]:
        images = rng.integers(0, 256, (num_slices, 32, 32)).astype(np.uint8)
        lungs = np.zeros_like(images)
        lungs[:, 6:26, 6:26] = 1
        lesions = np.zeros_like(images)
        lesions[: num_slices - 1, 10:16, 12 : 14 + num_slices] = 1
        for name, array in zip(names, (images, lesions, lungs), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_volume(folder / f"{name}.nii.gz", array)
    study = open_data(str(folder), 32, "minmax")
    return folder, study.describe(), {name: list(study.volumes(name)) for name in published.EXPERIMENTS}


@pytest.fixture
def drawn(tiny, monkeypatch, tmp_path):
    """Runs of two architectures whose networks find every mask moved by one pixel."""
    _, data, volumes = tiny
    runs = tmp_path / "runs"

    def shifted(run, images):
        (volume,) = [of for of in volumes[run.experiment] if any(np.array_equal(images[0], i) for i in of.images)]
        at = [next(k for k, i in enumerate(volume.images) if np.array_equal(i, image)) for image in images]
        return np.roll(volume.masks[at], 1, axis=2) > 0

    monkeypatch.setattr(pictures, "_predict", shifted)
    for experiment, of in volumes.items():
        counts = (
            np.concatenate([confusion_matrices(v.masks, np.roll(v.masks, 1, axis=2), 2) for v in of]),
            [name for volume in of for name in volume.names],
            [volume.name for volume in of for _ in volume.names],
        )
        for architecture, encoder in (("unet", "resnet18"), ("unet", "vgg19"), ("linknet", "resnet18")):
            settings = {key: data[key] for key in ("size", "normalise", "sha256")}
            folder = made_run(*(runs, experiment, architecture, encoder), data="tiny", counts=counts, settings=settings)
            (folder / "model.keras").write_bytes(b"a network")
    return runs


def report(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return ended.value.code


@pytest.mark.slow
def test_the_same_files_twice_whole_and_with_all_that_was_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "1234567")
    write_figures_quickly(monkeypatch)  # that equal figures give equal PDFs, the tests of plots show
    for architecture in ("unet", "pspnet"):
        made_run(tmp_path / "runs", "lung", architecture, "resnet18", first_layer=True)
    for name in ("first", "second"):
        assert report("--runs", tmp_path / "runs", "--out", tmp_path / name) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "does not replicate: LinkNet has more parameters than U-Net." in told
    assert "missing: Figure 8 has no kernels of the ImageNet initialisation" in told
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*"))
        for name in ("first", "second")
    ]
    assert files[0] == files[1]
    for file in files[0]:
        if (tmp_path / "first" / file).is_file():
            assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    names = {path.name for path in files[0]}
    for table in ("table2_lung", "table2_lesion_b", "table2_costs", "empty_slices", "scores", "correlations", "gains"):
        assert {f"{table}.{suffix}" for suffix in ("csv", "md", "tex")} <= names
    for figure in ("figure4_parameters_published", "figure4_parameters_used", "figure5_losses", "figure6_boxes"):
        assert {f"{figure}.png", f"{figure}.pdf"} <= names
    with (tmp_path / "first" / "verdicts.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == [claim.name for claim in published.claims()]
    page = (tmp_path / "first" / "index.html").read_text(encoding="utf-8")
    assert COMPREHENSIVE_COMPARISON.generator in page and "Bizopoulos" in page and 'class="viewer"' not in page
    assert "Table II" in page and "What is missing" in page and "Saood" not in page


def test_a_report_of_the_other_study_is_not_replaced(tmp_path, capsys):
    out = tmp_path / "report"
    out.mkdir()
    (out / "index.html").write_text('<meta name="generator" content="unet_segnet report">')
    assert report("--out", out) == 2
    assert "a report of another study" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["index.html"]


def test_the_readme_shows_the_verdicts_of_the_committed_runs(monkeypatch):
    monkeypatch.setattr(collecting, "RESULTS", ROOT / "experiments" / "results")
    lines = verdict_lines(SimpleNamespace(verdicts=verdicts(collect(None))))
    for readme, name, shown in (
        (ROOT / "experiments" / "results" / "README.md", "compare", lines),
        (ROOT / "README.md", "compare-main", lines[:1]),
    ):
        text = readme.read_text(encoding="utf-8")
        assert "\n".join([f"<!-- {name}:begin -->", *shown, f"<!-- {name}:end -->"]) in text


def test_a_readme_without_markers_is_refused_before_anything_is_read(tmp_path, capsys):
    (tmp_path / "README.md").write_text("nothing\n")
    assert report("--readme", tmp_path / "README.md", "--out", tmp_path / "report") == 2
    assert "compare:begin" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("arguments", [("--runs", "no/such/folder"), ("--data", "no-such-data")])
def test_what_is_not_there_is_one_line_and_nothing_is_written(arguments, tmp_path, capsys):
    assert report(*arguments, "--out", tmp_path / "report") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and arguments[1] in error
    assert not (tmp_path / "report").exists()


def test_help_is_quick_and_needs_nothing():
    command = "import sys; from experiments.bizopoulos2021.report import main; main(['--help'])"
    heavy = "('keras', 'tensorflow', 'matplotlib', 'scipy')"
    command = f"import atexit, sys; atexit.register(lambda: print([m for m in {heavy} if m in sys.modules])); {command}"
    result = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--runs" in result.stdout and result.stdout.strip().endswith("[]")


def test_runs_are_read_as_they_are(tmp_path):
    made_run(tmp_path, "lesion_b", "fpn", "xception", "imagenet", seed=3)
    (run,) = collect(tmp_path).runs
    assert (run.experiment, *run.model, run.seed) == ("lesion_b", "fpn", "xception", "imagenet", 3)
    assert run.label == "FPN xception, ImageNet, seed 3" and run.data == "ct20"
    assert run.deviations == ("on ct20", "32 pixels", "normalise minmax", "20 epochs")
    assert run.seconds == (1.5, 1.5 / 8) and run.confusion.shape == (30, 2, 2)
    assert list(run.volume_scores()) == ["1", "2", "3"] and run.weights is None and run.first_layer() is None


def test_runs_of_ones_own_stand_before_the_committed_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "RESULTS", tmp_path / "committed")
    for place in ("committed", "own"):
        made_run(tmp_path / place, "lung", data="ct20")
    made_run(tmp_path / "committed", "lesion_a")
    runs = collect(tmp_path / "own").runs
    assert [(run.experiment, run.folder.is_relative_to(tmp_path / "own")) for run in runs] == [
        ("lesion_a", False),
        ("lung", True),
    ]


def test_runs_on_other_data_take_nothings_place_and_are_averaged_with_none(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "RESULTS", tmp_path / "committed")
    made_run(tmp_path / "committed", "lung", data="ct20")
    made_run(tmp_path / "committed", "lesion_b", data="ct20")
    made_run(tmp_path / "own", "lung", data="phantom", epochs=1)
    evidence = collect(tmp_path / "own")
    assert [run.data for run in evidence.runs] == ["ct20", "ct20", "phantom"]
    (phantom,) = evidence.comparable
    table = table_two(evidence)["table2_lung"]
    (row,) = [row for row in table.rows if row[:2] == ("U-Net", "resnet18")]
    assert row[table.columns.index("random, ours: Dice")] == pytest.approx(phantom.scores()[:, 2].mean())
    assert [sentence for sentence in evidence.missing if sentence.startswith("2 runs on ct20")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": {"name": "ct20", "size": 32, "normalise": "minmax", "sha256": "1" * 64}}, "other files of that name"),
        ({"split": {"train": ["2"]}}, "another split"),
        ({"recipe": {"epochs": 20, "scale": [0.9, 1.1], "dtype": "float32"}}, "scale [0.9, 1.1]"),
        ({"recipe": {"epochs": 20, "scale": [0.5, 1.5], "dtype": "mixed_bfloat16"}}, "in mixed_bfloat16"),
    ],
)
def test_what_is_not_alike_is_not_averaged(tmp_path, change, told):
    for encoder in ("vgg11", "vgg13", "vgg19"):
        folder = made_run(tmp_path, encoder=encoder)
        _change(folder, recipe={"epochs": 20, "scale": [0.5, 1.5], "dtype": "float32"})
    _change(folder, **change)
    evidence = collect(tmp_path)
    assert [run.encoder for run in evidence.comparable] == ["vgg11", "vgg13"]
    (sentence,) = [sentence for sentence in evidence.missing if sentence.startswith("1 run on ct20")]
    assert told in sentence
    notes = " ".join(score_tables(evidence)["scores"].notes)
    assert ("2 in float32, 1 in mixed_bfloat16" if "bfloat16" in told else "3 in float32") in notes
    assert ("1 on ct20 (other files of that name)" in notes) == ("files" in told)


def test_committed_runs_are_one_group(monkeypatch):
    monkeypatch.setattr(collecting, "RESULTS", ROOT / "experiments" / "results")
    evidence = collect(None)
    assert len(evidence.comparable) == len(evidence.runs) == 3 and evidence.data == "ct20"
    assert evidence.comparable[0].deviations == ("on ct20", "256 pixels", "normalise minmax", "15 epochs")


def test_a_single_run_of_ones_own_is_judged_before_a_larger_committed_group(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "RESULTS", tmp_path / "committed")
    for experiment in ("lung", "lesion_a", "lesion_b"):
        made_run(tmp_path / "committed", experiment)
    made_run(tmp_path / "own", "lung", encoder="vgg13", data="hospital")
    assert [run.data for run in collect(tmp_path / "own").comparable] == ["hospital"]
    assert len(collect(None).comparable) == 3


def test_what_cannot_be_in_the_tables_is_said(tmp_path):
    made_run(tmp_path, encoder="vgg11", status="diverged")
    made_run(tmp_path, encoder="vgg13", one_class_only=True)
    made_run(tmp_path, encoder="vgg19", weights="model-01234567")
    evidence = collect(tmp_path)
    assert [run.encoder for run in evidence.runs] == ["vgg13", "vgg19"]
    assert [run.encoder for run in evidence.comparable] == ["vgg13"]
    told = " ".join(evidence.missing)
    for part in ("unet-vgg11-none/seed0 diverged", "predicts one class only", "began from other weights"):
        assert part in told
    assert "No run of the second study" in " ".join(collect(None).missing)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "counts.npz").write_bytes(b"PK"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds no settings"),
        (lambda folder: _change(folder, encoder="resnet17"), "unknown encoder"),
        (lambda folder: _change(folder, experiment=["lung"]), "unknown experiment"),
        (lambda folder: _change(folder, data=None), "no recipe or data"),
        (lambda folder: _change(folder, "result.json", parameters=None), "its parameters are no number"),
        (lambda folder: np.savez(folder / "counts.npz", **_counts(np.ones((3, 2, 2)))), "no 2x2 counts"),
        (lambda folder: np.savez(folder / "counts.npz", **_counts(np.ones((2, 2, 2), int))), "no 2x2 counts"),
        (lambda folder: (folder / "history.npz").unlink(), "history.npz"),
    ],
)
def test_damaged_runs_are_one_line(spoil, message, tmp_path):
    spoil(made_run(tmp_path))
    with pytest.raises(InputError, match=message) as error:
        collect(tmp_path)
    assert "\n" not in str(error.value) and "remove the run's folder" in str(error.value)


def _change(folder, file="config.json", **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _counts(confusion):
    return {"test_names": np.array(list("abc")), "test_volumes": np.array(list("111")), "test_confusion": confusion}


def test_masks_volumes_and_histograms_are_drawn_where_networks_and_data_are_at_hand(drawn, tiny):
    evidence = collect(drawn, str(tiny[0]))
    made, missing = figures(evidence)
    drawn_figures = {figure.name: figure for figure in made}
    assert {"figure2_histograms", "figure3_masks", "figure7_volumes"} <= set(drawn_figures)
    told = " ".join(missing)
    assert "Figure 3 has no FPN lung, PSPNet lung" in told and "Figure 7 has no FPN lung, PSPNet lung" in told
    assert "Figure 3 shows other encoders" in told and "Figure 8 needs" in told
    masks = drawn_figures["figure3_masks"].figure
    labels = [axes.get_xlabel() for axes in masks.axes]
    # Two architectures ran. U-Net did with the worst encoder; the best is stood in for by another.
    assert labels[6].startswith("vgg19 ") and all(
        label.split()[0] in ("vgg19", "resnet18") for label in labels if label
    )
    assert len(masks.axes) == 12 and "tiny" in drawn_figures["figure3_masks"].caption
    for pictures_of in evidence.pictures:
        assert {run.encoder for run in pictures_of.predictions} == {"resnet18"}
        assert {run.architecture for run in pictures_of.slices} == {"unet", "linknet"}
        for run, prediction in pictures_of.predictions.items():
            np.testing.assert_array_equal(prediction, np.roll(pictures_of.masks, 1, axis=2))
            assert run.experiment == pictures_of.experiment
    assert all(figure.caption.endswith(".") and figure.alt for figure in made)
    placed = sections([figure.name for figure in made], SECTIONS)
    assert next(iter(placed)) == "The data"


def test_histograms_count_every_pixel(drawn, tiny):
    histograms = collect(drawn, str(tiny[0])).histograms
    for experiment, volumes in tiny[2].items():
        edges, images, masks = histograms[experiment]
        values = np.concatenate([volume.images.ravel() for volume in volumes])
        inside = np.concatenate([volume.images[volume.masks > 0] for volume in volumes])
        np.testing.assert_allclose(images, np.histogram(values, edges)[0] / len(values))
        np.testing.assert_allclose(masks, np.histogram(inside, edges)[0] / len(inside))


def test_a_network_that_predicts_otherwise_is_not_drawn(drawn, tiny, monkeypatch):
    monkeypatch.setattr(pictures, "_predict", lambda run, images: images > 0.5)
    evidence = collect(drawn, str(tiny[0]))
    assert not any(of.slices for of in evidence.pictures)
    assert any("does not predict what its run counted" in sentence for sentence in evidence.missing)


def test_other_data_than_the_runs_give_histograms_alone(drawn, tiny):
    for path in (drawn / "compare").rglob("config.json"):
        config = json.loads(path.read_text())
        config["data"]["sha256"] = "1" * 64
        path.write_text(json.dumps(config))
    evidence = collect(drawn, str(tiny[0]))
    assert evidence.histograms and not evidence.pictures
    assert any("are not those of the runs" in sentence for sentence in evidence.missing)
    assert evidence.histogram_data == evidence.comparable[0].data  # the name alone is that of the runs' data
    assert "not at hand" in judge_scores.thresholds_unsuitable(evidence).evidence


def hounsfield_data(folder):
    """A data set in Hounsfield units."""
    from unet_segnet.data.phantom import write_phantom

    write_phantom(folder, num_slices=5, seed=1, size=32, volumes=1, volume_slices=2)
    return folder


@pytest.mark.parametrize("reverse", [False, True])
def test_histograms_of_other_data_have_its_own_name_and_rule(drawn, tiny, tmp_path, reverse):
    """8-bit slices beside runs in Hounsfield units must not end the report, nor the other way round mislead."""
    other = hounsfield_data(tmp_path / "hospital")
    if reverse:
        for path in (drawn / "compare").rglob("config.json"):
            config = json.loads(path.read_text())
            config["data"] |= {"name": "hospital", "normalise": "hu", "sha256": "1" * 64}
            path.write_text(json.dumps(config))
    evidence = collect(drawn, str(tiny[0] if reverse else other))
    assert evidence.histogram_data == ("tiny" if reverse else "hospital") and not evidence.pictures
    edges = evidence.histograms["lung"][0]
    np.testing.assert_array_equal(edges, pictures.BINS["minmax" if reverse else "hu"])
    (caption,) = [figure.caption for figure in figures(evidence)[0] if figure.name == "figure2_histograms"]
    assert f"Test volumes: {evidence.histogram_data}." in caption


def test_each_experiment_has_its_volumes_as_its_own_runs_take_them(tiny, monkeypatch, tmp_path):
    """Lesion B of other slices than A: with the lungs cut out before normalising, and the volumes so too."""
    facts, folder = {"ct20": False, "COVID19-DL": True}, tmp_path / "tiny"
    shutil.copytree(tiny[0], folder)
    for path in (folder / VOLUMES[0]).iterdir():  # lungs are darker than what is around them
        volume = read_volume(path, lungs=folder / VOLUMES[2] / path.name)
        write_volume(path, np.where(volume.lungs, volume.images // 3, 255).astype(np.uint8))

    def open_made(name, size, rule, runs, test):
        study = open_data(str(folder), size, "minmax")
        hashes = {"sha256": "0" * 64, "test_sha256": "1" * 64}
        vars(study).update(facts=replace(study.facts, lungs_alone=facts[name]), **hashes)
        return study

    monkeypatch.setattr("experiments.bizopoulos2021.data.open_data", open_made)
    settings = {"test": {"name": "medseg9", "sha256": "1" * 64}}
    for experiment, data in (("lung", "ct20"), ("lesion_a", "ct20"), ("lesion_b", "COVID19-DL")):
        made_run(tmp_path, experiment, data=data, settings=settings)
    evidence = collect(tmp_path)
    assert {run.data for run in evidence.comparable} == set(facts) and evidence.histograms_of_runs
    by_hand = open_made("COVID19-DL", 32, None, None, None)
    shown = {of.experiment: of for of in evidence.pictures}
    (volume,) = (of for of in by_hand.volumes("lesion_b") if of.name == shown["lesion_b"].volume)
    np.testing.assert_array_equal(shown["lesion_b"].images, volume.images)
    blanked = shown["lesion_a"].images * (shown["lung"].masks > 0)  # after normalising
    assert not np.allclose(shown["lesion_b"].images, blanked, atol=0.05)


def test_slices_that_are_not_there_take_their_own_experiments_volumes_alone(drawn, tiny, monkeypatch):
    open_one = pictures._open

    def of_run(run, data, runs):
        if run.experiment == "lesion_b":
            raise InputError("no data set 'COVID19-DL'")
        return open_one(run, data, runs)

    for path in (drawn / "compare" / "lesion_b").rglob("config.json"):
        config = json.loads(path.read_text())
        config["data"] |= {"name": "COVID19-DL", "test": {"name": "tiny", "sha256": "1" * 64}}
        path.write_text(json.dumps(config))
    monkeypatch.setattr(pictures, "_open", of_run)
    evidence = collect(drawn, str(tiny[0]))
    mixed = {run.experiment: run for run in evidence.runs}
    opened, without = pictures._open_all(tuple(mixed.values()), str(tiny[0]), None)
    assert set(opened) == {"lung", "lesion_a"}
    assert without == ["The test volumes of lesion B: no data set 'COVID19-DL'."]


def test_the_volumes_of_a_phantom_are_found_by_its_name(tmp_path):
    study = open_data("phantom", 32, None, tmp_path, "phantom")
    assert study.test_name == "phantom"
    again = open_data(study.name, 32, None, tmp_path, study.test_name)
    assert again.test_sha256 == study.test_sha256


def test_a_damaged_volume_ends_the_report_only_if_its_data_were_asked_for(drawn, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    shutil.copytree(tiny[0], tmp_path / "tiny")
    (tmp_path / "tiny" / "rp_im" / "2.nii.gz").write_bytes(b"damaged")
    evidence = collect(drawn)
    assert not evidence.histograms and not evidence.pictures and len(evidence.runs) == 9
    assert any(sentence.startswith("The test volumes: ") and "2.nii.gz" in sentence for sentence in evidence.missing)
    with pytest.raises(InputError, match=r"2\.nii\.gz"):
        collect(drawn, "tiny")


@pytest.mark.slow
def test_real_runs_of_the_phantom_are_drawn(tmp_path, capsys):
    """A training of one epoch, then the report: the network loads and predicts what was counted."""
    runs, only = tmp_path / "runs", "architecture=unet,encoder=resnet18"
    options = ["--size", "32", "--epochs", "1", "--experiment", "lung", "--only", only]
    options += ["--data", "phantom", "--out", runs]
    trained = run_command("compare", *options, UNET_SEGNET_DATA=str(tmp_path / "nowhere"))
    assert trained.returncode == 0, trained.stderr
    assert report("--data", "phantom", "--runs", runs, "--out", tmp_path / "report") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "does not predict what its run counted" not in told and "are not those of the runs" not in told
    made = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert {f"figure{number}" for number in range(2, 9)} == {name.split("_")[0] for name in made}
