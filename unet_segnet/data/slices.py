"""The one type for a set of slices: what every reader gives and every study takes."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

MULTICLASS_NAMES = ("C0", "C1", "C2", "C3")
MULTICLASS_FINDINGS = ("no lesion", "ground glass", "consolidation", "pleural effusion")  # what these stand for
BINARY_NAMES = ("not infected", "infected")
MAX_CLASSES = 7  # as many as figures have colours for
UNITS = ("8-bit", "HU")


def findings(class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes as a reader of a scan knows them: what C1 to C3 stand for, other names as they are."""
    return MULTICLASS_FINDINGS if class_names == MULTICLASS_NAMES else class_names


@dataclass(frozen=True, eq=False)
class Slices:
    """Axial slices of one size with their labels and lung masks.

    Attributes:
        images: (num_slices, height, width), uint8 grey levels 0..255 or float32 Hounsfield units.
        labels: (num_slices, height, width) uint8 class index 0..num_classes-1, or None where unknown.
        lungs: (num_slices, height, width) bool, True inside the lungs, or None where unknown.
        names: one per slice, unique, such as "001".
        units: what the images' values are, "8-bit" or "HU".
        class_names: `MULTICLASS_NAMES`, C0 healthy tissue and background; or `BINARY_NAMES`.
        notes: what was mended on loading, one line each; empty if nothing was.

    Raises:
        ValueError: arrays, names, units and class names that do not fit each other.
    """

    images: np.ndarray
    labels: np.ndarray | None
    lungs: np.ndarray | None
    names: tuple[str, ...]
    units: str = "8-bit"
    class_names: tuple[str, ...] = MULTICLASS_NAMES
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        images = self.images
        if images.ndim != 3:
            raise ValueError(f"images must be (num_slices, height, width). Received: shape {images.shape}")
        if self.units not in UNITS:
            raise ValueError(f"units must be one of {UNITS}. Received: {self.units!r}")
        expected = np.uint8 if self.units == "8-bit" else np.float32
        if images.dtype != expected:
            raise ValueError(f"{self.units} images must be {np.dtype(expected)}. Received: {images.dtype}")
        for name, array, dtype in (("labels", self.labels, np.uint8), ("lungs", self.lungs, np.bool_)):
            if array is None:
                continue
            if array.shape != images.shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} of shape {images.shape}. "
                    f"Received: {array.dtype} of shape {array.shape}"
                )
        if len(self.names) != len(images) or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be {len(images)} different names. Received: {self.names}")
        if self.labels is not None and self.labels.size and self.labels.max() >= self.num_classes:
            raise ValueError(
                f"labels must be below {self.num_classes} ({self.class_names}). Received: {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def subset(self, indices) -> "Slices":
        """The slices at `indices` (zero-based integers), in that order."""
        indices = np.asarray(indices, dtype=np.intp)
        return replace(
            self,
            images=self.images[indices],
            labels=None if self.labels is None else self.labels[indices],
            lungs=None if self.lungs is None else self.lungs[indices],
            names=tuple(self.names[index] for index in indices),
        )

    def binary(self) -> "Slices":
        """The same slices for the binary problem: every lesion class becomes "infected"."""
        labels = None if self.labels is None else (self.labels > 0).astype(np.uint8)
        return replace(self, labels=labels, class_names=BINARY_NAMES)

    def sha256(self) -> str:
        """Hexadecimal SHA-256 over the images and labels with their shapes and types."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            if array is None:
                digest.update(b"none")
                continue
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
