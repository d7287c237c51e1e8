"""The playground in a real browser: asked by keyboard, turns arriving, the vote, hostile text, a phone's width, no elsewhere.

Screenshots for a person to look at: build/screenshots/playground-*.png.
"""

import asyncio
import re

import pytest
from pages import context, serious, shot
from serving import Held, Slow, serving

from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.task import Problem

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-clients tries to").expect

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


class Halting(ScriptedPolicy):
    """Answers once, then thinks until it is given up."""

    async def reply(self, request):
        if any(message.role == "assistant" for message in request.messages):
            await asyncio.Event().wait()
        return await super().reply(request)


@pytest.fixture(scope="module")
def server():
    with serving(Slow(TABLE, 0.15), prompt=Prompt(feedback="neutral"), turns=4) as running:
        yield running


@pytest.fixture
def open_page(browser, server):
    """A page at a width and in a scheme; whatever it complains of, or asks of anybody else, fails the test."""
    contexts, complaints = [], []

    def open_(width=1100, height=900, scheme="light", url=server.url, **more):
        contexts.append(context(browser, viewport={"width": width, "height": height}, color_scheme=scheme, **more))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(url) else None)
        page.goto(url)
        page.wait_for_selector("#about:not(:empty)")
        return page

    yield open_
    for made in contexts:
        made.close()
    assert complaints == []


def done(page):
    # Not wait_for_function: it evaluates a string, which the page's policy forbids.
    expect(page.locator("#status")).to_have_text(re.compile("^Done in"))


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (390, "light"), (390, "dark")])
def test_a_problem_is_asked_by_keyboard_and_the_vote_is_seen(open_page, width, scheme):
    page = open_page(width, scheme=scheme)
    assert page.evaluate("document.activeElement.id") == "problem"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#turns-list li:nth-child(2)")
    done(page)
    assert page.locator("#turns-list li").count() == 4
    assert page.inner_text("#verdict") == "23596 from turn 2, given in 2 of 4 turns"
    assert page.inner_text("#content") == TABLE[QUESTION][1]
    assert [row.split("\n")[0] for row in page.locator("#tally li").all_inner_texts()] == ["23596", "23500", "23496"]
    assert "handed out" in page.inner_text("#turns-list li:nth-child(2) .says")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    shot(page, f"playground-{width}-{scheme}", whole=True)


def test_turns_arrive_one_by_one_and_can_be_stopped(open_page):
    with serving(Halting(ScriptedPolicy.from_table(TABLE).script), turns=4) as server:
        page = open_page(url=server.url)
        page.fill("#problem", QUESTION)
        page.click("#ask")
        page.wait_for_selector("#turns-list li:nth-child(1)")
        assert page.inner_text("#status") == "Turn 2 of 4 …"
        page.keyboard.press("Escape")
        expect(page.locator("#status")).to_have_text("Stopped after 1 turn.")
        assert page.locator("#turns-list li").count() == 1
        assert page.is_enabled("#ask")
        server.wait_until(lambda: server.app.state.gate.active == 0)


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
    page = context(browser).new_page()
    page.goto(server.url)
    page.evaluate("html => { document.querySelector('main').innerHTML = html }", EVIL)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { text: \"document.title = 'owned'\" }))")
    page.wait_for_timeout(200)
    assert page.title().startswith("Playground")
    page.context.close()


def test_trouble_is_told_in_words(browser, server):
    page = context(browser).new_page()
    page.goto(server.url)
    page.wait_for_selector("#about:not(:empty)")
    page.fill("#problem", "unheard of")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#status.trouble")
    assert "engine" in page.inner_text("#status")
    assert page.is_enabled("#ask")
    page.context.close()


def test_a_key_is_asked_for_and_used(browser):
    with serving(Slow(TABLE, 0.01), turns=2, key="s3cret") as server:
        page = context(browser).new_page()
        page.goto(server.url)
        page.wait_for_selector("#key-field:not([hidden])")
        page.fill("#key", "s3cret")
        page.fill("#problem", QUESTION)
        page.wait_for_selector("#about:not(:empty)")
        page.keyboard.press("Control+Enter")
        done(page)
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, axe, scheme):
    page = open_page(scheme=scheme, bypass_csp=True)
    assert serious(page, axe) == [], "before anything was asked"
    page.fill("#problem", QUESTION)
    page.keyboard.press("Control+Enter")
    done(page)
    assert serious(page, axe) == [], "with turns and a vote"


def test_a_test_problem_is_clicked_and_gold_shown_after_the_reply(browser):
    problem = Problem(QUESTION, gold="23596")
    policy = Held(TABLE, quick=2)
    with serving(policy, turns=4, prompt=Prompt(feedback="neutral"), problems=(problem,)) as server:
        page = context(browser).new_page()
        page.goto(server.url)
        page.locator("#offered button").click()
        page.wait_for_selector("#turns-list li:nth-child(2)")
        assert "23596" not in page.inner_text("#gold") and page.locator(".right, .wrong").count() == 0
        policy.go.set()
        done(page)
        assert page.inner_text("#gold") == "gold 23596"
        assert page.inner_text("#beside").split() == ["one", "turn", "23500", "wrong", "4", "turns", "23596", "right"]
        marked = [item.get_attribute("class") for item in page.locator("#turns-list li").all()]
        assert ["right" in name.split() for name in marked] == [False, True, False, True]
        shot(page, "playground-judged", whole=True)
        page.context.close()


def test_enter_asks_and_shift_enter_breaks_the_line(open_page):
    page = open_page()
    page.keyboard.type("347*68")
    page.keyboard.press("Shift+Enter")
    assert page.input_value("#problem") == "347*68\n" and page.is_enabled("#ask")
    page.fill("#problem", QUESTION)
    page.keyboard.press("Enter")
    done(page)
    assert page.locator("#turns-list .right, #turns-list .wrong").count() == 0, "nobody judged it"
