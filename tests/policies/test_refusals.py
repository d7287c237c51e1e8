"""A teacher that declines, over a real connection: recorded, counted, never trained on, and no reason to stop."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from toys import problem, turn

from rise.dataset.build import build_examples
from rise.errors import PolicyError
from rise.method.relabel import relabel
from rise.play.budget import Budget
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.http import HttpPolicy
from rise.policy import Sampling
from rise.trajectory import Trajectory

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


def chat(finish="stop", **message):
    return 200, {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish}], "usage": USAGE}


ANSWERS = {
    "fine": chat(content="so 4"),
    "declines": chat(content=None, refusal="I cannot help with that."),
    "cut off": chat("content_filter", content="The"),
    "stopped": (400, {"error": {"code": "content_filter", "message": "The prompt was filtered."}}),
    "empty": chat(content=""),
}
"""Question → what the endpoint says."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, said = ANSWERS.get(body["messages"][0]["content"], (404, {"error": "no such model"}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#teacher"
    server.shutdown()
    server.server_close()


def teach(endpoint, judge, path, questions):
    problems = [problem(name, name, "4") for name in questions]
    trajectories = [Trajectory(p.id, p.question, p.gold, (turn("5", 0, feedback="no"),)) for p in problems]
    bill = Budget(price_prompt=1e6, price_reply=1e6, limit=1e9)  # one a token

    async def work(player):
        try:
            return await relabel(player, problems, trajectories, improver="teacher", n_samples=1)
        finally:
            await player.policy.close()

    with Ledger(path) as ledger:
        policy = HttpPolicy.from_spec(endpoint)
        player = Player(policy, Prompt(feedback_text="no"), judge, Sampling(), ledger, "round-1/relabel", budget=bill)
        return trajectories, asyncio.run(work(player)), bill


def test_a_refusal_is_data_and_the_others_are_still_asked(endpoint, judge, tmp_path):
    trajectories, found, bill = teach(endpoint, judge, tmp_path / "l", list(ANSWERS))
    assert {r.problem_id: (r.reply.finish, r.reply.reply) for r in found} == {
        "fine": ("stop", "so 4"),
        "declines": ("refused", "I cannot help with that."),
        "cut off": ("refused", "The"),
        "stopped": ("refused", ""),
        "empty": ("stop", ""),
    }
    assert bill.spent == 4 * 10  # the filtered prompt was never answered
    _, dropped, _ = build_examples(trajectories, found, lambda t, k: (), trained_turns="last", drop_truncated=False)
    assert (dropped["refused by the endpoint"], dropped["empty reply of the teacher"]) == (3, 1)


def test_a_wrong_setting_is_no_refusal_and_stops(endpoint, judge, tmp_path):
    with pytest.raises(PolicyError, match="404"):
        teach(endpoint, judge, tmp_path / "l", ["unknown"])
