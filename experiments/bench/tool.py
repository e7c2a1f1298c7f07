"""The part of `experiments.bench` about the tool: `unet-segnet predict` on a made-up scan, stage by stage."""

import contextlib
import importlib
import io
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from experiments.bench.session import SMP, WAY_NOTES, Session, why_no_rival
from experiments.bench.slices import peak_memory
from experiments.bench.speed import percent
from experiments.bench.workers import Channel, once
from unet_segnet.errors import InputError
from unet_segnet.output.console import Progress, import_keras
from unet_segnet.output.tabular import Table

NETWORK, NETWORK_SIZE, BATCH = "linknet/mobilenet_v2", 256, 4
"""The shipped network of lesions, the slices that it takes, and how many of them `predict` gives it at a time."""

LOADING, LESIONS = "Keras and the network loaded", "lesions"
ASKING = f"{LESIONS}: network"
STAGES = {
    LOADING: ("unet_segnet.commands.predict", "_load"),
    "reading": ("unet_segnet.scans", "read_scan"),
    "lungs": ("unet_segnet.inference.segmentation", "prepare"),
    LESIONS: ("unet_segnet.inference.segmentation", "segment"),
    "severity": ("unet_segnet.inference.segmentation", "severity"),
    "page and files": ("unet_segnet.commands.predict_outputs", "write_case"),
}
"""The functions of `predict` that are timed, by where it looks them up."""

ASKED = ("unet_segnet.inference.prediction", "mirrored_mean")
"""Likewise what asks a network, of lungs or of lesions."""

REST, WHOLE = "all else", "the whole command"
EACH_DRAWN = 4  # slices of the scan for one that is drawn, which takes long


class Stopwatch:
    """Times functions by the stages that they are; a stage does not count what is a stage within it.

    Attributes:
        seconds: by stage, from the first one on; `REST` is what no stage counts. "lungs: network" is within "lungs".
        memory: the most that the process had held when a stage ended, MiB.
        slices: that networks were given, by stage.
    """

    def __init__(self):
        self.seconds, self.memory, self.slices = Counter(), {}, Counter()
        self._open, self._lapped = [REST], time.perf_counter()

    def stage(self, name: str, function: Callable) -> Callable:
        """The function, timed as a stage."""

        def timed(*arguments, **options):
            with self._within(name):
                return function(*arguments, **options)

        return timed

    def network(self, ask: Callable) -> Callable:
        """`mirrored_mean`, timed as the network of the stage that asks it; its slices are counted."""

        from unet_segnet.inference.prediction import MIRRORS

        def timed(model, images, mirrors=MIRRORS):
            name = f"{self._open[-1]}: network"
            self.slices[name] += len(images) * len(mirrors)
            with self._within(name):
                return ask(model, images, mirrors)

        return timed

    @contextlib.contextmanager
    def _within(self, name):
        self.lap()
        self._open.append(name)
        try:
            yield
        finally:
            self.lap()
            self._open.pop()
            self.memory[name] = peak_memory()

    def lap(self) -> None:
        """Count the time since the last lap to the stage that is open."""
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._lapped
        self._lapped = now


def draw_scan(channel: Channel, file, num_slices, size):
    """Worker: a made-up chest of so many slices of size x size goes to a NIfTI `file`."""
    import nibabel

    from unet_segnet.data.phantom import write_phantom

    channel.wait()
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(folder, 1, size=size, volumes=1, volume_slices=-(-num_slices // EACH_DRAWN))
        drawn = np.asarray(nibabel.load(Path(folder) / "rp_im" / "1.nii.gz").dataobj)
    voxels = np.repeat(drawn, EACH_DRAWN, axis=2)[..., num_slices - 1 :: -1]  # from foot to head
    # Rows to the left, columns to the back.
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-350 / size, -350 / size, 300 / num_slices, 1])), file)
    channel.reply(None)


def command(channel: Channel, scan, out):
    """Worker: `unet-segnet predict` once; seconds and memory by stage, all seconds, slices that networks were given.

    Raises:
        InputError: it failed, or no longer calls what is timed.
    """
    channel.wait()
    watch = Stopwatch()
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        watch.stage(LOADING, import_keras)()  # before anything imports Keras, as the command itself does
        for name, (module, function) in STAGES.items():
            _replace(module, function, lambda found, name=name: watch.stage(name, found))
        _replace(*ASKED, watch.network)
        predict = importlib.import_module("unet_segnet.commands.predict").main
        try:
            predict([str(scan), "--out", str(out)])
        except SystemExit as ended:
            if ended.code:
                raise InputError(told.getvalue().strip().splitlines()[-1]) from None
    watch.lap()
    unseen = {*STAGES, ASKING} - watch.seconds.keys()
    if unseen:
        raise InputError(f"predict no longer calls what is timed as {', '.join(sorted(unseen))}")
    memory = {**watch.memory, WHOLE: peak_memory()}
    inside = sum(watch.seconds.values())
    channel.reply({"seconds": watch.seconds, "inside": inside, "memory": memory, "slices": watch.slices})


def _replace(module, name, change):
    module = importlib.import_module(module)
    setattr(module, name, change(getattr(module, name)))


def tool(session: Session) -> dict[str, Table]:
    """The whole command and its stages; PyTorch's bare inference of as many slices by the same network by turns."""
    num_slices, size = session.options.tool_slices, session.options.tool_size
    missing, runs, theirs = why_no_rival(None), [], []
    bar = Progress(session.options.repeats + 1, "bench: tool")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scan = Path(folder) / "chest.nii.gz"
        once("the tool", "tool", "draw_scan", file=str(scan), num_slices=num_slices, size=size)
        rival = None
        if not missing:
            setting = session.setting(NETWORK, None, "float32", session.ways[0], batch=BATCH, size=NETWORK_SIZE)
            rival = stack.enter_context(session.worker(setting, num_classes=2))
            rival.run("inference")
        bar.update(1)
        for turn in range(session.options.repeats):
            started = time.perf_counter()
            run = once("the tool", "tool", "command", scan=str(scan), out=f"{folder}/{turn}")
            seconds = run["seconds"]
            seconds[WHOLE] = time.perf_counter() - started
            seconds[REST] += seconds[WHOLE] - run["inside"]
            runs.append(run)
            if rival:
                batches = -(-run["slices"][ASKING] // BATCH)
                theirs.append(batches * rival.run("inference", batches))
            bar.update(turn + 2)
    notes = [
        f"unet-segnet predict, {num_slices} slices of {size}x{size} as NIfTI, networks {NETWORK}: medians of "
        f"{session.options.repeats}, each a process of its own. MiB: the most that it had held when the stage ended.",
        f"network: of {runs[0]['slices'][ASKING]} slices and mirror images of {NETWORK_SIZE}x"
        f"{NETWORK_SIZE}, with what it compiles. {REST}: start of Python, checks, the scan's SHA-256.",
        f"Nothing to compare with: {missing}."
        if missing
        else f"PyTorch: {SMP}, bare inference of as many slices, after it has warmed up.",
        *(WAY_NOTES[way] for way in session.ways[:1] if rival and way in WAY_NOTES),
    ]
    columns = ("stage", "s", "least", "most", "share %", "MiB", "PyTorch: s", "ratio")
    return {"tool": Table("The tool, from a scan to its page.", columns, _rows(runs, theirs), tuple(notes))}


def _rows(runs, theirs):
    order = [name for stage in STAGES for name in (f"{stage}: network", stage) if name in runs[0]["seconds"]]
    whole = statistics.median(run["seconds"][WHOLE] for run in runs)
    rows = []
    for name in (*order, REST, WHOLE):
        seconds = [run["seconds"][name] for run in runs]
        middle = statistics.median(seconds)
        memory = None if name == REST else round(statistics.median(run["memory"][name] for run in runs))
        rival = statistics.median(theirs) if theirs and name == ASKING else None
        shown = f"{name}: all else" if f"{name}: network" in order else name
        numbers = (middle, min(seconds), max(seconds), percent(middle / whole), memory, rival)
        rows.append((shown, *numbers, rival / middle if rival else None))
    return tuple(rows)
