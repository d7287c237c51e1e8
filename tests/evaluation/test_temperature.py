"""The temperature at which a parallel vote is best: chosen on validation problems, then measured on test problems."""

import asyncio
import json
import shutil

import pytest
from toys import problem
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError
from rise.evaluation.held_out import read_held_out
from rise.evaluation.temperature import TemperatureDir, best_temperature
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Sampling

VALIDATION = [problem(f"v{i}") for i in range(4)]
TEST = [problem("t0"), problem("t1", "3+3", "6")]


class Warm(ScriptedPolicy):
    """Right on every sample of 2+2 at 0.5, on one of three at 1, never else; never right on 3+3."""

    def __init__(self):
        super().__init__(lambda messages, seed: "")
        self.asked = []

    async def reply(self, request):
        temperature = request.sampling.temperature
        self.asked.append((temperature, request.messages[0].content, request.seeds))
        n_right = {0.5: 3, 1.0: 1}.get(temperature, 0)
        return [Reply("4" if i < n_right else f"{10 + i}", None, "stop", 1, 1) for i in range(len(request.seeds))]


def search(judge, tmp_path, grid):
    policy = Warm()
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(policy, Prompt(), judge, Sampling(temperature=0.7), ledger, "round-1/temperature/validation")
        out = TemperatureDir(tmp_path)
        found = asyncio.run(best_temperature(player, VALIDATION, TEST, out, grid=grid, n_samples=3))
    return policy, out, found


def test_the_best_on_validation_is_measured_on_test(judge, tmp_path):
    policy, out, found = search(judge, tmp_path, [1.0, 0.2, 0.5])
    # Votes of three: at 0.2 never right, at 0.5 always, at 1 one right answer among three different: a third.
    shares = [(row["temperature"], round(row["m3@t1"]["value"], 3)) for row in found["validation"]]
    assert shares == [(0.2, 0.0), (0.5, 1.0), (1.0, 0.333)]
    assert found["best"] == 0.5 and found["test"]["m3@t1"]["value"] == 0.5  # 2+2 but not 3+3
    assert {t for t, question, _ in policy.asked if question == "3+3"} == {0.5}  # test problems at no other temperature
    assert json.loads(out.found.read_text()) == found
    assert [len(r.parallel) for r in read_held_out(out.held_out)] == [3, 3]
    seeds = [seed for *_, group in policy.asked for seed in group]
    assert len(set(seeds)) == len(seeds)  # no temperature repeats another's draws


def test_equals_take_the_lowest_and_a_bad_grid_is_refused(judge, tmp_path):
    assert search(judge, tmp_path, [0.9, 0.3])[2]["best"] == 0.3
    with pytest.raises(ConfigError, match="0 or more"):
        search(judge, tmp_path, [-1.0])


@pytest.mark.usefixtures("one_thread")
def test_the_command_writes_beside_the_stage_and_compare_reads_it(toy_run, tmp_path):
    run = shutil.copytree(toy_run.path, tmp_path / "run")
    done = CliRunner().invoke(app, ["temperature", str(run), "--grid", "0,1", "-n", "4"], catch_exceptions=False)
    assert done.exit_code == 0 and "round-2/temperature/temperature.json: best at" in done.output.replace("\n", "")
    found = json.loads((run / "round-2/temperature/temperature.json").read_text())
    assert [row["m2@t1"]["n"] for row in found["validation"]] == [4, 4] and found["test"]["m2@t1"]["n"] == 6
    done = CliRunner().invoke(app, ["compare", str(run), str(run / "boost"), "--json"], catch_exceptions=False)
    row = json.loads(done.output)["runs"][0]
    assert row["best_temperature"] == found["best"] and row["m2@t1 at best temperature"] == found["test"]["m2@t1"]
    with pytest.raises(ConfigError, match="numbers divided by commas"):
        CliRunner().invoke(app, ["temperature", str(run), "--grid", "warm"], catch_exceptions=False)
