"""Figures of the second study's images, masks and kernels: 2, 3, 7 and 8."""

from collections.abc import Mapping

import matplotlib.colors
import matplotlib.patches
import numpy as np

from unet_segnet.plots.style import (
    BLUE,
    DOUBLE_COLUMN,
    GREEN,
    GREY,
    NORMAL,
    ORANGE,
    SKY,
    SMALL,
    VERMILION,
    new_figure,
    plain_axes,
)

SURFACE_PIXELS = 64  # a slice's sides are brought down to about this many before a surface is drawn
ERROR_COLOURS = {"right": GREEN, "missed": SKY, "false alarm": VERMILION}


def intensity_histograms(histograms: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]):
    """Figure 2: how often each intensity is, among all pixels and among those of the mask; logarithmic.

    Arguments:
        histograms: title -> (edges of the bins (b + 1,), share of all pixels (b,), share of the mask's pixels (b,)).
    """
    figure = new_figure(DOUBLE_COLUMN, 2.1)
    for axes, (title, (edges, images, masks)) in zip(
        figure.subplots(1, len(histograms), squeeze=False, sharey=True)[0], histograms.items(), strict=True
    ):
        axes.stairs(images, edges, fill=True, color=BLUE, alpha=0.35, label="all pixels")
        axes.stairs(masks, edges, color=ORANGE, linewidth=1.2, label="pixels of the mask")
        axes.set_yscale("log")
        axes.set_title(title, fontsize=NORMAL)
        axes.set_xlabel("normalised intensity", fontsize=SMALL)
        plain_axes(axes)
    figure.axes[0].set_ylabel("share of the pixels", fontsize=SMALL)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def mask_errors(rows: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, str] | None]]):
    """Figure 3: predicted masks over the slice, right, missed and falsely found pixels coloured.

    Arguments:
        rows: title of the row -> title of the column -> (image (H, W), truth (H, W) bool, prediction (H, W) bool,
            what to write below), or None where there is nothing; the same columns in each row.
    """
    columns = list(next(iter(rows.values())))
    side = DOUBLE_COLUMN / max(len(columns), 3)
    figure = new_figure(DOUBLE_COLUMN, len(rows) * (side + 0.22) + 0.45)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for of_row, (title, panels) in zip(grid, rows.items(), strict=True):
        for axes, column in zip(of_row, columns, strict=True):
            plain_axes(axes, image=True)
            panel = panels[column]
            if panel is None:
                axes.text(
                    0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=SMALL
                )
                continue
            image, truth, prediction, text = panel
            axes.imshow(image, cmap="gray", interpolation="nearest")
            axes.imshow(error_overlay(truth, prediction), interpolation="nearest")
            axes.set_xlabel(text, fontsize=SMALL, labelpad=1)
        of_row[0].set_ylabel(title, fontsize=SMALL)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=SMALL)
    handles = [matplotlib.patches.Patch(color=colour, label=name) for name, colour in ERROR_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)
    return figure


def error_overlay(truth: np.ndarray, prediction: np.ndarray, opacity: float = 0.75) -> np.ndarray:
    """(H, W, 4) colours of the pixels that are in either mask (H, W), the rest transparent."""
    truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
    overlay = np.zeros((*truth.shape, 4))
    where = {"right": truth & prediction, "missed": truth & ~prediction, "false alarm": prediction & ~truth}
    for name, mask in where.items():
        overlay[mask] = matplotlib.colors.to_rgba(ERROR_COLOURS[name], opacity)
    return overlay


def mask_surfaces(rows: Mapping[str, Mapping[str, np.ndarray | None]]):
    """Figure 7: volumes of masks as surfaces (marching cubes), the stack of slices upwards.

    Arguments:
        rows: title of the row -> title of the column -> (n, H, W) bool, or None where there is nothing; the same
            columns in each row.
    """
    columns = list(next(iter(rows.values())))
    side = DOUBLE_COLUMN / max(len(columns), 4)
    figure = new_figure(DOUBLE_COLUMN, len(rows) * side + 0.35)
    for number, (title, panels) in enumerate(rows.items()):
        for place, column in enumerate(columns):
            axes = figure.add_subplot(
                len(rows), len(columns), number * len(columns) + place + 1, projection="3d", label=f"{title} {column}"
            )
            axes.set_axis_off()
            axes.set_title(f"{title}, {column}", fontsize=SMALL, pad=0)
            mask = panels[column]
            surface = None if mask is None else mask_surface(mask)
            if surface is None:
                text = "not run" if mask is None else "empty"
                axes.text2D(
                    0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=SMALL
                )
                continue
            vertices, faces, shape = surface
            axes.plot_trisurf(
                vertices[:, 2],
                -vertices[:, 1],
                vertices[:, 0],
                triangles=faces,
                color=SKY if column == columns[0] else ORANGE,
                linewidth=0,
                antialiased=False,
                shade=True,
                rasterized=True,
            )
            axes.set(xlim=(0, shape[2]), ylim=(-shape[1], 0), zlim=(0, shape[0]))
            axes.set_box_aspect((shape[2], shape[1], 0.6 * shape[2]))
            axes.view_init(elev=25, azim=-60)
    return figure


def mask_surface(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]] | None:
    """Surface of a volume by marching cubes, its slices made smaller first.

    Arguments:
        mask: (n, H, W) bool.

    Returns:
        Vertices (v, 3) in voxels of the smaller volume (slice, row, column), faces (f, 3) of indices into them, and
        that volume's shape; None for an empty mask, or one that the smaller slices have no pixel of.

    Source: Lewiner et al. (2003), `skimage.measure.marching_cubes`.
    """
    from skimage.measure import marching_cubes

    num_slices, height, width = mask.shape
    step = max(max(height, width) // SURFACE_PIXELS, 1)
    rows, columns = height // step, width // step
    blocks = mask[:, : rows * step, : columns * step].reshape(num_slices, rows, step, columns, step)
    density = np.pad(blocks.mean(axis=(2, 4)), 1)  # so that the surface closes at the borders
    if density.max() <= 0.5:
        return None
    vertices, faces, _, _ = marching_cubes(density, 0.5)
    return vertices - 1, faces, (num_slices, rows, columns)


def first_layer_kernels(rows: Mapping[str, Mapping[str, np.ndarray]]):
    """Figure 8: the kernels of the first convolution, each a small square, in one scale around zero.

    Arguments:
        rows: title of the row -> title of the column -> (k, k, 1, filters), the same columns in each row.
    """
    limit = max(float(np.abs(kernels).max()) for panels in rows.values() for kernels in panels.values())
    columns = list(next(iter(rows.values())))
    figure = new_figure(DOUBLE_COLUMN, len(rows) * 2.9)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for of_row, (title, panels) in zip(grid, rows.items(), strict=True):
        for axes, column in zip(of_row, columns, strict=True):
            plain_axes(axes, image=True)
            mosaic = kernel_mosaic(panels[column])
            shown = axes.imshow(mosaic, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
        of_row[0].set_ylabel(title, fontsize=NORMAL)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=NORMAL)
    bar = figure.colorbar(shown, ax=grid, fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.set_label("weight", fontsize=SMALL)
    return figure


def kernel_mosaic(kernels: np.ndarray) -> np.ndarray:
    """Kernels (k, k, 1, filters) side by side with a gap of NaN, in rows as near a square as can be."""
    size, count = kernels.shape[0], kernels.shape[-1]
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    mosaic = np.full((rows * (size + 1) - 1, columns * (size + 1) - 1), np.nan)
    for number in range(count):
        top, left = (size + 1) * (number // columns), (size + 1) * (number % columns)
        mosaic[top : top + size, left : left + size] = kernels[:, :, 0, number]
    return mosaic
