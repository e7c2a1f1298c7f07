"""What is fuzzed: sound samples of each reader's files, and how they are read and their result looked at.

Every reader is a class with `samples(folder)`, a list of {relative path: content}, and `read(folder)`, which reads what
lies in `folder/files`, asserts that the result is one, and may write to `folder/out` alone.
"""

import contextlib
import io
import os
import random
import re
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parents[1]), str(TESTS.parent / "helpers")]

Files = dict[str, bytes]
RELEASED = "COVID19-DL/results/networks/segnet2_result/segnet2_256_0.001_4_160.mat"


def contents(folder: Path) -> Files:
    """{relative path: content} of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def holds(condition, what: str) -> None:
    """Complain about a result."""
    if not condition:
        raise AssertionError(what)


def check_slices(slices) -> None:
    """Values and labels are what `Slices` promises."""
    holds(len(slices) and slices.images.size and np.isfinite(slices.images).all(), "images that are none")
    slices.sha256()


class PngTree:
    """`unet_segnet.data.png_tree`."""

    def samples(self, folder: Path) -> list[Files]:
        from PIL import Image

        generator = np.random.default_rng(0)
        for number in (1, 2):
            multi = generator.integers(0, 4, (8, 9), np.uint8)
            images = {"im": multi + 7, "mask/multi": multi * 85, "mask/binary": (multi > 0) * np.uint8(255)}
            for kind, image in images.items():
                path = folder / "dataset" / kind / "256" / f"slice_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
        both = contents(folder)
        return [both, {name: content for name, content in both.items() if "binary" not in name}]

    def read(self, folder: Path) -> None:
        from unet_segnet.data.png_tree import read_png_tree

        slices = read_png_tree(folder / "files")
        check_slices(slices)
        holds(slices.units == "8-bit" and slices.labels is not None, "no labels")


class Medseg:
    """`unet_segnet.data.nifti`: slices and volumes."""

    def samples(self, folder: Path) -> list[Files]:
        from unet_segnet.data.nifti import SLICES, VOLUMES, write_volume

        generator = np.random.default_rng(0)
        hounsfield = generator.integers(-1000, 300, (3, 6, 7)).astype(np.int16)
        labels, lungs = (generator.integers(0, high, (3, 6, 7), np.uint8) for high in (4, 2))
        affine = np.diag([0.7, 0.8, 5.0, 1.0])
        for name, array in zip(SLICES, (hounsfield, labels, lungs), strict=True):
            write_volume(folder / f"{name}.nii.gz", array)
        slices = contents(folder)
        for kind, array in zip(VOLUMES, (hounsfield.astype(np.float32), labels, lungs), strict=True):
            (folder / kind).mkdir()
            for name in ("1", "2"):
                write_volume(folder / kind / f"{name}.nii.gz", array, affine)
        volumes = {name: content for name, content in contents(folder).items() if "/" in name}
        return [slices, volumes]

    def read(self, folder: Path) -> None:
        from unet_segnet.data.nifti import has_slices, read_medseg_slices, read_volumes

        if has_slices(folder / "files"):
            check_slices(read_medseg_slices(folder / "files"))
            return
        for volume in read_volumes(folder / "files"):
            holds(volume.images.ndim == 3 and volume.affine.shape == (4, 4), "no volume")
            holds(volume.labels is None or volume.labels.max() < 4, "labels beyond 3")


class _Scan:
    """`unet_segnet.scans.read_scan`."""

    def read(self, folder: Path) -> None:
        from unet_segnet.errors import InputError
        from unet_segnet.scans import find_scans, read_scan, to_network

        for path in find_scans(folder / "files"):
            scan = read_scan(path)
            holds(np.isfinite(scan.array).all() and scan.array.size, "values that are none")
            holds(scan.affine is None or np.isfinite(scan.affine).all(), "an affine that is none")
            holds(scan.spacing is None or (min(scan.spacing) > 0 and np.isfinite(scan.spacing).all()), "no spacing")
            with contextlib.suppress(InputError):
                to_network(scan)


class Scan(_Scan):
    """NIfTI scans."""

    def samples(self, folder: Path) -> list[Files]:
        from scan_files import network_affine, save_nifti

        values = np.random.default_rng(0).integers(-1000, 300, (6, 7, 4)).astype(np.int16)
        save_nifti(folder / "a.nii.gz", values, network_affine())
        save_nifti(folder / "b.nii", values[..., 0].astype(np.float32), network_affine(), sform=0)
        files = contents(folder)
        return [{name: content} for name, content in files.items()]


class Itk(_Scan):
    """MetaImage and NRRD scans, in one file and in two."""

    def samples(self, folder: Path) -> list[Files]:
        import SimpleITK

        values = np.random.default_rng(0).integers(-1000, 300, (4, 7, 6)).astype(np.int16)
        made = []
        for name, packed in (("a.mha", True), ("b.mha", False), ("c.mhd", True), ("d.nrrd", True), ("e.nhdr", False)):
            image = SimpleITK.GetImageFromArray(values)
            image.SetSpacing((0.7, 0.8, 5.0))
            image.SetOrigin((-100.0, -90.0, 30.0))
            (folder / name[0]).mkdir()
            SimpleITK.WriteImage(image, str(folder / name[0] / name), packed)
            made.append(contents(folder / name[0]))
        return made


class Pictures(_Scan):
    """PNG, TIFF and JPEG slices."""

    def samples(self, folder: Path) -> list[Files]:
        from PIL import Image

        values = np.random.default_rng(0).integers(0, 256, (16, 17), np.uint8)
        for name in ("slice2.png", "slice10.png"):
            Image.fromarray(values).save(folder / name)
        pngs = contents(folder)
        made = [pngs]
        floats = values.astype(np.float32) - 900
        for name, array, how in (
            ("a.tif", floats, {}),
            ("b.tif", values, {"compression": "tiff_lzw"}),
            ("c.tiff", values.astype(np.uint16), {"compression": "tiff_adobe_deflate"}),
            ("d.jpg", values, {}),
        ):
            stream = io.BytesIO()
            Image.fromarray(array).save(stream, {"j": "JPEG", "t": "TIFF"}[name[2]], **how)
            made.append({name: stream.getvalue()})
        return made


class Dicom(_Scan):
    """DICOM series, single files, a disc with two series, enhanced CT, compressed slices."""

    def samples(self, folder: Path) -> list[Files]:
        from scan_files import compress_dicom, network_affine, save_dicom, save_enhanced

        values = np.random.default_rng(0).integers(-1000, 300, (3, 12, 16))
        series = contents(save_dicom(folder / "series", values, network_affine()))
        save_dicom(folder / "other", values[:2], network_affine(), series="1.2.3.5")
        disc = {f"{name.replace('.dcm', '')}": content for name, content in contents(folder).items()}
        save_enhanced(folder / "whole.dcm", values, network_affine(), (2, 0, 1))
        made = [series, dict([min(series.items())]), disc, {"whole.dcm": (folder / "whole.dcm").read_bytes()}]
        for syntax in ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"):
            packed = save_dicom(folder / syntax, values, network_affine())
            for path in packed.iterdir():
                compress_dicom(path, syntax)
            made.append(contents(packed))
        return made


class Matlab:
    """`unet_segnet.matlab.load_network`: `.mat` files of both versions, read and built."""

    def samples(self, folder: Path) -> list[Files]:
        from saved_networks import write_network

        write_network(folder / "old.mat")
        write_network(folder / "series.mat", kind="SeriesNetwork")
        write_network(folder / "new.mat", "v7.3")
        files = contents(folder)
        made = [{name: content} for name, content in files.items()]
        made += [{"old.mat": _unpacked(files[name])} for name in ("old.mat", "series.mat")] * 2
        return made

    def read(self, folder: Path) -> None:
        from unet_segnet.errors import InputError
        from unet_segnet.matlab import load_network

        paths = sorted((folder / "files").glob("*.mat"))
        if not paths:
            raise InputError(f"{folder}: no file is left")
        network = load_network(paths[0])
        holds(len(network.class_names) == network.model.output_shape[-1], "class names that do not fit")


def _unpacked(content: bytes) -> bytes:
    """A `.mat` file of version 7 whose variables are no longer compressed: what is spoilt in it is seen."""
    import struct
    import zlib

    out, at = content[:128], 128
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        body = content[at + 8 : at + 8 + length]
        out += zlib.decompress(body) if kind == 15 else content[at : at + 8] + body
        at += 8 + length
    # Where the objects stand is written as a number of bytes: the last variable.
    subsystem = struct.unpack_from("<Q", content, 116)[0]
    if subsystem:
        before, at = 128, 128
        while at < subsystem:
            kind, length = struct.unpack_from("<II", content, at)
            body = content[at + 8 : at + 8 + length]
            before += len(zlib.decompress(body)) if kind == 15 else 8 + length
            at += 8 + length
        out = out[:116] + struct.pack("<Q", before) + out[124:]
    return out


class _Released(Matlab):
    """The released network alone, where it is there: large and slow."""

    def samples(self, folder: Path) -> list[Files]:
        return [{"released.mat": (Path(os.environ["UNET_SEGNET_DATA"]) / RELEASED).read_bytes()}]


class Runs:
    """`experiments.saood2021.runs` and `experiments.saood2021.evidence`."""

    def samples(self, folder: Path) -> list[Files]:
        from run_folders import make_run, spec

        folders = [make_run(folder, spec()), make_run(folder, spec(problem="multiclass", study="kfold", fold=1))]
        make_run(folder, spec(net="unet"), status="diverged", epoch=2)
        for run in folders:
            with np.load(run.history) as saved:
                arrays = dict(saved)
            np.savez_compressed(run.history, **arrays)
        return [contents(folder), contents(folder / "grid/released-binary-segnet")]

    def read(self, folder: Path) -> None:
        from experiments.saood2021 import evidence as collect
        from experiments.saood2021.runs import KIND, read_finished
        from unet_segnet.errors import InputError

        root = folder / "files"
        if not (root / "grid").exists() and not (root / "kfold").exists():
            for path in sorted(path for path in root.glob("*") if path.is_dir()):
                _check_counts(read_finished(path)[1])
            return
        collect.RESULTS = folder / "out"
        counted = []
        for path in KIND.folders(root):
            with contextlib.suppress(InputError):
                counted.append(_check_counts(read_finished(path)[1]))
        evidence = collect.collect(root, None)
        for run in evidence.runs:
            run.history()
            _check_counts(run.counts)


def _check_counts(counts) -> None:
    from experiments.saood2021.counts import RunCounts

    holds(counts is None or isinstance(counts, RunCounts), "no counts")
    if counts is not None:
        for confusion in (counts.test_confusion, counts.validation_confusion):
            holds(confusion.dtype.kind in "iu" and (confusion >= 0).all() and confusion.ndim == 3, "impossible counts")
        holds(isinstance(counts.experiment, int) and isinstance(counts.net, str), "a configuration that is none")


class Archives:
    """`experiments.saood2021.archive.merge`."""

    def samples(self, folder: Path) -> list[Files]:
        from run_folders import make_run, spec

        from experiments.saood2021.archive import pack

        make_run(folder / "runs", spec(), network=300)
        make_run(folder / "runs", spec(net="unet", experiment=2), status="diverged", epoch=2)
        pack(folder / "runs", folder / "runs.zip")
        return [{"runs.zip": (folder / "runs.zip").read_bytes()}]

    def read(self, folder: Path) -> None:
        from experiments.saood2021.archive import merge

        merge(
            sorted(path for path in (folder / "files").iterdir() if path.is_file()) or [folder / "none"], folder / "out"
        )


class Weights:
    """`unet_segnet.networks.load.load_model` on `.keras` files."""

    def samples(self, folder: Path) -> list[Files]:
        import keras

        from unet_segnet import layers

        image = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(2, 3, padding="same")(image)
        x, indices = layers.MaxPooling2D((2, 2))(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxUnpooling2D((2, 2))([x, indices])
        keras.Model(image, keras.layers.Softmax()(x)).save(folder / "small.keras")
        return [contents(folder)]

    def read(self, folder: Path) -> None:
        import keras

        from unet_segnet.networks.load import load_model

        paths = sorted((folder / "files").glob("*.keras")) or [folder / "none.keras"]
        try:
            holds(isinstance(load_model(paths[0]), keras.Model), "no model")
        finally:
            keras.backend.clear_session(free_memory=False)


class OwnData:
    """`unet_segnet.cohort.load_cohort` of a folder or a table of scans, and `unet_segnet.data.splits.read_splits`."""

    def samples(self, folder: Path) -> list[Files]:
        from unet_segnet.data.nifti import write_volume
        from unet_segnet.data.splits import grouped_split, write_splits

        generator = np.random.default_rng(0)
        for kind, low, high in (("images", -1000, 300), ("labels", 0, 3), ("lungs", 0, 2)):
            (folder / kind).mkdir()
            for name in ("a", "b", "c"):
                array = generator.integers(low, high, (2, 6, 7))
                write_volume(folder / kind / f"{name}.nii.gz", array.astype(np.int16 if kind == "images" else np.uint8))
        (folder / "classes.csv").write_text("value,name\n0,healthy\n1,ground glass\n2,consolidation\n")
        whole = contents(folder)
        cohort = self._cohort(folder)
        split = grouped_split(cohort.groups, 0, 1 / 3, 1 / 3)
        write_splits(folder / "split.json", [split], cohort.slices.names, cohort.groups)
        lines = [f"images/{n}.nii.gz,labels/{n}.nii.gz,lungs/{n}.nii.gz,{n},1-2,,train\n" for n in ("a", "b", "c")]
        (folder / "manifest.csv").write_text("image,labels,lungs,patient,slices,orientation,part\n" + "".join(lines))
        tables = contents(folder)
        return [whole, tables]

    def read(self, folder: Path) -> None:
        from unet_segnet.data.splits import read_splits

        files = folder / "files"
        cohort = self._cohort(files)
        check_slices(cohort.slices)
        holds(len(cohort) == len(cohort.slices) == len(cohort.groups), "slices and patients that do not fit")
        if (files / "split.json").is_file():
            for split in read_splits(files / "split.json", cohort.slices.names, cohort.groups):
                parts = np.concatenate([split.train, split.validation, split.test])
                holds(len(set(parts.tolist())) == len(parts) and len(split.train), "no split")

    def _cohort(self, folder: Path):
        from unet_segnet.cohort.load import load_cohort

        manifest = folder / "manifest.csv"
        return load_cohort(manifest if manifest.is_file() else folder, size=8)


class Encoders:
    """`unet_segnet.models.encoders.weights.read_tensors` on `.safetensors` files."""

    def samples(self, folder: Path) -> list[Files]:
        from safetensors.numpy import save_file

        generator = np.random.default_rng(0)
        tensors = {f"features.{n}.weight": generator.normal(size=(2, 3, 3, 3)).astype("float32") for n in range(3)}
        save_file(tensors | {"features.0.bias": np.zeros(2, "float32")}, folder / "vgg.safetensors")
        return [contents(folder)]

    def read(self, folder: Path) -> None:
        from unet_segnet.models.encoders.weights import read_tensors

        paths = sorted((folder / "files").iterdir()) or [folder / "none.safetensors"]
        tensors = read_tensors(paths[0])
        holds(all(isinstance(tensor, np.ndarray) for tensor in tensors.values()), "no tensors")


class Commands:
    """Command lines: none of them names data that is there, so that each must be refused."""

    LINES = (
        "grid --net segnet --variant released --only 4,7 --seeds 0,1 --epochs 3 --size 64 --window 0 9 --data none",
        "kfold --net unet --problem multiclass --only 4 --split-seed 0 --workers 1 --out out --data none",
        "study --parts best,grid --budget 60 --variant both --data none --out out",
        "study --merge none.zip --out out",
        "study --pack packed.zip --out out",
        "predict none.nii.gz --out out --model binary --lungs auto --batch-size 4 --window -1000 400 --orientation LPS",
        "compare --experiment lung --only encoder=resnet18 --epochs 3 --size 64 --data none --out out",
        "train --data none --net segnet --variant released --folds 5 --epochs 3 --size 64 --keep best --out out",
        "evaluate binary --data none --part all --batch-size 4 --window -1000 400 --out out",
        "publish none --force",
        "export none.keras --format onnx --check none --out out.onnx",
        "report --runs none --data none --out out",
        "data check none",
    )

    def samples(self, folder: Path) -> list[Files]:
        return [{f"{line.split()[0]}.line": line.encode()} for line in self.LINES]

    def spoil(self, rng: random.Random, files: Files) -> tuple[Files, str]:
        """One or two words become odd, missing or doubled."""
        (name, line), odd = (
            next(iter(files.items())),
            ("", "-1", "0", "nan", "inf", "1e999", "9" * 5000, "4,,7", "\u0663"),
        )
        words = line.decode().split()
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(1, len(words))
            how = rng.randrange(6)
            more = ("../..", "/dev/null/x", "~", "-", "--", "--nothing", "x" * 300, "\udcff", ".")
            if how <= 3:
                words[at] = rng.choice((*odd, *more))
            elif how == 4:
                words.insert(at, words[at])
            elif len(words) > 2:
                del words[at]
        return {name: "\0".join(words).encode(errors="surrogateescape")}, " ".join(words)[:80]

    def read(self, folder: Path) -> None:
        import importlib
        from unittest.mock import patch

        from unet_segnet.commands import VERBS
        from unet_segnet.errors import InputError

        (path,) = (folder / "files").iterdir()
        name, *words = path.read_bytes().decode(errors="surrogateescape").split("\0")
        module = importlib.import_module(f"unet_segnet.commands.{name}" if name in VERBS else f"experiments.{name}")
        errors = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
        os.chdir(folder / "out")
        out = patch.object(sys, "stdout", io.StringIO())
        with patch.object(sys, "argv", [name, *words]), out, patch.object(sys, "stderr", errors):
            try:
                module.main()
            except SystemExit as end:
                status = end.code
        said = errors.buffer.getvalue().decode()
        holds(status == 2, f"exit status {status} and {said[-100:]!r}")
        _, found, last = said.rpartition("error: ")
        holds(found, f"no line about the error: {said[-200:]!r}")
        # What argparse says shows the word as it was given.
        line, *more = last.strip("\n").split("\n")
        is_one = line.isprintable() and all(re.fullmatch("all [0-9]+ inputs failed.*", each) for each in more)
        holds("usage: " in said or is_one, f"an error of several lines: {last!r}")
        raise InputError(f"{folder}: refused")


READERS = {
    "png tree": PngTree,
    "medseg": Medseg,
    "scan": Scan,
    "itk": Itk,
    "pictures": Pictures,
    "dicom": Dicom,
    "matlab": Matlab,
    "runs": Runs,
    "archives": Archives,
    "weights": Weights,
    "own data": OwnData,
    "encoders": Encoders,
    "commands": Commands,
}
RELEASED_READER = {"released .mat": _Released}
TITLES = {
    "png tree": "PNG tree of the released slices",
    "medseg": "MedSeg's NIfTI slices and volumes",
    "scan": "a scan in NIfTI",
    "itk": "a scan in MetaImage or NRRD",
    "pictures": "PNG, TIFF and JPEG slices",
    "dicom": "DICOM series, discs, enhanced CT",
    "matlab": "MATLAB networks (.mat)",
    "runs": "folders of runs",
    "archives": "packed archives of runs",
    "weights": "networks (.keras)",
    "own data": "own scans: folders, tables, classes, splits",
    "encoders": "weights of encoders (.safetensors)",
    "commands": "command lines",
    "released .mat": "the authors' network (.mat)",
}
# Those that need Keras come in one process, those without in another that starts at once.
WITH_KERAS = ("matlab", "runs", "weights", "encoders", "commands", "released .mat")
