"""PNG pictures as text, small enough to embed by the dozen."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np


def png_base64(array: np.ndarray, palette: Sequence[str | None] | None = None) -> str:
    """A picture in base64, what follows `data:image/png;base64,` in a URI.

    Arguments:
        array: (H, W) uint8 grey levels; or, with a palette, the index of each pixel's colour.
        palette: colours as "#rrggbb", None for transparent, at most 256; at most 16 take 1, 2 or 4 bits a pixel.

    Raises:
        ValueError: another shape or type, an index without a colour, or a colour that is none.
    """
    from PIL import Image

    array = np.asarray(array)
    if array.ndim != 2 or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"a picture must be (H, W) uint8, not empty. Received: {array.dtype} of {array.shape}")
    image = Image.fromarray(np.ascontiguousarray(array))
    settings = {}
    if palette is not None:
        if not 1 <= len(palette) <= 256 or array.max() >= len(palette):
            raise ValueError(f"a palette must have a colour for each index. Received: {len(palette)}, {array.max()}")
        rgb = b"".join(_rgb(colour) for colour in palette)
        image.putpalette(rgb, "RGB")
        settings = {"transparency": bytes(0 if colour is None else 255 for colour in palette)}
    stream = io.BytesIO()
    image.save(stream, "PNG", **settings)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _rgb(colour: str | None) -> bytes:
    if colour is None:
        return bytes(3)
    if len(colour) != 7 or colour[0] != "#":
        raise ValueError(f"a colour must be #rrggbb. Received: {colour!r}")
    return bytes.fromhex(colour[1:])
