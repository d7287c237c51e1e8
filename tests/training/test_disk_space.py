"""A disk that is full, for real: what a kernel says through safetensors and torch.save comes out as one error, nothing is taken
for a checkpoint, and the same command goes on when there is room."""

import resource
import signal
import subprocess

import pytest
from toys import files, needs_root
from training import examples

from rise.errors import RiseError
from rise.recipe.config import TrainConfig
from rise.training import train
from rise.training.disk_space import room_for

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"epochs": 2, "batch_size": 7, "save_steps": 1, "micro_batch_tokens": 64, "line_length": 32}


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


@pytest.fixture
def files_of(monkeypatch):
    """No file may be longer: the kernel refuses the byte behind it, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(n_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def weights_and_more(nano_dir):
    """(bytes of the model's file, a limit that lets weights through and not the optimiser's two moments)."""
    n_bytes = (nano_dir / "model.safetensors").stat().st_size
    return n_bytes, n_bytes + n_bytes // 2


@pytest.mark.parametrize("who", ["safetensors", pytest.param("torch.save", marks=pytest.mark.slow)])
def test_training_that_has_no_room_for_what_it_reached(who, data, nano_dir, tmp_path, files_of):
    whole, work, out = tmp_path / "whole", tmp_path / "training", tmp_path / "out"
    settings = TrainConfig(**SETTINGS)
    train(data, nano_dir, whole, settings)
    n_bytes, between = weights_and_more(nano_dir)
    files_of(between if who == "torch.save" else n_bytes // 2)
    with pytest.raises(
        RiseError, match=r"no room for what training has reached at step 1 .* It needs about 0\.\d MiB, and .* free"
    ):
        train(data, nano_dir, out, settings, work=work)
    assert [path.name for path in work.iterdir()] == ["settings.json"] and not out.exists()
    files_of(resource.RLIM_INFINITY if resource.getrlimit(resource.RLIMIT_FSIZE)[1] == -1 else 1 << 40)
    train(data, nano_dir, out, settings, work=work)
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_checkpoint_that_has_no_room(data, nano_dir, tmp_path, files_of):
    files_of(weights_and_more(nano_dir)[0] // 2)
    with pytest.raises(RiseError, match=r"no room for the checkpoint .*out \(File too large\)\. It needs about 0\.1 MiB"):
        train(data, nano_dir, tmp_path / "out", TrainConfig(**SETTINGS | {"save_steps": 0}))
    assert files(tmp_path) == {}


@needs_root
def test_a_full_disk(data, nano_dir, tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    n_bytes, _ = weights_and_more(nano_dir)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={n_bytes // 2}", "none", mount], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(RiseError, match=r"disk: no room for the checkpoint .* \(No space left on device\)\. It needs about"):
            train(data, nano_dir, mount / "out", TrainConfig(**SETTINGS | {"save_steps": 0}))
        assert files(mount) == {}
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


@pytest.mark.parametrize(
    "error", [ValueError("os error 2"), OSError(13, "Permission denied"), RuntimeError("os error 5 (I/O)"), KeyError("x")]
)
def test_any_other_error_passes_as_it_is(error, tmp_path):
    with pytest.raises(type(error)) as caught, room_for("x", tmp_path / "partial", lambda: 0):
        raise error
    assert caught.value is error
