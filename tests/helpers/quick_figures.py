"""Figures that are written in a moment, for tests of where they go rather than of how they look."""

from unet_segnet import plots


def write_figures_quickly(patch) -> None:
    """Let figures be small PNGs, which still tell one figure from another, and PDFs that hold none.

    Arguments:
        patch: a `pytest.MonkeyPatch`.
    """
    draw = plots.save_figure

    def save(figure, path):
        if path.suffix == ".png":
            draw(figure, path, 30)
        else:
            path.write_bytes(b"%PDF")

    patch.setattr(plots, "save_figure", save)
