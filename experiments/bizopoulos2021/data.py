"""The data of the second study: 100 slices to train and validate with, volumes to test on, three experiments."""

import hashlib
from collections.abc import Iterator
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
    """

    names: tuple[str, ...]
    units: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StudyData:
    """A data set in MedSeg's NIfTI layout, as the second study takes it.

    Arrays are read when they are asked for and not kept: memory is short while a network trains. Images are
    normalised, then resized bilinearly, masks resized to the nearest pixel. Test slices are scored at that same size,
    as in the article and its code, not at their own.

    Attributes:
        folder: of the files.
        name: of the data set.
        size: height and width that slices are resized to, pixels.
        rule: of `unet_segnet.data.normalise`; None follows from the units: "hu" for Hounsfield units.
    """

    folder: Path
    name: str
    size: int
    rule: str | None = None

    def __getstate__(self):
        """For another process: where the data are, not the data."""
        return {key: getattr(self, key) for key in ("folder", "name", "size", "rule")}

    @cached_property
    def facts(self) -> SliceFacts:
        """What is known of the slices."""
        slices = self.read_slices()
        return SliceFacts(slices.names, slices.units, slices.notes)

    def read_slices(self):
        """`Slices` as they lie in the files, exchanged masks put back."""
        from unet_segnet.data.nifti import read_medseg_slices

        return read_medseg_slices(self.folder)

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

        return volume_names(self.folder)

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

        for volume in read_volumes(self.folder):
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

        for name in progress(self.volume_names, f"reading the volumes of {self.name}"):
            volume = read_volume(*volume_paths(self.folder, name))
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
        """Over the bytes of all files, by their names."""
        digest = hashlib.sha256()
        for path in _files(self.folder):
            digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

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
        for index, image in enumerate(images):
            prepared[index] = resize_bilinear(normalise(image[None], rule), shape)[0]
        if experiment == "lesion_b":
            prepared *= resize_labels(lungs, shape)
        masks = resize_labels(lungs if experiment == "lung" else labels > 0, shape).astype(np.uint8)
        return Examples(name, prepared, masks, names)


def split_slices(num_slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the slices that train and of those that validate.

    The article says 80 and 20 of 100; its released code takes the first 80 in the order of the file, and so does this:
    the first four fifths, rounded. Neighbours in a file may be of one patient, so that the two parts share fewer
    patients than random ones would.
    """
    return tuple(np.split(np.arange(num_slices), [round(TRAIN_SHARE * num_slices)]))


def open_data(data: str | None, size: int, rule: str | None = None, out: Path = Path("runs")) -> StudyData:
    """Find a data set and see that it has what the study needs.

    Arguments:
        data: name in the data folder, path, or "phantom", small volumes that are drawn once into `out`; None is
            MedSeg's, by the name "medseg".
        size: height and width that slices are resized to, pixels.
        rule: see `StudyData`.
        out: folder for the phantom.

    Raises:
        InputError: there is none, or it lacks slices, volumes or masks.
    """
    from unet_segnet.data.catalogue import PHANTOM, data_root, find_data

    if data == PHANTOM:
        return StudyData(_phantom(size, Path(out)), PHANTOM, size, rule)
    if data is None and not (data_root() / ARTICLE_DATA).is_dir():
        raise InputError(
            f"no data of the second study in {data_root() / ARTICLE_DATA}: put MedSeg's files there, or give others in "
            "their layout with --data PATH, or try without data with --data phantom"
        )
    folder = find_data(data or ARTICLE_DATA)
    _check_layout(folder)
    return StudyData(folder, folder.resolve().name, size, rule)


def slice_counts(data: str | None) -> tuple[int, int]:
    """Numbers of slices that train or validate, and of test slices, by the files' headers; nothing is drawn.

    Raises:
        InputError: as `open_data`.
    """
    from unet_segnet.data.catalogue import PHANTOM
    from unet_segnet.data.nifti import slice_paths, volume_names, volume_paths
    from unet_segnet.data.nifti_file import volume_shape

    if data == PHANTOM:
        return PHANTOM_SLICES, PHANTOM_VOLUMES * PHANTOM_VOLUME_SLICES
    folder = open_data(data, size=0).folder
    volumes = [volume_paths(folder, name)[0] for name in volume_names(folder)]
    return volume_shape(slice_paths(folder)[0])[2], sum(volume_shape(path)[2] for path in volumes)


def _check_layout(folder):
    from unet_segnet.data.nifti import SLICES, VOLUMES, slice_paths, volume_names, volume_paths

    names = volume_names(folder)
    expected = list(zip(SLICES, slice_paths(folder), strict=True))
    for name in names or ["N"]:
        expected += zip([f"{kind}/{name}" for kind in VOLUMES], volume_paths(folder, name), strict=True)
    missing = [f"{name}.nii.gz" for name, path in expected if path is None]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"{folder} lacks {', '.join(missing[:3])}{more}: the second study needs slices and volumes with lesion "
            "and lung masks in MedSeg's layout; or try --data phantom"
        )


def _files(folder):
    """All files that a result depends on."""
    from unet_segnet.data.nifti import slice_paths, volume_names, volume_paths

    return [*slice_paths(folder), *(path for name in volume_names(folder) for path in volume_paths(folder, name))]


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
