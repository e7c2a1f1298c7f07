"""The data of the second study: 100 slices to train and validate with, volumes to test on, three experiments."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.bizopoulos2021.protocol import ARTICLE_DATA, TRAIN_SHARE
from unet_segnet.errors import InputError

PHANTOM_SLICES, PHANTOM_VOLUMES, PHANTOM_VOLUME_SLICES = 40, 3, 10


@dataclass(frozen=True, eq=False)
class Examples:
    """Slices of one experiment, ready for the networks, and what is to be found on them.

    Attributes:
        name: of the volume, or "slices".
        images: (num_slices, size, size) float32, normalised; lesion B: 0 outside the lungs.
        masks: (num_slices, size, size) uint8, 1 on the lungs, or on lesions of any class.
        names: one per slice.
    """

    name: str
    images: np.ndarray
    masks: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class SliceFacts:
    """What is known of the slices that train and validate, without them.

    Attributes:
        names: one per slice.
        units: "HU" or "8-bit".
        notes: what was mended on loading, one line each.
        lungs_alone: do they show the lungs alone, without lung masks, as the released PNG slices of the first study?
    """

    names: tuple[str, ...]
    units: str
    notes: tuple[str, ...]
    lungs_alone: bool


@dataclass(frozen=True, eq=False)
class StudyData:
    """Slices to train with and volumes to test on, of one data set or of two, as the second study takes them.

    Arrays are read when they are asked for and not kept: memory is short while a network trains. Images are
    normalised, then resized bilinearly, masks resized to the nearest pixel. Test slices are scored at that same size,
    as in the article and its code, not at their own.

    Attributes:
        folder: of the slices, and of the volumes where these are of the same data set; in MedSeg's NIfTI layout, or
            the slices alone as the PNG tree of the first study.
        name: of the data set.
        size: height and width that slices are resized to, pixels.
        rule: of `unet_segnet.data.normalise`; None follows from the units: "hu" for Hounsfield units.
        test: folder of the volumes, in MedSeg's layout, where they are of another data set; else None.
    """

    folder: Path
    name: str
    size: int
    rule: str | None = None
    test: Path | None = None

    def __getstate__(self):
        """For another process: where the data are, not the data."""
        return {key: getattr(self, key) for key in ("folder", "name", "size", "rule", "test")}

    @property
    def test_folder(self) -> Path:
        """Of the volumes."""
        return self.test or self.folder

    @property
    def test_name(self) -> str | None:
        """Of the volumes' data set, where it is another one."""
        from unet_segnet.data.catalogue import PHANTOM

        # The phantom goes with itself alone, and is opened by its name.
        return self.test and (PHANTOM if self.name == PHANTOM else self.test.resolve().name)

    @cached_property
    def facts(self) -> SliceFacts:
        """What is known of the slices."""
        slices = self.read_slices()
        return SliceFacts(slices.names, slices.units, slices.notes, slices.lungs is None)

    def read_slices(self):
        """`Slices` as they lie in the files, exchanged masks put back."""
        from unet_segnet.data.nifti import has_slices, read_medseg_slices
        from unet_segnet.data.png_tree import read_png_tree

        return read_medseg_slices(self.folder) if has_slices(self.folder) else read_png_tree(self.folder)

    @property
    def normalisation(self) -> str:
        """The rule that is used.

        Raises:
            InputError: the values are not Hounsfield units, and the rule for these was asked for.
        """
        rule = self.rule or ("hu" if self.facts.units == "HU" else "minmax")
        self._check_units(rule, self.facts.units, "slices")
        return rule

    @property
    def volume_names(self) -> list[str]:
        """Names of the test volumes."""
        from unet_segnet.data.nifti import volume_names

        return volume_names(self.test_folder)

    def check_experiments(self, experiments: Iterable[str]) -> None:
        """See that the slices can train for these.

        Raises:
            InputError: they show the lungs alone, which is lesion B.
        """
        if self.facts.lungs_alone and (other := [name for name in experiments if name != "lesion_b"]):
            raise InputError(
                f"{self.folder}: its slices show the lungs alone, which is for --experiment lesion_b; not {other[0]}"
            )

    def parts(self, experiment: str) -> tuple[Examples, Examples]:
        """The slices that train and those that validate."""
        slices = self.read_slices()
        both = self._prepare("slices", slices.images, slices.labels, slices.lungs, slices.names, experiment)
        num_train = len(split_slices(len(slices))[0])
        parts = slice(num_train), slice(num_train, None)  # views, not copies
        return tuple(Examples(both.name, both.images[part], both.masks[part], both.names[part]) for part in parts)

    def volumes(self, experiment: str) -> Iterator[Examples]:
        """The test volumes, one at a time, so that only one lies in memory; slices named "3-001", "3-002", ...

        Raises:
            InputError: a file is damaged, or its values are not of the slices' kind.
        """
        from unet_segnet.data.nifti import read_volumes

        for volume in read_volumes(self.test_folder):
            self._check_units(self.normalisation, volume.units, f"volume {volume.name}")
            names = tuple(f"{volume.name}-{number:03}" for number in range(1, len(volume.images) + 1))
            yield self._prepare(volume.name, volume.images, volume.labels, volume.lungs, names, experiment)

    def check(self) -> None:
        """Read every file once, so that what is damaged is found before training, not after.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        from unet_segnet.data.nifti import read_volume, volume_paths
        from unet_segnet.output.console import progress

        for name in progress(self.volume_names, f"reading the volumes of {self.test_name or self.name}"):
            volume = read_volume(*volume_paths(self.test_folder, name))
            self._check_units(self.normalisation, volume.units, f"volume {name}")

    def describe(self) -> dict:
        """For a run's configuration."""
        return {
            "name": self.name,
            "size": self.size,
            "scored_at": self.size,
            "units": self.facts.units,
            "normalise": self.normalisation,
            "sha256": self.sha256,
            **({"test": {"name": self.test_name, "sha256": self.test_sha256}} if self.test else {}),
        }

    def split(self) -> dict:
        """Names of the slices that train and validate, and of the volumes that test."""
        names = self.facts.names
        train, validation = split_slices(len(names))
        return {
            "train": [names[index] for index in train],
            "validation": [names[index] for index in validation],
            "test": self.volume_names,
        }

    @cached_property
    def sha256(self) -> str:
        """Over the bytes of all files, by their names; without the volumes where these are of another data set."""
        from unet_segnet.data.nifti import has_slices, slice_paths

        if not has_slices(self.folder):
            return self.read_slices().sha256()
        return _sha256(self.folder, [*slice_paths(self.folder), *([] if self.test else _volume_files(self.folder))])

    @cached_property
    def test_sha256(self) -> str | None:
        """Likewise of the volumes, where they are of another data set."""
        return self.test and _sha256(self.test, _volume_files(self.test))

    def _check_units(self, rule, units, what):
        if rule == "hu" and units != "HU":
            raise InputError(
                f"{self.folder}: the {what} of this data set are not Hounsfield units: use --normalise minmax"
            )

    def _prepare(self, name, images, labels, lungs, names, experiment):
        from unet_segnet.data.normalise import normalise, resize_bilinear
        from unet_segnet.data.resize import resize_labels

        shape, rule = (self.size, self.size), self.normalisation
        prepared = np.empty((len(images), *shape), np.float32)
        # Where the slices that train came with the lungs cut out, so are the volumes, before they are normalised.
        cut_before = experiment == "lesion_b" and rule == "minmax" and self.facts.lungs_alone
        for index, image in enumerate(images):
            if cut_before and lungs is not None:
                image = self._lungs_alone(image, lungs[index])
            prepared[index] = resize_bilinear(normalise(image[None], rule), shape)[0]
        if experiment == "lesion_b" and not cut_before:
            prepared *= resize_labels(lungs, shape)
        masks = resize_labels(lungs if experiment == "lung" else labels > 0, shape).astype(np.uint8)
        return Examples(name, prepared, masks, names)

    @staticmethod
    def _lungs_alone(image, lungs):
        """A slice as the released PNG slices are: black outside the lungs; of Hounsfield units, those in the window."""
        from unet_segnet.data.preprocess import DEFAULT_WINDOW

        low, high = (0, 255) if image.dtype == np.uint8 else DEFAULT_WINDOW
        return np.where(lungs, np.clip(image, low, high), low)


def split_slices(num_slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the slices that train and of those that validate.

    The article says 80 and 20 of 100; its released code takes the first 80 in the order of the file, and so does this:
    the first four fifths, rounded. Neighbours in a file may be of one patient, so that the two parts share fewer
    patients than random ones would.
    """
    return tuple(np.split(np.arange(num_slices), [round(TRAIN_SHARE * num_slices)]))


def open_data(
    data: str | None, size: int, rule: str | None = None, out: Path = Path("runs"), test: str | None = None
) -> StudyData:
    """Find a data set and see that it has what the study needs.

    Arguments:
        data: name in the data folder, path, or "phantom", small volumes that are drawn once into `out`; None is
            MedSeg's, by the name "medseg".
        size: height and width that slices are resized to, pixels.
        rule: see `StudyData`.
        out: folder for the phantom.
        test: likewise a data set whose volumes test, where `data` is to give the slices alone.

    Raises:
        InputError: there is none, or it lacks slices, volumes or masks.
    """
    from unet_segnet.data.catalogue import PHANTOM, data_root, find_data
    from unet_segnet.data.png_tree import tree_root

    volumes = None
    if test is not None and PHANTOM in (data, test) and test != data:
        raise InputError(f"--test {test}: the phantom goes with itself alone; give it for both, or for none")
    if test is not None:
        volumes = _phantom(size, Path(out)) if test == PHANTOM else find_data(test)
        _check_layout(volumes, slices=False)
    if data == PHANTOM:
        return StudyData(_phantom(size, Path(out)), PHANTOM, size, rule, volumes)
    if data is None and not (data_root() / ARTICLE_DATA).is_dir():
        raise InputError(
            f"no data of the second study in {data_root() / ARTICLE_DATA}: put MedSeg's files there, or give others in "
            "their layout with --data PATH, or try without data with --data phantom"
        )
    folder = find_data(data or ARTICLE_DATA)
    if volumes is None or tree_root(folder) is None:
        _check_layout(folder, volumes=volumes is None)
    return StudyData(folder, folder.resolve().name, size, rule, volumes)


def place_of(options) -> str:
    """What tells folders of runs apart whose volumes are of another data set: both names and the size; else nothing."""
    from unet_segnet.data.catalogue import PHANTOM, find_data

    if options.test is None:
        return ""
    names = [
        name if name == PHANTOM else find_data(name or ARTICLE_DATA).resolve().name
        for name in (options.data, options.test)
    ]
    return "-".join([*names, str(options.size)])


def slice_counts(data: str | None, test: str | None = None) -> tuple[int, int]:
    """Numbers of slices that train or validate, and of test slices, by the files' headers; nothing is drawn.

    Raises:
        InputError: as `open_data`.
    """
    from unet_segnet.data.catalogue import PHANTOM
    from unet_segnet.data.nifti import slice_paths, volume_paths
    from unet_segnet.data.nifti_file import volume_shape

    if data == PHANTOM and test in (None, PHANTOM):
        return PHANTOM_SLICES, PHANTOM_VOLUMES * PHANTOM_VOLUME_SLICES
    study = open_data(data, size=0, test=test)
    volumes = [volume_paths(study.test_folder, name)[0] for name in study.volume_names]
    slices = slice_paths(study.folder)[0]
    num_slices = volume_shape(slices)[2] if slices else len(study.facts.names)
    return num_slices, sum(volume_shape(path)[2] for path in volumes)


def _check_layout(folder, slices=True, volumes=True):
    from unet_segnet.data.nifti import SLICES, VOLUMES, slice_paths, volume_names, volume_paths

    expected = list(zip(SLICES, slice_paths(folder), strict=True)) if slices else []
    for name in (volume_names(folder) or ["N"]) if volumes else ():
        expected += zip([f"{kind}/{name}" for kind in VOLUMES], volume_paths(folder, name), strict=True)
    missing = [f"{name}.nii.gz" for name, path in expected if path is None]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"{folder} lacks {', '.join(missing[:3])}{more}: the second study needs slices and volumes with lesion "
            "and lung masks in MedSeg's layout (volumes of another data set: --test); or try --data phantom"
        )


def _volume_files(folder):
    from unet_segnet.data.nifti import volume_names, volume_paths

    return [path for name in volume_names(folder) for path in volume_paths(folder, name)]


def _sha256(folder, paths):
    """Over the bytes of files, by their names."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _phantom(size, out):
    """The folder of the phantom of that size, drawn where it is not there yet."""
    from unet_segnet.data.phantom import write_phantom
    from unet_segnet.output.whole_folder import whole_folder

    folder = out / f"phantom-{size}"
    if not folder.is_dir():
        with whole_folder(folder, ("tr_im.nii.gz",)) as temporary:
            write_phantom(
                temporary, PHANTOM_SLICES, 0, size, volumes=PHANTOM_VOLUMES, volume_slices=PHANTOM_VOLUME_SLICES
            )
    return folder
