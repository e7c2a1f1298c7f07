"""The augmentation of the second study: random flips, rotation and scaling about the centre of the slice."""

import numpy as np
from scipy import ndimage

NUM_UNIFORMS = 4


def augment_affine(
    images: np.ndarray,
    labels: np.ndarray,
    uniforms: np.ndarray,
    flip: float = 0.5,
    rotation: float = 180.0,
    scale: tuple[float, float] = (0.5, 1.5),
) -> tuple[np.ndarray, np.ndarray]:
    """Flip, rotate and scale slices, each image and its labels by one transformation.

    A pixel is flipped, then turned clockwise and moved away from the centre by the scale. Images are interpolated
    bilinearly, labels take the nearest pixel; both are 0 outside, which is whatever lies beyond the centres of the
    border pixels.

    Arguments:
        images: (num_slices, height, width) float32.
        labels: (num_slices, height, width) uint8.
        uniforms: (num_slices, 4) in [0, 1), one row a slice: left-right flip, top-bottom flip, rotation, scale.
            1, 1, 0.5 and the share of the scale that is 1 (0.5 by default) leave a slice as it is.
        flip: probability of each of the two flips.
        rotation: largest angle in degrees, to either side.
        scale: least and largest, above 0; above 1 enlarges.

    Returns:
        images (num_slices, height, width) float32 and labels (num_slices, height, width) uint8.

    Raises:
        ValueError: the shapes do not belong together.

    Source: Bizopoulos et al. 2021, section IV, which says "zero padding". The released code pads before it normalises,
    with 0 HU, which the networks take as +1.0; here the padding is 0.0 of normalised slices, -500 HU. Where all but the
    lungs is blanked afterwards, both are 0.0. It takes the nearest pixel for images too.
    """
    if images.ndim != 3 or labels.shape != images.shape or uniforms.shape != (len(images), NUM_UNIFORMS):
        raise ValueError(
            f"augment_affine expects images and labels (n, H, W) and uniforms (n, {NUM_UNIFORMS}). "
            f"Received: images {images.shape}, labels {labels.shape}, uniforms {uniforms.shape}"
        )
    centre = (np.array(images.shape[1:]) - 1) / 2
    moved_images, moved_labels = np.empty_like(images), np.empty_like(labels)
    for n, (left_right, top_bottom, turn, size) in enumerate(uniforms):
        signs = np.where(np.array([top_bottom, left_right]) < flip, -1.0, 1.0)
        angle = np.deg2rad(rotation * (2 * turn - 1))
        cos, sin = np.cos(angle), np.sin(angle)
        # From (row, column) of the result, counted from the centre, to those of the slice.
        back = signs[:, None] * np.array([[cos, -sin], [sin, cos]]) / (scale[0] + size * (scale[1] - scale[0]))
        offset = centre - back @ centre
        ndimage.affine_transform(images[n], back, offset, output=moved_images[n], order=1)
        ndimage.affine_transform(labels[n], back, offset, output=moved_labels[n], order=0)
    return moved_images, moved_labels
