"""The report in a real browser: it works, it fits, it asks nobody for anything. Skipped where there is no browser."""

import shutil

import pytest
from web_sample import HOSTILE, sample_images, sample_report, sample_slices

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
# Not `wait_for_function`: it evaluates text in the page, which the page's policy forbids.
expect = sync_api.expect
expect.set_options(timeout=15_000)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from experiments.reporting.page import report_page

    report = sample_report()
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(report_page(report, sample_images(report.figures)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def case_address(tmp_path_factory):
    """The page of a segmented scan with truth, whose name and notes are hostile."""
    from types import SimpleNamespace

    import numpy as np

    from unet_segnet.cohort.conventions import Pairing
    from unet_segnet.commands.predict_page import case_page
    from unet_segnet.commands.predict_truth import Truth
    from unet_segnet.measures.comparison import compare
    from unet_segnet.measures.severity import severity

    slices = sample_slices(12, 128)
    truth = slices.binary().labels
    labels = np.roll(truth, 2, axis=1)
    lungs = np.where(slices.images > 0, 1 + (np.arange(128)[:, None] < 64), 0).astype(np.uint8)
    names = ("not infected", "infected")
    result = SimpleNamespace(
        slices=SimpleNamespace(images=slices.images, names=slices.names, spacing=(5.0, 1.0, 1.0)),
        labels=labels,
        class_names=names,
        severity=severity(labels, lungs, (5.0, 1.0, 1.0), names, slices.names),
        notes=(HOSTILE,),
    )
    comparison = compare(truth, labels, 2, (5.0, 1.0, 1.0), class_names=names, slice_names=slices.names)
    own = np.arange(256, dtype=np.uint8)
    true = Truth(truth, Pairing(names, own, own), ())
    page = case_page(HOSTILE, result, result.notes, (-1100, 400), true, comparison)
    path = tmp_path_factory.mktemp("case") / "index.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def look_address(tmp_path_factory):
    """The page of three scans, one with labels of another, one that cannot be read, all with a long name."""
    import numpy as np
    from own_data import drawn, write_cohort, write_nifti

    from unet_segnet.commands import data

    folder = tmp_path_factory.mktemp("look")
    scans = write_cohort(folder / "scans", 3)
    write_nifti(scans / "labels" / "p2.nii.gz", np.roll(drawn(seed=2, lesion=1)[1], 14, axis=2))
    (scans / "images" / "p3.nii.gz").write_bytes(b"")
    for path in sorted(scans.rglob("*.gz")):
        path.rename(path.with_name(f"{'a_long_name_without_a_blank_' * 3}{path.name}"))
    options = data.build_parser().parse_args(["look", str(scans), "--out", str(folder / "out")])
    assert data.data(options) == 1
    return (folder / "out" / "index.html").as_uri()


@pytest.fixture
def page(browser, address):
    yield from _open(browser, address)


@pytest.fixture
def case(browser, case_address):
    yield from _open(browser, case_address)


@pytest.fixture
def look(browser, look_address):
    yield from _open(browser, look_address, ".case img")


def _open(browser, address, shown=".stage img.grey"):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.complaints, opened.requests = [], []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.goto(address)
    opened.wait_for_selector(shown)
    yield opened
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    opened.close()


def column(page, table, number):
    return page.eval_on_selector_all(
        f"#table-{table} tbody tr", "(rows, n) => rows.map(row => row.cells[n].textContent)", number
    )


def test_columns_sort_up_down_and_back(page):
    before = column(page, "table3", 5)
    heading = page.locator("#table-table3 th[data-column='5'] button")
    heading.click()
    assert column(page, "table3", 5) == sorted(before, key=float)
    heading.press("Enter")
    assert column(page, "table3", 5) == sorted(before, key=float, reverse=True)
    assert page.locator("#table-table3 th[data-column='5']").get_attribute("aria-sort") == "descending"
    heading.click()
    assert column(page, "table3", 5) == before


def test_cells_without_a_value_stay_last(page):
    heading = page.locator("#table-selection th[data-column='3'] button")
    for _ in range(2):
        heading.click()
        assert column(page, "selection", 3)[-1] == ""


def test_viewer_by_keyboard_and_pointer(page):
    viewer = page.locator("#viewer-binary")
    status, stage = viewer.locator(".viewer-status"), viewer.locator(".stage")
    stage.focus()
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("(2 of 18)")
    viewer.locator(".next").click()
    expect(status).to_contain_text("3 of 18")
    viewer.locator(".layer").select_option("1")
    page.wait_for_selector("#viewer-binary .stage img.overlay")
    expect(status).to_contain_text("Dice")
    viewer.locator(".style").select_option("errors")
    expect(viewer.locator(".legend[data-legend=errors]")).to_be_visible()
    viewer.locator(".opacity").fill("30")
    assert stage.locator("img.overlay").evaluate("image => getComputedStyle(image).opacity") == "0.3"
    viewer.locator(".zoom-factor").select_option("2")
    assert stage.locator("img.grey").evaluate("image => image.getBoundingClientRect().width") == 512
    viewer.locator(".layer").select_option("")
    expect(stage.locator("img")).to_have_count(1)


def test_wheel_changes_slices_only_once_the_picture_was_clicked(page):
    stage, status = page.locator("#viewer-binary .stage"), page.locator("#viewer-binary .viewer-status")
    stage.hover()
    before = page.evaluate("window.scrollY")
    page.mouse.wheel(0, 100)
    waits = 0
    while page.evaluate("window.scrollY") <= before:
        waits += 1
        assert waits < 100, "the page does not scroll"
        page.wait_for_timeout(50)
    assert "(1 of 18)" in status.inner_text()
    stage.click()
    page.mouse.wheel(0, 100)
    expect(status).to_contain_text("(2 of 18)")
    stage.press("End")
    expect(status).to_contain_text("18 of 18")
    page.mouse.wheel(0, -100)
    expect(status).to_contain_text("17 of 18")


def test_overlays_lie_where_the_lesions_are(page):
    """The colours that the browser shows, pixel by pixel, are the classes of the slice chosen."""
    import numpy as np

    from unet_segnet.data import paper_split

    page.locator("#viewer-multiclass .slice").fill("4")
    expect(page.locator("#viewer-multiclass .viewer-status")).to_contain_text("5 of 18")
    shown = page.eval_on_selector(
        "#viewer-multiclass img.overlay",
        """image => {
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth;
            canvas.height = image.naturalHeight;
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }""",
    )
    shown = np.array(shown).reshape(256, 256, 4)
    slices = sample_slices()
    truth = slices.labels[paper_split(100).test[4]]
    assert set(np.unique(truth)) >= {0, 1, 2}
    np.testing.assert_array_equal(shown[..., 3] > 0, truth > 0)
    for index, colour in ((1, (0xE6, 0x9F, 0x00)), (2, (0x00, 0x72, 0xB2)), (3, (0x00, 0x9E, 0x73))):
        assert (shown[truth == index][:, :3] == colour).all()


def test_outlines_are_drawn_in_full_strength(page):
    page.locator("#viewer-binary .style").select_option("outline")
    expect(page.locator("#viewer-binary .percent")).to_have_text("100 %")  # the change comes as an event
    page.locator("#viewer-binary .style").select_option("fill")
    expect(page.locator("#viewer-binary .percent")).to_have_text("60 %")


def test_figures_enlarge_and_close(page):
    page.locator("button.zoom").first.press("Enter")
    assert page.locator("#zoom img").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()


def test_dark_theme_changes_the_background(page):
    def background():
        return page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")

    light = background()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")  # the system's change comes as an event
    dark = background()
    assert dark != light
    page.locator("#theme").click()
    assert background() == light
    page.emulate_media(color_scheme="light")
    assert background() == light
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")
    assert background() == dark


@pytest.mark.parametrize("width", [360, 390, 768])
def test_no_page_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_of_a_scan(case):
    status = case.locator(".viewer-status")
    case.locator(".layer").select_option("1")
    case.locator(".slice").fill("5")
    expect(status).to_contain_text("6 of 12")
    assert "Dice 0." in status.inner_text()
    volume = case.locator("#table-severity, #severity").locator("tbody tr").first.inner_text()
    assert volume.startswith("infected")
    case.set_viewport_size({"width": 360, "height": 800})
    assert case.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_of_a_look(look):
    expect(look.locator(".case")).to_have_count(3)
    assert [text for text in look.locator(".case h2").all_inner_texts() if text.endswith("p3")]
    pictures = look.locator(".case img")
    assert all("contours of its labels and lungs" in image.get_attribute("alt") for image in pictures.all())
    wide = pictures.first.evaluate("image => [image.getBoundingClientRect().width, image.naturalWidth]")
    assert wide[0] > 500 and wide[1] > 600
    beside = look.locator(".case:not(.unread)").first
    assert beside.locator(".said").bounding_box()["x"] > beside.locator("img").bounding_box()["x"] + wide[0]
    look.set_viewport_size({"width": 360, "height": 800})
    assert look.evaluate("document.documentElement.scrollWidth") <= 360
    assert pictures.first.evaluate("image => image.getBoundingClientRect().width") > 300
    assert beside.locator(".said").bounding_box()["y"] > beside.locator("figcaption").bounding_box()["y"]


def test_a_look_leads_to_its_cases_enlarges_them_and_darkens(look):
    look.locator(".cases a").last.click()
    expect(look.locator(".case h2").last).to_be_in_viewport()
    look.locator(".case button.zoom").first.click()
    assert look.locator("#zoom img").is_visible()
    look.keyboard.press("Escape")

    def colour():
        return look.eval_on_selector(".said .problems strong", "word => getComputedStyle(word).color")

    light = colour()
    look.locator("#theme").click()
    expect(look.locator("#theme")).to_have_attribute("aria-pressed", "true")
    assert colour() != light
