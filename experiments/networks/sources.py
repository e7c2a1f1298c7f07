"""The sources of data that the tool's own networks learn from, one scan after another, all lying alike.

| source | what is in it | what is known |
|---|---|---|
| COVID19-DL | the 100 slices of the first study, lungs cut out | lesions inside the lungs |
| ct20 | ten patients, ten slices each (`tr_im`), grey levels equalised | lesions, lungs |
| medseg9 | MedSeg's nine volumes; 2 and 3 are one scan | lesions, lungs |
| lctsc3 | three cancer patients, Hounsfield units | lungs |
| normal001 | a healthy patient, Hounsfield units | that there is no lesion |
| P001 | a COVID-19 patient, Hounsfield units | which slices show lesions: for tests alone |

ct20's volumes (`rp_im`) are the scans of medseg9 once more and are not used.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZE = 256  # pixels, of what the networks take
GREY_WINDOW = (-1350.0, 150.0)  # HU that 8-bit grey levels 0 and 255 are taken for, but those of COVID19-DL
UNKNOWN_PATIENTS = ("COVID19-DL",)  # nobody published which of its slices are of one patient
HU_RANGE = (-1500.0, 3000.0)
UNKNOWN = 255


@dataclass(frozen=True, eq=False)
class Case:
    """Slices of one patient, or of several whose slices nobody told apart.

    Attributes:
        source: where they come from.
        name: of the patient, or of the part of the source.
        patient: which scans are of one body: equal names are never on two sides.
        images: (num_slices, SIZE, SIZE) float16 Hounsfield units, or what grey levels are taken for.
        bodies: the same, cropped to `boxes`.
        boxes: (num_slices, 3), see `unet_segnet.inference.network_lungs.body_boxes`.
        lungs: (num_slices, height, width) bool, at the scan's own size.
        lungs_known: the lungs are marked by people; else found by their Hounsfield units or by what is cut out.
        lesions: (num_slices, height, width) bool, or None where they are not marked.
        infected: (num_slices,) whether a slice shows lesions, or None where that is unknown.
        names: of the slices.
        adjoining: whether the slices are of one scan.
        units: "HU", of some sources nearly; or "8-bit", grey levels that were taken for them.
    """

    source: str
    name: str
    patient: str
    images: np.ndarray
    bodies: np.ndarray
    boxes: np.ndarray
    lungs: np.ndarray
    lungs_known: bool
    lesions: np.ndarray | None
    infected: np.ndarray | None
    names: tuple[str, ...]
    adjoining: bool = True
    units: str = "HU"


def read_cases(source: str) -> list[Case]:
    """The cases of one of `SOURCES`.

    Raises:
        InputError: its files are missing or damaged.
    """
    return list(SOURCES[source](source))


def pictures(images: np.ndarray) -> dict[str, np.ndarray]:
    """`images`, `bodies` and `boxes` of a case, of square slices in Hounsfield units; values within `HU_RANGE`."""
    from unet_segnet.data.normalise import resize_bilinear
    from unet_segnet.inference.network_lungs import body_boxes, crop

    images = np.clip(images, *HU_RANGE).astype(np.float32)
    boxes = body_boxes(images)
    return {
        "images": resize_bilinear(images, (SIZE, SIZE)).astype(np.float16),
        "bodies": crop(images, boxes, SIZE, GREY_WINDOW[0]).astype(np.float16),
        "boxes": boxes,
    }


def _read(path: Path, orientation: str | None = None):
    """(num_slices, height, width) of a scan or a mask in the networks' orientation, its spacing, and slice names."""
    from unet_segnet.scans import read_scan, to_network

    slices = to_network(read_scan(path), orientation)
    return slices.images, slices.spacing, slices.names


def _covid19_dl(source: str) -> Iterator[Case]:
    """Three parts: those of the first study's split, for nobody knows whose slices they are."""
    from scipy import ndimage

    from unet_segnet.data.catalogue import find_data, read_slices
    from unet_segnet.data.normalise import grey_as_hu
    from unet_segnet.data.preprocess import DEFAULT_WINDOW
    from unet_segnet.data.splits import PARTS, paper_split

    slices = read_slices(find_data(source)).binary()
    lungs = np.stack([ndimage.binary_fill_holes(image > 0) for image in slices.images])
    images, lesions = grey_as_hu(slices.images, DEFAULT_WINDOW), slices.labels > 0
    split = paper_split(len(slices))
    for part in PARTS:
        chosen = np.sort(getattr(split, part))
        names = tuple(slices.names[index] for index in chosen)
        marked = lesions[chosen]
        infected = marked.any(axis=(1, 2))
        yield Case(
            source=source, name=part, patient=f"{source}-{part}", **pictures(images[chosen]), lungs=lungs[chosen],
            lungs_known=False, lesions=marked, infected=infected, names=names, adjoining=False,
            units="8-bit",
        )  # fmt: skip


def _ct20(source: str) -> Iterator[Case]:
    from unet_segnet.data.catalogue import find_data
    from unet_segnet.data.normalise import grey_as_hu

    folder = find_data(source)
    images, lesions, lungs = (
        _read(folder / f"{name}.nii.gz", "upright")[0] for name in ("tr_im", "tr_mask", "tr_lungmasks_updated")
    )
    images, per_patient = grey_as_hu(images, GREY_WINDOW), 10
    for number, start in enumerate(range(0, len(images), per_patient), 1):
        part = slice(start, start + per_patient)
        yield _marked(source, str(number), f"{source}-{number}", images[part], lungs[part], lesions[part], "8-bit")


def _medseg9(source: str) -> Iterator[Case]:
    from unet_segnet.data.catalogue import find_data
    from unet_segnet.data.nifti import volume_names, volume_paths

    folder = find_data(source)
    for name in volume_names(folder):
        images, lesions, lungs = (_read(path)[0] for path in volume_paths(folder, name))
        patient = "medseg9-2" if name == "3" else f"medseg9-{name}"
        yield _marked(source, name, patient, images, lungs, lesions)


def _lctsc3(source: str) -> Iterator[Case]:
    from unet_segnet.data.catalogue import find_data

    folder = find_data(source)
    for path in sorted((folder / "images").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        images, _, names = _read(path)
        lungs = _read(folder / "lungs" / path.name)[0] > 0
        yield Case(
            source=source, name=name, patient=name, **pictures(images), lungs=lungs, lungs_known=True, lesions=None,
            infected=None, names=names,
        )  # fmt: skip


def _dicom(source: str) -> Iterator[Case]:
    """One patient of COVID-CT-MD; its lungs are found by their Hounsfield units, for nobody marked them."""
    from unet_segnet.data.catalogue import find_data
    from unet_segnet.inference.lungs import lung_masks
    from unet_segnet.scans import read_scan, to_network

    folder = find_data("covid-ct-md")
    scan = read_scan(folder / source)
    slices = to_network(scan)
    lungs = lung_masks(slices.images, slices.spacing) > 0
    with (folder / f"{source}_slices.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["z_mm"]))  # from foot to head
    infected = np.array([row["infected"] == "1" for row in rows])
    lesions = None if infected.any() else np.zeros(lungs.shape, bool)
    yield Case(
        source=source, name=source, patient=source, **pictures(slices.images), lungs=lungs, lungs_known=False,
        lesions=lesions, infected=infected, names=slices.names,
    )  # fmt: skip


def _marked(source, name, patient, images, lungs, lesions, units="HU") -> Case:
    lesions = lesions > 0
    names = tuple(f"{number:03}" for number in range(1, len(images) + 1))
    return Case(
        source=source, name=name, patient=patient, **pictures(images), lungs=lungs > 0, lungs_known=True,
        lesions=lesions, infected=lesions.any(axis=(1, 2)), names=names, units=units,
    )  # fmt: skip


SOURCES: dict[str, Callable[[str], Iterator[Case]]] = {
    "COVID19-DL": _covid19_dl,
    "ct20": _ct20,
    "medseg9": _medseg9,
    "lctsc3": _lctsc3,
    "normal001": _dicom,
    "P001": _dicom,
}
