"""The HTML that the report is made of: what stands in it, and what cannot get out of it."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from web_sample import HOSTILE, sample_figures, sample_images, sample_networks, sample_report, sample_slices

from experiments.reporting.page import report_page
from unet_segnet.output.tabular import Signed, Table
from unet_segnet.web.page import checked_identifier, figure_html, render_page
from unet_segnet.web.png import png_base64
from unet_segnet.web.table import table_html
from unet_segnet.web.viewer import errors, outlines, slice_viewer


class Elements(HTMLParser):
    """Every element with its attributes, and the texts of styles and scripts."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.found, self.sources, self.text, self._in = [], {"style": [], "script": []}, [], None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._in = (
            tag if tag == "style" or (tag == "script" and dict(attributes).get("type") != "application/json") else None
        )

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in:
            self.sources[self._in].append(data)
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def page():
    report = sample_report()
    return report_page(report, sample_images(report.figures))


def test_what_runs_is_what_the_policy_names_and_nothing_else(page):
    elements = Elements(page)
    policy = next(a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for kind in ("style", "script"):
        hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in elements.sources[kind]]
        assert rules[f"{kind}-src"].split() == [f"'sha256-{value}'" for value in hashes]
        assert len(hashes) >= 3
    for tag, attributes in elements.found:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)


def test_hostile_text_stays_text(page):
    elements = Elements(page)
    assert HOSTILE[:24] in "".join(elements.text)
    assert "<script>alert" not in page
    assert "\x00" not in page and "\ud800" not in page
    page.encode("utf-8")
    shown = Elements(render_page("<b>", "<i onload='x'>\"&"))
    assert "<i onload='x'>\"&" in "".join(shown.text)
    assert not {"b", "i"} & {tag for tag, _ in shown.found}
    for identifier in ("a b", "1a", "", 'a"', "a<"):
        with pytest.raises(ValueError, match="identifier"):
            checked_identifier(identifier)
    with pytest.raises(ValueError, match="must not contain"):
        render_page("t", "", scripts=["'</SCRIPT>'"])
    with pytest.raises(ValueError, match="must not contain"):
        render_page("t", "", styles=["/* \x00 */"])


def test_slice_names_cannot_leave_the_data_of_the_viewer():
    slices = sample_slices(2, 32)
    html = slice_viewer("v", slices.images, ("</script><b>", "<!--"), {}, slices.class_names, (None, "#ff0000") * 2)
    data = json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])
    assert data["names"] == ["</script><b>", "<!--"]
    assert html.count("</script>") == 1 and "<!--" not in html


def test_pictures_come_back_pixel_by_pixel():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (9, 7), dtype=np.uint8)
    classes = rng.integers(0, 3, (9, 7), dtype=np.uint8)

    def read(text):
        return Image.open(io.BytesIO(base64.b64decode(text)))

    np.testing.assert_array_equal(np.asarray(read(png_base64(grey))), grey)
    shown = np.asarray(read(png_base64(classes, (None, "#0072B2", "#E69F00"))).convert("RGBA"))
    np.testing.assert_array_equal(shown[..., 3], np.where(classes == 0, 0, 255))
    np.testing.assert_array_equal(
        shown[classes == 2][:, :3], np.broadcast_to((0xE6, 0x9F, 0), shown[classes == 2][:, :3].shape)
    )
    for bad in (grey.astype(float), grey[None], grey[:0]):
        with pytest.raises(ValueError, match="picture"):
            png_base64(bad)
    with pytest.raises(ValueError, match="palette"):
        png_base64(classes, (None, "#000000"))


def test_tables_hold_what_the_text_prints():
    table = Table(
        "Table 3. A title.",
        ("name", "few: mean", "n"),
        (("a", 0.12345, None), ("b", float("nan"), 3)),
        ("Note & `more`.",),
    )
    html = table_html(table, "table-3")
    assert re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", html.split("<tbody>")[1]) == ["a", "0.123", "", "b", "-", "3"]
    assert 'data-value="0.12345"' in html and 'colspan="1" class="group">few<' in html
    assert "<p>Note &amp; <code>more</code>.</p>" in html and '<strong class="number">Table 3.</strong>' in html
    assert table_html(Table("t", ("d",), ((Signed(0.01),),)), "t").count("+0.010") == 1


def test_errors_and_outlines():
    truth = np.array([[0, 1, 1, 2]], np.uint8)
    prediction = np.array([[1, 0, 1, 1]], np.uint8)
    np.testing.assert_array_equal(errors(truth, prediction), [[2, 1, 0, 3]])
    square = np.zeros((5, 5), np.uint8)
    square[1:4, 1:4] = 2
    expected = square.copy()
    expected[2, 2] = 0
    np.testing.assert_array_equal(outlines(square), expected)
    assert not outlines(np.full((3, 3), 1, np.uint8)).any()  # the picture's edge is no border


def test_viewer_tells_the_dice_of_each_slice_and_stays_small():
    slices = sample_slices(18)
    networks = {net.label: net.predictions for net in sample_networks(slices) if net.problem == "binary"}
    layers = {"truth": slices.binary().labels, **networks}
    html = slice_viewer("v", slices.images, slices.names, layers, ("not infected", "infected"), (None, "#E69F00"))
    assert len(html) < 3_000_000
    data = json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])
    truth, shifted = layers["truth"][3] > 0, next(iter(networks.values()))[3] > 0
    dice = 2 * (truth & shifted).sum() / (truth.sum() + shifted.sum())
    assert data["layers"][1]["dice"][3] == f"Dice {dice:.3f}"
    assert data["layers"][1]["dice"][0] == "no lesion in either"
    with pytest.raises(ValueError, match="as many names"):
        slice_viewer("v", slices.images, slices.names[:2], {}, ("a",), (None,))
    with pytest.raises(ValueError, match="layer 'x'"):
        slice_viewer("v", slices.images, slices.names, {"x": layers["truth"][:2]}, ("a", "b"), (None, "#000000"))


def test_a_slice_drawn_smaller_keeps_its_dice_and_its_small_lesions():
    truth, labels = np.zeros((2, 1, 5, 7), np.uint8)
    truth[0, 1, 1:4] = labels[0, 1, 1] = labels[0, 4, 6] = 1
    images = np.zeros((1, 3, 4), np.uint8)
    layers = {"truth": truth, "network": labels}
    html = slice_viewer("v", images, ("a",), layers, ("not infected", "infected"), (None, "#E69F00"), step=2)
    data = json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])
    assert data["layers"][1]["dice"] == ["Dice 0.400"]  # 2 * 1 / (3 + 2)
    fill = np.array(Image.open(io.BytesIO(base64.b64decode(data["layers"][1]["fill"][0]))).convert("RGBA"))[..., 3] > 0
    np.testing.assert_array_equal(fill, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match="layer 'truth'"):
        slice_viewer("v", images, ("a",), layers, ("not infected", "infected"), (None, "#E69F00"))


def test_a_scan_of_ninety_slices_fits_in_fifteen_megabytes():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512] / 512 - 0.5
    body = np.hypot(x, 1.3 * y) < 0.48
    # As hard to compress as slices of a sharp reconstruction: noise everywhere in the body.
    images = np.where(body, np.clip(110 + rng.normal(0, 12, (90, 512, 512)), 0, 255), 0).astype(np.uint8)
    layers = {"network": (np.hypot(x - 0.2, y) < 0.1).astype(np.uint8)[None].repeat(90, axis=0)}
    names = [str(i) for i in range(90)]
    assert len(slice_viewer("v", images, names, layers, ("not infected", "infected"), (None, "#E69F00"))) < 15_000_000


def test_page_holds_every_part_once(page):
    report = sample_report()
    text = "".join(Elements(page).text)
    for verdict in report.verdicts:
        assert text.count(verdict.evidence) == 1
    for name in report.tables:
        assert page.count(f'id="table-{name}"') == 1
    assert page.count('<figure class="picture"') == len(report.figures)
    assert "Further tables and figures" in text  # the table of selection is in none of its sections
    assert page.count('class="viewer"') == 2
    contents = page.split('<nav aria-label="Contents">')[1].split("</nav>")[0]
    targets = re.findall('href="#([^"]+)"', contents)
    assert {"table-table3", "figure-figure4", "claims", "missing"} < set(targets)
    assert all(page.count(f'id="{target}"') == 1 for target in targets)
    figures = sample_figures()
    with pytest.raises(ValueError, match="without an image"):
        report_page(report, {figures[0].name: b""})
    assert 'alt="&lt;b&gt;"' in figure_html("f", "t", "c", "<b>", b"x")
