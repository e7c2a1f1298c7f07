"""A network is known by one file and one entry; the entries agree with the article's tables and with the builders."""

import ast
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from own_data import write_cohort

from experiments import RESULTS, grid, kfold
from experiments.saood2021 import archive, evidence
from experiments.saood2021.protocol import NETS
from experiments.saood2021.published import BEST_EXPERIMENT, hyperparameters
from unet_segnet.commands import train
from unet_segnet.data.phantom import write_phantom
from unet_segnet.errors import InputError
from unet_segnet.models import build_model
from unet_segnet.models.registry import NETWORKS, VARIANTS, Network, SizeRule, check_size

ROOT = Path(__file__).parents[2]
FILE = '''
"""One convolution over windows of four pixels."""
import keras, numpy as np
from unet_segnet.models.initialisation import he_normal
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.models.registry import SizeRule

def net_4(input_shape, num_classes, variant, mean):
    inputs, x = grey_input(input_shape, mean)
    x = keras.layers.Conv2D(2, 2, strides=2, kernel_initializer=he_normal(4), name="halved")(x)
    x = keras.layers.Conv2DTranspose(num_classes, 2, strides=2, kernel_initializer=he_normal(8))(x)
    return keras.Model(inputs, classifier(x), name=f"net_4_{variant}")

def size_rule(variant):
    return SizeRule(least=4, multiple=2)

def pretrained_kernels(weights):
    return {"halved": np.load(weights)}
'''


@pytest.fixture
def net_4(tmp_path, monkeypatch):
    """A new network: the one file and the one entry that it takes."""
    (tmp_path / "net_4.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = Network("net_4", "Net 4", "net_4", pretrained=("paper",), recipe={"learning_rate": 2e-3, "batch_size": 3})
    monkeypatch.setitem(NETWORKS, "net_4", entry)
    yield
    sys.modules.pop("net_4", None)


def run(monkeypatch, capsys, command, *arguments):
    """Status, output and errors of a command of the studies, in this process."""
    monkeypatch.setattr(sys, "argv", [command.__name__, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code, *capsys.readouterr()


def test_a_new_network_is_built_and_refuses_what_it_cannot_take(net_4, tmp_path):
    model = build_model("net_4", num_classes=3, input_shape=(8, 12, 1), mean=5.0)
    assert model.name == "net_4_paper" and model.output_shape == (None, 8, 12, 3)
    with pytest.raises(InputError, match=r"^`size` 7: net_4 needs a multiple of 2 and at least 4 pixels$"):
        check_size("net_4", "paper", 7)
    np.save(tmp_path / "halved.npy", np.ones((2, 2, 1, 2)))
    begun = build_model("net_4", input_shape=(8, 8, 1), encoder_weights=tmp_path / "halved.npy")
    np.testing.assert_array_equal(begun.get_layer("halved").kernel, 1)
    with pytest.raises(ValueError, match=r"encoder_weights belongs to .*'net_4', variant='paper'"):
        build_model("net_4", "released", input_shape=(8, 8, 1), encoder_weights=tmp_path / "halved.npy")


def test_a_new_network_is_trained_on_own_data_and_gone_on_with(net_4, tmp_path, capsys):
    data = write_cohort(tmp_path / "own", 3, size=16)
    usual = ["--data", str(data), "--epochs", "1", "--size", "16", "--validation-share", "0", "--test-share", "0.34"]
    options = train.build_parser().parse_args([*usual, "--out", str(tmp_path / "runs"), "--net", "net_4"])
    assert train.train(options) == 0
    folder = tmp_path / "runs" / "own" / "own-paper-net_4" / "seed0"
    assert "Scores on own" in capsys.readouterr().out and (folder / "scores.csv").is_file()
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    assert (recipe["learning_rate"], recipe["batch_size"]) == (2e-3, 3)
    init = ["--init", str(folder / "model.keras"), "--out", str(tmp_path / "further")]
    assert train.train(train.build_parser().parse_args([*usual, *init])) == 0
    (further,) = (tmp_path / "further" / "own").glob("*/seed0/config.json")
    assert json.loads(further.read_text())["recipe"]["learning_rate"] == 2e-3
    options.size = 15
    with pytest.raises(InputError, match="`size` 15: net_4 needs a multiple of 2 and at least 4 pixels"):
        train.train(options)
    options.net = "net_5"
    with pytest.raises(InputError, match=r"^`net` net_5: expected segnet, unet, net_4, or ARCHITECTURE/ENCODER"):
        train.train(options)


def test_a_new_network_has_its_grid_of_which_nothing_is_published(net_4, tmp_path, monkeypatch, capsys):
    data = tmp_path / "phantom"
    write_phantom(data, num_slices=20, seed=1, size=64)
    tiny = ["--net", "net_4", "--data", data, "--size", "32", "--epochs", "1", "--out", tmp_path / "runs"]
    status, printed, _ = run(monkeypatch, capsys, grid, *tiny)
    rows = [line.split() for line in printed.splitlines() if line.startswith("Net 4")]
    assert status == 0 and "Table 3." in printed and "Table 4." in printed
    assert rows[0][2:6] == ["1", "2e-3", "3", "1"] and rows[1][2:4] == ["1", "alone"]
    assert "SegNet" not in printed and "the published, of" not in printed and "published values" not in printed
    assert (tmp_path / "runs" / "grid" / "paper-binary-net_4" / "exp1-seed0" / "result.json").is_file()
    status, _, errors = run(monkeypatch, capsys, grid, *tiny, "--only", "4")
    assert (status, errors) == (2, "error: net_4 has no configuration 4; it has 1: name others with --only\n")
    status, _, errors = run(monkeypatch, capsys, grid, *tiny, "--size", "33")
    assert (status, errors) == (2, "error: --size 33: net_4 needs a multiple of 2 and at least 4 pixels\n")
    status, _, errors = run(monkeypatch, capsys, kfold, *tiny)
    assert (status, "the article names no best configuration of it; give some with --only" in errors) == (2, True)
    archive.pack(tmp_path / "runs", tmp_path / "runs.zip")
    assert "taken into" in archive.merge([tmp_path / "runs.zip"], tmp_path / "merged")[-1]
    assert (tmp_path / "merged" / "grid" / "paper-binary-net_4" / "exp1-seed0" / "counts.npz").is_file()


def test_a_new_network_is_in_no_table_of_the_article(net_4, tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "nowhere"))
    run = tmp_path / "runs" / "grid" / "released-binary-net_4" / "exp1-seed0"
    shutil.copytree(RESULTS / "grid" / "released-binary-segnet" / "exp4-seed0-matlab", run)
    config = json.loads((run / "config.json").read_text()) | {"net": "net_4", "experiment": 1}
    (run / "config.json").write_text(json.dumps(config))
    found = evidence.collect(tmp_path / "runs", None)
    assert {run.counts.net for run in found.runs} == set(NETS)
    assert any("exp1-seed0 is not a run of the paper's protocol (network net_4)" in line for line in found.missing)


@pytest.mark.parametrize("net", NETS)
def test_the_recipe_is_the_articles_best_for_infected_or_not(net):
    """Configuration 4 of Table 2, which stands in the library too: that knows nothing of the studies."""
    best = hyperparameters(net)[BEST_EXPERIMENT[net, "binary"]]
    recipe = NETWORKS[net].recipe
    assert (recipe["learning_rate"], recipe["batch_size"]) == (best.initial_learning_rate, best.mini_batch)


@pytest.mark.parametrize("net", NETWORKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rule_of_sizes_is_what_building_accepts(net, variant):
    rule = NETWORKS[net].size_rule(variant)
    edge = max(rule.least, rule.multiple)
    for size in (edge // 2, edge - 1, edge, edge + 1, edge * 3 // 2, 2 * edge):
        try:
            with keras.StatelessScope(initialize_variables=False):
                model = NETWORKS[net].build((size, 2 * edge, 1), 2, variant, 0.0)
            built = model.output_shape == (None, size, 2 * edge, 2)
        except ValueError:
            built = False
        assert built == rule.fits(size), size


def test_a_rule_of_both_kinds_tells_both():
    assert str(SizeRule(least=64, multiple=16)) == "a multiple of 16 and at least 64"
    assert str(SizeRule(least=16, multiple=16)) == "a multiple of 16"


@pytest.mark.parametrize(
    ("net", "size", "expected"),
    [
        (("segnet", "paper"), 31, "at least 32"),
        (("unet", "paper"), 40, "a multiple of 16"),
        (("pspnet/resnet18", "paper"), 36, "a multiple of 8"),
    ],
)
def test_a_wrong_size_is_one_line(net, size, expected):
    with pytest.raises(InputError, match=rf"^`size` {size}: {net[0]} needs {expected} pixels$"):
        check_size(*net, size)
    check_size(*net, 64)


def test_nothing_else_asks_for_a_network_by_its_name():
    """But the second study's decoders, what the article says of its networks, and what holds ours against others'."""
    about = ("saood2021", "bizopoulos2021", "bench", "parity")
    allowed = {"unet_segnet/models/registry.py", "unet_segnet/models/decoders/__init__.py"}
    for package in ("unet_segnet", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT)
            if place.as_posix() in allowed or (package == "experiments" and place.parts[1] in about):
                continue
            constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not constants & set(NETWORKS), place
