"""The report as one HTML file: verdicts first, then every table and figure, and a slice viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from experiments.reporting.content import Report, SliceView, Verdict
from experiments.reporting.tallies import tallies
from unet_segnet.web import table, viewer
from unet_segnet.web.page import asset, figure_html, render, render_page, split_title

FURTHER = "Further tables and figures"


@dataclass(frozen=True)
class Part:
    """A table or figure: its HTML, its identifier, and its number as in "Table 3", empty where it has none."""

    html: Markup
    identifier: str
    number: str


@dataclass(frozen=True)
class Section:
    """A section of the page and what stands in it; viewers are pairs of a heading and HTML."""

    anchor: str
    heading: str
    verdicts: Sequence[Verdict] = ()
    parts: Sequence[Part] = ()
    viewers: Sequence[tuple[str, Markup]] = ()
    lines: Sequence[str] = ()

    @property
    def links(self) -> dict[str, str]:
        """The numbers of its tables and figures, each with the identifier of the first that has it."""
        found = {}
        for part in self.parts:
            found.setdefault(part.number, part.identifier)
        return {number: identifier for number, identifier in found.items() if number}


def report_page(report: Report, images: dict[str, bytes]) -> str:
    """The whole report.

    Arguments:
        report: what to show; tables and figures that no section names come last, under a heading of their own.
        images: the PNG file of each of the report's figures, by the figure's name.

    Returns:
        one self-contained HTML document.

    Raises:
        ValueError: a section names what is neither table nor figure, or a figure has no image.
    """
    parts = {**_tables(report), **_figures(report, images)}
    sections = [Section("claims", "The claims", verdicts=report.verdicts)]
    for number, (heading, names) in enumerate(_named_parts(report, parts).items(), start=1):
        sections.append(Section(f"section-{number}", heading, parts=[parts[name] for name in names]))
    if report.views:
        sections.append(Section("slices", "The test slices, one by one", viewers=[_viewer(v) for v in report.views]))
    if report.missing:
        sections.append(Section("missing", "What is missing", lines=report.missing))
    sections.append(Section("provenance", "How this report came about", lines=report.provenance))
    body = render(
        "page.html",
        "experiments.reporting",
        report=report,
        tallies=tallies(report.verdicts),
        sections=sections,
    )
    return render_page(
        report.study.title,
        body,
        scripts=(table.SCRIPT, viewer.SCRIPT),
        styles=(viewer.STYLE, asset("page.css", "experiments.reporting")),
        generator=report.study.generator,
    )


def _tables(report: Report) -> dict[str, Part]:
    return {
        name: _part(f"table-{name}", one.title, table.table_html(one, f"table-{name}"))
        for name, one in report.tables.items()
    }


def _figures(report: Report, images: dict[str, bytes]) -> dict[str, Part]:
    if without := [figure.name for figure in report.figures if figure.name not in images]:
        raise ValueError(f"figures without an image: {', '.join(without)}")
    parts = {}
    for figure in report.figures:
        identifier = f"figure-{figure.name}"
        html = figure_html(identifier, figure.title, figure.caption, figure.alt, images[figure.name])
        parts[figure.name] = _part(identifier, figure.title, html)
    return parts


def _part(identifier: str, title: str, html: Markup) -> Part:
    return Part(html, identifier, split_title(title)[0].rstrip("."))


def _named_parts(report: Report, parts: dict[str, Part]) -> dict[str, tuple[str, ...]]:
    """Names of tables and figures by heading: the sections that have some, then one for what none of them names."""
    placed = [name for names in report.sections.values() for name in names]
    if unknown := [name for name in placed if name not in parts]:
        raise ValueError(f"the report's sections name what is neither table nor figure: {', '.join(unknown)}")
    sections = {heading: names for heading, names in report.sections.items() if names}
    if rest := tuple(name for name in parts if name not in placed):
        sections[FURTHER] = (*sections.get(FURTHER, ()), *rest)
    return sections


def _viewer(view: SliceView) -> tuple[str, Markup]:
    slices = view.slices
    html = viewer.slice_viewer(
        f"viewer-{view.name}", slices.images, slices.names, view.layers, slices.class_names, view.colours
    )
    return view.heading, html
