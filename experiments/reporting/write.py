"""Writes a report's folder, whole or not at all.

OUT/index.html             everything in one self-contained file
OUT/verdicts.csv           claims and verdicts
OUT/tables/NAME.{csv,md,tex}
OUT/figures/NAME.{png,pdf}
"""

import re
from pathlib import Path

from experiments.reporting.content import Report, Study
from experiments.reporting.tallies import verdict_table
from unet_segnet.errors import InputError
from unet_segnet.output.records import check_folder
from unet_segnet.output.whole_folder import whole_folder

PAGE = "index.html"
OF_A_REPORT = re.compile(r'name="generator" content="unet_segnet [a-z ]*report"')  # other pages have no "report"


def check_out(out: Path, force: bool, study: Study) -> None:
    """Refuse a folder that cannot be written, or that holds something other than an older report of the study.

    With force the report may be of the other study.

    Raises:
        InputError: it is one of these.
    """
    check_folder(out)
    if not out.exists() or not any(out.iterdir()):
        return
    page = out / PAGE
    start = page.read_text(encoding="utf-8", errors="replace")[:4096] if page.is_file() else ""
    if not OF_A_REPORT.search(start):
        raise InputError(f"{out}: holds something other than a report and is not replaced; give another with --out")
    if not force and f'content="{study.generator}"' not in start:
        raise InputError(f"{out}: holds a report of another study; give another folder with --out, or --force")


def write_report(report: Report, out: Path) -> None:
    """Write everything, whole or not at all."""
    from experiments.reporting.page import report_page
    from unet_segnet.plots import save_figure

    with whole_folder(out, (PAGE,)) as new:
        for folder in ("tables", "figures"):
            (new / folder).mkdir()
        for name, table in report.tables.items():
            table.to_csv(new / "tables" / f"{name}.csv")
            (new / "tables" / f"{name}.md").write_text(table.to_markdown(), encoding="utf-8")
            (new / "tables" / f"{name}.tex").write_text(table.to_latex(), encoding="utf-8")
        verdict_table(report).to_csv(new / "verdicts.csv")
        images = {}
        for figure in report.figures:
            for suffix in ("png", "pdf"):
                save_figure(figure.figure, new / "figures" / f"{figure.name}.{suffix}")
            images[figure.name] = (new / "figures" / f"{figure.name}.png").read_bytes()
        (new / PAGE).write_text(report_page(report, images), encoding="utf-8")
