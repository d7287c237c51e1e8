"""Collection, improvement, evaluation and training of one problem by a policy that remembers the ids that it was shown."""

import asyncio

from rise.dataset.build import build_examples, with_ids
from rise.evaluation.evaluate import evaluate
from rise.method.relabel import relabel
from rise.method.rollout import rollout
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Sampling


class Recording(ScriptedPolicy):
    """A policy that takes ids, as a local model does, and remembers them; its k-th reply is entry k of the texts."""

    takes_ids = True

    def __init__(self, renderer, texts):
        super().__init__(lambda messages, seed: "")
        self.renderer, self.texts, self.seen = renderer, texts, []

    async def reply(self, request):
        text = self.texts[len(self.seen)]
        self.seen.append(request.prompt_ids)
        ids = (*self.renderer.tokenizer(text)["input_ids"], self.renderer.tokenizer.eos_token_id)
        return [Reply(self.renderer.text(ids), ids, "stop", len(request.prompt_ids), len(ids)) for _ in request.seeds]


def ids_of_stages(renderer, prompt, problem, texts, judge):
    """(states of collection, of improvement, of evaluation, examples to train on): three turns, two improved replies each."""

    def player(purpose):
        return Player(Recording(renderer, texts), prompt, judge, Sampling(), MemoryLedger(), purpose, renderer=renderer)

    collecting, improving, evaluating = player("rollout"), player("relabel"), player("evaluate")
    trajectories = asyncio.run(rollout(collecting, [problem], n_turns=3, stop_when_right=False))
    improved = asyncio.run(relabel(improving, [problem], trajectories, improver="self", n_samples=2, states="every"))
    asyncio.run(evaluate(evaluating, [problem], n_turns=3, n_samples=1, control=False))
    state = lambda trajectory, k: prompt.messages(problem, trajectory.turns[:k])  # noqa: E731
    examples, dropped, _ = build_examples(trajectories, improved, state, deduplicate=False)
    trained = with_ids(examples, renderer, max_length=2000, dropped=dropped)
    return collecting.policy.seen, improving.policy.seen, evaluating.policy.seen, trained
