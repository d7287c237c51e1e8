"""`rise serve --log DIR`: conversations kept as trajectories, for their owner's eyes, and what `rise relabel` makes of them."""

import errno
import json
import os
import stat

import pytest
from odd_endpoint import OddEndpoint, chat
from serving import TABLE, serving
from toys import small, write
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError, RiseError
from rise.policy import Sampling
from rise.recipe.config import TaskConfig
from rise.recipe.toml import to_toml
from rise.serve.keep import Keeper
from rise.serve.revise import Ask, Outcome
from rise.trajectory import Message, Turn, read_relabelled, read_trajectories


def kept(folder):
    return list(read_trajectories(folder / "trajectories.jsonl"))


def test_each_choice_is_a_trajectory_and_a_question_asked_again_its_next_sample(tmp_path):
    with serving(keeper=Keeper(tmp_path / "log", "m", None), turns=2) as server:
        assert server.ask("347*68").status_code == 200 and server.ask("hello", n=2).status_code == 200
        assert server.ask("347*68").status_code == 200
    with serving(keeper=Keeper(tmp_path / "log", "m", None), turns=2) as server:  # a server that is started again
        server.ask("347*68")
    found = kept(tmp_path / "log")
    assert sorted((t.question, t.sample) for t in found) == [*(("347*68", k) for k in range(3)), ("hello", 0), ("hello", 1)]
    first = next(t for t in found if t.question == "347*68")
    assert [turn.reply for turn in first.turns] == TABLE["347*68"][:2] and first.fields == {"served": "m"}
    assert (first.gold, first.turns[0].verdict, first.turns[1].answer) == ("", None, "23596")


def test_nobody_else_may_read_it_and_without_the_option_nothing_is_kept(tmp_path):
    with serving(keeper=Keeper(tmp_path / "log", "m", None)) as server:
        server.ask("hello")
    assert stat.S_IMODE((tmp_path / "log" / "trajectories.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700
    with serving() as server:
        server.ask("hello")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_no_recipe_could_show_again_is_left_out(tmp_path):
    keeper = Keeper(tmp_path, "m", "Be brief.")
    user, brief, rude = Message("user", "hello"), Message("system", "Be brief."), Message("system", "Be rude.")
    for messages in ((user,), (brief, user), (rude, user), (user, Message("assistant", "Hello!"), user)):
        ask = Ask(messages, Sampling(), turns=1, rule="majority", seed=0)
        keeper.keep(ask, Outcome((Turn("Hi"),), (), None, 1, "turns"))
    keeper.close()
    assert [t.sample for t in kept(tmp_path)] == [0, 1] and (keeper.n_kept, keeper.n_left_out) == (2, 2)


def test_a_place_that_cannot_be_written_is_said_before_anybody_is_served(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Give a directory"):
        Keeper(tmp_path / "file", "m", None)


def say(keeper, reply="Hi"):
    ask = Ask((Message("user", "hello"),), Sampling(), turns=1, rule="majority", seed=0)
    keeper.keep(ask, Outcome((Turn(reply),), (), None, 1, "turns"))


def test_two_servers_never_count_samples_in_one_file(tmp_path):
    """Each would call its own conversation the first, and improved replies would be joined to both."""
    keeper = Keeper(tmp_path, "m", None)
    say(keeper)
    with pytest.raises(RiseError, match=r"another process is keeping its conversations here\. Give each"):
        Keeper(tmp_path, "m", None)
    say(keeper)
    keeper.close()
    say(again := Keeper(tmp_path, "m", None))
    again.close()
    assert [t.sample for t in kept(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("torn", [b'{"problem_id":"x","ques', '{"problem_id":"x","question":"ü'.encode()[:-1]])
def test_a_line_torn_by_a_kill_is_cut_off_at_the_next_start(torn, tmp_path, caplog):
    say(keeper := Keeper(tmp_path, "m", None))
    keeper.close()
    whole = keeper.path.read_bytes()
    keeper.path.write_bytes(whole + torn)
    say(keeper := Keeper(tmp_path, "m", None))
    keeper.close()
    assert keeper.path.read_bytes().startswith(whole) and [t.sample for t in kept(tmp_path)] == [0, 1]
    assert f"({len(torn)} bytes)" in caplog.text


def test_a_disk_that_takes_half_a_line_leaves_the_file_whole(tmp_path, monkeypatch, caplog):
    keeper, write_some, left = Keeper(tmp_path, "m", None), os.write, [40]
    say(keeper, "kept")

    def full(file, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = write_some(file, data[: left[0]])
        left[0] -= n
        return n

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        say(keeper, "lost")
    say(keeper, "kept too")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write_some(file, data[:7]))  # one that takes little at a time
        say(keeper, "in parts")
    keeper.close()
    assert [(t.sample, t.turns[0].reply) for t in kept(tmp_path)] == [(0, "kept"), (1, "kept too"), (2, "in parts")]
    assert "this conversation is not kept" in caplog.text and keeper.n_kept == 3


@pytest.fixture
def conversations(tmp_path):
    with serving(keeper=Keeper(tmp_path / "log", "m", None), turns=2) as server:
        server.ask("347*68")
    return tmp_path / "log" / "trajectories.jsonl"


def relabel(tmp_path, nano_dir, conversations, **settings):
    problems = write(tmp_path / "p.jsonl", [{"question": f"{i}+{i}", "answer": str(2 * i)} for i in range(10)])
    made = small(model={"nano": None, "path": str(nano_dir)}, relabel={"improver": "teacher", "teacher": "http://h/v1#t"})
    task = TaskConfig(name="jsonl", settings={"path": str(problems), "instructions": "", **settings}, n_train=2, n_test=1)
    (tmp_path / "r.toml").write_text(to_toml(made.model_copy(update={"task": task})))
    write(tmp_path / "t.json", [json.dumps({"347*68": ["\\boxed{23596}"]})])
    words = [
        "--trajectories",
        str(conversations),
        "--policy",
        f"scripted:{tmp_path}/t.json",
        "--out",
        str(tmp_path / "out.jsonl"),
    ]
    return CliRunner().invoke(app, ["relabel", str(tmp_path / "r.toml"), *words])


def test_files_of_two_servers_are_not_taken_as_one(conversations, tmp_path, nano_dir):
    conversations.write_text(2 * conversations.read_text())
    said = str(relabel(tmp_path, nano_dir, conversations).exception)
    assert "2 trajectories are sample 0 of problem" in said and "one by one" in said


def test_relabel_takes_them_where_a_model_judges(conversations, tmp_path, nano_dir):
    endpoint = OddEndpoint(lambda call: chat("VERDICT: WRONG" if "23000" in str(call.body) else "VERDICT: RIGHT"))
    judge = {"name": "model", "policy": endpoint.spec, "reads": "math"}
    done = relabel(tmp_path, nano_dir, conversations, judge=judge)
    endpoint.stop()
    assert done.exit_code == 0, done.output + repr(done.exception)
    # The recipe improves every state: behind the first attempt and behind the second, both judged by the model.
    found = list(read_relabelled(tmp_path / "out.jsonl"))
    assert [(item.turn, item.reply.right) for item in found] == [(1, True), (2, True)]


def test_without_an_answer_a_judge_that_compares_is_refused_and_with_one_it_is_taken(conversations, tmp_path, nano_dir):
    said = str(relabel(tmp_path, nano_dir, conversations).exception)
    assert "1 questions of clients have no right answer" in said and 'name = "model"' in said
    line = json.loads(conversations.read_text())
    line["turns"] = line["turns"][:1]
    conversations.write_text(json.dumps({**line, "gold": "23596"}) + "\n")
    done = relabel(tmp_path, nano_dir, conversations)
    assert done.exit_code == 0, done.output + repr(done.exception)
    [better] = read_relabelled(tmp_path / "out.jsonl")
    assert better.reply.right and better.reply.reply == "\\boxed{23596}"
