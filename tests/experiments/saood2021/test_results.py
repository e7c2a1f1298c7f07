"""Trainings gone wrong: a run that diverged, or sees one class only, is named wherever runs are averaged."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from run_folders import make_run

from experiments.saood2021 import results as summary
from experiments.saood2021.options import LoadedData, study_parser
from experiments.saood2021.runs import Job, RunSpec
from experiments.saood2021.tables.scores import accuracy_table, class_table, five_fold_table
from unet_segnet.data import Slices, Split
from unet_segnet.errors import InputError
from unet_segnet.output.records import read_json
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import complete

OPTIONS = SimpleNamespace(epochs=160, size=256, loss="weights", stream="numpy", net=None)
GROUP = "released-binary-segnet"
DIVERGED = f"{GROUP}/exp9-seed0 diverged in epoch 7 and is left out."
ONE_CLASS = f"{GROUP}/exp5-seed0 predicts one class only and is in the table as it is."


def spec(experiment=4, net="segnet", **more):
    return RunSpec("grid" if "fold" not in more else "kfold", net, "released", "binary", experiment, **more)


def change(path, **changes):
    path.write_text(json.dumps(read_json(path) | changes))


def one_class(folder):
    change(folder.result, one_class_only=True)
    return folder


def paths(*folders):
    return [folder.path for folder in folders]


def counted(folders):
    """The counts alone, and the notes."""
    runs, notes = summary.finished_runs(folders, OPTIONS)
    return [counts for _, counts in runs], notes


@pytest.fixture
def folders(tmp_path):
    """A good run, one of one class, one that diverged."""
    bad = one_class(make_run(tmp_path, spec(5), right=60))
    return paths(make_run(tmp_path, spec()), bad, make_run(tmp_path, spec(9), status="diverged", epoch=7))


@pytest.fixture
def data():
    """Slices for the made runs' test names and the baselines."""
    images = np.random.default_rng(0).integers(0, 256, (4, 10, 10), dtype=np.uint8)
    slices = Slices(images, (images > 200).astype(np.uint8), None, ("a", "t1", "v1", "t2"), "8-bit")
    return LoadedData(slices.binary(), "COVID19-DL", {"name": "made"})


class TestNotes:
    def test_what_diverged_is_left_out_and_both_are_named(self, folders):
        runs, notes = summary.finished_runs(folders, OPTIONS)
        assert [counts.experiment for _, counts in runs] == [4, 5]
        assert notes == [ONE_CLASS, DIVERGED]

    def test_good_runs_need_no_note(self, folders):
        assert summary.finished_runs(folders[:1], OPTIONS)[1] == []

    def test_what_is_not_as_published_is_noted(self, folders):
        options = SimpleNamespace(epochs=3, size=64, loss="pixels", stream="matlab")
        notes = " ".join(summary.finished_runs(folders[:1], options, "imagenet")[1])
        for said in ("for 3 epochs", "of 64x64", "equation 1", "MATLAB stream", "from imagenet"):
            assert said in notes

    def test_another_data_type_is_noted_with_its_runs(self, folders):
        config = folders[0] / "config.json"
        change(config, recipe={**read_json(config)["recipe"], "dtype": "mixed_bfloat16"})
        _, notes = summary.finished_runs(folders[:2], OPTIONS)
        assert notes == [ONE_CLASS, f"In mixed_bfloat16: {GROUP}/exp4-seed0."]

    def test_of_two_networks_with_equal_folder_names_it_says_which(self, tmp_path):
        folds = paths(
            make_run(tmp_path, spec(fold=1)),
            make_run(tmp_path, spec(net="unet", fold=1), status="diverged", epoch=2),
        )
        _, notes = summary.finished_runs(folds, OPTIONS)
        assert notes == ["released-binary-unet/fold2-exp4-seed0 diverged in epoch 2 and is left out."]

    def test_where_all_diverged_there_is_no_table_but_their_names(self, folders):
        with pytest.raises(InputError, match=f"no run to show: {DIVERGED}"):
            summary.finished_runs(folders[2:], OPTIONS)

    def test_a_result_that_does_not_say_how_it_ended_is_one_line(self, folders):
        change(folders[0] / "result.json", status="odd")
        with pytest.raises(InputError, match=r"exp4-seed0/result\.json: does not say how the run ended"):
            summary.finished_runs(folders, OPTIONS)


class TestTables:
    def test_a_diverged_seed_is_no_part_of_the_mean(self, tmp_path):
        seeds = paths(
            make_run(tmp_path, spec(), right=90),
            make_run(tmp_path, spec(seed=1), right=80),
            make_run(tmp_path, spec(seed=2), status="diverged", epoch=3),
        )
        runs, notes = counted(seeds)
        row = dict(zip((table := accuracy_table(runs, notes=notes)).columns, table.rows[3], strict=True))
        assert row["runs"] == 2 and row["reproduced: mean"] == pytest.approx(0.85)
        assert "seeds 0, 1," in table.title
        assert table.notes[-1] == f"{GROUP}/exp4-seed2 diverged in epoch 3 and is left out."

    def test_a_fold_that_diverged_is_counted_as_missing(self, tmp_path):
        folds = [make_run(tmp_path, spec(fold=fold)) for fold in range(4)]
        folds += [make_run(tmp_path, spec(net="unet", fold=fold)) for fold in range(5)]
        folds.append(make_run(tmp_path, spec(fold=4), status="diverged", epoch=1))
        runs, notes = counted(paths(*folds))
        table = five_fold_table(runs, notes=notes)
        assert "SegNet exp. 4: 4 of 5 folds." in table.notes
        assert f"{GROUP}/fold5-exp4-seed0 diverged in epoch 1 and is left out." in table.notes

    def test_the_files_keep_the_notes(self, folders, tmp_path, capsys):
        runs, notes = counted(folders)
        tables = {"table3": accuracy_table(runs, notes=notes), "table4": class_table(runs, notes=notes)}
        files = summary.write_tables(tables, tmp_path / "out")
        assert files == ["table3.csv", "table3.md", "table4.csv", "table4.md"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
        printed = " ".join(capsys.readouterr().out.split())
        for note in (ONE_CLASS, DIVERGED):
            assert printed.count(note) == 2
            assert all(f"- {note}\n" in (tmp_path / "out" / file).read_text() for file in files[1::2])

    def test_the_drawn_run_segments_its_own_test_slices(self, tmp_path, data, monkeypatch):
        """Where the first fold diverged, another one is drawn: its test slices, not those it was trained on."""
        folds = paths(
            make_run(tmp_path, spec(fold=0), status="diverged", epoch=1),
            make_run(tmp_path, spec(fold=1), right=70),
        )
        drawn = []
        monkeypatch.setattr(summary, "draw_run", lambda folder, test, out: drawn.append((folder, test.names)) or [])
        split = Split(np.array([0, 2]), np.array([2]), np.array([1, 3]))
        jobs = [Job(spec(fold=fold), None, split) for fold in (0, 1)]
        options = study_parser("study", "").parse_args(["--out", str(tmp_path), "--size", "256", "--epochs", "160"])
        assert summary.show_results(jobs, {"binary": data}, options) == 0
        assert drawn == [(folds[1], ("t1", "t2"))]

    def test_groups_of_runs_are_shown_one_by_one(self, folders, tmp_path, data, capsys):
        split = Split(np.array([0, 2]), np.array([2]), np.array([1, 3]))
        dead = [spec(net="unet"), spec(2, "unet")]
        for of_dead in dead:
            make_run(tmp_path, of_dead, status="diverged", epoch=1)
        jobs = [Job(one, None, split) for one in (spec(), spec(5), spec(9), *dead)]
        options = study_parser("study", "").parse_args(["--out", str(tmp_path), "--size", "256", "--epochs", "160"])
        assert summary.show_results(jobs, {"binary": data}, options) == 1
        captured = capsys.readouterr()
        printed = " ".join(captured.out.split())
        assert printed.count(ONE_CLASS) == printed.count(DIVERGED) == 2
        assert ONE_CLASS in (tmp_path / "grid" / GROUP / "table3.md").read_text()
        assert captured.err.startswith("error: no table of ") and captured.err.count("\n") == 1
        assert "released-binary-unet: no run to show: released-binary-unet/exp4-seed0 div" in captured.err
        assert "exp2-seed0 diverged in epoch 1" in captured.err
        assert not list((tmp_path / "grid" / "released-binary-unet").glob("table*"))


@pytest.mark.parametrize("study", ["grid", "kfold"])
def test_the_report_names_them_below_its_tables(study, tmp_path, monkeypatch):
    from experiments.saood2021 import evidence as collect
    from experiments.saood2021.tables.data import paper_tables
    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.training.class_weighted import Recipe

    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(collect, "RESULTS", tmp_path / "none")
    fold = {} if study == "grid" else {"fold": 0}
    runs = [
        make_run(tmp_path, spec(**fold)),
        one_class(make_run(tmp_path, spec(5, **fold))),
        make_run(tmp_path, spec(9, **fold), status="diverged", epoch=7),
    ]
    recipe = {key: getattr(Recipe(), key) for key in Recipe.__dataclass_fields__}
    for run in runs:
        split = collect.parts_of_the_paper(fold.get("fold"))
        change(run.config, recipe=recipe, data={"name": "COVID19-DL", "size": 256}, split=split)
    evidence = collect.collect(tmp_path, None)
    names = [run.path.relative_to(tmp_path).as_posix() for run in runs]
    said = [
        f"{names[1]} predicts one class only; it is in the tables as it is.",
        f"{names[2]} diverged in epoch 7; it is in no table.",
    ]
    assert len(evidence.runs) == 2 and set(said) <= set(evidence.missing)
    below = {
        "grid": ["table3_binary_released", "table4_binary_released"],
        "kfold": ["table7_binary_released"],
    }
    tables = paper_tables(evidence)
    assert [name for name, table in tables.items() if set(said) <= set(table.notes)] == below[study]
    assert [name for name, table in tables.items() if set(said) & set(table.notes)] == below[study]


class TestRuns:
    """What a training leaves in its folder; the training itself is stood in for."""

    @pytest.fixture
    def run(self, tmp_path, data, monkeypatch):
        from unet_segnet.output.console import import_keras

        import_keras()
        from unet_segnet.training import class_weighted as training

        def run_with(train):
            monkeypatch.setattr(training, "train", train)
            split = Split(np.array([0]), np.array([2]), np.array([1, 3]))
            complete(Job(spec(), training.Recipe(epochs=3), split), {"binary": data}, tmp_path)
            return RunFolder(tmp_path, spec())

        return run_with

    def test_divergence_is_a_result_of_its_own(self, run):
        from unet_segnet.errors import DivergedError

        def train(*_, checkpoint, **__):
            checkpoint.with_suffix(".history.npz").write_bytes(b"state")
            raise DivergedError(2, {"loss": np.array([1.0, np.nan])})

        folder = run(train)
        result = read_json(folder.result)
        assert (result["status"], result["epoch"]) == ("diverged", 2)
        assert sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("lock")) == [
            "config.json",
            "history.csv",
            "history.npz",
            "result.json",
        ]

    @pytest.mark.parametrize(("bias", "weight", "alone"), [(1, 0, True), (np.nan, 0, True), (-100, 1, False)])
    def test_one_class_everywhere_is_flagged_and_so_are_weights_that_are_no_numbers(self, bias, weight, alone, run):
        import keras

        from unet_segnet.training.class_weighted import TrainingResult

        def train(*_, **__):
            model = keras.Sequential(
                [keras.Input((10, 10, 1)), keras.layers.Conv2D(2, 1, activation="softmax", name="scores")]
            )
            model.layers[0].set_weights([np.reshape([0.0, weight], (1, 1, 1, 2)), np.array([0.0, bias])])
            return TrainingResult(model, {"epoch_seconds": np.ones(3)}, 0.0)

        folder = run(train)
        assert read_json(folder.result)["one_class_only"] is alone
        _, notes = summary.finished_runs([folder.path], OPTIONS)
        assert any("predicts one class only" in note for note in notes) is alone
