"""The study: what it plans and in which order, how long it believes that takes, what it starts and how it goes on."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked import run_command
from run_folders import make_run

from experiments import RESULTS
from experiments.saood2021.estimates import Estimate, Estimates, time_left
from experiments.saood2021.options import make_job, study_parser
from experiments.saood2021.plan import PLAN, SIDE_PLAN, plan_table, planned_specs, settle_lengths
from experiments.saood2021.runs import Job, RunSpec
from experiments.study import exchange, study
from unet_segnet.commands.arguments import dtype_of
from unet_segnet.data.splits import five_folds, paper_split
from unet_segnet.errors import InputError
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import Outcome
from unet_segnet.runs.timing import Machine, duration

ROOT = Path(__file__).parents[2]


def options(*arguments):
    return study_parser("study", "").parse_args(list(map(str, arguments)))


def names(*arguments):
    return [(spec.group / spec.name).as_posix() for spec in planned_specs(options(*arguments))]


# The plan.


@pytest.mark.parametrize("more", [("--merge", "runs.zip"), ("--pack", "runs.zip")])
def test_a_dry_run_takes_nothing_in_and_writes_nothing(tmp_path, more):
    with pytest.raises(InputError, match="--dry-run prints the plan"):
        exchange(options("--dry-run", "--out", tmp_path / "out", *more))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [("--merge", "runs.zip"), ("--pack", "runs.zip")])
@pytest.mark.parametrize("choice", [("--variant", "released"), ("--budget", "60"), ("--encoder-weights", "imagenet")])
def test_what_chooses_trainings_does_not_choose_what_is_packed(tmp_path, more, choice):
    with pytest.raises(InputError, match=f"^{choice[0]} is for trainings; leave it out"):
        exchange(options(*choice, "--out", tmp_path / "out", *more))
    assert not list(tmp_path.iterdir())


def test_the_whole_study_is_56_trainings_a_variant_in_the_order_of_worth():
    planned = planned_specs(options())
    assert Counter(spec.variant for spec in planned) == {"released": 56, "paper": 56}
    assert Counter(planned.values()) == {"best": 8, "grid": 64, "folds": 40}
    order = list(dict.fromkeys((spec.variant, part) for spec, part in planned.items()))
    assert order == [(variant, part) for variant in ("released", "paper") for part in ("best", "grid", "folds")]
    assert names()[:4] == [
        "grid/released-binary-segnet/exp4-seed0",
        "grid/released-binary-unet/exp4-seed0",
        "grid/released-multiclass-unet/exp4-seed0",
        "grid/released-multiclass-segnet/exp7-seed0",
    ]


def test_a_plan_names_its_trainings_in_its_order(tmp_path):
    file = tmp_path / "plan.csv"
    header = "part,study,net,variant,problem,experiments,seeds\n"
    file.write_text(header + 'folds,kfold,unet,released,binary,4,0\nseeds,grid,segnet,paper,binary,"4,5","1,0"\n')
    planned = planned_specs(options("--plan", file))
    assert list(planned.values()) == ["folds"] * 5 + ["seeds"] * 4
    assert names("--plan", file)[4:7] == [
        "kfold/released-binary-unet/fold5-exp4-seed0",
        "grid/paper-binary-segnet/exp4-seed1",
        "grid/paper-binary-segnet/exp5-seed1",
    ]
    for wrong in ("x,grid,fpn,paper,binary,4,0", "x,grid,unet,paper,binary,40,0", "x,folds,unet,paper,binary,4,0", "x"):
        file.write_text(header + wrong + "\n")
        with pytest.raises(InputError, match=r"plan\.csv: line 2 is no set of trainings"):
            planned_specs(options("--plan", file))
    file.write_text(header)
    with pytest.raises(InputError, match="plans no training"):
        planned_specs(options("--plan", file))


def test_the_projects_own_plan_is_one():
    assert len(planned_specs(options("--plan", PLAN))) == 5 + 6 + 2 + 7
    assert len(planned_specs(options("--plan", PLAN.with_name("the_nine.csv")))) == 16


def test_only_what_a_plan_trains_is_checked(tmp_path):
    """The described U-Net needs a multiple of 16 pixels, the released networks one of 8."""
    from experiments.saood2021.options import check_options

    given = options("--plan", SIDE_PLAN, "--size", "40", "--out", tmp_path / "runs")
    specs = planned_specs(given)
    check_options(given, ((spec.net, spec.variant) for spec in specs))
    with pytest.raises(InputError, match="multiple of 16"):
        check_options(given, [("unet", "paper")])


def made_job(spec, *arguments):
    given = options("--dtype", "float32", *arguments)
    given.dtype_given = True
    settle_lengths(given, [spec])
    return make_job(given, spec, paper_split())


def test_the_side_study_is_36_trainings_in_folders_of_their_own():
    planned = planned_specs(options("--plan", SIDE_PLAN))
    assert Counter(spec.study for spec in planned) == {"side": 24, "side-cut": 12}
    assert {spec.group.parts[0] for spec in planned} == {"side", "side-cut"}
    assert len({spec.group / spec.name for spec in planned}) == 36


def test_mini_batch_alone_varies_at_equal_updates():
    """Updates, and the learning rate of each, computed one by one."""

    def rates(spec):
        recipe = made_job(spec).recipe
        return [recipe.learning_rate_at(n) for n in range(recipe.epochs) for _ in range(72 // recipe.batch_size)]

    for net in ("segnet", "unet"):
        for small, large in ((1, 3), (4, 6), (7, 9)):
            cut, whole, largest = (
                RunSpec(study, net, "released", "binary", experiment)
                for study, experiment in (("side-cut", small), ("side", small), ("side", large))
            )
            assert len(rates(largest)) == 972
            assert rates(cut) == rates(largest)
            assert made_job(whole).recipe.epochs == made_job(largest).recipe.epochs == 162
            assert made_job(whole).recipe.drop_period == made_job(largest).recipe.drop_period == 12


def test_sizes_and_epochs_are_the_plans_unless_given():
    for plan, size, epochs in ((PLAN, 256, 160), (SIDE_PLAN, 128, 162)):
        given = options("--plan", plan)
        settle_lengths(given, planned_specs(given))
        assert (given.size, given.epochs) == (size, epochs)
    given = options("--plan", SIDE_PLAN, "--size", "64", "--epochs", "6")
    settle_lengths(given, planned_specs(given))
    assert (given.size, given.epochs) == (64, 6)
    assert made_job(RunSpec("side-cut", "unet", "released", "binary", 1), "--epochs", "6").recipe.epochs == 1


def test_the_side_study_goes_alone(tmp_path):
    file = tmp_path / "plan.csv"
    header = "part,study,net,variant,problem,experiments,seeds\n"
    file.write_text(header + "x,side,unet,released,binary,4,0\nx,grid,unet,released,binary,4,0\n")
    with pytest.raises(InputError, match=r"plan\.csv: the side study has slices of another size"):
        planned_specs(options("--plan", file))


@pytest.mark.parametrize(
    "place", ["grid/released-binary-unet/exp4-seed0", "kfold/released-binary-segnet/fold2-exp4-seed0"]
)
def test_runs_begun_before_have_the_settings_that_are_asked_for_now(place):
    config = json.loads((RESULTS / place / "config.json").read_text())
    spec = RunSpec(**{key: config[key] for key in RunSpec.__dataclass_fields__})
    recipe = asdict(made_job(spec).recipe) | {"dtype": config["recipe"]["dtype"]}
    assert recipe == config["recipe"]
    assert {key: config[key] for key in asdict(spec)} == asdict(spec)


def test_a_plan_goes_alone():
    with pytest.raises(InputError, match="names its trainings; leave --seeds out"):
        study(options("--plan", PLAN, "--seeds", "0,1"))


def test_its_folders_are_those_of_grid_and_kfold():
    expected = set()
    for variant in ("released", "paper"):
        for net in ("segnet", "unet"):
            for problem in ("binary", "multiclass"):
                group = f"{variant}-{problem}-{net}"
                best = 7 if (net, problem) == ("segnet", "multiclass") else 4
                expected |= {f"grid/{group}/exp{experiment}-seed0" for experiment in range(1, 10)}
                expected |= {f"kfold/{group}/fold{fold}-exp{best}-seed0" for fold in range(1, 6)}
    assert set(names()) == expected
    assert len(names()) == 112


def test_further_seeds_of_the_best_come_last_and_of_all_others_on_request():
    more = names("--seeds", "0,1,2,3,4")
    assert len(more) == 112 + 2 * 4 * 4
    assert more[:112] == names()
    assert more[112] == "grid/released-binary-segnet/exp4-seed1"
    assert more[-1] == "grid/paper-multiclass-segnet/exp7-seed4"
    everything = names("--seeds", "0,1,2,3,4", "--parts", "best,grid,folds,seeds,more")
    assert everything[: len(more)] == more
    assert len(set(everything)) == len(everything) == 112 * 5


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["--variant", "released"], 56),
        (["--variant", "paper", "--parts", "best"], 4),
        (["--parts", "grid", "--variant", "released"], 36),
        (["--parts", "folds", "--net", "unet", "--problem", "binary"], 10),
        (["--parts", "seeds"], 0),
        (["--parts", "seeds", "--seeds", "3,5", "--net", "segnet"], 4),
    ],
)
def test_parts_and_filters(arguments, number):
    assert len(names(*arguments)) == number


def test_the_stream_is_everywhere_and_encoder_weights_where_they_belong():
    planned = planned_specs(options("--stream", "matlab", "--encoder-weights", "imagenet"))
    assert {spec.stream for spec in planned} == {"matlab"}
    with_weights = {(spec.net, spec.variant) for spec in planned if spec.encoder_weights}
    assert with_weights == {("segnet", "paper")}


# How long it takes.

HERE = Machine("made", "tensorflow", 2, "float32", 256)


def job(
    net="segnet", problem="binary", experiment=4, batch_size=4, epochs=160, variant="released", fold=None,
    dtype="float32", stream="numpy", validation="epoch",
):  # fmt: skip
    spec = RunSpec("grid" if fold is None else "kfold", net, variant, problem, experiment, fold=fold, stream=stream)
    return Job(
        spec, Recipe(batch_size, epochs, dtype, validation), paper_split() if fold is None else five_folds()[fold]
    )


class Recipe:
    """Of `unet_segnet.training.Recipe`, what plans and estimates look at, without importing Keras."""

    def __init__(self, batch_size, epochs, dtype, validation):
        self.batch_size, self.epochs, self.dtype, self.validation = batch_size, epochs, dtype, validation


def estimates(*folders, machine=HERE):
    found = Estimates(machine)
    for folder in folders:
        found.add(folder.path)
    return found


def test_a_run_takes_as_long_as_those_of_its_kind(tmp_path):
    # 2 s an epoch of 72 slices; of the 20 s in all, 14 were not spent in epochs.
    found = estimates(
        make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4)),
        make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 5), batch_size=8, epoch_seconds=(1, 1, 1)),
    )
    assert found.of(job()) == Estimate(pytest.approx(14 + 160 * 2), "runs alike")
    assert found.of(job(), 150).seconds == pytest.approx(14 + 10 * 2)
    # A fold's 70 training slices make 17 whole batches of 4, the grid's 72 make 18.
    assert found.of(job(fold=1)).seconds == pytest.approx(14 + 160 * 2 * 68 / 72)
    # Another batch size or problem: by the seconds per slice of all runs of this network.
    other = found.of(job(batch_size=12, experiment=3))
    assert other == Estimate(pytest.approx((14 + 17) / 2 + 160 * 1.5), "runs of this network")
    assert found.of(job(problem="multiclass")).source == "runs of this network"
    assert found.of(job("unet")) is None
    assert found.of(job(variant="paper")) is None


def test_runs_of_other_machines_measure_nothing(tmp_path):
    folder = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4), device="another")
    assert estimates(folder).of(job()) is None


def test_a_run_takes_as_long_as_those_of_its_own_data_type(tmp_path):
    """One that was begun in another type than this machine's keeps it, and is as slow as that is."""
    fast = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 5), dtype="mixed_bfloat16")
    assert estimates(fast).of(job()) is None
    assert estimates(fast).of(job(dtype="mixed_bfloat16")).seconds == pytest.approx(14 + 160 * 2)
    slow = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 6), epoch_seconds=(9, 6, 6))
    assert estimates(fast, slow).of(job(dtype="mixed_bfloat16")).seconds == pytest.approx(14 + 160 * 2)
    assert estimates(fast, slow).of(job()).seconds == pytest.approx(2 + 160 * 6)


def test_a_run_that_is_validated_more_often_is_of_another_kind(tmp_path):
    often = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4), validation="matlab")
    assert estimates(often).of(job()) is None
    assert estimates(often).of(job(validation="matlab")).seconds == pytest.approx(14 + 160 * 2)


def test_a_replay_that_was_begun_in_bfloat16_goes_on_with_the_kernels_for_it(tmp_path):
    spec = RunSpec("grid", "segnet", "released", "binary", 4, stream="matlab")
    run = make_run(tmp_path, spec, dtype="mixed_bfloat16")
    given = {"out": tmp_path, "force": False, "dtype_given": False, "dtype": "float32"}
    assert dtype_of(SimpleNamespace(**given), spec) == "mixed_bfloat16"  # it is finished
    run.result.unlink()
    with pytest.raises(InputError, match="exp4-seed0-matlab: was begun in bfloat16; go on with it by --dtype"):
        dtype_of(SimpleNamespace(**given), spec)
    assert dtype_of(SimpleNamespace(**given | {"force": True}), spec) == "float32"
    given |= {"dtype_given": True, "dtype": "mixed_bfloat16"}
    assert dtype_of(SimpleNamespace(**given), spec) == "mixed_bfloat16"


def test_a_replay_takes_as_long_as_replays(tmp_path):
    """It goes without oneDNN's kernels."""
    fast = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4))
    assert estimates(fast).of(job(stream="matlab")) is None
    slow = make_run(
        tmp_path, RunSpec("grid", "segnet", "released", "binary", 4, stream="matlab"), epoch_seconds=(9, 6, 6)
    )
    assert estimates(fast, slow).of(job(stream="matlab")).seconds == pytest.approx(2 + 160 * 6)
    assert estimates(fast, slow).of(job()).seconds == pytest.approx(14 + 160 * 2)


def test_fewer_threads_are_slower_until_they_have_been_measured(tmp_path):
    alone = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4), threads=8)
    assert estimates(alone).of(job()).seconds == pytest.approx(4 * (14 + 320))
    shared = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 5), epoch_seconds=(3, 3, 3))
    assert estimates(alone, shared).of(job()).seconds == pytest.approx(11 + 480)


def test_a_resumed_or_damaged_run_does_not_mislead(tmp_path):
    resumed = make_run(tmp_path, RunSpec("grid", "segnet", "released", "binary", 4), seconds=3.0)
    assert estimates(resumed).of(job()).seconds == pytest.approx(320)
    resumed.history.write_bytes(b"")
    assert estimates(resumed).of(job()) is None
    resumed.result.write_text("{}")
    assert estimates(resumed).of(job()) is None


@pytest.mark.slow
def test_steps_are_timed_where_no_run_was(tmp_path):
    from unet_segnet.data.phantom import phantom_slices
    from unet_segnet.data.preprocess import prepare
    from unet_segnet.training import class_weighted as training

    slices = prepare(phantom_slices(20, size=64), size=16).binary()
    timed = Job(job().spec, training.Recipe(epochs=2), paper_split(20))
    one, four = Estimates(HERE), Estimates(HERE)
    one.time_steps(timed, slices)
    four.time_steps(timed, slices, crowd=1000)
    assert one.of(timed).source == "timed steps"
    other = Job(timed.spec, training.Recipe(epochs=2, dtype="mixed_bfloat16"), timed.split)
    assert one.of(other) is None
    assert 0 < one.of(timed, 2).seconds < one.of(timed).seconds < four.of(timed).seconds
    finished = make_run(tmp_path, timed.spec)
    one.add(finished.path)
    assert one.of(timed).source == "runs alike"


def test_the_plan_says_what_is_finished_and_what_is_left(tmp_path):
    spec = job().spec
    folder = make_run(tmp_path, spec)
    jobs = {job(): "best", job(experiment=5): "grid", job(experiment=6): "grid", job("unet"): "grid"}
    left = list(jobs)[1:]
    state(tmp_path, left[0], 80)
    table = plan_table("Plan", jobs, left, estimates(folder), tmp_path)
    assert [row[4:] for row in table.rows] == [
        (1, 1, 0, None, None),
        (2, 0, 2, duration(14 + 80 * 2 + 14 + 160 * 2), "runs alike"),
        (1, 0, 1, "?", "not measured yet"),
    ]
    assert max(map(len, table.to_text().splitlines())) <= 110


def state(out, of_job, epochs):
    """The saved state of an unfinished run, as far as plans look at it."""
    path = RunFolder(out, of_job.spec).state.with_suffix(".history.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, epoch_seconds=np.ones(epochs))


def test_durations_read_well():
    assert [duration(s) for s in (0, 35.4, 60, 725, 3600, 12_300)] == [
        "0 s", "35 s", "1 min", "12 min", "1 h 00 min", "3 h 25 min",
    ]  # fmt: skip


# What is started.


class Times:
    """Estimates by network, in place of measured ones."""

    def __init__(self, **seconds):
        self.seconds, self.added = seconds, []

    def of(self, of_job, epochs_done=0):
        share = 1 - epochs_done / of_job.recipe.epochs
        return Estimate(self.seconds[of_job.spec.net] * share, "made")

    def add(self, folder):
        self.added.append(folder)


@pytest.fixture
def carry_out(monkeypatch, tmp_path):
    """`study.train_within` with trainings that end at once as `ends` says."""
    from experiments import study
    from unet_segnet.runs import executors

    started, ends = [], {}

    class AtOnce(executors.InProcess):
        def start(self, of_job):
            started.append(of_job)
            self.ended.append((of_job, ends.get(of_job, Outcome("finished"))))

    monkeypatch.setattr(executors, "InProcess", AtOnce)

    def run(waiting, times, budget=None, more=()):
        deadline = None if budget is None else time.monotonic() + budget
        ended = study.train_within(waiting, {}, options("--out", tmp_path, *more), times, deadline)
        return ended.faults, ended.waiting

    run.started, run.ends = started, ends
    return run


def test_the_budget_starts_nothing_that_would_not_be_finished(carry_out, tmp_path, capsys):
    jobs = [job("unet"), job("segnet"), job("unet", experiment=5), job("segnet", experiment=5)]
    times = Times(segnet=50, unet=1000)
    faults, late = carry_out(jobs, times, budget=100)
    assert carry_out.started == [jobs[1], jobs[3]]
    assert late == [jobs[0], jobs[2]]
    assert faults == []
    assert times.added == [RunFolder(tmp_path, started.spec).path for started in carry_out.started]
    assert "grid/released-binary-segnet/exp4-seed0: about 50 s" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run_needs_only_what_is_left_of_it(carry_out, tmp_path):
    jobs = [job("unet"), job("unet", experiment=5)]
    state(tmp_path, jobs[1], 152)
    assert time_left(jobs[1], Times(unet=1000), tmp_path).seconds == pytest.approx(50)
    _, late = carry_out(jobs, Times(unet=1000), budget=100)
    assert carry_out.started == [jobs[1]]
    assert late == [jobs[0]]


def test_a_run_that_is_trained_again_needs_all_of_its_time(carry_out, tmp_path, capsys):
    again = job("unet")
    state(tmp_path, again, 152)
    assert time_left(again, Times(unet=1000), tmp_path, again=True).seconds == pytest.approx(1000)
    table = plan_table("Plan", {again: "best"}, [again], Times(unet=1000), tmp_path, again=True)
    assert table.rows[0][7] == duration(1000)
    assert carry_out([again], Times(unet=1000), budget=100, more=["--force"]) == ([], [again])
    assert carry_out.started == []
    carry_out([again], Times(unet=1000), more=["--force"])
    assert f"about {duration(1000)}" in capsys.readouterr().out


def test_without_a_budget_everything_is_started_in_order(carry_out):
    jobs = [job(experiment=experiment) for experiment in range(1, 10)]
    assert carry_out(jobs, Times(segnet=1e9)) == ([], [])
    assert carry_out.started == jobs


def test_a_run_held_or_failed_does_not_stop_the_others_but_a_full_disk_does(carry_out, capsys):
    jobs = [job(experiment=experiment) for experiment in range(1, 6)]
    carry_out.ends[jobs[0]] = Outcome("held", "process 1 works on it")
    carry_out.ends[jobs[1]] = Outcome("failed", "its state cannot be read")
    carry_out.ends[jobs[3]] = Outcome("stopped", "no space left on device")
    faults, late = carry_out(jobs, Times(segnet=1))
    assert carry_out.started == jobs[:4]
    assert faults == ["its state cannot be read", "no space left on device"]
    assert late == []
    printed = capsys.readouterr()
    assert "left alone: process 1 works on it" in printed.out
    assert "error: no space left on device" in printed.err


@pytest.mark.parametrize(
    "arguments",
    [["--budget", "0"], ["--budget", "nan"], ["--parts", "worst"], ["--variant", "all"], ["--seeds", "x"]],
)
def test_bad_options_are_refused_by_name(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        options(*arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = "import sys, experiments.study; print({'keras', 'tensorflow', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# The command from end to end.


command = functools.partial(run_command, UNET_SEGNET_DATA="/nonexistent")


@pytest.fixture(scope="module")
def tiny(twenty_slices):
    """Options for a study of 20 phantom slices of 16 x 16, one epoch each."""
    return ["--variant", "released", "--epochs", "1", "--size", "16", "--data", twenty_slices]


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """The best binary U-Net, trained by the study."""
    out = tmp_path_factory.mktemp("runs")
    chosen = ("--parts", "best", "--net", "unet", "--problem", "binary")
    return command("study", *tiny, "--out", out, *chosen, shrunk=True), out


def test_the_study_prints_plan_tables_and_what_is_done(finished):
    result, out = finished
    assert result.returncode == 0, result.stderr
    assert "1 runs in" in result.stdout
    plan, _, rest = result.stdout.partition("1/1 grid/released-binary-unet/exp4-seed0: about")
    assert "timed steps" in plan
    assert "0 finished, 1 left" in " ".join(plan.split())
    assert "Table 3." in rest
    assert "Table 4." in rest
    assert "1 finished, 0 left" in " ".join(rest.split())
    files = {path.name for path in (out / "grid" / "released-binary-unet" / "exp4-seed0").iterdir()} - {"lock"}
    assert files == {
        "config.json", "history.npz", "history.csv", "counts.npz", "last_epochs.npz", "model.keras", "result.json",
    }  # fmt: skip
    assert (out / "grid" / "released-binary-unet" / "table3.csv").exists()


@pytest.mark.slow
def test_grid_takes_the_studys_runs_and_the_study_the_grids(finished, tiny):
    _, out = finished
    model = out / "grid" / "released-binary-unet" / "exp4-seed0" / "model.keras"
    before = model.stat().st_mtime_ns
    done = command("grid", *tiny, "--net", "unet", "--only", "4", "--out", out)
    assert "1 finished, 0 to do" in done.stdout
    done = command("study", *tiny, "--out", out, "--parts", "best,folds", "--net", "unet", "--budget", "0.0001")
    assert done.returncode == 0, done.stderr
    assert "12 runs in" in done.stdout
    assert "Table 4." in done.stdout
    assert "Table 7." not in done.stdout
    assert "not started, for they would not be finished within 0.0001 minutes" in " ".join(done.stdout.split())
    assert model.stat().st_mtime_ns == before


def test_other_settings_are_refused_before_anything_is_trained(finished, tiny):
    _, out = finished
    before = sorted(out.rglob("*"))
    done = command("study", *tiny, "--out", out, "--epochs", "2", "--dry-run")
    assert done.returncode == 2
    assert "recipe.epochs: 1 there, 2 asked for" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(out.rglob("*")) == before


@pytest.mark.slow
def test_the_side_study_ends_with_its_table(tiny, tmp_path):
    plan = tmp_path / "plan.csv"
    header = "part,study,net,variant,problem,experiments,seeds\n"
    plan.write_text(header + 'x,side,segnet,released,binary,"1,3",0\nx,side-cut,segnet,released,binary,1,0\n')
    arguments = ["--plan", plan, "--epochs", "3", *tiny[4:], "--size", "32", "--out", tmp_path / "runs"]
    done = command("study", *arguments, shrunk=True)
    assert done.returncode == 0, done.stderr
    assert "3 finished, 0 left" in " ".join(done.stdout.split())
    assert "Table 3." not in done.stdout
    table = (tmp_path / "runs" / "side" / "batches.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["equal epochs", "equal updates"]
    assert "3 finished, 0 left" in " ".join(command("study", *arguments, shrunk=True).stdout.split())


@pytest.mark.slow
def test_the_study_trains_as_the_grid_does(finished, tiny, tmp_path):
    """Steps timed beforehand leave no trace in the trainings."""
    assert command("grid", *tiny, "--net", "unet", "--only", "4", "--out", tmp_path, shrunk=True).returncode == 0
    histories = []
    for out in (finished[1], tmp_path):
        path = out / "grid" / "released-binary-unet" / "exp4-seed0" / "history.npz"
        with np.load(path, allow_pickle=False) as history:
            histories.append(history["loss"])
    np.testing.assert_array_equal(*histories)


@pytest.mark.slow
def test_a_killed_study_leaves_no_process_and_goes_on(start, tiny, tmp_path):
    arguments = [*tiny, "--out", tmp_path, "--parts", "best", "--net", "unet", "--epochs", "6", "--workers", "2"]
    process = start("study", *arguments)
    deadline = time.monotonic() + 300
    while not list(tmp_path.rglob("state.weights.h5")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = {json.loads(holder.read_text())["process"] for holder in tmp_path.rglob("lock.json")}
    assert workers
    assert process.pid not in workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    done = command("study", *arguments)
    assert done.returncode == 0, done.stderr
    assert "2 finished, 0 left" in " ".join(done.stdout.split())
    assert done.stderr.count("cuda") == 0


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_own_run_alone(start, tiny, tmp_path):
    arguments = [*tiny, "--out", tmp_path, "--parts", "best", "--net", "unet", "--epochs", "20", "--workers", "2"]
    process = start("study", *arguments, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(tmp_path.rglob("lock.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    holder = next(tmp_path.rglob("lock.json"))
    os.kill(json.loads(holder.read_text())["process"], signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert f"error: {holder.parent}: its process died (exit status -9)" in errors
    assert len(list(tmp_path.rglob("result.json"))) == 1
