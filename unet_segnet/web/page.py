"""One self-contained HTML document under a strict Content-Security-Policy, and what its parts share."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from importlib import resources

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NUMBERED_TITLE = re.compile(r"((?:Table|Figure) \w+\.)\s+(.*)", re.DOTALL)


def asset(name: str, package: str = "unet_segnet.web") -> str:
    """The text of a style sheet or script that lies in the package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def escape(text: object) -> str:
    """Text for an HTML element or a quoted attribute.

    Whatever it contains, the browser shows it as text. Characters that no HTML file may hold (control characters,
    the lone surrogates of file names that are not UTF-8) become "\N{REPLACEMENT CHARACTER}".
    """
    valid = CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", str(text))
    valid = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", valid)
    return html.escape(valid, quote=True)


def checked_identifier(identifier: str) -> str:
    """The identifier itself: a letter, then letters, digits, "-" and "_".

    Raises:
        ValueError: anything else, which might not be safe in an `id` or a script.
    """
    if not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"an identifier must be a letter, then letters, digits, - and _. Received: {identifier!r}")
    return identifier


def render_page(
    title: str,
    body: str,
    scripts: Iterable[str] = (),
    styles: Iterable[str] = (),
    generator: str = "unet_segnet",
) -> str:
    """A whole HTML document that loads nothing and sends nothing.

    It follows the system's light or dark theme, with a button that changes it, and prints in black on white. The
    policy in its head lets the browser run the scripts and styles given here, by their SHA-256, and no others.

    Arguments:
        title: text, shown as the page's heading too.
        body: HTML whose texts went through `escape`; neither `style` attributes nor event handlers work in it.
        scripts: JavaScript sources, run in this order after the page's own.
        styles: CSS sources, after the page's own.
        generator: what made the page, for its head.

    Raises:
        ValueError: a script or style that would end its own element.
    """
    styles = [_contained(source, "style") for source in (asset("page.css"), *styles)]
    scripts = [_contained(source, "script") for source in (asset("page.js"), *scripts)]
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src {' '.join(map(_source_hash, styles))}",
            f"script-src {' '.join(map(_source_hash, scripts))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    style_elements = "\n".join(f"<style>{source}</style>" for source in styles)
    script_elements = "\n".join(f"<script>{source}</script>" for source in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{escape(generator)}">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
{style_elements}
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="page-header">
<h1>{escape(title)}</h1>
<button type="button" id="theme" aria-pressed="false" hidden>Dark theme</button>
</header>
<div id="content">
{body}
</div>
<dialog id="zoom" aria-label="Enlarged figure">
<p><button type="button" id="zoom-fit" aria-pressed="false">Fit to the window</button>
<button type="button" id="zoom-close">Close</button></p>
<div id="zoom-picture" tabindex="0"></div>
</dialog>
{script_elements}
</body>
</html>
"""


def figure_html(identifier: str, title: str, caption: str, alt: str, png: bytes) -> str:
    """A PNG picture with title and caption; a click, a tap or Enter enlarges it.

    Arguments:
        identifier: of the element, for links.
        title: short; a number as in "Figure 4. Training" is set off.
        caption: text; `code` between backticks.
        alt: what the picture shows, for those who cannot see it.
        png: the PNG file's bytes.
    """
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return (
        f'<figure class="picture" id="{checked_identifier(identifier)}">\n'
        f'<button type="button" class="zoom" aria-haspopup="dialog" title="Enlarge">'
        f'<img src="{uri}" alt="{escape(alt)}"></button>\n'
        f"<figcaption>{title_html(title)} {prose(caption)}</figcaption>\n</figure>"
    )


def prose(text: object) -> str:
    """Escaped text in which what stands between backticks is set as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def title_html(title: str) -> str:
    """A table's or figure's title with a full stop, its number ("Table 3.") set off where it has one."""
    title = title if title.endswith((".", "?", "!")) else f"{title}."
    number = NUMBERED_TITLE.fullmatch(title)
    if not number:
        return f"<strong>{escape(title)}</strong>"
    return f'<strong class="number">{escape(number[1])}</strong> <strong>{escape(number[2])}</strong>'


def _contained(source: str, element: str) -> str:
    """The source with line feeds alone, as the browser hashes it."""
    if re.search(rf"</{element}|<!--", source, re.IGNORECASE):
        raise ValueError(f"a {element} must not contain </{element} or <!--, which would end or hide it")
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _source_hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
