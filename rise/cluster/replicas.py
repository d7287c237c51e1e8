"""The replicas of one policy: started in placement groups, checked to hold the right weights, watched, counted."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rise.cluster.replica import Hello, Order, Replica
from rise.errors import PolicyError, RiseError
from rise.policies.vllm import TOLERANCE
from rise.recipe.machines import ClusterConfig

if TYPE_CHECKING:
    from ray.exceptions import ActorDiedError, RayError, RayTaskError

LOOK_EVERY_S = 1.0
STOP_TIMEOUT_S = 60.0
KEEP = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""When Ray ends an actor it kills its children too, the engine's reaper among them. With this, the reaper survives, sees that
its actor is gone, and ends the engine with every process it started (`rise/policies/reaper.py`)."""


@dataclass(slots=True, eq=False)
class Slot:
    """One replica: its actor may die, and Ray may start it again, here or on another node."""

    number: int
    actor: Any
    group: Any
    hello: Hello | None = None
    """None until it was ready for the first time."""
    up: bool = False
    dead: str = ""
    """Why Ray will not start it again."""
    n_under_way: int = 0
    n_starts: int = 0
    """In this part of a stage, the first included."""
    n_replies: int = 0
    n_reply_tokens: int = 0
    difference: float = 0.0
    """Mean absolute difference of its log-probabilities to those of the first replica, nats a token."""


@dataclass(slots=True)
class Replicas:
    """Copies of one policy."""

    order: Order
    settings: ClusterConfig
    n: int
    slots: list[Slot] = field(default_factory=list)
    asked_again: Counter[str] = field(default_factory=Counter)
    """Requests asked again of another replica or a restarted one, by reason."""
    reference: Hello | None = None
    """The first that was ready."""

    def start(self) -> None:
        """Ask Ray for all and wait for the first `min_replicas`. Raises `PolicyError` where they do not start."""
        import ray
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        settings = self.settings
        bundle = {"CPU": settings.cpus_per_replica} | ({"GPU": settings.gpus_per_replica} if settings.gpus_per_replica else {})
        for number in range(self.n):
            group = placement_group([bundle], strategy="STRICT_PACK", name=f"rise-replica-{number}")
            actor = (
                ray.remote(Replica)
                .options(
                    num_cpus=settings.cpus_per_replica,
                    num_gpus=settings.gpus_per_replica,
                    max_restarts=settings.restarts,
                    max_task_retries=0,
                    max_concurrency=10_000,  # ClusterPolicy limits how many requests run at once
                    runtime_env={"env_vars": KEEP} if self.order.kind == "vllm" else None,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
                )
                .remote(number, self.order)
            )
            self.slots.append(Slot(number, actor, group))
        try:
            self._wait(min(settings.min_replicas, self.n))
        except BaseException:
            self.stop()
            raise

    def begin_part(self) -> None:
        """Start counting from 0. The policy before this one may have been stopped with requests in flight."""
        self.asked_again.clear()
        for slot in self.slots:
            slot.n_under_way = slot.n_replies = slot.n_reply_tokens = 0
            slot.n_starts = int(slot.up)

    def _wait(self, wanted: int) -> None:
        import ray
        from ray.exceptions import ActorDiedError, RayError, RayTaskError

        pending = {slot.actor.hello.remote(): slot for slot in self.slots}
        deadline = time.monotonic() + self.settings.wait_s
        while pending and sum(slot.up for slot in self.slots) < wanted:
            ready, _ = ray.wait(list(pending), timeout=max(0.1, min(5.0, deadline - time.monotonic())))
            for ref in ready:
                slot = pending.pop(ref)
                try:
                    self.greet(slot, ray.get(ref))
                except RayTaskError as error:
                    raise as_ours(error) from None
                except ActorDiedError as error:
                    raise _born_dead(error, slot) from None
                except RayError:  # Ray starts it again
                    pending[slot.actor.hello.remote()] = slot
            if time.monotonic() > deadline:
                raise PolicyError(
                    f"{sum(slot.up for slot in self.slots)} of {self.n} replicas were ready within cluster.wait_s = "
                    f"{self.settings.wait_s:g} s, and cluster.min_replicas = {wanted} are needed to begin. `rise cluster check` "
                    "says what the cluster has; `ray status` on it what is in use."
                )

    def greet(self, slot: Slot, hello: Hello) -> None:
        """Accept a replica that is ready. Raises `PolicyError` unless it holds the weights that the run sent."""
        slot.hello = hello
        if self.order.model.hash not in hello.name:
            raise PolicyError(
                f"replica {slot.number} on {hello.host} has loaded {hello.name}, but the run's weights are "
                f"{self.order.model.hash}: stale weights. Do all nodes see the same {self.order.model.path}?"
            )
        self.reference = self.reference or hello
        pairs = list(zip(hello.scores, self.reference.scores, strict=True))
        slot.difference = sum(abs(a - b) for a, b in pairs) / len(pairs)
        if not slot.difference <= TOLERANCE.get(self.order.dtype, 0.15):
            raise PolicyError(
                f"replica {slot.number} on {hello.host} does not compute what replica {self.reference.number} on "
                f"{self.reference.host} does with weights {self.order.model.hash}: log-probabilities differ by "
                f"{slot.difference:.3f} nats a token. Stale weights in its memory, or a node that computes wrongly: look there."
            )
        slot.up = True
        slot.n_starts += 1

    async def comes_back(self, slot: Slot) -> None:
        """Wait until a replica is ready, for the first time or after Ray restarted it. Sets `dead` where Ray gives up on it."""
        from ray.exceptions import ActorDiedError, RayError, RayTaskError

        slot.up = False
        while True:
            try:
                self.greet(slot, await slot.actor.hello.remote())
                if slot.n_starts > 1:
                    _say(f"replica {slot.number} is back, on {slot.hello.host if slot.hello else '?'}")
                return
            except ActorDiedError as error:
                slot.dead = str(_born_dead(error, slot))
                _say(f"replica {slot.number} is lost for good: {slot.dead}")
                return
            except RayTaskError as error:
                raise as_ours(error) from None
            except RayError:
                await asyncio.sleep(LOOK_EVERY_S)

    def facts(self) -> dict[str, Any]:
        """For the run's log, for each replica: where it is, what it did, what its engine reports."""
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        asked = {slot.number: slot.actor.facts.remote() for slot in self.slots if slot.up}
        reported: dict[int, dict[str, Any]] = {}
        for number, ref in asked.items():
            with contextlib.suppress(RayError, GetTimeoutError):
                reported[number] = ray.get(ref, timeout=10.0)
        lines = [
            {
                "replica": slot.number,
                "host": slot.hello.host,
                "node": slot.hello.node[:8],
                "pid": slot.hello.pid,
                "n_replies": slot.n_replies,
                "n_reply_tokens": slot.n_reply_tokens,
                "restarts": max(0, slot.n_starts - 1),
                "difference": round(slot.difference, 6),
                **reported.get(slot.number, {}),
            }
            for slot in self.slots
            if slot.hello is not None
        ]
        return {"weights": self.order.model.hash, "replicas": lines, "sent_again": dict(self.asked_again)}

    def stop(self) -> None:
        """Stop the engines, release accelerators, remove placement groups."""
        import ray
        from ray.exceptions import RayError
        from ray.util.placement_group import remove_placement_group

        refs = [slot.actor.stop.remote() for slot in self.slots if slot.hello is not None and not slot.dead]
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=STOP_TIMEOUT_S)
        for slot in self.slots:
            slot.up = False
            with contextlib.suppress(RayError):
                ray.kill(slot.actor)
            with contextlib.suppress(RayError):
                remove_placement_group(slot.group)
        self.slots = []


def reason_of(error: RayError) -> str:
    """The name under which a lost request is counted."""
    return {"ActorDiedError": "replica died", "ActorUnavailableError": "replica unavailable"}.get(
        type(error).__name__, type(error).__name__
    )


def as_ours(error: RayTaskError) -> BaseException:
    """The error that the replica raised; an error of ours without Ray's trace around it."""
    from ray.exceptions import TaskCancelledError

    cause = error.cause
    return cause if isinstance(cause, RiseError | TaskCancelledError) else error


def _born_dead(error: ActorDiedError, slot: Slot) -> PolicyError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    ours = next((line.partition("PolicyError: ")[2] for line in lines if "PolicyError: " in line), None)
    return PolicyError(ours or f"replica {slot.number} died and Ray does not start it again: {lines[-1] if lines else error}")


def _say(text: str) -> None:
    print(f"rise: {text}", file=sys.stderr, flush=True)
