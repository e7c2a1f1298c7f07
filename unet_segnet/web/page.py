"""One self-contained HTML document under a strict Content-Security-Policy, and what its parts share."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from importlib import resources

import jinja2
from markupsafe import Markup, escape

NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NUMBERED_TITLE = re.compile(r"((?:Table|Figure) \w+\.)\s+(.*)", re.DOTALL)


def asset(name: str, package: str = "unet_segnet.web") -> str:
    """The text of a style sheet, script or template that lies in the package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def render(template: str, package: str = "unet_segnet.web", **values) -> Markup:
    """The HTML that a template makes of values; what is not `Markup` already, the browser shows as text.

    Arguments:
        template: name of a file of the package.
        package: where it lies.
        values: by the names that the template gives them.
    """
    return Markup(_environment(package).get_template(template).render(values))


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: asset(name, package)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(identifier=checked_identifier, heading=heading, prose=prose)
    return made


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
    body: Markup,
    scripts: Iterable[str] = (),
    styles: Iterable[str] = (),
    generator: str = "unet_segnet",
) -> str:
    """A whole HTML document that loads nothing and sends nothing.

    It follows the system's light or dark theme, with a button that changes it, and prints in black on white. The
    policy in its head lets the browser run the scripts and styles given here, by their SHA-256, and no others.
    Characters that no HTML file may hold (control characters, the lone surrogates of file names that are not UTF-8)
    become "\N{REPLACEMENT CHARACTER}".

    Arguments:
        title: text, shown as the page's heading too.
        body: from `render`; neither `style` attributes nor event handlers work in it.
        scripts: JavaScript sources, run in this order after the page's own.
        styles: CSS sources, after the page's own.
        generator: what made the page, for its head.

    Raises:
        ValueError: a script or style that would end its own element or holds characters that no HTML file may hold.
    """
    return "".join(page_parts(title, (body,), scripts, styles, generator))


def page_parts(
    title: str,
    parts: Iterable[Markup],
    scripts: Iterable[str] = (),
    styles: Iterable[str] = (),
    generator: str = "unet_segnet",
) -> Iterator[str]:
    """`render_page` piece by piece, for a body in parts that are too large to be held together."""
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
    page = _environment("unet_segnet.web").get_template("page.html")
    values = {"scripts": scripts, "styles": styles, "policy": policy, "generator": generator}
    for piece in page.generate(title=title, parts=parts, **values):
        yield NOT_IN_HTML.sub("\N{REPLACEMENT CHARACTER}", piece)
    yield "\n"


def figure_html(identifier: str, title: str, caption: str, alt: str, png: bytes) -> Markup:
    """A PNG picture with title and caption; a click, a tap or Enter enlarges it.

    Arguments:
        identifier: of the element, for links.
        title: short; a number as in "Figure 4. Training" is set off.
        caption: text; `code` between backticks.
        alt: what the picture shows, for those who cannot see it.
        png: the PNG file's bytes.
    """
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return render(
        "figure.html", identifier=checked_identifier(identifier), title=title, caption=caption, alt=alt, uri=uri
    )


def prose(text: str) -> Markup:
    """Text in which what stands between backticks is set as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def split_title(title: str) -> tuple[str, str]:
    """A table's or figure's number as in "Table 3.", empty where it has none, and the rest with a full stop."""
    title = title if title.endswith((".", "?", "!")) else f"{title}."
    number = NUMBERED_TITLE.fullmatch(title)
    return number.groups() if number else ("", title)


def heading(title: str) -> Markup:
    """A table's or figure's title, its number set off."""
    number, rest = split_title(title)
    numbered = Markup('<strong class="number">{}</strong> ').format(number) if number else Markup()
    return numbered + Markup("<strong>{}</strong>").format(rest)


def _contained(source: str, element: str) -> Markup:
    """The source with line feeds alone, as the browser hashes it."""
    if re.search(rf"</{element}|<!--", source, re.IGNORECASE) or NOT_IN_HTML.search(source):
        raise ValueError(f"a {element} must not contain </{element}, <!-- or control characters, which would end it")
    return Markup(source.replace("\r\n", "\n").replace("\r", "\n"))


def _source_hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
