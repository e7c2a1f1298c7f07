"""Finished runs in one small file, from the machine that trained to the one that collects.

A zip archive, because its directory at the end tells names, kinds and sizes of all members before any is read. The
members stand in it uncompressed (arrays are compressed already), so that equal runs give equal bytes and nothing can
swell on reading:

    grid/released-binary-segnet/exp4-seed0/config.json, history.npz, counts.npz, result.json; some with model.keras

What is merged comes from elsewhere and is believed in nothing: names, kinds, sizes and contents of all archives are
checked before anything is written.
"""

import io
import json
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from experiments.saood2021.archive_checks import (
    FILES,
    LIMIT,
    MAX_MEMBERS,
    MIB,
    PackedRun,
    UnsoundError,
    check_run,
    checked_members,
)
from experiments.saood2021.runs import KIND
from unet_segnet.errors import InputError
from unet_segnet.output.files import read_small, whole_file
from unet_segnet.output.locks import HeldError
from unet_segnet.output.records import read_json
from unet_segnet.runs.folder import RunFolder


def pack(out: Path, file: Path, force: bool = False) -> tuple[list[str], list[str]]:
    """Write all finished runs below a folder into an archive, or into several numbered ones of at most 16 MiB.

    The network comes along of the best run of each released network and problem: that with the highest mean global
    accuracy over the test slices, as in the article, among the runs of the grid.

    Arguments:
        out: folder of the runs.
        file: the archive; FILE-1, FILE-2, ... where it would be too large.
        force: replace archives that are there.

    Returns:
        Lines that say what was written, and a line for each run or network that was left out because it is damaged.

    Raises:
        InputError: no finished run, another archive of that name, or one that cannot be written.
    """
    runs, left_out = [], []
    for path in KIND.folders(out):
        try:
            kept = [name for name in FILES if name != "model.keras" and (path / name).is_file()]
            runs.append(check_run(path.relative_to(out).as_posix(), {n: (path / n).read_bytes() for n in kept}))
        except (UnsoundError, OSError) as error:
            left_out.append(f"{error}; remove the run's folder in {out} to train it again")
    if not runs:
        raise InputError("; ".join([f"{out}: no finished run to pack", *left_out]))
    packed = list(_with_best_networks(runs, out, left_out))
    parts = [_zipped(part) for part in _distributed(packed)]
    numbered = [file.with_name(f"{file.stem}-{number}{file.suffix}") for number in range(1, len(parts) + 1)]
    targets = numbered if len(parts) > 1 else [file]
    try:
        for target, content in zip(targets, parts, strict=True):
            if target.exists() and target.read_bytes() != content and not force:
                raise InputError(f"{target}: is there already; give another file, or --force to replace it")
        file.parent.mkdir(parents=True, exist_ok=True)
        for target, content in zip(targets, parts, strict=True):
            _write(target, content)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); give another file") from error
    with_network = sum("model.keras" in run.files for run in packed)
    sizes = ", ".join(
        f"{target} ({len(content) / MIB:.1f} MiB)" for target, content in zip(targets, parts, strict=True)
    )
    return [f"{len(packed)} runs, {with_network} of them with the network, written to {sizes}"], left_out


def _with_best_networks(runs: list[PackedRun], out: Path, left_out: list[str]) -> Iterator[PackedRun]:
    """The same runs, the best of each released network and problem with its network, where that was kept."""
    best: dict[tuple[str, str], PackedRun] = {}
    for run in runs:
        if (run.spec.study, run.spec.variant) == ("grid", "released") and run.accuracy is not None:
            before = best.setdefault((run.spec.net, run.spec.problem), run)
            if run.accuracy > before.accuracy:
                best[run.spec.net, run.spec.problem] = run
    for run in runs:
        model = RunFolder(out, run.spec).model
        if run in best.values() and model.is_file():
            try:
                yield check_run(run.folder, {**run.files, "model.keras": model.read_bytes()})
                continue
            except (UnsoundError, OSError) as error:
                left_out.append(f"{error}; the run is packed without its network")
        yield run


def _distributed(runs: list[PackedRun]) -> list[list[PackedRun]]:
    """The runs in as many groups as archives are needed, in their order."""
    parts, size = [[]], 1024
    for run in runs:
        # A member's name stands in its own header and in the directory, each with less than 100 bytes beside it.
        needed = sum(len(content) + 2 * (len(f"{run.folder}/{name}") + 100) for name, content in run.files.items())
        if needed + 1024 > LIMIT:
            raise InputError(f"{run.folder}: {needed / MIB:.1f} MiB do not fit in an archive of {LIMIT // MIB} MiB")
        if size + needed > LIMIT:
            parts.append([])
            size = 1024
        parts[-1].append(run)
        size += needed
    return parts


def _zipped(runs: list[PackedRun]) -> bytes:
    """The archive of these runs; equal runs give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for run in runs:
            for name in FILES:
                if name in run.files:
                    member = zipfile.ZipInfo(f"{run.folder}/{name}", (1980, 1, 1, 0, 0, 0))
                    member.create_system, member.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                    archive.writestr(member, run.files[name])
    return stream.getvalue()


def read_archive(archive: Path) -> list[PackedRun]:
    """The runs in an archive, all of them checked.

    Raises:
        InputError: naming the archive and the member, and what is wrong.
    """
    try:
        content = read_small(archive, LIMIT)
    except OSError as error:
        raise InputError(f"{archive}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{archive}: is {error}; give an archive that `study --pack` wrote") from error
    # zipfile takes its time over a directory, before it can be asked how long it is; arrays hold entries of their own.
    if (entries := content.count(b"PK\1\2")) > 5 * MAX_MEMBERS:
        raise InputError(f"{archive}: lists {entries} files; `study --pack` writes {MAX_MEMBERS} at most")
    try:
        runs: dict[str, dict[str, bytes]] = {}
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for folder, name, member in checked_members(packed.infolist(), len(content)):
                try:
                    runs.setdefault(folder, {})[name] = packed.read(member)
                except Exception as error:
                    raise UnsoundError(member.filename, f"is damaged ({error})") from error
        checked = [check_run(folder, files) for folder, files in runs.items()]
    except UnsoundError as error:
        raise InputError(f"{archive}: {error}; nothing of it was taken") from error
    except Exception as error:  # zipfile raises a dozen kinds
        raise InputError(f"{archive}: is no sound zip archive ({' '.join(str(error).split())[:150]})") from error
    if not checked:
        raise InputError(f"{archive}: holds no run; give an archive that `study --pack` wrote")
    return checked


def merge(archives: list[Path], out: Path, force: bool = False) -> list[str]:
    """Take the runs in archives into a folder of runs.

    A run that is there in the same form is kept, and gets its network where only that was missing; an unfinished one
    of the same settings is replaced, unless another process works on it.

    Arguments:
        archives: as `pack` writes them.
        out: folder of the runs.
        force: also replace runs that differ.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: an archive that is not sound, or a run that differs from the one that is there; nothing was
            written then. Also a folder that cannot be written.
    """
    taken: dict[str, tuple[PackedRun, Path]] = {}
    for archive in archives:
        for run in read_archive(archive):
            before, where = taken.setdefault(run.folder, (run, archive))
            if not run.agrees(before):
                raise InputError(f"{archive}: {run.folder}: differs from the one in {where}; merge one of the two")
            taken[run.folder] = replace(run, files={**before.files, **run.files}), where
    found = {run.folder: _compare(run, RunFolder(out, run.spec)) for run, _ in taken.values()}
    for run, archive in taken.values():
        if found[run.folder] == "different" and not force:
            raise InputError(
                f"{archive}: {run.folder}: differs from the run in {out}; give another folder with --out, or --force "
                "to replace that run"
            )
    lines, counts = [], dict.fromkeys(("taken", "same", "weights"), 0)
    for run, _ in taken.values():
        done = found[run.folder]
        if done != "same":
            try:
                done = _place(run, RunFolder(out, run.spec), force)
            except (HeldError, _ChangedError) as error:
                lines.append(f"left alone: {error}")
                continue
            except OSError as error:
                raise InputError(f"{out}: cannot be written ({error.strerror}); merge again when it can") from error
        counts[done] += 1
    lines.append(
        f"runs in {', '.join(map(str, archives))}: {len(taken)}; taken into {out}: {counts['taken']}, only their "
        f"network: {counts['weights']}, there already: {counts['same']}"
    )
    return lines


class _ChangedError(Exception):
    """The run has come to be there while it was being merged."""


def _compare(run: PackedRun, folder: RunFolder) -> str:
    """ "new", "same", "weights" (all the same, its network is missing) or "different"."""
    if not folder.finished:
        settings = json.loads(run.files["config.json"])
        try:
            return "new" if not folder.config.exists() or read_json(folder.config) == settings else "different"
        except InputError:  # a damaged one
            return "different"
    there = {name: (folder.path / name).read_bytes() if (folder.path / name).is_file() else None for name in run.files}
    different = {name for name, content in run.files.items() if there[name] != content}
    if different == {"model.keras"} and there["model.keras"] is None:
        return "weights"
    return "different" if different else "same"


def _place(run: PackedRun, folder: RunFolder, force: bool) -> str:
    """Put a run into its folder; killed at any moment, it leaves an unfinished run that the next merge replaces."""
    with folder.lock():
        now = _compare(run, folder)
        if now == "same":
            return now
        if now == "weights":
            _write(folder.model, run.files["model.keras"])
            return now
        if now == "different" and not force:
            raise _ChangedError(f"{folder.path}: another process has finished this run differently")
        folder.clear()
        for name in FILES:
            if name in run.files:
                _write(folder.path / name, run.files[name])
    return "taken"


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
