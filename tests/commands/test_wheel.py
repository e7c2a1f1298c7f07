"""The wheel: all that the tool needs and nothing of the studies, tried in an environment that holds no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from own_data import write_cohort

import unet_segnet

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "requirements.txt", "unet_segnet", "experiments", "tests")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.tmp", "results", "reference")


def run(*command, **settings):
    """What a command printed, after it ended well."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, for building leaves files among them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=LEFT_OUT)
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
    run(*pip, "--wheel-dir", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def tool(wheel, tmp_path_factory):
    """Calls `unet-segnet` of an environment that holds the wheel, and its dependencies by the path of this one's.

    It lies in the repository of another project, and is called from there.
    """
    project = tmp_path_factory.mktemp("project")
    venv.create(project / "env", with_pip=False, symlinks=os.name != "nt")
    scripts = project / "env" / ("Scripts" if os.name == "nt" else "bin")
    (ended,) = (project / "env").rglob("site-packages")
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (ended / "zz_dependencies.pth").write_text("\n".join(paths) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps", "--quiet")
    run(*pip, "--disable-pip-version-check", wheel)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    (project / "notes.txt").touch()
    for words in (("init", "--quiet"), ("add", "notes.txt"), ("commit", "--quiet", "-m", "notes")):
        run(*git, *words, cwd=project)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "UNET_SEGNET_DATA")}

    def call(*words, program="unet-segnet"):
        return run(scripts / program, *words, cwd=project, env=environment)

    call.folder = project
    return call


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
        (scripts,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    assert {name.split("/")[0] for name in names} == {"unet_segnet", f"unet_segnet-{unet_segnet.__version__}.dist-info"}
    files = (path for path in (ROOT / "unet_segnet").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    needed = {path.relative_to(ROOT).as_posix() for path in files if path.name != "README.md"}
    assert needed - names == set()
    assert f"\nVersion: {unet_segnet.__version__}\n" in about and "\nRequires-Dist: tensorflow" in about
    assert "unet-segnet = unet_segnet.commands:main" in scripts


def test_the_tool_says_what_it_is(tool):
    assert tool("--version") == f"unet-segnet {unet_segnet.__version__}\n"
    told = tool("--help")
    for verb in ("predict", "train", "evaluate", "data", "export"):
        assert f"\n  {verb} " in told
        assert f"usage: unet-segnet {verb} " in tool(verb, "--help")


def test_the_library_is_imported_without_a_checkout(tool):
    code = "import unet_segnet; print(unet_segnet.__file__); unet_segnet.segment; unet_segnet.load_model"
    file = Path(tool("-c", code, program="python").strip())
    assert file.is_relative_to(tool.folder / "env")
    missing = "import importlib.util; print(importlib.util.find_spec('experiments'))"
    assert tool("-c", missing, program="python") == "None\n"


def test_the_tool_works_from_any_folder(tool):
    folder = tool.folder
    assert "4 phantom slices of 64x64" in tool("data", "phantom", "--to", "made up", "--slices", "4", "--size", "64")
    assert tool("data", "check", "made up").endswith("usable\n")

    assert "tr_im: 4 slices" in tool("predict", "made up/tr_im.nii.gz", "--out", "segmented")
    written = {path.name for path in (folder / "segmented" / "tr_im").iterdir()}
    assert {"labels.nii.gz", "severity.json", "index.html", "overview.png", "settings.json"} <= written

    write_cohort(folder / "own", 5)
    net = ("--net", "segnet", "--variant", "released", "--size", "32", "--batch-size", "2")
    tool("train", "--data", "own", *net, "--epochs", "1")
    trained = folder / "runs" / "own" / "own-released-segnet" / "seed0"
    result = json.loads((trained / "result.json").read_text())
    assert result["commit"] is None and result["versions"]["unet_segnet"] == unet_segnet.__version__
    assert result["command"].startswith("unet-segnet train --data own")
    assert (trained / "model.keras").is_file() and (trained / "scores.csv").is_file()

    tool("evaluate", trained, "--data", "own", "--out", "evaluation")
    about = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert about["commit"] is None and about["command"].startswith("unet-segnet evaluate")
    with np.load(folder / "evaluation" / "counts.npz", allow_pickle=False) as counts:
        assert counts["confusion_0"].shape == (15, 2, 2) and counts["confusion_0"].sum() == 15 * 32 * 32
    assert run("git", "status", "--porcelain", "--untracked-files=no", cwd=folder) == ""


def test_the_notebook_runs_from_top_to_bottom(tool):
    """As a user's would: nothing is there but the wheel, a scan is made up, a network is trained on five cases."""
    code = "import json, sys; names = {}\nfor cell in json.load(open(sys.argv[1], encoding='utf-8'))['cells']:\n"
    code += "    if cell['cell_type'] == 'code': exec(''.join(cell['source']), names)"
    printed = tool("-c", code, ROOT / "examples" / "segment_a_scan.ipynb", program="python")
    for text in (
        "lungs: found by Hounsfield units and a network",
        "infected       left lung",
        "test 5 slices of 1 patients",
    ):
        assert text in printed
    made = tool.folder / "segmented"
    scan, labels = nibabel.load(made / "made up" / "rp_im" / "1.nii.gz"), nibabel.load(made / "labels.nii.gz")
    assert labels.shape == scan.shape and np.array_equal(labels.affine, scan.affine)
    others = (nibabel.load(made / "made up" / kind / "1.nii.gz") for kind in ("rp_msk", "rp_lung_msk"))
    marked, lesion, lung = (np.asarray(image.dataobj) > 0 for image in (labels, *others))
    assert marked.any() and lesion[marked].mean() > 1.5 * lesion[lung].mean()
    assert (made / "overview.png").stat().st_size > 10_000
    (trained,) = (made / "runs" / "own").glob("*/seed0")
    assert (trained / "model.keras").is_file() and (trained / "scores.csv").is_file()
