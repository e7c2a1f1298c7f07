"""The house: which room may import which, no circles, nothing too large, and packages that cost nothing to import."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("unet_segnet", "experiments")

ORDER = [
    # The studies: their commands, what measures or checks the library, the studies themselves, what knows none of them.
    *("experiments.publish", "experiments.determinism", "experiments.compare", "experiments.study"),
    *("experiments.kfold", "experiments.grid", "experiments.report", "experiments.rules", "experiments.parity"),
    *("experiments.bench", "experiments.networks"),
    *("experiments.bizopoulos2021", "experiments.saood2021", "experiments.reporting", "experiments"),
    # The library.
    *("unet_segnet.commands", "unet_segnet.cohort", "unet_segnet.runs", "unet_segnet.inference", "unet_segnet.models"),
    *("unet_segnet.networks", "unet_segnet.training", "unet_segnet.matlab", "unet_segnet.layers", "unet_segnet.plots"),
    *("unet_segnet.web", "unet_segnet.scans", "unet_segnet.measures", "unet_segnet.data", "unet_segnet.output"),
    *("unet_segnet.processor", "unet_segnet.devices", "unet_segnet.errors", "unet_segnet"),
]
"""Rooms from the top of the house to the bottom; a room imports rooms that come after it. (`unet_segnet.__main__` is
one of the commands.) The two studies do not know each other, nor do commands: they stand in some order all the same."""

IN_A_STUDY = ["verdicts", "figures", "tables"]
"""Likewise inside a study; its own modules lie beside these folders."""

MOST_MODULES, MOST_LINES = 15, 400
HEAVY = {"numpy", "keras", "tensorflow", "jax", "torch", "matplotlib", "pandas"}


@cache
def modules() -> dict[str, Path]:
    """Name -> file of every module and package."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports, at its beginning or late inside functions."""
    return {name: set(_imported(path)) - {name} for name, path in modules().items()}


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative imports would go unseen here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in modules() or node.module in modules():
                    yield whole if whole in modules() else node.module


def room(name: str) -> str:
    """The room of a module: the folder below the package, or the module where it lies in the package itself."""
    return "unet_segnet.commands" if name == "unet_segnet.__main__" else ".".join(name.split(".")[:2])


def test_imports_have_no_circle():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"imported in a circle: {' <- '.join(error.args[1])}")


def test_every_room_stands_in_the_order():
    assert {room(name) for name in modules()} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_room_imports_rooms_below_it(name):
    below = ORDER[ORDER.index(name) :]
    wrong = {
        (module, imported)
        for module, all_imported in graph().items()
        for imported in all_imported
        if room(module) == name and room(imported) not in below
    }
    assert not wrong


def test_the_library_knows_nothing_of_the_studies():
    known = {(name, of) for name, all_of in graph().items() for of in all_of if name.startswith("unet_segnet")}
    assert not {pair for pair in known if pair[1].startswith("experiments")}


@pytest.mark.parametrize("study", ["saood2021", "bizopoulos2021"])
def test_what_knows_no_study_and_what_knows_one(study):
    """Reporting knows neither; a study does not know the other, and its tables neither figures nor verdicts."""
    inside = f"experiments.{study}"
    for name, imported in graph().items():
        of_study = {of for of in imported if of.startswith(inside)}
        if name.startswith(("experiments.reporting", "experiments.saood2021", "experiments.bizopoulos2021")):
            assert name.startswith(inside) or not of_study, name
        for number, folder in enumerate(IN_A_STUDY):
            if name.startswith(f"{inside}.{folder}"):
                above = tuple(f"{inside}.{other}" for other in IN_A_STUDY[:number])
                assert not [of for of in of_study if of.startswith(above)], name


def test_rooms_and_modules_are_of_a_size_to_be_read():
    by_folder: dict[Path, int] = {}
    for path in modules().values():
        by_folder[path.parent] = by_folder.get(path.parent, 0) + (path.name != "__init__.py")
    assert {folder for folder, number in by_folder.items() if number > MOST_MODULES} == set()
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in modules().values()}
    assert {path: number for path, number in lines.items() if number > MOST_LINES} == {}


@pytest.mark.parametrize("package", ["unet_segnet", "unet_segnet.commands", "experiments"])
def test_a_package_costs_nothing_to_import(package):
    code = f"import sys; import {package}; print(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_names_in_texts_exist():
    """Of the project's own modules and what is in them, where a text gives them in full."""
    wrong = []
    for module, path in modules().items():
        for name in re.findall(r"`((?:unet_segnet|experiments)(?:\.(?!json)\w+)+)`", path.read_text(encoding="utf-8")):
            home, rest = name, []
            while home not in modules():
                home, _, last = home.rpartition(".")
                rest.insert(0, last)
            if rest and rest[0] not in defined(home):
                wrong.append(f"{module}: {name}")
    assert not wrong


@cache
def defined(module):
    """What a module defines or imports at its beginning, and what it gives when asked for it."""
    found = set()
    for node in ast.parse(modules()[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {of.id for target in targets for of in ast.walk(target) if isinstance(of, ast.Name)}
            if "__all__" in found and any(getattr(target, "id", "") == "__all__" for target in targets):
                found |= set(ast.literal_eval(node.value))
    return found
