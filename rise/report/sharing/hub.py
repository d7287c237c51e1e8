"""Files to a repository of a hub, through huggingface_hub: one commit, after everything was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rise.errors import ConfigError, RiseError, installing
from rise.report.sharing.files import Sent

Kind = Literal["model", "dataset"]


def push(files: Sequence[Sent], repository: str, kind: Kind, *, private: bool, message: str) -> str:
    """Make the repository unless it is there, send all files in one commit, and return its address.

    Raises `ConfigError` for an impossible name or a missing package, `RiseError` for a hub that refuses or cannot be reached.
    """
    hub = _library()
    api = hub.HfApi(library_name="rise")
    operations = [
        hub.CommitOperationAdd(
            path_in_repo=file.path, path_or_fileobj=str(file.data) if isinstance(file.data, Path) else file.data
        )
        for file in files
    ]
    try:
        address = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.create_commit(repository, operations, commit_message=message, repo_type=kind)
    except Exception as error:
        raise _explained(error, repository, hub) from error
    return str(address)


def check_name(repository: str) -> None:
    """Raise `ConfigError` for what is no name of a repository."""
    hub = _library()
    try:
        hub.utils.validate_repo_id(repository)
    except ValueError as error:
        raise ConfigError(f'"{repository}" is no repository: write OWNER/NAME ({error}).') from error
    if repository.count("/") != 1:
        raise ConfigError(f'"{repository}" is no repository: write OWNER/NAME.')


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils  # of itself it is no attribute: there only once somebody has imported it
    except ModuleNotFoundError as error:
        raise ConfigError(f"rise push needs the package huggingface_hub: {installing('share')}.") from error
    return huggingface_hub


def _explained(error: Exception, repository: str, hub: Any) -> Exception:
    """What a person can do about it; errors that are ours stay as they are."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return RiseError(
            f"the hub does not let you write to {repository} ({status}). Log in with `hf auth login`, or put a token that may "
            "write into HF_TOKEN. Nothing was changed there."
        )
    if status is not None:
        return RiseError(f"the hub answered {status} for {repository}: {str(error).splitlines()[0]}. Push again, or later.")
    if isinstance(error, hub.errors.OfflineModeIsEnabled):
        return RiseError("HF_HUB_OFFLINE is set, so nothing can be sent. Unset it, or look with --dry-run.")
    if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
        return RiseError(
            f"the hub cannot be reached ({type(error).__name__}: {error}). Push again; what is there is not sent twice."
        )
    return error
