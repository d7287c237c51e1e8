"""A run's report in a real browser, opened from disk: light and dark, a phone's width, no script and nobody else, axe-core.

Screenshots for a person to look at: build/screenshots/report-*.png.
"""

import pytest
from pages import context, serious, shot
from synthetic_run import HOSTILE, write_run

from rise.report import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("runs") / "run")
    return write_report(run.path)[0]


@pytest.fixture
def open_page(browser):
    """A page at a file; whatever goes wrong in it, or is asked of anything but the file, fails the test at its end."""
    contexts, troubles = [], []

    def open_(path, *, width=1200, scheme="light", **more):
        contexts.append(context(browser, viewport={"width": width, "height": 900}, color_scheme=scheme, **more))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda r: troubles.append(r.url) if r.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield open_
    for made in contexts:
        made.close()
    assert troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_a_report_opens_from_disk_and_fits(open_page, report, width, scheme):
    page = open_page(report, width=width, scheme=scheme)
    assert page.locator("h1").inner_text()
    assert page.locator("figure svg").count() > 0 and page.locator("#table-main tbody tr").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 29)"}[scheme]
    shot(page, f"report-{width}-{scheme}", whole=True)


def test_hostile_text_in_a_report_is_shown_and_never_run(open_page, tmp_path):
    page = open_page(write_report(write_run(tmp_path / "hostile", hostile=True).path)[0])
    assert page.locator("script").count() == 0
    assert HOSTILE.partition(" ")[0] in page.locator("pre.question").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, report, axe, scheme):
    page = open_page(report, scheme=scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert serious(page, axe) == []
