"""Exit codes, the one line on bad input, and progress in a log."""

import argparse
import ast
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import words

from unet_segnet.commands import VERBS
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, Progress, progress, run_command, summed_up

ROOT = Path(__file__).parents[2]
HEAVY = {"keras", "tensorflow", "matplotlib", "pandas", "scipy", "rich", "jinja2", "skimage", "sklearn", "nibabel"}


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: fail(InputError("slices.nii: empty, expected a NIfTI file")), 2, "error: slices.nii: empty"),
        (lambda: fail(InputError("a\nb\x1b[31m.nii: empty")), 2, r"error: a\nb\x1b[31m.nii: empty"),
        (lambda: Path("x" * 5000).exists() or Path("x" * 5000).stat(), 2, "this path is too long"),
        (lambda: Path("\x1b" * 5000).stat(), 2, r"error: \x1b\x1b"),
        (lambda: fail(KeyboardInterrupt()), 130, "interrupted"),
    ],
)
def test_exit_status_and_message(command, status, message, capsys):
    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == status
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == (1 if message else 0)


def test_arguments_in_a_message_are_told_as_flags(capsys):
    options = argparse.Namespace(out="x", encoder_weights=None)
    message = "x: `encoder_weights` is no file; see `unet-segnet train --help`, `size`, or give another `out`"
    with pytest.raises(SystemExit):
        run_command(lambda: fail(InputError(message)), options)
    told = capsys.readouterr().err
    assert told == (
        "error: x: --encoder-weights is no file; see `unet-segnet train --help`, `size`, or give another --out\n"
    )
    with pytest.raises(SystemExit):
        run_command(lambda: fail(InputError(message)))
    assert capsys.readouterr().err == f"error: {message}\n"


def test_no_message_of_the_library_names_a_flag():
    """But as part of a whole command in backticks; commands know their flags."""
    found = []
    for path in sorted((ROOT / "unet_segnet").rglob("*.py")):
        if path.parent.name == "commands":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("InputError", "HeldError", "Outcome"):
                text = "".join(
                    part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) is str
                )
                if re.search(r"--[a-z]", re.sub("`[^`]* [^`]*`", "", text)):
                    found.append(f"{path.name}: {text}")
    assert found == []


def test_names_cannot_command_the_terminal(capsys):
    name = "\x1b]0;title\x07\x1b[2J\x9b1A"
    with pytest.raises(SystemExit):
        run_command(lambda: print(f"{name}: 3 slices\n\u2265 {name}"))
    log = io.StringIO()
    Progress(1, name, stream=log).update(1, name)
    shown = r"\x1b]0;title\x07\x1b[2J\x9b1A"
    assert capsys.readouterr().out == f"{shown}: 3 slices\n\u2265 {shown}\n"
    assert log.getvalue() == f"{shown} 1/1  0:00  {shown}\n"
    print("\x1b", end="")  # afterwards all is as before
    assert capsys.readouterr().out == "\x1b"


def test_a_message_has_an_end():
    found = str(InputError(f"scan.dcm is {'9' * 5000}: expected CT slices"))
    assert len(found) <= 1400 and found.startswith("scan.dcm is 99") and found.endswith("99: expected CT slices")


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_plain_lines_now_and_then_and_always_the_last():
    log = io.StringIO()
    bar = Progress(100, "epochs", every=3600, stream=log)
    for step in range(1, 101):
        bar.update(step)
    assert log.getvalue().splitlines() == ["epochs 100/100  0:00"]


@pytest.fixture
def terminal(monkeypatch):
    for name, value in {"TERM": "xterm", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def drawn(terminal):
    """What a terminal gets, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())


def test_a_terminal_gets_a_bar_with_time_left(terminal):
    bar = Progress(4, "epochs", stream=terminal)
    bar.shown = bar.start = bar.start - 10
    bar.update(2, "loss 0.5")
    assert re.fullmatch(r"\r\x1b\[2Kepochs [━╺╸]{10} 2/4  0:10, 0:20 left  loss 0.5", drawn(terminal))
    bar.update(4, "loss 0.4")
    assert re.search(r"0.5\r\x1b\[2Kepochs ━{10} 4/4  0:10  loss 0.4\n$", drawn(terminal))


def test_a_bar_keeps_to_one_line_and_names_in_it_are_text(terminal):
    name = "[red]:smile:[/]\x1b[2J\x9b1A\n" * 9
    Progress(1, name, stream=terminal).update(1, name)
    told = drawn(terminal).removeprefix("\r\x1b[2K")
    assert told.startswith(r"[red]:smile:[/]\x1b[2J\x9b1A\n[red]") and told.count("\n") == 1 and "\x1b" not in told
    assert len(told.rstrip("\n")) == 80


@pytest.mark.parametrize("plain", [True, False])
def test_terminals_without_a_bar(terminal, plain, monkeypatch):
    monkeypatch.setenv("TERM", "xterm" if plain else "dumb")
    Progress(1, "epochs", stream=terminal, plain=plain).update(1)
    assert terminal.getvalue() == "epochs 1/1  0:00\n"


def test_a_resumed_run_estimates_from_its_own_steps():
    log = io.StringIO()
    bar = Progress(10, "epochs", every=0, stream=log)
    bar.start -= 60
    bar.update(8)
    assert "8/10  1:00, 2:00 left" in log.getvalue()


def test_help_shows_defaults_as_one_would_type_them():
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--seeds", default=(0, 1), help="one run for each")
    parser.add_argument("--window", type=float, nargs=2, default=(-1100.0, 400.0), help="HU")
    parser.add_argument("--seed", default=0, help="the one")
    parser.add_argument("--net", help="which")
    parser.add_argument("--share", type=float, default=0.1, help="100 %% of it")
    parser.add_argument("--only", default={}, help="some")
    parser.add_argument("--force", action="store_true", help="replace")
    told = parser.format_help()
    for text in (
        "each (default: 0,1)",
        "HU (default: -1100 400)",
        "the one (default: 0)",
        "100 % of it (default: 0.1)",
    ):
        assert text in told
    assert told.count("(default:") == 4


def test_items_pass_through():
    assert list(progress("abc", "letters")) == ["a", "b", "c"]


@pytest.mark.parametrize("module", ["grid", "kfold", "study", "compare", "report", "parity", "bench", *VERBS])
def test_help_imports_nothing_heavy(module):
    code = (
        f"import sys, runpy; sys.argv = ['x', *{words(module)[1:]}, '--help']\n"
        f"try: runpy.run_module('{words(module)[0]}', run_name='__main__')\n"
        f"except SystemExit: pass\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        f"sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_importing_the_package_has_no_side_effects():
    code = "import sys; before = set(sys.modules); import unet_segnet; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['unet_segnet']"


def test_findings_of_one_kind_are_summed_up():
    lines = [
        f"/data/labels/{name}.nii.gz: there is no {name} in images/; rename it" for name in ("anna", "ben", "cleo")
    ]
    lines += ["slice 017 has no lung pixel", "every mask is empty", "slice 018 has no lung pixel", "p4: 7% lie outside"]
    lines += ["p5: 12.5% lie outside"]
    assert summed_up(lines, most=1) == [
        f"{lines[0]} (and 2 more of this kind: ben.nii.gz, ...)",
        "slice 017 has no lung pixel (and 1 more of this kind: 018)",
        "every mask is empty",
        "p4: 7% lie outside (and 1 more of this kind: p5)",
    ]
    assert summed_up([]) == []
