"""The viewer in a real browser: filter, open, step, differences, search, light and dark, a phone, a copy from disk, hostile text.

Screenshots for a person to look at: build/screenshots/view-*.png.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pages import context, serious, shot
from synthetic_run import turn
from view_run import MARKUP, write_viewed

from rise.jsonl import dumps, write_jsonl
from rise.trajectory import Trajectory, to_json
from rise.view.export import export
from rise.view.library import Library

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-clients tries to").expect
ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = "#/0/round-1/held-out"


@contextmanager
def viewing(*runs):
    """The address of `rise view` over these runs, as a person starts it."""
    command = [sys.executable, "-m", "rise.cli.main", "view", *map(str, runs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address, "it says where it listens"
            yield address[0]
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_viewed(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def address(run):
    with viewing(run.path) as address:
        yield address


@pytest.fixture
def view():
    """`viewing` for one test. Pages need it, so it outlives them: a page whose server is gone complains."""
    with ExitStack() as stack:
        yield lambda *runs: stack.enter_context(viewing(*runs))


@pytest.fixture
def open_page(browser, view):
    """A page at an address; whatever goes wrong in it, or is refused by its policy, fails the test at its end."""
    contexts, troubles = [], []

    def open_(address, *, size=(1280, 800), dark=False, bypass_csp=False):
        viewport, scheme = {"width": size[0], "height": size[1]}, "dark" if dark else "light"
        contexts.append(context(browser, viewport=viewport, color_scheme=scheme, bypass_csp=bypass_csp))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda r: troubles.append(r.url) if not r.url.startswith((address.split("#")[0][:16], "data:")) else None
        )
        page.goto(address)
        return page

    yield open_
    for made in contexts:
        made.close()
    assert troubles == []


def titles(page):
    """Problem ids of the records that the list shows, by the address each would open."""
    return page.evaluate("rise.app.browser.shown.map((n) => rise.app.browser.rows[n].problem_id)")


def count(page, text):
    expect(page.locator(".count")).to_have_text(re.compile(f"^{re.escape(text)}"))


def test_one_run_opens_on_the_first_problem_that_was_put_right(open_page, address):
    page = open_page(address)
    page.wait_for_selector("section.turn")
    count(page, "2 of 8")  # fixed
    assert page.url.endswith(f"{HELD_OUT}?show=fixed&row=2")
    page.keyboard.press("o")
    page.wait_for_selector("table.numbers")


def test_several_runs_open_side_by_side(open_page, view, run):
    page = open_page(view(run.path, run.path))
    page.wait_for_selector("table.numbers")


def test_replies_without_an_answer_are_found(open_page, address):
    page = open_page(f"{address}{HELD_OUT}")
    count(page, "8 records")
    page.get_by_role("button", name=re.compile("^no answer")).click()
    count(page, "1 of 8")
    assert titles(page) == ["p0007"] and "trouble=no" in page.url
    page.get_by_role("button", name=re.compile("^no answer")).click()
    count(page, "8 records")


def test_filter_by_outcome_by_turn_and_by_kind(open_page, address):
    page = open_page(f"{address}{HELD_OUT}")
    count(page, "8 records")
    page.get_by_text("Choose a record.").wait_for()
    page.keyboard.press("1")  # fixed
    count(page, "2 of 8")
    assert titles(page) == ["p0002", "p0003"] and "show=fixed" in page.url
    page.get_by_role("button", name=re.compile("^never right")).click()
    count(page, "2 of 8")
    assert titles(page) == ["p0006", "p0007"]
    page.keyboard.press("0")
    page.get_by_label("Turn", exact=True).select_option("3")
    page.get_by_label("Verdict at that turn").select_option("+")  # wrong at turn 2, right at 3
    count(page, "2 of 8")
    assert titles(page) == ["p0003", "p0004"]
    page.get_by_label("Task: kind, level, subject").select_option("kind sum")
    count(page, "1 of 8")
    assert titles(page) == ["p0003"]
    page.reload()  # the address holds all of it
    count(page, "1 of 8")
    shot(page, "view-filter")


def test_open_step_and_see_what_changed_and_the_vote(open_page, address):
    page = open_page(f"{address}{HELD_OUT}?show=fixed")
    count(page, "2 of 8")
    page.keyboard.press("j")
    page.wait_for_selector("section.turn")
    assert page.locator(".problem code").first.text_content() == "p0002"
    first, second, third = (page.locator("section.turn").nth(k) for k in range(3))
    assert first.locator(".verdict").text_content() == "wrong" and second.locator(".verdict").text_content() == "right"
    assert second.locator("del").all_text_contents() == ["90"] and second.locator("ins").all_text_contents() == ["42"]
    assert second.locator(".picked").text_content() == "42"
    assert "word for word as before" in third.text_content() and third.locator("ins").count() == 0
    votes = page.locator(".vote").first
    assert [li.get_attribute("class") for li in votes.locator("li").all()] == ["w", "r wins"]
    assert votes.locator(".step").all_text_contents() == ["0", "0.5", "1", "1", "1"]
    shot(page, "view-open")
    page.keyboard.press("d")
    page.wait_for_function("() => !document.querySelector('ins')")
    page.keyboard.press("j")
    page.wait_for_function("() => document.querySelector('.problem code')?.textContent === 'p0003'")
    page.keyboard.press("l")
    page.keyboard.press("l")
    assert page.evaluate("document.activeElement.dataset.k") == "1"
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('.problem code')?.textContent === 'p0002'")
    page.keyboard.press("Escape")
    page.wait_for_selector(".empty")


def test_another_stage_beside_it(open_page, address):
    page = open_page(f"{address}{HELD_OUT}?row=2")
    page.locator(".elsewhere .chip").wait_for()
    page.keyboard.press("c")
    page.wait_for_selector(".columns.several")
    assert [h.text_content() for h in page.locator("h3.stage").all()] == ["round 1", "boost"]
    assert page.locator(".column").nth(1).locator("section.turn .verdict").all_text_contents()[:5] == ["wrong"] * 5
    shot(page, "view-beside")


def test_search_looks_into_replies(open_page, address):
    page = open_page(f"{address}{HELD_OUT}")
    count(page, "8 records")
    page.keyboard.press("/")
    page.keyboard.type("i cannot SAY")
    count(page, "1 of 8")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.problem code')?.textContent === 'p0007'")


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        (
            "2+2=5\n####5",
            "2+2=4\n####4",
            [["same", "2+2="], ["gone", "5"], ["new", "4"], ["same", "\n####"], ["gone", "5"], ["new", "4"]],
        ),
        ("a b c", "x y c", [["gone", "a b"], ["new", "x y"], ["same", " c"]]),  # a lone space does not chop a change up
        ("", "new", [["new", "new"]]),
        ("the same", "the same", [["same", "the same"]]),
        ("x 1 2 3 y", "x 1 3 y", [["same", "x 1 "], ["gone", "2 "], ["same", "3 y"]]),
        ("naïve 数学", "naïve 数", [["same", "naïve "], ["gone", "数学"], ["new", "数"]]),
    ],
)
def test_differences_worked_out_by_hand(open_page, address, before, after, parts):
    page = open_page(address)
    page.wait_for_function("() => window.rise && rise.diff")
    assert page.evaluate("([a, b]) => rise.diff(a, b)", [before, after]) == parts


def test_differences_of_long_replies_add_up(open_page, address):
    """3,000 words against 3,000 are more than a table of all pairs may take, so the middle counts as rewritten."""
    page = open_page(address)
    page.wait_for_function("() => window.rise && rise.diff")
    n_parts, before, after = page.evaluate(
        """() => {
        const words = (seed) => [...Array(3000).keys()].map((k) => "w" + (k * seed) % 97).join(" ");
        const [a, b] = [words(7), words(11)];
        const parts = rise.diff(a, b);
        const join = (other) => parts.filter(([kind]) => kind !== other).map(([, text]) => text).join("");
        return [parts.length, join("new") === a, join("gone") === b];
    }"""
    )
    assert before and after and n_parts <= 4


def test_examples_have_their_weights_colour(open_page, address):
    page = open_page(f"{address}#/0/round-1/examples")
    count(page, "2 records")
    strong, weak = page.locator(".row .weight").all()
    assert strong.text_content() == "2.58" and weak.text_content() == "0.211"
    colours = [element.evaluate("e => getComputedStyle(e).backgroundColor") for element in (strong, weak)]
    assert colours[0] != colours[1]
    page.keyboard.press("j")
    page.wait_for_selector(".example")
    assert page.locator(".swatch.own").text_content().startswith("2.58")
    shot(page, "view-example")


def test_light_and_dark_follow_the_system_until_told_otherwise(open_page, address):
    page = open_page(f"{address}#/", dark=True)
    page.wait_for_selector("table.numbers")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(21, 24, 29)"
    shot(page, "view-dark")
    page.keyboard.press("t")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.reload()
    page.wait_for_selector("table.numbers")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"  # remembered


def test_a_phone_shows_the_list_then_the_record(open_page, address):
    page = open_page(f"{address}{HELD_OUT}", size=(360, 740))
    count(page, "8 records")
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.locator("[role=option]").nth(2).click()
    page.wait_for_selector("section.turn")
    assert page.evaluate(fits) and not page.locator(".list").is_visible()
    shot(page, "view-phone")
    page.get_by_role("button", name="← list").click()
    page.locator(".list").wait_for()
    page.goto(f"{address}#/")
    page.wait_for_selector("table.numbers")
    assert page.evaluate(fits)


def test_a_run_under_way_is_followed(open_page, view, tmp_path):
    run = write_viewed(tmp_path / "live")

    def arrive(problem, attempts, letter):
        data = {"key": f"{problem}{attempts}", "purpose": "round-2/rollout", "problem": problem, "attempts": attempts}
        with run.ledger.open("a") as file:
            file.write(dumps(data | {"turn": to_json(turn(letter, attempts))}) + "\n")

    arrive("first", 0, "w")
    page = open_page(f"{view(run.path)}#/")
    page.get_by_role("link", name="round 2: rollout").click()
    count(page, "1 record")
    arrive("second", 0, "r")
    count(page, "2 records")  # nobody reloaded
    shot(page, "view-live")
    stage = run.stage("round-2")
    write_jsonl(stage.trajectories, [to_json(Trajectory("first", "what?", "42", (turn("w", 0), turn("r", 1))))])
    page.wait_for_function("() => location.hash.includes('round-2/trajectories')")
    count(page, "1 record")


def test_of_ten_thousand_rows_only_those_in_sight_are_elements(open_page, view, tmp_path):
    """What keeps a hundred thousand quick (benchmarks/view.py); here without a clock."""
    run = write_viewed(tmp_path / "many")
    runs = (Trajectory(f"n{k}", f"What is {k}+1?", str(k + 1), (turn("w", 0), turn("r", 1, str(k + 1)))) for k in range(10_000))
    write_jsonl(run.stage("round-1").trajectories, map(to_json, runs))
    page = open_page(f"{view(run.path)}#/0/round-1/trajectories")
    count(page, "10,000 records")
    rows = page.locator(".list .row")
    assert 5 < rows.count() < 100
    page.evaluate("document.querySelector('.list').scrollTop = 1e9")
    rows.filter(has_text="What is 9999+1?").wait_for()
    assert 5 < rows.count() < 100
    page.keyboard.press("/")
    page.keyboard.type("is 8765+1")
    count(page, "1 of 10,000")


@pytest.mark.parametrize("form", ["directory", "one file"])
def test_a_copy_opens_from_disk(open_page, run, tmp_path, form):
    copy = export(Library([run.path]), tmp_path / ("copy" if form == "directory" else "copy.html"), None).path
    page = open_page(f"{copy.as_uri()}{HELD_OUT}?show=fixed")
    count(page, "2 of 8")
    page.keyboard.press("j")
    page.wait_for_selector("section.turn")
    page.locator(".elsewhere .chip").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("nowhere")
    count(page, "0 of 8")
    page.get_by_label("Search questions and replies").fill("p0003")
    count(page, "1 of 8")
    shot(page, f"view-copy-{form.replace(' ', '-')}")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    page.wait_for_selector("table.numbers")


@pytest.mark.parametrize("form", ["server", "directory", "one file"])
def test_hostile_text_is_shown_and_never_run(open_page, view, tmp_path, form):
    run = write_viewed(tmp_path / "hostile", hostile=True)
    if form == "server":
        address = view(run.path)
    else:
        copy = export(Library([run.path]), tmp_path / ("copy" if form == "directory" else "copy.html"), None).path
        address = copy.as_uri()
    for record in ("held-out?row=0", "trajectories?row=0", "relabelled?row=0", "examples?row=1"):
        page = open_page(f"{address}#/0/round-1/{record}")
        page.wait_for_selector(".column")
        page.wait_for_timeout(300)  # an onerror would have had its time
        assert page.title() != "run" and page.locator("img").count() == 0
        assert page.evaluate(
            "['.side', '.record'].map((s) => document.querySelector(s)).every((e) => e.scrollWidth <= e.clientWidth)"
        )
        if record.startswith("held-out"):
            assert page.locator("section.turn pre").first.text_content() == f"{MARKUP} 90"
            assert "<script>alert('x')</script> ␛[31m" in page.locator(".question").text_content()
            shot(page, f"view-hostile-{form.replace(' ', '-')}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    "place",
    [
        "#/",
        f"{HELD_OUT}?row=4",
        f"{HELD_OUT}?row=2&with=0/boost/held-out:2",
        "#/0/round-1/relabelled?row=0",
        "#/0/round-1/examples?row=1",
        "keys",
    ],
)
def test_axe_finds_nothing_serious(open_page, address, axe, place, dark):
    page = open_page(f"{address}{'#/' if place == 'keys' else place}", dark=dark, bypass_csp=True)
    page.wait_for_selector(".column" if "row" in place else "table.numbers")
    if place == "keys":
        page.keyboard.press("?")
        page.wait_for_selector("dialog")
    if "held-out" in place:
        page.locator(".elsewhere .chip").first.wait_for()
        page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert serious(page, axe) == []
