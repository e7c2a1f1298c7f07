"""The report as one HTML file: verdicts first, then every table and figure, and a slice viewer."""

from __future__ import annotations

import re
from collections import Counter

from experiments.reporting.content import VERDICTS, Report, Verdict
from unet_segnet.web import table, viewer
from unet_segnet.web.page import asset, checked_identifier, escape, figure_html, prose, render_page

# Shapes as well as colours tell the verdicts apart.
ICONS = {
    "replicates": '<path d="M3 8.5l3.5 3.5L13 4.5"/>',
    "does not replicate": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "cannot be decided": '<path d="M5 6a3 3 0 1 1 4.2 2.7C8.3 9.1 8 9.6 8 10.4M8 13v.2"/>',
}
COUNTED = {
    "replicates": ("replicates", "replicate"),
    "does not replicate": ("does not replicate", "do not replicate"),
    "cannot be decided": ("cannot be decided yet", "cannot be decided yet"),
}
FURTHER = "Further tables and figures"


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
    sections = _sections(report, parts)
    blocks = [("claims", "The claims", "\n".join(map(_claim, report.verdicts)))]
    blocks += [
        (f"section-{number}", heading, "\n".join(parts[name] for name in names))
        for number, (heading, names) in enumerate(sections.items(), start=1)
    ]
    if report.views:
        blocks.append(("slices", "The test slices, one by one", _views(report)))
    if report.missing:
        blocks.append(("missing", "What is missing", _list(report.missing)))
    blocks.append(("provenance", "How this report came about", _list(report.provenance)))
    entries = "".join(_contents_entry(anchor, heading, parts, sections) for anchor, heading, _ in blocks)
    body = f"""<main class="report">
{_summary(report)}
<nav aria-label="Contents"><h2>Contents</h2><ol>{entries}</ol></nav>
<div class="sections">
{"".join(f'<section id="{anchor}"><h2>{escape(heading)}</h2>{html}</section>' for anchor, heading, html in blocks)}
</div>
</main>"""
    return render_page(
        report.study.title,
        body,
        scripts=(table.SCRIPT, viewer.SCRIPT),
        styles=(viewer.STYLE, asset("page.css", "experiments.reporting")),
        generator=report.study.generator,
    )


def _summary(report: Report) -> str:
    counts = Counter(verdict.verdict for verdict in report.verdicts)
    tallies = "".join(
        f'<li class="{_css_class(verdict)}">{_icon(verdict)}<b>{counts[verdict]}</b> '
        f"{COUNTED[verdict][counts[verdict] != 1]}</li>"
        for verdict in VERDICTS
    )
    number = len(report.verdicts)
    claims = f"each of its {number} checkable claims" if number > 1 else "its checkable claims"
    return f"""<section class="summary" aria-label="Summary">
<p class="lead">Every table and figure of the article, our own results beside the published ones, and a verdict on
{claims}. Data: {escape(report.data)}.</p>
<ul class="tallies">{tallies}</ul>
<p class="article">The article: {escape(report.study.article)}</p>
<p class="article">For research. Not a medical device, not for clinical use.</p>
</section>"""


def _claim(verdict: Verdict) -> str:
    decides = f"<dt>What would decide it</dt><dd>{prose(verdict.decides)}</dd>" if verdict.decides else ""
    name = checked_identifier(verdict.name)
    return f"""<article class="claim {_css_class(verdict.verdict)}" id="claim-{name}" aria-labelledby="title-{name}">
<p class="verdict">{_icon(verdict.verdict)}{escape(verdict.verdict)}</p>
<h3 id="title-{name}">{escape(verdict.claim)}</h3>
<p class="source">{escape(verdict.source)}</p>
<dl><dt>Evidence</dt><dd>{prose(verdict.evidence)}</dd>{decides}</dl>
</article>"""


def _icon(verdict: str) -> str:
    return f'<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">{ICONS[verdict]}</svg>'


def _css_class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _tables(report: Report) -> dict[str, str]:
    return {name: table.table_html(one, f"table-{name}") for name, one in report.tables.items()}


def _figures(report: Report, images: dict[str, bytes]) -> dict[str, str]:
    if without := [figure.name for figure in report.figures if figure.name not in images]:
        raise ValueError(f"figures without an image: {', '.join(without)}")
    return {
        figure.name: figure_html(f"figure-{figure.name}", figure.title, figure.caption, figure.alt, images[figure.name])
        for figure in report.figures
    }


def _sections(report: Report, parts: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """The report's sections that have something in them, then one for what none of them names."""
    placed = [name for names in report.sections.values() for name in names]
    if unknown := [name for name in placed if name not in parts]:
        raise ValueError(f"the report's sections name what is neither table nor figure: {', '.join(unknown)}")
    sections = {heading: names for heading, names in report.sections.items() if names}
    if rest := tuple(name for name in parts if name not in placed):
        sections[FURTHER] = (*sections.get(FURTHER, ()), *rest)
    return sections


def _contents_entry(anchor: str, heading: str, parts: dict[str, str], sections: dict[str, tuple[str, ...]]) -> str:
    """A line of the contents, with the numbered tables and figures of the section, the first of each number."""
    links = {}
    for name in sections.get(heading, ()) if anchor.startswith("section-") else ():
        identifier = re.search(r' id="([\w-]+)"', parts[name])[1]
        if number := re.search(r'<strong class="number">(.*?)\.</strong>', parts[name]):
            links.setdefault(number[1], f'<li><a href="#{identifier}">{number[1]}</a></li>')
    return (
        f'<li><a href="#{anchor}">{escape(heading)}</a>'
        + (f"<ul>{''.join(links.values())}</ul>" if links else "")
        + "</li>"
    )


def _views(report: Report) -> str:
    html = []
    for view in report.views:
        html.append(f"<h3>{escape(view.heading)}</h3>")
        slices, colours = view.slices, view.colours
        html.append(
            viewer.slice_viewer(
                f"viewer-{view.name}", slices.images, slices.names, view.layers, slices.class_names, colours
            )
        )
    return "\n".join(html)


def _list(lines: tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{prose(line)}</li>' for line in lines)}</ul>"
