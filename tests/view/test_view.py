"""`rise view`: what the page is told of a run, whatever the files hold and however far they have come."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.testclient import TestClient
from synthetic_run import ROUND_1, turn
from view_run import MARKUP, write_viewed

from rise.errors import ConfigError, DataError
from rise.jsonl import dumps, write_jsonl
from rise.recipe.problems import training_problems
from rise.recipe.toml import load_recipe
from rise.tasks import make_task
from rise.trajectory import Relabelled, Trajectory, to_json
from rise.view.files import ASSETS, asset
from rise.view.index import Index
from rise.view.library import Library
from rise.view.server import make_app


@pytest.fixture
def run(tmp_path):
    return write_viewed(tmp_path / "run")


@pytest.fixture
def client(run):
    return TestClient(make_app(Library([run.path])))


def rows(client, key, **more):
    return by_name(client.get("/api/rows", params={"key": key, **more}).json())


def by_name(found):
    """An answer with its rows as the page reads them."""
    return found | {"rows": [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]}


# --- lists --------------------------------------------------------------------------------------------------------------


def test_a_row_has_the_question_the_verdicts_and_what_became_of_the_run(client):
    found = rows(client, "0/round-1/held-out")
    assert [row["pattern"] for row in found["rows"]] == [run for run, _, _ in ROUND_1]
    assert [row["outcome"] for row in found["rows"]] == ["kept", "kept", "fixed", "fixed", "wavered", "broken", "never", "never"]
    first, second, *_ = found["rows"]
    assert (first["problem_id"], first["title"], first["gold"]) == ("p0000", "6*7=?", "42")
    assert second["labels"] == ["kind sum"]
    assert (found["n"], found["complete"], found["n_bad"]) == (8, True, 0)


def test_a_row_says_whether_a_reply_was_cut_and_which_had_no_answer(run, client):
    path = run.stage("round-1").held_out
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[3]["run"][2]["finish"] = "length"
    path.write_text("".join(dumps(record) + "\n" for record in records))
    found = rows(client, "0/round-1/held-out")["rows"]
    assert [k for k, row in enumerate(found) if row["cut"]] == [3]
    assert [k for k, row in enumerate(found) if "u" in row["pattern"]] == [7]  # uuwww


def test_rows_come_in_slices_and_only_as_far_as_asked_are_lines_read(run):
    index = Index(run.stage("round-1").held_out, "held-out")
    rows, first = index.rows(0, 3)
    assert (len(rows), first["n"], first["complete"]) == (3, 3, False) and 0 < first["share"] < 0.6
    rows, rest = index.rows(3, 100)
    assert (len(rows), rest["n"], rest["complete"], rest["share"]) == (5, 8, True, 1.0)
    assert not index.rows(0, 3)[1]["complete"]  # the file is read to its end, but these are not the last


def test_an_improved_reply_has_its_question_from_the_trajectory_and_shows_whom_it_was_chosen_from(client):
    [row] = rows(client, "0/round-1/relabelled")["rows"]
    assert row == {
        "problem_id": "p0000",
        "title": "6*7=?",
        "gold": "42",
        "pattern": "wr",
        "outcome": "right",
        "labels": ["kind product"],
        "turn": 2,
        "weight": None,
        "source": "student",
        "cut": False,
    }
    record = client.get("/api/record", params={"key": "0/round-1/relabelled", "row": 0}).json()
    assert [t["verdict"] for t in record["turns"]] == ["wrong", "wrong"]  # the two attempts of the state
    assert record["candidates"][record["chosen"]]["answer"] == "42"


def test_a_file_that_grows_is_read_on_a_torn_line_waits_and_a_replaced_file_starts_again(tmp_path, run):
    lines = run.stage("round-1").held_out.read_bytes().splitlines(keepends=True)
    path = tmp_path / "held-out.jsonl"
    path.write_bytes(lines[0] + lines[1][:40])
    index = Index(path, "held-out")
    _, before = index.rows(0, 10)
    assert (before["n"], before["complete"]) == (1, True)
    with path.open("ab") as file:
        file.write(lines[1][40:])
    assert index.rows(0, 10)[1]["n"] == 2 and index.search("p0001") == [1]
    other = tmp_path / "new"
    other.write_bytes(lines[7])
    other.replace(path)
    _, after = index.rows(0, 10)
    assert after["n"] == 1 and after["version"] != before["version"] and index.search("p0001") == []


def test_a_line_that_is_no_record_is_left_out_counted_and_named(run):
    path = run.stage("round-1").held_out
    lines = path.read_text().splitlines()
    bad = ["not json", '{"problem_id":"x"}', '{"problem_id":"x","question":1,"gold":"1","run":[]}', '["list"]']
    path.write_text("\n".join([lines[0], *bad, lines[1]]) + "\n")
    index = Index(path, "held-out")
    _, found = index.rows(0, 10)
    assert (found["n"], found["n_bad"], found["first_bad"]) == (2, 4, 2)
    assert index.record(1)[0] == 6  # its line in the file, the bad ones counted


# --- search -------------------------------------------------------------------------------------------------------------


def test_search_looks_into_every_reply_and_does_not_mind_case(client):
    def found(text):
        return client.get("/api/search", params={"key": "0/round-1/held-out", "q": text}).json()["rows"]

    assert found("i CANNOT say") == [7]  # the only unparsable run; one of its samples says so too
    assert found("p0003") == [3]
    assert found("=42") == [0, 1, 2, 3, 4, 5, 6]  # 6: never right in its run, but in one of its samples
    assert found("nowhere") == [] and found("") == list(range(8))


# --- records ------------------------------------------------------------------------------------------------------------


def test_the_vote_says_who_voted_for_what_and_how_it_stood_after_each_turn(client):
    record = client.get("/api/record", params={"key": "0/round-1/held-out", "row": 4}).json()  # rwrrr, samples rrrw
    assert record["vote"] == {
        "groups": [
            {"answer": "42", "right": True, "turns": [1, 3, 4, 5], "wins": True},
            {"answer": "91", "right": False, "turns": [2], "wins": False},
        ],
        "scores": [1.0, 0.5, 1.0, 1.0, 1.0],  # after turn 2 it is one against one
    }
    assert [g["turns"] for g in record["parallel_vote"]["groups"]] == [[1, 2, 3, 4], [5]]


def test_answers_that_look_different_and_are_equal_vote_together(run):
    path = run.stage("round-1").held_out
    data = json.loads(path.read_text().splitlines()[0])
    data["run"] = data["run"][:3]
    for t, answer in zip(data["run"], ["42", "42.0", "0.5"], strict=True):
        t["answer"] = answer
    path.write_text(dumps(data) + "\n")
    groups = Library([run.path]).record("0/round-1/held-out", 0)["vote"]["groups"]
    assert [(g["answer"], g["turns"]) for g in groups] == [("42", [1, 2]), ("0.5", [3])]
    run.config.write_text(run.config.read_text() + '\n[task.settings]\njudge_path = "mine:Judge"\n')
    groups = Library([run.path]).record("0/round-1/held-out", 0)["vote"]["groups"]
    assert [g["answer"] for g in groups] == ["42", "42.0", "0.5"]  # a viewer runs no code that a run names


def test_the_same_problem_is_found_at_every_stage_and_run(run):
    found = Library([run.path, run.path]).where("p0002")
    assert [(place["key"], place["row"], place["pattern"]) for place in found] == [
        ("0/boost/held-out", 2, "wwwww"),
        ("0/round-1/held-out", 2, "wrrrr"),
        ("1/boost/held-out", 2, "wwwww"),
        ("1/round-1/held-out", 2, "wrrrr"),
    ]


def test_an_example_is_shown_token_by_token_and_says_why_where_it_cannot(run):
    from tokenizers import Tokenizer, decoders, models

    library = Library([run.path])
    plain = library.record("0/round-1/examples", 0)
    assert plain["pieces"] is None and "No checkpoint beside this file" in plain["trouble"]
    assert (plain["weight"], plain["n_trained"], plain["verdict"]) == (2.577, 2, "right")
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<end>": 2, "6": 3, "▁*7": 4, "▁42": 5}, unk_token="a"))
    words.decoder = decoders.Metaspace()  # drops the space before a lone token, as many do
    run.stage("round-1").checkpoint.mkdir()
    words.save(str(run.stage("round-1").checkpoint / "tokenizer.json"))
    record = Library([run.path]).record("0/round-1/examples", 0)  # ids 3 4 are read, 5 2 are trained
    assert record["pieces"] == [["6", " *7"], ["42", "<end>"]]


def test_an_improved_reply_stands_behind_its_own_trajectory_where_a_problem_has_several(run):
    stage = run.stage("round-1")
    trajectories = [Trajectory("p0", "q", "1", (turn("w", k),), sample=k) for k in range(3)]
    write_jsonl(stage.trajectories, (to_json(t) for t in trajectories))
    improved = [Relabelled("p0", 1, (turn("r", 9),), 0, sample=2), Relabelled("p9", 1, (turn("r", 9),), 0)]
    write_jsonl(stage.relabelled, (to_json(r) for r in improved))
    library = Library([run.path])
    assert [t["answer"] for t in library.record("0/round-1/relabelled", 0)["turns"]] == ["92"]
    assert library.record("0/round-1/relabelled", 1)["turns"] == []  # its trajectory is not there


# --- runs and what is under way -----------------------------------------------------------------------------------------


def test_the_overview_has_the_numbers_of_every_stage_and_its_files(client):
    [run] = client.get("/api/overview").json()["runs"]
    stages = {stage["name"]: stage for stage in run["stages"]}
    assert [f["kind"] for f in stages["round-1"]["files"]] == ["held-out", "trajectories", "relabelled", "examples"]
    assert [round(p["value"], 3) for p in stages["round-1"]["metrics"]["accuracy_by_turn"]] == [0.5, 0.5, 0.625, 0.625, 0.625]
    assert stages["base"]["metrics"] is None and run["live"]["unmeasured"] == ["base", "round-2"]


SMALL = """name = "toy"
task = { name = "arithmetic", n_train = 3, n_test = 2 }
model = { nano = { hidden = 8 } }
boost = { enabled = false }
iterate = { rounds = 2 }
"""


def test_replies_still_in_the_ledger_can_be_looked_at_until_their_file_is_there(run):
    run.config.write_text(SMALL)
    config = load_recipe(run.config)
    [a, b, _] = training_problems(config, make_task("arithmetic", **config.task.settings))

    def line(problem, attempts, letter):
        data = {"key": f"{problem.id}{attempts}", "purpose": "round-2/rollout", "problem": problem.id, "attempts": attempts}
        return dumps(data | {"turn": to_json(turn(letter, attempts))}) + "\n"

    run.ledger.write_text(
        line(a, 0, "w") + line(b, 0, "r") + dumps({"key": "m", "purpose": "round-2/rollout", "group": 0}) + "\n"
    )
    library = Library([run.path])
    stamp = library.stamp()
    with run.ledger.open("a") as file:
        file.write(line(a, 1, "r") + line(b, 1, "r")[:30])  # the last one is still being written
    assert library.stamp() != stamp
    [part] = library.overview()["runs"][0]["live"]["parts"]
    assert (part["key"], part["n_replies"], part["n_problems"]) == ("0/round-2/live-rollout", 3, 2)
    assert part["right"] == [[0, 1, 2], [1, 1, 1]]
    found = by_name(json.loads(library.rows(part["key"], 0, 10)))["rows"]
    shown = [tuple(row[name] for name in ("problem_id", "title", "gold", "pattern")) for row in found]
    assert shown == [(a.id, a.question, a.gold, "wr"), (b.id, b.question, b.gold, "r")]
    record = library.record(part["key"], 0)
    assert [(g["attempts"], [t["verdict"] for t in g["turns"]]) for g in record["groups"]] == [(0, ["wrong"]), (1, ["right"])]
    run.stage("round-2").path.mkdir()
    run.stage("round-2").trajectories.write_text("")
    assert library.overview()["runs"][0]["live"]["parts"] == []
    with pytest.raises(DataError, match="is finished"):
        library.record(part["key"], 0)


def test_training_under_way_shows_its_loss(run):
    run.write_log(stage="round-2", step=10, steps=40, loss=0.5)
    run.write_log(stage="round-2", step=20, steps=40, loss=0.25)
    live = Library([run.path]).overview()["runs"][0]["live"]
    assert live["training"] == {"stage": "round-2", "step": 20, "steps": 40, "loss": [[10, 0.5], [20, 0.25]]}


# --- what must not happen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "",
        "0",
        "0/round-1",
        "0/round-1/metrics",
        "9/round-1/held-out",
        "-1/round-1/held-out",
        "0/../run/round-1/held-out",
        "0/..%2fround-1/held-out",
        "0/round-9/held-out",
        "0/./held-out",
        "²/round-1/held-out",
        "0/round-1/held-out/",
    ],
)
def test_a_key_that_the_overview_does_not_give_leads_nowhere(client, key):
    for path, more in (("rows", {}), ("record", {"row": 0}), ("search", {"q": "x"})):
        answer = client.get(f"/api/{path}", params={"key": key, **more})
        assert answer.status_code == 404 and "names no file here" in answer.json()["error"]


HELD_OUT = "key=0/round-1/held-out"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"rows?{HELD_OUT}&start=-1", 422),
        (f"rows?{HELD_OUT}&limit=99999999", 422),
        (f"rows?{HELD_OUT}&start=99999", 200),
        ("rows", 422),
        (f"record?{HELD_OUT}&row=8", 404),
        (f"record?{HELD_OUT}&row=abc", 422),
        (f"record?{HELD_OUT}&row={'9' * 40}", 404),
        (f"search?{HELD_OUT}&q={'x' * 1001}", 422),
        (f"search?{HELD_OUT}&q=%00%FF", 200),
        ("where?problem=%00", 200),
    ],
)
def test_absurd_questions_get_an_answer_with_the_right_status(client, query, status):
    assert client.get(f"/api/{query}").status_code == status


def test_every_answer_forbids_what_is_not_ours_and_strangers_names_are_refused(client):
    for path in ("/", "/page/app.js", "/api/overview", "/nothing"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy  # innerHTML and its like would throw
    assert client.get("/api/overview", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/page/..%2f__init__.py").status_code == 404


def test_the_page_loads_nothing_from_elsewhere_and_builds_no_markup_from_text(client):
    page = client.get("/").text
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert sorted(loaded) == sorted(["data:,", *(f"page/{name}" for name in ASSETS)])
    assert all(client.get(f"/page/{name}").status_code == 200 for name in ASSETS)
    for name in ASSETS:
        text = asset(name).replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://|@import|url\(", text
        ), name


def test_hostile_text_goes_out_as_json_and_comes_back_as_it_was(tmp_path):
    client = TestClient(make_app(Library([write_viewed(tmp_path / "run", hostile=True).path])))
    answer = client.get("/api/record", params={"key": "0/round-1/held-out", "row": 0})
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
    assert MARKUP in answer.json()["turns"][0]["reply"] and answer.json()["turns"][0]["answer"] == MARKUP


def test_a_directory_that_is_no_run_and_a_port_in_use_are_named(tmp_path, run):
    import socket

    from rise.view.server import serve

    with pytest.raises(DataError, match="no run directory"):
        Library([tmp_path])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"--port \d+: Address already in use"):
            serve(Library([run.path]), "127.0.0.1", taken.getsockname()[1])


def test_the_address_is_said_when_it_can_be_called(run, monkeypatch):
    import socket

    from rise.view.server import serve

    called = []

    def said(text, **_):
        port = int(re.search(r":(\d+)/", text)[1])
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        called.append(port)

    monkeypatch.setattr("builtins.print", said)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    serve(Library([run.path]), "127.0.0.1", 0)
    assert len(called) == 1
