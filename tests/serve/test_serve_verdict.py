"""`rise serve` stops by the model's own word, and returns the reply that it called right."""

import asyncio
from dataclasses import replace

from serving import Recording, serving

from rise.cli.play import _shown, _told
from rise.judges.math import MathJudge
from rise.play.prompt import Prompt
from rise.policy import Sampling
from rise.recipe.verify import VerifyConfig
from rise.serve.revise import Ask, Reviser
from rise.trajectory import Message

PROMPT = Prompt(feedback_text="Again.", verify=VerifyConfig(ask="Right?"))


def policy(right_at):
    """Attempts 1, 2, 1, 2, …, called right at that turn."""
    found = Recording()

    def says(messages, seed):
        n = sum(m.role == "assistant" for m in messages)
        if messages[-1].content == "Right?":
            return "Yes." if n == right_at else "No."
        return rf"\boxed{{{1 + n % 2}}}"

    found.script = says
    return found


def test_turns_end_where_the_model_calls_its_reply_right_and_that_one_is_the_content():
    asked = policy(right_at=2)
    with serving(asked, prompt=PROMPT, turns=5) as server:
        data = server.ask("q", rise={"return_turns": True}).json()
    assert data["choices"][0]["message"]["content"] == r"\boxed{2}"
    rise = data["rise"]
    assert (rise["n_turns"], rise["chosen_turn"], rise["stopped"], rise["vote"]["answer"]) == (2, 2, "verdict", "2")
    assert [turn["own_verdict"] for turn in rise["turns"]] == ["wrong", "right"] and rise["turns"][1]["feedback"] is None
    assert len(asked.asked) == 4  # two attempts, two questions
    assert {r.sampling.temperature for r in asked.asked if r.messages[-1].content == "Right?"} == {0.0}


def test_verdicts_are_paid_for_and_no_later_state_shows_them():
    """Words are tokens: attempts of 1 read 1 and 3; questions read 3 and 5 more of which the last is theirs, and get a word."""
    asked = policy(right_at=2)
    with serving(asked, prompt=PROMPT, turns=5) as server:
        usage = server.ask("q").json()["usage"]
        counted = server.client.get("/metrics").text
    assert [[m.content for m in r.messages] for r in asked.asked] == [
        ["q"],
        ["q", r"\boxed{1}", "Right?"],
        ["q", r"\boxed{1}", "Again."],
        ["q", r"\boxed{1}", "Again.", r"\boxed{2}", "Right?"],
    ]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1 + 3 + 3 + 5, 4)
    assert 'rise_tokens_total{kind="completion"} 4.0' in counted and "rise_turns_total 2.0" in counted


def test_a_model_that_never_says_right_takes_all_turns_and_is_not_asked_about_the_last():
    asked = policy(right_at=0)
    with serving(asked, prompt=PROMPT, turns=3) as server:
        data = server.ask("q", rise={"return_turns": True}).json()
    assert data["rise"]["stopped"] == "turns" and len(asked.asked) == 5
    assert [turn.get("own_verdict") for turn in data["rise"]["turns"]] == ["wrong", "wrong", None]
    assert data["rise"]["vote"]["answer"] == "1"


def test_a_budget_counts_verdicts_too():
    with serving(policy(right_at=0), prompt=PROMPT, turns=5) as server:
        data = server.ask("q", max_completion_tokens=2).json()
    assert (data["rise"]["n_turns"], data["rise"]["stopped"]) == (1, "budget")


def test_play_says_what_the_model_says():
    reviser = Reviser(policy(right_at=2), replace(PROMPT), MathJudge())

    async def outcome():
        try:
            return await reviser.revise(Ask((Message("user", "q"),), Sampling(), 5, "majority", 0), 0, lambda turn, k: None)
        finally:
            await reviser.close()

    found = asyncio.run(outcome())
    assert [_shown(turn, k).plain.split("\n= ")[1].split("\n")[0] for k, turn in enumerate(found.turns, 1)] == [
        "the model calls it wrong",
        "the model calls it right",
    ]

    class Console:
        def print(self, text, **_):
            self.said = text.plain

    console = Console()
    _told(console, found)
    assert console.said == "last reply: 2   called right at turn 2"
