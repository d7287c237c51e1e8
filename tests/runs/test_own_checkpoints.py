"""A run continued on what is no longer what it was: a checkpoint damaged or exchanged, another tokenizer, a config.toml edited by
hand. Each is named with the way out, and the way out is taken."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from toys import files, small

from rise.errors import ModelError, ResumeError
from rise.method.iterate import run
from rise.recipe.toml import build_config, load_recipe, merged, to_toml
from rise.report.collect import collect
from rise.report.words import facts as provenance_lines
from rise.runs.directory import RunDir
from rise.training.weights import tokenizer_hash, weights_hash

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One round, to its end."""
    return run(small(), tmp_path_factory.mktemp("finished") / "run").path


@pytest.fixture
def done(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def one_bit(file):
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(("damage", "said"), [(cut, r"model\.safetensors has \d+,\d+ of"), (one_bit, r"hash \w{12} → \w{12}")])
@pytest.mark.parametrize("stage", ["base", "round-1"])
def test_a_damaged_checkpoint_is_named_and_made_again_once_it_is_removed(stage, damage, said, finished, done):
    checkpoint = done / stage / "checkpoint"
    damage(checkpoint / "model.safetensors")
    (done / "round-1/held-out.jsonl").unlink()  # so that the rest needs the models
    (done / "round-1/metrics.json").unlink()
    if stage == "base":
        shutil.rmtree(done / "round-1/checkpoint")
    with pytest.raises(ModelError, match=said) as error:
        run(small(), done)
    assert f"emove {checkpoint}" in str(error.value) and "again" in str(error.value)
    shutil.rmtree(checkpoint)
    run(small(), done)
    assert weights_hash(checkpoint) == weights_hash(finished / stage / "checkpoint")
    assert (done / "round-1/held-out.jsonl").read_bytes() == (finished / "round-1/held-out.jsonl").read_bytes()


def own(nano_dir, **more):
    recipe = small().model_dump()
    recipe["model"] = {"path": str(nano_dir)}
    return build_config(merged(merged(recipe, {"iterate": {"rounds": 0}}), more))


def test_another_tokenizer_or_template_of_the_same_weights_is_another_model(nano_dir, tmp_path):
    model = Path(shutil.copytree(nano_dir, tmp_path / "model"))
    where = run(own(model), tmp_path / "run").path
    before = (where / "ledger.jsonl").read_bytes()
    settings = json.loads((model / "tokenizer_config.json").read_text())
    for name, text in (
        ("chat_template.jinja", (model / "chat_template.jinja").read_text().replace("<|u|>", "<|s|>")),
        ("tokenizer_config.json", json.dumps({**settings, "eos_token": "<|pad|>"})),
    ):
        kept = (model / name).read_text()
        (model / name).write_text(text)
        assert weights_hash(model) == weights_hash(nano_dir) and tokenizer_hash(model) != tokenizer_hash(nano_dir)
        with pytest.raises(ResumeError, match=r"model\.path, tokenizer and chat template: its content is not what it was"):
            run(own(model), where)
        (model / name).write_text(kept)
    run(own(model), where)
    assert (where / "ledger.jsonl").read_bytes() == before


def test_a_run_whose_ledger_and_provenance_know_weights_alone_goes_on(nano_dir, tmp_path, monkeypatch):
    """As version 0.1.0 left them: nothing is asked for twice, and from then on the tokenizer counts."""
    from rise.play.player import Player

    config = own(nano_dir)
    with monkeypatch.context() as patch:
        patch.setattr(Player, "name", property(lambda self: self.policy.name))
        where = run(config, tmp_path / "run").path
    facts = json.loads((where / "provenance.json").read_text())
    del facts["contents"]["model.path, tokenizer and chat template"]
    (where / "provenance.json").write_text(json.dumps(facts))
    before = (where / "ledger.jsonl").read_bytes()
    for name in ("held-out.jsonl", "metrics.json"):
        (where / "base" / name).unlink()
    run(config, where)
    assert (where / "ledger.jsonl").read_bytes() == before
    contents = json.loads((where / "provenance.json").read_text())["contents"]
    assert contents["model.path, tokenizer and chat template"] == tokenizer_hash(nano_dir)


def test_other_versions_are_said_once_and_stand_in_the_report(done, capsys):
    facts = json.loads((done / "provenance.json").read_text())
    torch, numpy = (facts["versions"][name] for name in ("torch", "numpy"))
    del facts["versions"]["peft"]  # as a version that did not look at it left it: nothing is known, and nothing is said
    (done / "provenance.json").write_text(
        json.dumps({**facts, "versions": {**facts["versions"], "torch": "1.0", "numpy": "1.1"}})
    )
    for said in (1, 0):
        run(small(), done)
        assert capsys.readouterr().err.count(f"goes on with other versions: torch 1.0 → {torch}, numpy 1.1 → {numpy}.") == said
    line = provenance_lines(collect(done))["versions since"]
    assert re.fullmatch(rf"20\S+Z: torch 1.0 → {re.escape(torch)}, numpy 1.1 → {re.escape(numpy)}", line)


def test_a_run_that_went_on_with_its_own_versions_says_nothing(done, capsys):
    run(small(), done)
    assert "versions" not in capsys.readouterr().err and "versions since" not in provenance_lines(collect(done))


def test_a_reply_is_of_the_tokenizer_it_was_drawn_with(nano_dir, tmp_path, judge):
    """`rise evaluate --out D` again, with another end of turn: the prompts have the same ids, the replies are others."""
    import asyncio

    from toys import problem

    from rise.play.ledger import Ledger
    from rise.play.player import Player
    from rise.play.prompt import Prompt
    from rise.policies.local import LocalPolicy
    from rise.policy import Sampling

    other = Path(shutil.copytree(nano_dir, tmp_path / "other"))
    (other / "generation_config.json").write_text('{"eos_token_id": [2, 9]}')
    n_new = []
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        for model in (nano_dir, nano_dir, other):
            player = Player(LocalPolicy.load(model), Prompt(), judge, Sampling(max_new_tokens=4), ledger, "evaluate")
            asyncio.run(player.play([problem("p")], lambda p, player=player: player.turns(p, [])))
            n_new.append(player.usage.n_replies)
    assert n_new == [1, 0, 1]


# ---- config.toml, edited by hand ---------------------------------------------------------------------------------------------


def edited(run_dir, **changes):
    path = run_dir / "config.toml"
    path.write_text(to_toml(build_config(merged(load_recipe(path).model_dump(), changes))))
    return path


def test_a_setting_changed_by_hand_is_refused_by_name(done):
    path = edited(done, sampling={"temperature": 0.5})
    before = files(done)
    with pytest.raises(ResumeError, match=r"config\.toml has been changed by hand .*\n  sampling\.temperature: 1\.0 → 0\.5\n"):
        run(load_recipe(path), done)
    assert files(done) == before
    edited(done, sampling={"temperature": 1.0})
    assert RunDir(done).open(load_recipe(path))


def test_one_that_may_change_is_taken_and_written_down(done):
    path = edited(done, http={"timeout_s": 7.0})
    assert RunDir(done).open(load_recipe(path))
    assert RunDir(done).read_log()[-1]["changed"] == ["http.timeout_s: 120.0 → 7.0"]
    assert RunDir(done).open(load_recipe(path)) and "changed" in RunDir(done).read_log()[-1]  # once
    with pytest.raises(ResumeError, match=r"seed: 0 → 4"):
        run(load_recipe(edited(done, seed=4)), done)


def test_a_run_of_version_0_1_0_has_only_its_config_to_go_by(done):
    log = done / "metrics.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if '"config":' not in line))
    path = edited(done, sampling={"temperature": 0.5})
    assert RunDir(done).open(load_recipe(path))
