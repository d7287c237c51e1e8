"""The process that plays an OpenEnv environment over its server's WebSocket. Run by the Python of `.venv-openenv`.

It imports nothing of ours. Speaks lines of JSON: "ready", then one answer a request, each with "url" and "fields":

{"do": "describe", "env": "name" or ""}       {"splits": {"train": 100} or null, "action": "text", "versions": {"openenv": …}}
{"do": "make", "resets": [{"seed": 7}, …]}    {"problems": ["observation after reset", …]}
{"do": "play", "reset": {"seed": 7}, "question": …, "actions": ["4", "5"], "said": ["too low"]}
                                              {"score": 0.0, "observation": "too high", "done": false, "over": false}

"said" are the observations after all but the last action, as they were when these were first played: an environment that says
something else now is {"changed": "what it said"}. What cannot be played is {"refused": "why"}.
"""

from __future__ import annotations

import importlib.metadata
import json
import runpy
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

MOST = 32 * 2**20
"""Bytes of an answer that are read; one that is cut there is no JSON."""
USUAL = ("text", "message", "action", "answer", "guess", "code", "response", "prompt", "observation", "content", "output")
"""Names of the field that holds the text, in an action and in an observation, where there are several texts."""


class Refused(Exception):
    """An environment that cannot be played with text."""


class Changed(Exception):
    """One that does not say again what it has said."""


def begin() -> Any:
    from openenv.core.generic_client import GenericEnvClient

    return GenericEnvClient


async def answer(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return await {"describe": describe, "make": make, "play": play}[request["do"]](client, request)
    except Changed as error:
        return {"changed": str(error)}


async def describe(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    schema = http(request, "/schema")
    if schema is None:
        raise Refused(f"{request['url']} has no /schema: is it an OpenEnv server?")
    names = [request["env"]] if request["env"] else http(request, "/list_environments") or []
    listed = http(request, f"/{names[0]}/splits") if names else None
    splits = None
    if listed:
        splits = {s["name"]: http(request, f"/{names[0]}/num_tasks", {"split": s["name"]})["num_tasks"] for s in listed}
    action = text_field(schema["action"], request["fields"]["action"], "action_field", "its action")
    return {"splits": splits, "action": action, "versions": {"openenv": importlib.metadata.version("openenv")}}


def http(request: dict[str, Any], path: str, body: Any = None) -> Any:
    """What the server says there; None where it has no such thing."""
    if urllib.parse.urlsplit(request["url"]).scheme not in ("http", "https"):
        raise Refused(f"{request['url']} is no address of a server: it begins with http:// or https://.")
    data = None if body is None else json.dumps(body).encode()
    try:
        asked = urllib.request.Request(request["url"] + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:  # nosec B310 # no scheme but those two gets here
            return json.loads(answer.read(MOST))
    except urllib.error.HTTPError as error:
        if error.code in (404, 405, 501):
            return None
        raise


def text_field(schema: dict[str, Any], wanted: str | None, setting: str, what: str) -> str:
    """The property of a JSON schema that holds text."""
    texts = [name for name, of in schema.get("properties", {}).items() if of.get("type") == "string"]
    if wanted is not None:
        if wanted not in schema.get("properties", {}):
            raise Refused(f'task.settings.{setting} = "{wanted}"; {what} has {", ".join(schema.get("properties", {}))}.')
        return wanted
    usual = [name for name in USUAL if name in texts]
    if not usual and len(texts) != 1:
        raise Refused(
            f"{what} has the texts {', '.join(texts) or '(none)'}: name the one that takes the reply, task.settings.{setting}."
        )
    return usual[0] if usual else texts[0]


def text_of(observation: dict[str, Any], wanted: str | None) -> str:
    """What an observation says: its one text, else the usual one of several, else all of it as JSON."""
    told = {name: value for name, value in observation.items() if name != "metadata" and value not in (None, "")}
    if wanted is not None:
        if wanted not in observation:
            raise Refused(f'task.settings.observation_field = "{wanted}"; an observation has {", ".join(observation)}.')
        return observation[wanted] if isinstance(observation[wanted], str) else json.dumps(observation[wanted], sort_keys=True)
    texts = {name: value for name, value in told.items() if isinstance(value, str)}
    for name in USUAL:
        if name in texts:
            return texts[name]
    return next(iter(texts.values())) if len(texts) == 1 else json.dumps(told, sort_keys=True)


async def make(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    """First observations; the first of them twice, in sessions of its own: an environment that rolls dice is found here."""
    field, out = request["fields"]["observation"], []
    for number, reset in enumerate(request["resets"]):
        said = await first(client, request["url"], reset, field)
        if number == 0 and (again := await first(client, request["url"], reset, field)) != said:
            raise Refused(
                f"reset({reset}) says {said[:80]!r} and then {again[:80]!r}: it cannot be set up again, and a run could not "
                "be resumed. It has to take its dice from the seed."
            )
        out.append(said)
    return {"problems": out}


async def first(client: Any, url: str, reset: dict[str, Any], field: str | None) -> str:
    async with client(base_url=url) as env:
        return text_of((await env.reset(**reset)).observation, field)


async def play(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Reset, every earlier action again, then the last one."""
    field, action_field = request["fields"]["observation"], request["fields"]["action"]
    async with client(base_url=request["url"]) as env:
        result = await env.reset(**request["reset"])
        expect(request["question"], text_of(result.observation, field), "reset", "")
        for number, action in enumerate(request["actions"]):
            if result.done:
                return {"score": 0.0, "observation": "", "done": True, "over": True}
            result = await env.step({action_field: action})
            said = text_of(result.observation, field)
            if number < len(request["said"]):
                expect(request["said"][number], said, f"step {number + 1}", action)
        return {"score": float(result.reward or 0.0), "observation": said, "done": bool(result.done), "over": False}


def expect(before: str, now: str, when: str, action: str) -> None:
    if before != now:
        raise Changed(
            f"played again, {when}{f' with {action[:60]!r}' if action else ''} says {now[:80]!r}, where it said {before[:80]!r}: "
            "an environment whose replay differs cannot be resumed. It has to depend on seed and actions alone."
        )


if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("worker_loop.py")))["serve"](begin, answer, Refused, "openenv says")
