"""The cluster as a run uses it: a policy on replicas, a judge, training; resources are released in between."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rise.cluster.needs import check_fits, fits, needs
from rise.cluster.node_process import Place
from rise.cluster.nodes import alive, check_nodes, connected, look
from rise.cluster.storage import publish
from rise.dataset.example import Example
from rise.judge import Judge
from rise.play.render import Renderer
from rise.policies import parse_spec
from rise.policy import Policy
from rise.recipe.config import RunConfig, TrainConfig
from rise.training.threads import threads_of

if TYPE_CHECKING:
    from rise.cluster.judge import ClusterJudge
    from rise.cluster.replicas import Replicas


class Cluster:
    """The replicas, judges and trainings of one run."""

    def __init__(self, config: RunConfig, directory: Path) -> None:
        assert config.cluster is not None
        self.config, self.settings, self.directory = config, config.cluster, directory.absolute()
        self._replicas: Replicas | None = None
        self._judge: ClusterJudge | None = None
        logs = None if self.settings.storage else str(self.directory / "logs")
        self.place = Place(os.getcwd(), logs, threads_of(config), config.deterministic)

    def policy(self, spec: str, *, chat_format: str | None) -> Policy:
        """The policy of a `local:` or `vllm:` spec on replicas, which stay while the spec is the same."""
        from rise.cluster.policy import ClusterPolicy
        from rise.cluster.replica import Order
        from rise.cluster.replicas import Replicas

        config, settings = self.config, self.settings
        parsed = parse_spec(spec)
        kind, path = parsed.name, parsed.rest
        engine = config.engine
        if settings.tensor_parallel > 1:
            words = [*engine.args, "--tensor-parallel-size", str(settings.tensor_parallel)]
            engine = engine.model_copy(update={"args": words})
        order = Order(
            publish(path, settings.storage),
            kind,
            config.batch_size,
            config.model.dtype,
            chat_format,
            config.deterministic,
            engine,
            self.place,
        )
        n = self._n_replicas()
        if self._replicas is None or (self._replicas.order, self._replicas.n) != (order, n):
            self.release()
            if self._judge is not None:
                self._judge.start()
            self._replicas = Replicas(order, settings, n)
            self._replicas.start()
        return ClusterPolicy(self._replicas, Renderer.load(tokenizer_of(path), chat_format=chat_format))

    def judge(self, own: Judge) -> Judge:
        """The run's judge: on the cluster where the recipe asks for it."""
        from rise.cluster.judge import ClusterJudge

        if not self.settings.judges or own.looks_back:
            return own
        if self._judge is None:
            self._judge = ClusterJudge(own, self.config.task, self.settings.judges)
        return self._judge

    def train(
        self,
        examples: Sequence[Example],
        start: Path | str,
        out: Path,
        config: TrainConfig,
        *,
        card: dict[str, Any] | None,
        work: Path,
        on_log: Callable[[dict[str, Any]], None] | None,
    ) -> dict[str, Any]:
        """`rise.training.train` on the cluster's workers."""
        from rise.cluster.training import Asked, fit

        self.close()
        settings = self.settings
        asked = Asked(
            f"{self._run_id()}-{out.parent.name}",
            examples,
            publish(start, settings.storage),
            out.absolute(),
            config,
            self.config.model,
            self.config.seed,
            card,
            work.absolute(),
            self.place,
            settings.storage,
        )
        return fit(asked, settings, on_log)

    def _run_id(self) -> str:
        """Unique to this run, and the same when it is continued: Ray Train finds unfinished training by it."""
        made = self.directory / "provenance.json"
        own = made.read_bytes() if made.exists() else str(self.directory).encode()
        return f"{self.directory.name}-{hashlib.sha256(own).hexdigest()[:8]}"

    def release(self) -> None:
        """Stop the replicas and release their resources: for training, or because the weights have changed."""
        if self._replicas is not None:
            self._replicas.stop()
            self._replicas = None

    def close(self) -> None:
        """Stop everything of this run on the cluster; what is asked for next is started again."""
        self.release()
        if self._judge is not None:
            self._judge.stop()

    def _n_replicas(self) -> int:
        if self.settings.replicas != "all":
            return self.settings.replicas
        [*_, fit] = fits(needs(self.settings)[0], alive())
        return max(fit.n, self.settings.min_replicas)


@contextmanager
def joined(config: RunConfig, directory: Path) -> Iterator[Cluster | None]:
    """The recipe's cluster after its checks; None where the recipe has none. Leaves nothing behind on the cluster.

    Raises `ConfigError` for a cluster that cannot be joined, is too small, or has a node on which nothing could work.
    """
    settings = config.cluster
    if settings is None:
        yield None
        return
    with connected(settings):
        nodes = look(directory, settings.storage)
        check_nodes(nodes, directory, settings.storage)
        check_fits(settings, nodes)
        cluster = Cluster(config, directory)
        try:
            yield cluster
        finally:
            cluster.close()


def tokenizer_of(path: str) -> str:
    """Where a model's tokenizer lies: for a LoRA adapter without one, at its base."""
    where = Path(path)
    if not (where / "adapter_config.json").exists() or (where / "tokenizer_config.json").exists():
        return path
    from rise.policies.vllm import adapter_base

    return str(adapter_base(where) or where)
