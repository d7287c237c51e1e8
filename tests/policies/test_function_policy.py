"""A Python function as a policy: from Python and as `function:module:name`."""

import asyncio
import re

import pytest
from toys import problem

from rise.errors import ConfigError, PolicyError
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies import KINDS, Kind, check_spec, make_policy, parse_spec
from rise.policies.function import FunctionPolicy
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Request, Sampling
from rise.trajectory import Message

ASKED = Request((Message("system", "Add."), Message("user", "2+2")), Sampling(), seeds=(1, 2))


def add(messages):
    left, right = messages[-1]["content"].split("+")
    return str(int(left) + int(right))


async def add_slowly(messages):
    await asyncio.sleep(0)
    return add(messages)


def replies(function, **settings):
    return [reply.text for reply in asyncio.run(FunctionPolicy(function, **settings).reply(ASKED))]


@pytest.mark.parametrize("function", [add, add_slowly])
def test_a_function_is_asked_once_for_each_reply(function):
    assert replies(function) == ["4", "4"]


def test_a_function_is_shown_what_chat_templates_take():
    seen = []
    replies(lambda messages: seen.append(messages) or "x")
    assert seen[0] == [{"role": "system", "content": "Add."}, {"role": "user", "content": "2+2"}]


def test_the_name_tells_one_function_from_another_and_may_be_given():
    assert re.fullmatch(r"function-\S+:add-[0-9a-f]{12}", FunctionPolicy(add).name)
    assert FunctionPolicy(add).name == FunctionPolicy(add).name != FunctionPolicy(add_slowly).name
    assert FunctionPolicy(add, name="adder").name == "adder"
    assert FunctionPolicy(print).name == "function-builtins:print"  # no source to hash


def test_a_plain_function_is_not_called_twice_at_once_and_an_async_one_is():
    under_way, most = [0], [0]

    def enter():
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])

    def alone(messages):
        enter()
        under_way[0] -= 1
        return "x"

    async def together(messages):
        enter()
        await asyncio.sleep(0.01)
        under_way[0] -= 1
        return "x"

    async def ask(policy):
        await asyncio.gather(*(policy.reply(ASKED) for _ in range(4)))

    asyncio.run(ask(FunctionPolicy(alone)))
    assert most == [1]
    asyncio.run(ask(FunctionPolicy(together)))
    assert most == [4]


def test_it_plays_like_any_other_policy(judge, tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(FunctionPolicy(lambda m: "so 4"), Prompt(), judge, Sampling(), ledger, "rollout")
        [done] = asyncio.run(rollout(player, [problem("p")], n_turns=2, stop_when_right=False))
    assert [turn.right for turn in done.turns] == [True, True]


def broken(messages):
    raise ValueError("no")


@pytest.mark.parametrize(
    ("function", "words"), [(broken, r"raised ValueError \(no\) at .*:\d+"), (len, "returned 2; expected text")]
)
def test_what_a_function_does_wrong_is_named(function, words):
    with pytest.raises(PolicyError, match=words):
        replies(function)


def test_a_function_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_function_policy.py").write_text("def four(messages):\n    return 'so 4'\n\nnothing = 3\n")
    monkeypatch.chdir(tmp_path)
    spec = "function:my_function_policy:four"
    check_spec(spec)
    assert [reply.text for reply in asyncio.run(make_policy(spec).reply(ASKED))] == ["so 4", "so 4"]
    with pytest.raises(PolicyError, match="is no function"):
        check_spec("function:my_function_policy:nothing", "relabel.teacher")
    with pytest.raises(ConfigError, match='Did you mean "four"'):
        check_spec("function:my_function_policy:for")


# ---- the list of kinds ---------------------------------------------------------------------------------------------------


def test_a_kind_added_to_the_list_is_parsed_checked_and_opened(monkeypatch):
    class Parrot(Kind):
        about = "says one word"

        def check(self, rest, named):
            if not rest:
                raise PolicyError(f"{named}: a parrot needs a word.")

        def open(self, rest, options):
            return ScriptedPolicy(lambda messages, seed: rest, name=f"parrot-{rest}")

    monkeypatch.setitem(KINDS, "parrot", Parrot())
    assert make_policy("parrot:hello").name == "parrot-hello"
    with pytest.raises(PolicyError, match=r'relabel.teacher = "parrot:": a parrot needs a word'):
        check_spec("parrot:", "relabel.teacher")


def test_the_directory_that_a_spec_names_is_what_is_hashed_and_read(tmp_path):
    here = tmp_path / "model"
    here.mkdir()
    named = {spec: parse_spec(spec).directory for spec in (str(here), f"local:{here}", f"vllm:{here}")}
    assert set(named.values()) == {here}
    for spec in ("owner/name", "local:owner/name", f"scripted:{here}", "http://host/v1#m", "function:a:b"):
        assert parse_spec(spec).directory is None
    assert parse_spec(f"vllm:{here}").at(here / "checkpoint") == f"vllm:{here}/checkpoint"
    assert parse_spec(str(here)).at(here / "checkpoint") == f"{here}/checkpoint"
