"""The playground in a real browser: asked by keyboard, turns arriving, the vote, hostile text, a phone's width, no elsewhere.

Screenshots for a person to look at: build/screenshots/playground-*.png.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from serving import Slow, serving

from rise.prompt import Prompt

playwright = pytest.importorskip("playwright.sync_api", reason="make test-clients installs it")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
SHOTS = Path(__file__).resolve().parents[2] / "build/screenshots"

QUESTION = "A crate holds 347 jars, and a lorry takes 68 crates. How many jars does the lorry take?"
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
TABLE = {
    QUESTION: [
        "350 times 70 is 24,500, less a little.\nSo I would say \\boxed{23500}.",
        "347*8 = 2776\n347*60 = 20820\n2776 + 20820 = 23596\n\\boxed{23596}",
        "347*8 = 2776\n347*60 = 20820\n2776 + 20820 = 23496\n\\boxed{23496}",
        "Adding again: 2776 + 20820 is \\boxed{23,596}.",
    ],
    EVIL: [f"{EVIL} \\boxed{{<b>7</b>}}"],
    "unheard of": [],
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server():
    with serving(Slow(TABLE, 0.15), prompt=Prompt(feedback="neutral"), turns=4) as running:
        yield running


@pytest.fixture
def open_page(browser, server):
    """A page at a width and in a scheme; whatever it complains of, or asks of anybody else, fails the test."""
    contexts, complaints = [], []

    def open_(width=1100, height=900, scheme="light", url=server.url):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(url) else None)
        page.goto(url)
        page.wait_for_selector("#about:not(:empty)", timeout=15_000)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def done(page):
    # Not wait_for_function: it evaluates a string, which the page's policy forbids.
    playwright.expect(page.locator("#status")).to_have_text(re.compile("^Done in"), timeout=30_000)


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"playground-{name}.png", full_page=True)


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (390, "light"), (390, "dark")])
def test_a_problem_is_asked_by_keyboard_and_the_vote_is_seen(open_page, width, scheme):
    page = open_page(width, scheme=scheme)
    assert page.evaluate("document.activeElement.id") == "problem"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#turns-list li:nth-child(2)", timeout=20_000)
    done(page)
    assert page.locator("#turns-list li").count() == 4
    assert page.inner_text("#verdict") == "23596 from turn 2, given in 2 of 4 turns"
    assert page.inner_text("#content") == TABLE[QUESTION][1]
    assert [row.split("\n")[0] for row in page.locator("#tally li").all_inner_texts()] == ["23596", "23500", "23496"]
    assert "handed out" in page.inner_text("#turns-list li:nth-child(2) .says")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    shot(page, f"{width}-{scheme}")


def test_turns_arrive_one_by_one_and_can_be_stopped(open_page, server):
    page = open_page()
    page.fill("#problem", QUESTION)
    page.click("#ask")
    page.wait_for_selector("#turns-list li:nth-child(1)", timeout=20_000)
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#status")).to_have_text(re.compile("^Stopped after"), timeout=30_000)
    assert page.locator("#turns-list li").count() < 4
    server.wait_until(lambda: server.app.state.gate.active == 0)
    assert page.is_enabled("#ask")


def test_hostile_text_is_shown_and_never_run(open_page):
    page = open_page()
    page.fill("#problem", EVIL)
    page.fill("#turns", "1")
    page.keyboard.press("Control+Enter")
    done(page)
    assert page.inner_text("#content").startswith(EVIL)
    assert page.inner_text("#verdict code") == "<b>7</b>"
    assert page.title().startswith("Playground")
    assert page.locator("main script, main img, main b:not(.says b)").count() == 0


def test_even_markup_that_got_in_would_not_run(browser, server):
    """The page's policy by itself: neither a handler nor an inline script, whoever put it there."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.evaluate("html => { document.querySelector('main').innerHTML = html }", EVIL)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { text: \"document.title = 'owned'\" }))")
    page.wait_for_timeout(200)
    assert page.title().startswith("Playground")
    context.close()


def test_trouble_is_told_in_words(browser, server):
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#about:not(:empty)")
    page.fill("#problem", "unheard of")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#status.trouble")
    assert "engine" in page.inner_text("#status")
    assert page.is_enabled("#ask")
    context.close()


def test_a_key_is_asked_for_and_used(browser):
    with serving(Slow(TABLE, 0.01), turns=2, key="s3cret") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#key-field:not([hidden])")
        page.fill("#key", "s3cret")
        page.fill("#problem", QUESTION)
        page.wait_for_selector("#about:not(:empty)")
        page.keyboard.press("Control+Enter")
        done(page)
        context.close()
