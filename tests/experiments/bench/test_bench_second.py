"""What the bench says of the second study's networks and of the tool; how fast they are, is no matter of a test."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked import ROOT
from tables import records

import unet_segnet
from experiments.bench import tool as bench_tool
from experiments.bench import workers
from experiments.bench.encoders import encoders
from experiments.bench.options import BENCH_NETWORKS, bench_parser
from experiments.bench.session import OURS, SMP, Session
from experiments.bench.slices import made_up_slices
from experiments.bench.speed import speed
from unet_segnet.data.normalise import normalise


@pytest.fixture
def session():
    """A processor without bfloat16 units, where nothing has been measured."""
    options = bench_parser("bench", "").parse_args(
        ["--repeats", "2", "--networks", "unet/resnet18,linknet/densenet121"]
    )
    machine = {"device": "cpu", "bfloat16": False, "provenance": {"backend": "tensorflow"}}
    return Session(options, machine)


class Held(SimpleNamespace):
    """A worker as a context manager whose steps take 2 s where they are ours, else 3 s, and inference a tenth."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, task, count=1):
        ours = self.setting.way == OURS
        known = {"multiply-adds": [1, 3], "memory": 600.0 if ours else 400.0}
        seconds = 2.0 if ours else 3.0
        return known.get(task, seconds if task == "step" else seconds / 10)


@pytest.fixture
def held(session, monkeypatch):
    """The session's workers as such."""
    monkeypatch.setattr(session, "worker", lambda setting, **_: Held(setting=setting))


def test_networks_of_the_second_study_stand_beside_those_of_pytorch(session, held, monkeypatch):
    monkeypatch.setattr("experiments.bench.session.why_no_rival", lambda variant: None)
    monkeypatch.setattr("experiments.bench.encoders.version", lambda package: "0.6.0")
    table = encoders(session)["encoders"]
    rows = records(table)
    assert [(row["network"], row["run by"]) for row in rows] == [
        (net, by) for net in ("unet/resnet18", "linknet/densenet121") for by in ("ours", "PyTorch")
    ]
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        assert (ours["step: ms"], theirs["step: ms"], ours["inference: ms"]) == (2000, 3000, 200)
        assert [ours[f"{what}: ratio"] for what in ("step", "inference", "memory")] == pytest.approx([1.5, 1.5, 1.5])
        assert theirs["step: ratio"] is theirs["memory: ratio"] is None
    assert {setting.batch for setting in session.memory} == {2}
    assert any(f"{SMP} 0.6.0" in note for note in table.notes)
    assert max(map(len, table.to_text().splitlines())) <= 100


def test_the_tables_of_one_study_hold_none_of_the_other(session, held, monkeypatch):
    monkeypatch.setattr("experiments.bench.session.why_no_rival", lambda variant: "PyTorch is not installed")
    session.options.nets, session.options.variants = ("unet",), ("released",)
    first, second = speed(session), encoders(session)["encoders"]
    assert [row["network"] for row in records(first["bench"])] == ["unet"]
    assert {row["network"] for row in records(second)} == {"unet/resnet18", "linknet/densenet121"}
    again = speed(session)
    assert (again["frameworks"].rows, again["bench"].rows) == (first["frameworks"].rows, first["bench"].rows)


def test_each_network_is_measured_in_several_processes(session, monkeypatch):
    monkeypatch.setattr("experiments.bench.session.why_no_rival", lambda variant: "PyTorch is not installed")
    seconds = {"step": iter([2.0, 9.0, 4.0]), "inference": iter([0.3, 0.2, 0.1])}  # of the processes
    memory = iter([500.0, 700.0, 600.0])

    class Process(Held):
        def __init__(self, **given):
            super().__init__(**given, **{task: next(values) for task, values in seconds.items()}, memory=next(memory))

        def run(self, task, count=1):
            return [1, 3] if task == "multiply-adds" else getattr(self, task)

    monkeypatch.setattr(session, "worker", lambda setting, **_: Process(setting=setting))
    session.options.networks = ("unet/resnet18",)
    table = encoders(session)["encoders"]
    (row,) = records(table)
    found = [row[name] for name in ("step: first s", "step: ms", "step: spread", "inference: ms", "memory: MiB")]
    assert found == [4.0, 4000, 175, 200, 600]  # 9 less 2 s are 175 % of 4 s
    assert "3 processes" in table.notes[0]


def test_without_the_other_package_ours_are_measured_alone(session, held, monkeypatch):
    monkeypatch.setattr("experiments.bench.session.has_torch", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    table = encoders(session)["encoders"]
    rows = records(table)
    assert [row["run by"] for row in rows] == ["ours", "ours"]
    assert [row["step: ratio"] for row in rows] == [None, None]
    (note,) = [note for note in table.notes if "not installed" in note]
    assert SMP in note and "unet/resnet18, linknet/densenet121" in note


def test_the_networks_measured_by_default_are_of_every_kind():
    from unet_segnet.models.decoders import DECODERS
    from unet_segnet.models.encoders import ENCODERS

    pairs = [name.split("/") for name in BENCH_NETWORKS]
    families = {module_of(function) for function in ENCODERS.values()}
    assert {architecture for architecture, _ in pairs} == set(DECODERS)
    assert {module_of(ENCODERS[encoder]) for _, encoder in pairs} == families


def module_of(function):
    return getattr(function, "func", function).__module__


def test_a_network_of_the_second_study_trains_and_predicts_in_its_worker():
    from experiments.bench.keras_networks import network

    asked, answers = iter(["step", "inference", "multiply-adds", "memory"]), []

    def turns():
        for task in asked:
            yield task, 1
            if len(answers) == 4:
                raise EOFError  # the parent wants no more

    with pytest.raises(EOFError):
        network(SimpleNamespace(turns=turns, reply=answers.append), "pspnet/vgg11", None, "float32", 2, 32)
    step, inference, (forward, trained), memory = answers
    assert min(step, inference) > 0 and trained > 2 * forward > 0 and memory > 100


@pytest.mark.parametrize("net", ["unet/resnet18", "pspnet/vgg13"])
def test_the_same_step_and_the_same_inference_in_pytorch(net):
    torch = pytest.importorskip("torch", reason="needs torch, which the comparison uses and the project does not")
    pytest.importorskip(SMP, reason=f"needs {SMP}")
    from experiments.bench.torch_encoders import make_step, make_twin
    from unet_segnet.models import build_model
    from unet_segnet.models.encoders.weights import assign_tensors
    from unet_segnet.training.soft_dice import EncoderRecipe, compile_model, predict_probabilities

    images, labels = made_up_slices(2, 64)
    images = normalise(images, "minmax")
    torch.manual_seed(0)
    twin = make_twin(net)
    for module in twin.modules():
        if isinstance(module, (torch.nn.Dropout, torch.nn.Dropout2d)):
            module.p = 0.0
    architecture, encoder = net.split("/")
    model = build_model(architecture, encoder=encoder, input_shape=(64, 64, 1))
    for layer in model.layers:
        if "Dropout" in type(layer).__name__:
            layer.rate = 0.0
    assign_tensors(model, {name: tensor.numpy() for name, tensor in twin.state_dict().items()}, encoder)
    step, infer = make_step(twin)
    found = infer(torch.from_numpy(images))[:, 0]
    np.testing.assert_allclose(found, predict_probabilities(model, images), atol=1e-4)

    compile_model(model, EncoderRecipe(), 1)
    ours = float(model.train_on_batch(images[..., None], labels))
    assert float(step(*map(torch.from_numpy, (images, labels)))) == pytest.approx(ours, abs=1e-4)
    again = float(model.train_on_batch(images[..., None], labels))
    assert float(step(*map(torch.from_numpy, (images, labels)))) == pytest.approx(again, abs=1e-2)
    assert again < ours


def test_stages_are_timed_without_those_within_them(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr(bench_tool.time, "perf_counter", lambda: next(clock))
    watch = bench_tool.Stopwatch()
    ask = watch.network(lambda model, images, mirrors: "classes")
    segment = watch.stage("lesions", lambda: ask(None, np.zeros((4, 8, 8))))
    assert segment() == "classes"
    watch.lap()
    assert watch.seconds == {"all else": 1 + 16, "lesions": 2 + 8, "lesions: network": 4}
    assert watch.slices == {"lesions: network": 12}
    assert watch.memory.keys() == {"lesions", "lesions: network"}


def test_a_stage_ends_where_it_fails():
    watch = bench_tool.Stopwatch()
    with pytest.raises(ZeroDivisionError):
        watch.stage("reading", lambda: 1 / 0)()
    assert watch.seconds.keys() == {"all else", "reading"}
    watch.lap()
    assert watch._open == ["all else"]


def test_what_is_timed_is_there_and_is_the_shipped_network():
    for module, function in (*bench_tool.STAGES.values(), bench_tool.ASKED):
        assert callable(getattr(importlib.import_module(module), function))
    card = Path(unet_segnet.__file__).parent / "networks" / "weights" / "lesions.json"
    assert json.loads(card.read_text(encoding="utf-8"))["net"].split() == bench_tool.NETWORK.split("/")


def test_stages_add_up_to_the_whole_command(session, monkeypatch):
    inside = {"reading": 1.0, "lungs": 2.0, "lesions": 3.0, "lesions: network": 4.0, "all else": 0.5}

    def once(label, module, function, **arguments):
        if function == "draw_scan":
            return None
        memory = {**dict.fromkeys(inside, 500.0), bench_tool.WHOLE: 700.0}
        return {"seconds": dict(inside), "inside": 10.5, "memory": memory, "slices": {"lesions: network": 10}}

    asked = []

    class Rival(Held):
        def run(self, task, count=1):
            asked.append((task, count))
            return 2.0

    def worker(setting, **more):
        assert (setting.net, setting.batch, setting.size, more) == ("linknet/mobilenet_v2", 4, 256, {"num_classes": 2})
        return Rival(setting=setting)

    monkeypatch.setattr("experiments.bench.tool.why_no_rival", lambda variant: None)
    monkeypatch.setattr("experiments.bench.tool.once", once)
    monkeypatch.setattr(session, "worker", worker)
    table = bench_tool.tool(session)["tool"]
    *stages, whole = records(table)
    assert [row["stage"] for row in stages] == ["reading", "lungs", "lesions: network", "lesions: all else", "all else"]
    assert sum(row["least"] for row in stages[:-1]) == 10
    assert asked == [("inference", 1), ("inference", 3), ("inference", 3)]
    assert (stages[2]["PyTorch: s"], stages[2]["ratio"]) == (6.0, 1.5)
    assert whole["MiB"] == 700 and stages[-1]["MiB"] is None
    assert max(map(len, table.to_text().splitlines())) <= 100


def test_a_command_that_fails_is_one_line(tmp_path, monkeypatch):
    """As its worker tells it, without the process, in which importing the tool takes longer than all else."""

    def replace_for_now(module, name, change):
        module = importlib.import_module(module)
        monkeypatch.setattr(module, name, change(getattr(module, name)))

    monkeypatch.setattr(bench_tool, "_replace", replace_for_now)
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"):  # which a worker sets
        monkeypatch.setenv(name, "")
    told = []
    connection = SimpleNamespace(recv_bytes=lambda: b'["once", 1]', send_bytes=told.append)
    arguments = {"scan": str(tmp_path / "no_such.nii.gz"), "out": str(tmp_path / "out")}
    workers._serve(connection, "tool", "command", {}, json.dumps(arguments))
    (answer,) = map(json.loads, told)
    assert list(answer) == ["error"]
    assert re.match(r"error: .*no_such\.nii\.gz", answer["error"]) and "\n" not in answer["error"]
    assert not (tmp_path / "out").exists()


def test_memory_is_a_process_s_own():
    held = np.ones(2**26)  # 512 MiB, of which the process that begins another one tells it nothing
    code = "from experiments.bench.slices import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 10 < float(told.stdout) < held.nbytes / 2**20


@pytest.mark.slow
def test_predict_of_three_hundred_slices_takes_about_one_and_a_half_gigabytes(tmp_path):
    """1,523 MiB when this was written; a volume of theirs in float32 has 300."""
    scan = str(tmp_path / "chest.nii.gz")
    workers.once("the tool", "tool", "draw_scan", file=scan, num_slices=300, size=512)
    told = workers.once("the tool", "tool", "command", scan=scan, out=str(tmp_path / "out"))
    assert told["slices"]["lungs: network"] > 0 and 500 < told["memory"][bench_tool.WHOLE] < 1650
