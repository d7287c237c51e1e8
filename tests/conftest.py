"""Fixtures: a tiny untrained model, a finished toy run, and one thread so that sums are the same sums."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

# Before torch is imported anywhere: two workers on two cores, and no network to wait for.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tests on real benchmarks run where the data lies beside the checkout, and are skipped elsewhere.
if (_data := Path(__file__).resolve().parents[2] / "shared" / "data").is_dir():
    os.environ.setdefault("RISE_DATA", str(_data))

import pytest
from hypothesis import HealthCheck, settings
from toys import ALPHABET, TINY, LastNumber, toy_recipe, write

# How long hypothesis takes for an example says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Started in the background of a shell, programs under test would inherit that Ctrl-C is ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def nano_dir(tmp_path_factory):
    """An untrained Llama of about 20,000 parameters with a character tokenizer, on disk."""
    from rise.training.nano import make_nano

    path = tmp_path_factory.mktemp("nano") / "model"
    make_nano(TINY, ALPHABET, seed=0, path=path)
    return path


@pytest.fixture(scope="session")
def renderer(nano_dir):
    from rise.play.render import Renderer

    return Renderer.load(nano_dir)


@pytest.fixture
def one_thread():
    """torch with one thread; whatever a run sets is put back."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])


@pytest.fixture
def rise(monkeypatch, capsys):
    """`rise ARGUMENTS` in this process: (exit code, standard output, standard error)."""
    from rise.cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rise", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def judge():
    return LastNumber()


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished run of the toy recipe. Copy it before you change anything."""
    from rise.method.iterate import run

    return run(toy_recipe(), tmp_path_factory.mktemp("toy") / "run", command=["rise", "run", "toy"])


@pytest.fixture
def untrained(monkeypatch):
    """Training that only copies its start, and remembers it: for tests of what happens around it."""
    calls = []

    def train(examples, start, out, config, **kwargs):
        shutil.copytree(start, out)
        calls.append((out.parent.name, Path(start).parent.name, list(examples)))
        return {}

    monkeypatch.setattr("rise.training.train", train)
    return calls


@pytest.fixture
def data(tmp_path):
    """Made-up rows in the three original formats."""
    gsm8k = [
        {
            "question": f"Ann has {i} pens and buys 2. How many?",
            "answer": f"She has {i}+2=<<{i}+2={i + 2}>>{i + 2}.\n#### {i + 2:,}",
        }
        for i in range(1000, 1100)
    ]
    math = [
        {
            "problem": f"Halve ${i}$.",
            "level": f"Level {i % 5 + 1}",
            "type": "Algebra",
            "solution": rf"$\boxed{{\frac{{{i}}}{{2}}}}$",
        }
        for i in range(50)
    ]
    for name, rows in (("gsm8k", gsm8k), ("math", math)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "test.jsonl", rows[:20])
        write(tmp_path / name / "train.jsonl", rows[20:])
    svamp = [
        {
            "ID": "1",
            "Body": "If each pen costs 3 dollars",
            "Question": "What do 2 cost?",
            "Equation": "",
            "Answer": 6.0,
            "Type": "Multiplication",
        }
    ]
    (tmp_path / "svamp").mkdir()
    (tmp_path / "svamp" / "svamp.json").write_text(json.dumps(svamp))
    return tmp_path
