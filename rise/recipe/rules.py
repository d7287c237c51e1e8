"""Settings that do not go together: one small function a rule, which returns what is wrong and the way out, or None.

A record checks its rules when it is made and stops at the first that is broken. A new rule is a function and a line in its list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rise.dataset.keep import KEEP_RULES
from rise.recipe.endpoints import no_secret
from rise.recipe.learning_rules import LEARNING
from rise.recipe.wordings import feedback_mode

if TYPE_CHECKING:
    from rise.recipe.config import RelabelConfig, RunConfig, TrainConfig
    from rise.recipe.machines import ClusterConfig

Record = TypeVar("Record")


def check(record: Record, rules: Sequence[Callable[[Any], str | None]]) -> Record:
    """The record itself. Raises `ValueError` (pydantic's errors are made of them) with the first trouble that a rule finds."""
    for rule in rules:
        trouble = rule(record)
        if trouble is not None:
            raise ValueError(trouble)
    return record


def at_least_one_replica(cluster: ClusterConfig) -> str | None:
    """A cluster without a replica of the policy can draw no reply."""
    if cluster.replicas == "all" or cluster.replicas >= 1:
        return None
    return f'cluster.replicas = {cluster.replicas}: use a count from 1, or "all"'


def replicas_that_can_come(cluster: ClusterConfig) -> str | None:
    """No more replicas are waited for than were asked for."""
    if cluster.replicas == "all" or cluster.replicas >= cluster.min_replicas:
        return None
    return (
        f"cluster.min_replicas = {cluster.min_replicas} is above cluster.replicas = {cluster.replicas}, so no part would ever "
        "begin. Lower it, or raise cluster.replicas"
    )


def gpus_for_tensor_parallel(cluster: ClusterConfig) -> str | None:
    """A replica that is spread over GPUs needs exactly that many."""
    if cluster.tensor_parallel == 1 or cluster.gpus_per_replica == cluster.tensor_parallel:
        return None
    return (
        f"cluster.tensor_parallel = {cluster.tensor_parallel} spreads a replica over as many GPUs, but "
        f"cluster.gpus_per_replica = {cluster.gpus_per_replica:g}. Set it to {cluster.tensor_parallel}"
    )


def workers_that_can_come(cluster: ClusterConfig) -> str | None:
    """Elastic training shrinks below `workers`, never above."""
    if cluster.min_workers is None or cluster.min_workers <= cluster.workers:
        return None
    return f"cluster.min_workers = {cluster.min_workers} is above cluster.workers = {cluster.workers}. Lower it, or raise that"


def no_ray_client(cluster: ClusterConfig) -> str | None:
    """Ray Client cannot start Ray Train."""
    if not cluster.address.startswith("ray://"):
        return None
    return (
        f'cluster.address = "{cluster.address}" is the port of Ray Client, which cannot launch training. Start rise on a '
        'machine of the cluster (by hand or with `ray job submit`) with cluster.address = "auto"'
    )


CLUSTER = (at_least_one_replica, replicas_that_can_come, gpus_for_tensor_parallel, workers_that_can_come, no_ray_client)


def several_samples_for_self(relabel: RelabelConfig) -> str | None:
    """Best of N needs N of at least 2."""
    if relabel.improver != "self" or relabel.n_samples >= 2:
        return None
    return (
        f"relabel.n_samples = {relabel.n_samples}, but best-of-n has nothing to choose from below 2. "
        'Raise it, or set relabel.improver = "teacher"'
    )


def several_samples_to_choose_from(relabel: RelabelConfig) -> str | None:
    """Choosing by majority or by a judge model needs at least two replies."""
    if relabel.select == "oracle" or relabel.improver not in ("self", "teacher") or relabel.n_samples >= 2:
        return None
    return f'relabel.select = "{relabel.select}" has nothing to choose from: relabel.n_samples = {relabel.n_samples}'


def prices_for_a_budget(relabel: RelabelConfig) -> str | None:
    """Without prices nothing is ever spent."""
    if relabel.budget is None or relabel.price_prompt or relabel.price_reply:
        return None
    return (
        f"relabel.budget = {relabel.budget:g} without prices never ends anything: set relabel.price_prompt and "
        "relabel.price_reply, per million tokens"
    )


def a_judge_to_select_by(relabel: RelabelConfig) -> str | None:
    """`select = "judge"` needs the model that is asked."""
    if relabel.select != "judge" or relabel.judge:
        return None
    return 'relabel.select = "judge" needs relabel.judge, a policy spec, or "self" for the student'


def a_teacher_to_ask(relabel: RelabelConfig) -> str | None:
    """`improver = "teacher"` needs the model that is asked."""
    if relabel.improver != "teacher" or relabel.teacher:
        return None
    return 'relabel.improver = "teacher" needs relabel.teacher, a policy spec such as "local:DIRECTORY" or "http://host/v1#model"'


def no_key_in_an_address(relabel: RelabelConfig) -> str | None:
    """What a recipe says is written into files, whether it is used or not."""
    for name in ("teacher", "judge"):
        if (spec := getattr(relabel, name)) and (trouble := no_secret(spec, f"relabel.{name}")):
            return trouble
    return None


RELABEL = (
    no_key_in_an_address,
    several_samples_for_self,
    several_samples_to_choose_from,
    prices_for_a_budget,
    a_judge_to_select_by,
    a_teacher_to_ask,
)


def right_attempts_that_train(config: RunConfig) -> str | None:
    """What is written after a right attempt is no better than it, so two keep rules would drop it."""
    if config.relabel.relabel_right == "skip" or not KEEP_RULES[config.keep.rule].gains_only:
        return None
    others = " or ".join(f'"{name}"' for name, rule in KEEP_RULES.items() if not rule.gains_only)
    return (
        f'keep.rule = "{config.keep.rule}" drops every reply that is no better than an earlier one, so what '
        f'relabel.relabel_right = "{config.relabel.relabel_right}" writes after a right attempt would never train. '
        f'Use keep.rule = {others}, or relabel.relabel_right = "skip"'
    )


def attempts_restated_that_weigh_more(config: RunConfig) -> str | None:
    """The factor is of attempts that train again."""
    if config.weigh.restate == 1 or config.relabel.relabel_right == "restate":
        return None
    return (
        f"weigh.restate = {config.weigh.restate:g} weighs attempts that train again, and relabel.relabel_right = "
        f'"{config.relabel.relabel_right}" trains none again. Set it to "restate", or leave weigh.restate out'
    )


def right_attempts_that_are_states(config: RunConfig) -> str | None:
    """Truthful feedback ends an episode at its first right reply."""
    if config.relabel.relabel_right == "skip" or not feedback_mode(config.state.feedback).stops_when_right:
        return None
    return (
        f'state.feedback = "{config.state.feedback}" ends an episode once the reply is right, so relabel.relabel_right has no '
        'state to work on. Set relabel.relabel_right = "skip"'
    )


def several_first_replies_for_pairs(config: RunConfig) -> str | None:
    """Pairs are made of the first replies of one problem."""
    if config.relabel.improver != "pair" or (config.rollout.turns == 1 and config.rollout.n_trajectories >= 2):
        return None
    return (
        'relabel.improver = "pair" sets right first replies behind wrong ones, so it needs several of them: set '
        "rollout.turns = 1 and rollout.n_trajectories to 2 or more"
    )


def something_that_trains(config: RunConfig) -> str | None:
    """Without an improver only the student's own turns can train."""
    if config.relabel.improver != "none" or config.keep.trained_turns != "last":
        return None
    return 'keep.trained_turns = "last" trains the improver alone, but relabel.improver = "none". Set keep.trained_turns = "all"'


def a_boost_to_replay(config: RunConfig) -> str | None:
    """Replayed examples are those of the boost."""
    if config.dataset.replay_share == 0 or config.boost.enabled:
        return None
    return (
        "dataset.replay_share needs boost examples to replay, but boost.enabled = false. "
        "Set dataset.replay_share = 0, or enable the boost"
    )


def problems_left_for_the_rounds(config: RunConfig) -> str | None:
    """A boost that takes every problem and shares none leaves none."""
    if not (config.boost.enabled and config.boost.disjoint and config.boost.n_problems == "all"):
        return None
    return (
        'boost.n_problems = "all" leaves no problem for the rounds while boost.disjoint = true. '
        "Set boost.disjoint = false, or give boost.n_problems a number"
    )


def no_muon_for_adapters(config: RunConfig) -> str | None:
    """Muon orthogonalises whole matrices."""
    if not config.model.lora or not any(training.whole_matrices for training in _trainings(config)):
        return None
    return 'train.optimizer = "muon" is for whole matrices, and model.lora trains thin ones. Use "adamw", or no [model.lora]'


def no_vllm_where_bytes_are_promised(config: RunConfig) -> str | None:
    """An engine that batches what is waiting gives other roundings each time."""
    if not config.deterministic or config.engine.kind != "vllm":
        return None
    return (
        'engine.kind = "vllm" makes its batches of whatever is waiting, which deterministic = true forbids. '
        'Set deterministic = false, or engine.kind = "local"'
    )


def one_place_to_train(config: RunConfig) -> str | None:
    """A launcher trains here, a cluster there."""
    if not config.cluster or not any(training.launcher for training in _trainings(config)):
        return None
    return (
        "train.launcher starts training on this machine, and [cluster] on the cluster: choose one. Leave train.launcher "
        "out, and say with cluster.workers how many processes train"
    )


def vllm_for_tensor_parallel(config: RunConfig) -> str | None:
    """A `local:` model stays on one device."""
    if not config.cluster or config.cluster.tensor_parallel == 1 or config.engine.kind != "local":
        return None
    return (
        f'cluster.tensor_parallel = {config.cluster.tensor_parallel} is of vLLM, but engine.kind = "local" keeps a model '
        'on one device. Set engine.kind = "vllm", or tensor_parallel = 1'
    )


def checkpoints_for_elastic_training(config: RunConfig) -> str | None:
    """Training with fewer workers goes on from a checkpoint."""
    saves = [training.save_steps for training in (_trainings(config) if config.boost.enabled else [config.train])]
    if not config.cluster or config.cluster.min_workers is None or all(saves):
        return None
    return (
        "cluster.min_workers lets training go on with fewer workers from its last checkpoint, but train.save_steps = 0 "
        "(or that of boost.train) writes none. Set it, or leave cluster.min_workers out"
    )


def a_size_for_fresh_problems(config: RunConfig) -> str | None:
    """Each round of `fresh` begins where the one before ended."""
    if config.rollout.problems != "fresh" or config.task.n_train != "all" or config.rollout.n_problems is not None:
        return None
    return (
        'rollout.problems = "fresh" needs to know how many problems a round takes, but task.n_train = "all". '
        'Set rollout.n_problems, or rollout.problems = "same"'
    )


def a_context_that_can_train(config: RunConfig) -> str | None:
    """A nano model must not write texts that are then too long to train on."""
    if not config.model.nano or config.model.nano.max_length <= config.train.max_length:
        return None
    return f"model.nano.max_length = {config.model.nano.max_length} is above train.max_length = {config.train.max_length}"


def one_control_at_a_time(config: RunConfig) -> str | None:
    """The control of a run whose own data are already at the first turn would be the run itself."""
    if not config.evaluate.internalised or (config.dataset.internalise == "off" and config.iterate.rounds):
        return None
    if not config.iterate.rounds:
        return "evaluate.internalised = true trains what the rounds trained, but iterate.rounds = 0. Leave it out, or set rounds"
    return (
        "evaluate.internalised = true is the control of a run whose replies train behind the attempts they answer alone, but "
        f'dataset.internalise = "{config.dataset.internalise}" trains them at the first turn. Leave one of the two out'
    )


def a_stop_to_play_on_after(config: RunConfig) -> str | None:
    """Only a model that is asked for verdicts stops by itself, so that there are turns beyond."""
    if not config.evaluate.play_on or (config.evaluate.state or config.state).verify:
        return None
    return (
        "evaluate.play_on takes the turns after the model's own stop, but nothing asks it whether it is right. Leave it out "
        "(rise evaluate: --play-on), or set state.verify = true"
    )


RUN = (
    one_control_at_a_time,
    a_stop_to_play_on_after,
    right_attempts_that_train,
    right_attempts_that_are_states,
    attempts_restated_that_weigh_more,
    several_first_replies_for_pairs,
    something_that_trains,
    a_boost_to_replay,
    problems_left_for_the_rounds,
    no_muon_for_adapters,
    no_vllm_where_bytes_are_promised,
    one_place_to_train,
    vllm_for_tensor_parallel,
    checkpoints_for_elastic_training,
    a_size_for_fresh_problems,
    a_context_that_can_train,
    *LEARNING,
)


def _trainings(config: RunConfig) -> list[TrainConfig]:
    """All trainings that a recipe describes."""
    return [config.train, config.boost.train, config.boost.train_multi_turn or config.train]
