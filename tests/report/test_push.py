"""`rise push`: what goes to a hub, through huggingface_hub itself to a hub on loopback, and what never does."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pyarrow.parquet as pq
import pytest
import yaml
from hub_stub import Hub
from synthetic_run import ROUND_1, write_run
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError
from rise.report.sharing.files import Sent, check_public, text_file
from rise.runs.directory import RunDir

SECRETS = {
    "HF_TOKEN": "hf_AbCdEfGh0123456789token",
    "CORP_API_KEY": "corp-0123456789-value",
}


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


@pytest.fixture
def run(toy_run, tmp_path):
    """A finished run whose recipe says much of the machine it ran on."""
    home = tmp_path / "home-of-ada" / "runs" / "toy"
    there = RunDir(Path(shutil.copytree(toy_run.path, home)))
    text = there.config.read_text()
    text = text.replace('name = "arithmetic"', 'name = "arithmetic"\n', 1).replace(
        "[relabel]", '[relabel]\nteacher = "http://gpu-7.corp.example:8000/v1#org/teacher"', 1
    )
    there.config.write_text(text.replace("[boost]", f'[boost]\nreuse = "{home.parent}/other"', 1))
    card = there.stage("round-2").checkpoint / "rise.json"
    known = json.loads(card.read_text())
    known["task_settings"] |= {"path": f"{home.parent}/problems.jsonl"}
    known["feedback"] = "/scratch/lovelace/fb.py:f"  # outside every place that is looked for
    card.write_text(json.dumps(known))
    return there


def push(*words):
    return CliRunner().invoke(app, ["push", *map(str, words)])


def sent(hub, name):
    return hub.repositories[name].files


def everything(hub):
    """All that was heard: bodies as they are, what is base64 in them too, and headers but for the key that logs in."""
    out = []
    for method, path, headers, body in hub.heard:
        out += [f"{method} {path}", *(f"{k}: {v}" for k, v in headers.items() if k not in ("authorization", "host"))]
        out.append(body.decode("utf-8", "replace"))
        out += [base64.b64decode(found).decode("utf-8", "replace") for found in re.findall(rb'"([A-Za-z0-9+/=]{24,})"', body)]
    for repository in hub.repositories.values():
        for name, data in repository.files.items():
            if name.endswith(".parquet"):
                out.append(json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), default=str))
    return "\n".join(out)


def test_a_model_arrives_with_its_card_and_loads(hub, run, tmp_path):
    done = push(run.path, "ada/toy-rise", "--license", "apache-2.0")
    assert done.exit_code == 0, done.output
    repository = hub.repositories["ada/toy-rise"]
    assert (repository.kind, repository.visibility) == ("model", "private") and len(repository.messages) == 1
    checkpoint = run.stage("round-2").checkpoint
    assert repository.files["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    text = repository.files["README.md"].decode()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "apache-2.0" and front["library_name"] == "transformers"
    assert 'from_pretrained("ada/toy-rise")' in text and "vllm serve ada/toy-rise" in text
    for name, data in repository.files.items():
        (tmp_path / "got").mkdir(exist_ok=True)
        (tmp_path / "got" / name).write_bytes(data)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(tmp_path / "got")
    assert AutoTokenizer.from_pretrained(tmp_path / "got").chat_template


def test_nothing_secret_or_local_is_sent(hub, run, monkeypatch, tmp_path):
    """Keys, user, machine and paths are looked for in all that the hub has heard, headers and base64 included."""
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-host-17")
    monkeypatch.setattr("getpass.getuser", lambda: "adalovelace")
    for words in ((run.path, "ada/model"), (run.path, "ada/data", "--data")):
        done = push(*words)
        assert done.exit_code == 0, done.output
    heard = everything(hub)
    assert "a nano Llama" in heard and "an endpoint#org/teacher" in heard  # it is the whole of it that is looked at
    hidden = [
        *SECRETS.values(),
        "gpu-host-17",
        "adalovelace",
        str(tmp_path),
        "home-of-ada",
        str(Path.cwd()),
        str(Path.home()) + "/",
    ]
    for secret in (*hidden, "corp.example", ":8000", "scratch/lovelace"):
        assert secret not in heard, secret
    logged_in = {headers.get("authorization") for _, path, headers, _ in hub.heard if path.startswith("/api/repos")}
    assert logged_in == {f"Bearer {SECRETS['HF_TOKEN']}"}  # the key itself travels where it must, and nowhere else


def test_a_dry_run_shows_exactly_what_would_be_sent_and_sends_nothing(hub, run):
    shown = push(run.path, "ada/toy-rise", "--dry-run")
    assert shown.exit_code == 0 and hub.heard == []
    listed = dict(re.findall(r"^  (\w{12}) +[\d,]+ bytes  (\S+)$", shown.output, re.MULTILINE))
    assert push(run.path, "ada/toy-rise").exit_code == 0
    files = sent(hub, "ada/toy-rise")
    assert {name: digest for digest, name in listed.items()} == {
        name: hashlib.sha256(data).hexdigest()[:12] for name, data in files.items()
    }
    assert files["README.md"].decode() in shown.output


def test_trajectories_arrive_as_a_data_set(hub, run):
    done = push(run.path, "ada/turns", "--data", "--public")
    assert done.exit_code == 0, done.output
    repository = hub.repositories["ada/turns"]
    assert repository.kind == "dataset" and repository.visibility in ("public", "None", "False")
    names = {"README.md", "recipe.toml", *(f"held-out/{stage.name}.parquet" for stage in run.stages())}
    assert set(repository.files) == names | {f"trajectories/round-{k}.parquet" for k in (1, 2)}
    rows = pq.read_table(io.BytesIO(repository.files["trajectories/round-2.parquet"])).to_pylist()
    # 12 problems, 2 turns each in round 2, and a better reply behind every attempt.
    assert len(rows) == 12 and {len(row["turns"]) for row in rows} == {2} and {len(row["improved"]) for row in rows} == {2}
    assert {turn["verdict"] for row in rows for turn in row["turns"]} <= {"right", "wrong", "unparsable"}
    front = yaml.safe_load(repository.files["README.md"].decode().split("---")[1])
    assert {c["config_name"]: c["data_files"][0]["path"] for c in front["configs"]} == {
        "trajectories": "trajectories/*.parquet",
        "held-out": "held-out/*.parquet",
    }


def test_a_hub_that_refuses_is_told_with_the_way_out(hub, run):
    hub.refuse = 401
    done = push(run.path, "ada/toy-rise")
    assert done.exit_code == 1 and "hf auth login" in str(done.exception) and hub.repositories == {}


def test_a_hub_that_is_not_there_is_told(run, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    done = push(run.path, "ada/toy-rise")
    assert done.exit_code == 1 and "cannot be reached" in str(done.exception)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in str(push(run.path, "ada/toy-rise").exception)


def test_a_name_that_is_none_and_a_run_without_a_checkpoint_are_refused(tmp_path):
    run = write_run(tmp_path / "run", {"round-1": ROUND_1})
    assert "OWNER/NAME" in str(push(run.path, "only-a-name").exception)
    assert "OWNER/NAME" in str(push(run.path, "a b/c!").exception)
    assert "without a checkpoint" in str(push(run.path, "ada/x").exception)
    assert "no run and no stage" in str(push(tmp_path, "ada/x", "--data").exception)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("key = corp-0123456789-value", "environment variable CORP_API_KEY"),
        ("use sk-live-abcdef0123456789 for it", "what looks like a key (sk-…)"),
        ("see {cwd}/data/x.jsonl", "a path of this machine"),
        ("made on gpu-host-17 today", "the name of this machine"),
        ("by adalovelace", "your user name"),
    ],
)
def test_what_slipped_in_stops_the_push_and_is_named_without_the_secret(text, says, monkeypatch):
    monkeypatch.setenv("CORP_API_KEY", SECRETS["CORP_API_KEY"])
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-host-17")
    monkeypatch.setattr("getpass.getuser", lambda: "adalovelace")
    with pytest.raises(Exception, match="nothing was sent") as raised:
        check_public([text_file("README.md", text.replace("{cwd}", str(Path.cwd())))])
    assert says in str(raised.value) and SECRETS["CORP_API_KEY"] not in str(raised.value)


@pytest.mark.parametrize("written", [json.dumps, lambda text: json.dumps(text, ensure_ascii=False), str])
def test_a_secret_is_found_however_a_file_writes_its_letters_down(written, monkeypatch):
    secret = 'pass\\word "né" 1'
    monkeypatch.setenv("CORP_API_KEY", secret)
    with pytest.raises(ConfigError, match="environment variable CORP_API_KEY"):
        check_public([text_file("rise.json", f'{{"said": {written(secret)}}}', ours=False)])


def test_names_in_what_people_wrote_and_weights_stop_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("getpass.getuser", lambda: "natalia")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"natalia")
    check_public([text_file("data.json", "natalia sold clips", ours=False), Sent(weights.name, weights)])


def test_in_a_process_of_its_own_nothing_else_has_imported_what_it_needs():
    """`huggingface_hub.utils` is no attribute before somebody imports it, as transformers does in this process."""
    command = [sys.executable, "-m", "rise.cli.main", "push", "nowhere", "no/good/name", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and '"no/good/name" is no repository: write OWNER/NAME' in done.stderr
