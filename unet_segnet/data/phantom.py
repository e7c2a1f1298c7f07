"""A procedural chest CT: axial slices in Hounsfield units with lesions, so that everything runs without any file.

What is drawn: body with fat, ribs, spine, heart and aorta; two lungs whose shape follows the level from apex to base,
with vessels, airways, a gravity gradient and noise; ground glass with fuzzy borders through which vessels remain
visible, consolidation with air bronchograms, and pleural effusion as a crescent along the dependent border. Amounts
follow the 100 slices of the study (pixels per class, slices per class), attenuation follows their medians. As in those
slices, the patient lies sideways in the array: anterior to the left, posterior to the right, one lung above the other.

It is a test object: learnable, not solved by a grey threshold, and no statement about patients.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from unet_segnet.data.nifti import write_volume
from unet_segnet.data.slices import MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError

AIR, FAT, SOFT_TISSUE, BLOOD, BONE = -1000.0, -95.0, 45.0, 40.0, 450.0
LUNG, GROUND_GLASS, CONSOLIDATION, EFFUSION = -800.0, -360.0, -20.0, 12.0
DRAWN_SIZE = 512  # lengths below are pixels of a slice of this size

# Shares of the 100 slices: how often a class occurs, and how much of the lungs it covers where it does.
GROUND_GLASS_SLICES, CONSOLIDATION_SLICES, EFFUSION_SLICES = 0.96, 0.78, 0.25
GROUND_GLASS_SHARE, CONSOLIDATION_SHARE = 0.145, 0.088


def phantom_slices(num_slices: int = 100, seed: int = 0, size: int = DRAWN_SIZE) -> Slices:
    """Phantom slices with labels and lung masks.

    Arguments:
        num_slices: how many; slice k is the same whatever their number.
        seed: non-negative integer.
        size: height and width, pixels, at least 32.

    Returns:
        Slices in Hounsfield units, labels C0 to C3, lungs with the lesions in them.

    Raises:
        InputError: fewer than one slice, or a size below 32.
    """
    if num_slices < 1 or size < 32:
        raise InputError(f"a phantom has at least 1 slice, its `size` is at least 32. Received: {num_slices} of {size}")
    drawn = []
    for number in range(num_slices):
        generator = np.random.default_rng([seed, number])
        drawn.append(_draw(generator, level=generator.uniform(0.12, 0.95), size=size))
    images, labels, lungs = (np.stack(part) for part in zip(*drawn, strict=True))
    names = tuple(f"{number:03}" for number in range(1, num_slices + 1))
    return Slices(images, labels, lungs, names, "HU", MULTICLASS_NAMES)


def write_phantom(
    folder: str | Path,
    num_slices: int = 100,
    seed: int = 0,
    size: int = DRAWN_SIZE,
    volumes: int = 0,
    volume_slices: int = 30,
) -> None:
    """Write phantom slices, and volumes on request, as MedSeg's NIfTI files.

    Arguments:
        folder: where `tr_im.nii.gz`, `tr_mask.nii.gz` and `tr_lungmasks_updated.nii.gz` go, and for volumes
            `rp_im/N.nii.gz`, `rp_msk/N.nii.gz` and `rp_lung_msk/N.nii.gz`. Each file appears whole or not at all.
        num_slices, seed, size: as for `phantom_slices`.
        volumes: number of volumes, whose slices go from apex to base in one patient.
        volume_slices: slices of each.
    """
    folder = Path(folder)
    # Rows run to the patient's left, columns to the back; NIfTI counts towards the right, the front and the head.
    pixel = 350.0 / size
    affine, from_apex = np.diag([-pixel, -pixel, 8.0, 1.0]), np.diag([-pixel, -pixel, -8.0, 1.0])
    slices = phantom_slices(num_slices, seed, size)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (
        ("tr_im", slices.images.astype(np.int16)),
        ("tr_mask", slices.labels),
        ("tr_lungmasks_updated", slices.lungs.astype(np.uint8)),
    ):
        write_volume(folder / f"{name}.nii.gz", array, affine)
    for number in range(1, volumes + 1):
        parts = zip(*(_volume(seed, number, volume_slices, size)), strict=True)
        for name, part, dtype in zip(
            ("rp_im", "rp_msk", "rp_lung_msk"), parts, (np.int16, np.uint8, np.uint8), strict=True
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_volume(folder / name / f"{number}.nii.gz", np.stack(part).astype(dtype), from_apex)


def _volume(seed, number, num_slices, size):
    """Slices of one patient: the same generator at every level, so that anatomy and lesions continue."""
    for level in np.linspace(0.15, 0.95, num_slices):
        yield _draw(np.random.default_rng([seed, 10**6 + number]), level, size)


def _draw(generator, level, size):
    """One slice: (image float32 HU, labels uint8, lungs bool), each (size, size)."""
    canvas = _Canvas(generator, size)
    image, lungs, hila = _anatomy(canvas, level)
    vessels = _vessels(canvas, lungs, hila)
    depth = ndimage.distance_transform_edt(lungs)  # pixels to the lung's border
    image = _lung_tissue(canvas, image, lungs, depth)
    image, labels = _lesions(canvas, image, lungs, depth)
    image = np.where(lungs & (labels < 3), np.maximum(image, vessels), image)
    _draw_airways(canvas, image, lungs, hila)
    noise = canvas.noise(0.9, 26.0) + canvas.noise(2.5, 9.0)
    image = ndimage.gaussian_filter(image, 0.7 * canvas.scale) + noise
    return np.clip(np.rint(image), -1024, 1500).astype(np.float32), labels, lungs


class _Canvas:
    """Coordinates of a slice and random fields on it.

    `ap` runs from anterior (-1, left) to posterior (1, right), `side` from one side (-1, top) to the other (1).
    """

    def __init__(self, generator, size):
        self.generator, self.size = generator, size
        self.scale = size / DRAWN_SIZE
        axis = (np.arange(size) + 0.5) * 2 / size - 1
        self.ap, self.side = axis[None, :], axis[:, None]

    def ellipse(self, ap, side, half_ap, half_side, wobble=0.0):
        """Negative inside an ellipse, positive outside; `wobble` roughens its border."""
        distance = np.sqrt(((self.ap - ap) / half_ap) ** 2 + ((self.side - side) / half_side) ** 2) - 1
        return distance + wobble * self.smooth(28) if wobble else distance

    def smooth(self, length):
        """A random field of mean 0 and standard deviation 1 that varies over `length` pixels: a cubic B-spline."""
        nodes = int(DRAWN_SIZE / length) + 4
        position = (np.arange(self.size) + 0.5) / self.size * (nodes - 3)
        first = position.astype(int)
        u = position - first
        basis = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3])
        weights = np.zeros((self.size, nodes))
        for offset in range(4):
            weights[np.arange(self.size), first + offset] = basis[offset]
        field = weights @ self.generator.standard_normal((nodes, nodes)) @ weights.T
        mean, deviation = field.mean(), field.std()
        field -= mean  # in place: fresh memory for each of so many fields takes longer than the sums
        field /= deviation
        return field

    def noise(self, length, deviation):
        """Correlated noise of the given standard deviation, HU."""
        field = ndimage.gaussian_filter(
            self.generator.standard_normal((self.size, self.size), dtype=np.float32), length * self.scale
        )
        return field * (deviation / field.std())


def _anatomy(canvas, level):
    """Body, bones, heart and the empty lungs. Returns the image, the lungs, and (row, column) of the two hila."""
    uniform = canvas.generator.uniform
    image = np.full((canvas.size, canvas.size), AIR)
    body = canvas.ellipse(0.02, 0.0, uniform(0.74, 0.80), uniform(0.90, 0.96), 0.006)
    image[body < 0] = FAT
    chest = canvas.ellipse(0.0, 0.0, uniform(0.67, 0.71), uniform(0.82, 0.86), 0.005)
    image[chest < 0] = SOFT_TISSUE

    spread = np.sin(np.pi * np.clip(0.12 + 0.62 * level, 0, 1)) ** 0.55  # small at the apex, widest below the middle
    lungs = np.zeros(image.shape, bool)
    for sign in (-1, 1):
        half_ap, half_side = 0.64 * spread * uniform(0.90, 1.04), 0.38 * spread * uniform(0.90, 1.04)
        lung = canvas.ellipse(uniform(-0.02, 0.04), sign * (0.11 + half_side), half_ap, half_side, 0.05)
        lungs |= (lung < 0) & (chest < -0.06)
    heart_size = float(np.clip((level - 0.35) / 0.35, 0, 1))
    mediastinum = np.minimum(
        canvas.ellipse(-0.18, 0.07, 0.24 + 0.15 * heart_size, 0.10 + 0.22 * heart_size, 0.04),
        canvas.ellipse(0.20, 0.0, 0.36, 0.12, 0.04),
    )
    lungs &= mediastinum > 0
    if level > 0.8:  # the dome of the diaphragm
        lungs &= canvas.ellipse(-0.15, -0.42, 2.2 * (level - 0.8), 1.6 * (level - 0.8), 0.05) > 0
    lungs = ndimage.binary_opening(lungs, iterations=max(round(2 * canvas.scale), 1))
    image[(mediastinum < 0) & (chest < 0)] = BLOOD
    image[canvas.ellipse(0.30, 0.10, 0.055, 0.055) < 0] = BLOOD + 25  # the descending aorta
    image[canvas.ellipse(0.48, 0.0, 0.12, 0.13, 0.05) < 0] = BONE - 200
    image[canvas.ellipse(0.63, 0.0, 0.04, 0.05) < 0] = SOFT_TISSUE  # the spinal canal
    image[canvas.ellipse(-0.68, 0.0, 0.03, 0.10) < 0] = BONE - 150  # the sternum
    angle = np.arctan2(canvas.side / 0.87, canvas.ap / 0.72)
    ribs = (np.abs(chest + 0.035) < 0.025) & (np.sin(9 * angle + uniform(0, 6)) > 0.35) & (np.abs(canvas.side) > 0.2)
    image[ribs & ~lungs] = BONE
    to_pixel = canvas.size / 2
    hila = [(to_pixel * (1 + sign * uniform(0.15, 0.19)), to_pixel * uniform(1.02, 1.12)) for sign in (-1, 1)]
    return image, lungs, hila


def _vessels(canvas, lungs, hila):
    """Branching vessels from the hila and vessels cut across: HU where there is one, air elsewhere."""
    generator, scale = canvas.generator, canvas.scale
    by_radius = {}

    def grow(position, direction, radius, depth):
        num_steps = int(generator.uniform(10, 42))
        directions = np.cumsum([direction, *generator.normal(0, 0.07, num_steps)])[1:]
        steps = 2.0 * scale * np.stack([np.sin(directions), np.cos(directions)], axis=1)
        positions = np.cumsum([position, *steps], axis=0)[1:]
        for point in positions:
            radius = max(radius * 0.992, 0.5)
            by_radius.setdefault(round(radius * 2) / 2, []).append(point)
        if depth:
            for turn in generator.uniform(0.2, 0.9, 2) * (1, -1):
                grow(positions[-1], directions[-1] + turn, radius * generator.uniform(0.5, 0.8), depth - 1)

    for (row, column), sign in zip(hila, (-1, 1), strict=True):
        for start in np.linspace(-0.75, 0.75, 4) * np.pi / 2 + generator.normal(0, 0.25, 4):
            grow(np.array([row, column]), sign * np.pi / 2 + start, generator.uniform(1.8, 4.5), 4)
    inside = np.argwhere(lungs)
    if len(inside):
        for row, column in inside[generator.integers(0, len(inside), 150)]:
            by_radius.setdefault(round(2 * min(0.5 + generator.exponential(0.6), 3.5)) / 2, []).append((row, column))
    vessels = np.full(lungs.shape, AIR)
    for radius, points in by_radius.items():
        pixels = radius * scale
        attenuation = BLOOD - 60 if pixels >= 1 else LUNG + (BLOOD - LUNG) * max(pixels, 0.35)  # partial volume
        centres = np.rint(points).astype(int)
        centres = centres[((centres >= 0) & (centres < canvas.size)).all(axis=1)]
        reach = np.arange(-int(pixels), int(pixels) + 1)
        disc = np.argwhere(np.hypot(reach[:, None], reach) <= pixels) + reach[0]
        near = (centres[:, None] + disc).reshape(-1, 2)
        rows, columns = near[((near >= 0) & (near < canvas.size)).all(axis=1)].T
        vessels[rows, columns] = np.maximum(vessels[rows, columns], attenuation)
    return vessels


def _lung_tissue(canvas, image, lungs, depth):
    """Healthy lung: denser where gravity pulls and where the patient has breathed out."""
    breath = canvas.generator.normal(0, 65)
    gravity = 70 * canvas.ap / 0.6
    # The dependent rim is dense in healthy patients too: no lesion, but as bright as faint ground glass.
    rim = np.exp(-depth / (9 * canvas.scale))
    gravity = gravity + canvas.generator.uniform(60, 420) * rim * np.clip(canvas.ap / 0.4, 0, 1)
    tissue = LUNG + breath + gravity + 22 * canvas.smooth(40) + 16 * canvas.smooth(9)
    return np.where(lungs, tissue, image)


def _draw_airways(canvas, image, lungs, hila):
    """Put a few bronchi into the image, cut across, wall and lumen, near the hila."""
    for (row, column), sign in zip(hila, (-1, 1), strict=True):
        for _ in range(3):
            distance = canvas.generator.uniform(0.02, 0.16, 2) * canvas.size
            radius = canvas.generator.uniform(2.5, 5.0) * canvas.scale
            at = (row + sign * distance[0], column + canvas.generator.choice((-1, 1)) * distance[1] / 2)
            around = tuple(slice(max(int(x - 2 * radius), 0), int(x + 2 * radius) + 2) for x in at)
            rows, columns = np.ogrid[: canvas.size, : canvas.size]
            away = np.hypot(rows[around[0]] - at[0], columns[:, around[1]] - at[1])
            image[around][lungs[around] & (away < radius * 1.5)] = -250.0
            image[around][lungs[around] & (away < radius)] = -960.0


def _lesions(canvas, image, lungs, depth):
    """Ground glass, consolidation and effusion in their usual places. Returns the image and the labels."""
    generator = canvas.generator
    labels = np.zeros(lungs.shape, np.uint8)
    occurs = generator.random(3) < (GROUND_GLASS_SLICES, CONSOLIDATION_SLICES, EFFUSION_SLICES)
    shares = (
        min(generator.gamma(1.3, GROUND_GLASS_SHARE / GROUND_GLASS_SLICES / 1.3), 0.75),
        min(generator.gamma(0.9, CONSOLIDATION_SHARE / CONSOLIDATION_SLICES / 0.9), 0.6),
    )
    # Lesions of this disease lie at the back and at the rim.
    rim = np.exp(-depth / (24 * canvas.scale))
    place = 0.9 * canvas.ap / 0.6 + 1.1 * rim
    patches = canvas.smooth(52) + 0.45 * canvas.smooth(20) + place
    cores = canvas.smooth(34) + 0.5 * canvas.smooth(13) + 0.5 * patches + 0.6 * place
    faint = GROUND_GLASS + generator.normal(0, 80) + 80 * canvas.smooth(11) + 45 * canvas.smooth(4)
    dense = CONSOLIDATION + generator.normal(0, 35) + 50 * canvas.smooth(9) + 30 * canvas.smooth(4)
    dense = np.where(canvas.smooth(6) > 1.9, -820.0, dense)  # air bronchograms
    if not lungs.any():
        return image, labels
    for kind, field, share, tissue, blur in ((1, patches, sum(shares), faint, 3.2), (2, cores, shares[1], dense, 1.6)):
        if not occurs[kind - 1]:
            continue
        share = min(share, 0.9)
        mask = lungs & (field > np.quantile(field[lungs], 1 - share))
        mask = ndimage.binary_opening(mask, iterations=max(round(2 * canvas.scale), 1))
        opacity = ndimage.gaussian_filter(mask.astype(float), blur * canvas.scale)
        opacity *= np.clip(0.8 + 0.28 * canvas.smooth(38), 0.2, 1.0)  # faint in places
        image = np.where(lungs, image + opacity * np.maximum(tissue - image, 0), image)
        labels[mask] = kind
    if occurs[2]:
        thickness = max(round(generator.uniform(4, 13) * canvas.scale), 1)
        half = lungs & (canvas.side * generator.choice((-1, 1)) > 0)
        crescent = half & ~np.roll(half, -thickness, axis=1) & (canvas.ap > 0.12)
        image = np.where(crescent, EFFUSION + 6 * canvas.smooth(30), image)
        labels[crescent] = 3
    return image, labels
