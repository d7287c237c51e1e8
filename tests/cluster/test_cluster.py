"""What of clusters needs no Ray: settings, what fits, how models are handed over, groups in lanes. The rest is tests/ray."""

import asyncio
import shutil
import stat
from pathlib import Path

import pytest
from toys import LastNumber, problem, small, toy_recipe

from rise.cluster.needs import Need, check_fits, fits, needs
from rise.cluster.nodes import Node, check_nodes
from rise.cluster.storage import DONE, get_folder, private_folder, publish
from rise.errors import ConfigError, DataError
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.play.schedule import GROUP
from rise.policy import Policy, Reply, Sampling
from rise.recipe.machines import ClusterConfig
from rise.runs.directory import RunDir
from rise.runs.dry_run import dry_run


def node(cpus=1.0, gpus=0.0, **more):
    import rise

    return Node(**{"id": "0123456789abcdef", "host": "a", "cpus": cpus, "gpus": gpus, "rise": rise.__version__, **more})


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"replicas": 0}, 'use a count from 1, or "all"'),
        ({"replicas": 2, "min_replicas": 3}, "no part would ever begin"),
        ({"tensor_parallel": 2}, "Set it to 2"),
        ({"workers": 2, "min_workers": 3}, "above cluster.workers = 2"),
        ({"workers": 2, "min_workers": 1}, "train.save_steps = 0"),
        ({"address": "ray://head:10001"}, "Ray Client, which cannot launch training"),
        ({"tensor_parallel": 2, "gpus_per_replica": 2.0}, "keeps a model on one device"),
        ({"replica": 2}, 'Did you mean "replicas"?'),
    ],
)
def test_what_cannot_be_is_said_with_the_way_out(cluster, said):
    with pytest.raises(ConfigError) as error:
        small(cluster=cluster, train={"save_steps": 0})
    assert said in " ".join(str(error.value).split())


def test_a_launcher_and_a_cluster_are_two_answers_to_one_question():
    with pytest.raises(ConfigError, match="choose one"):
        small(cluster={}, train={"launcher": "torchrun --nproc-per-node 2"})


def test_processes_are_counted_node_by_node_and_in_the_order_they_are_declared():
    # 3 CPUs hold one judge and two replicas; of the nodes of 1 CPU none holds a replica of 2.
    settings = ClusterConfig(judges=1, replicas="all")
    judges, replicas = fits(needs(settings)[0], [node(3)])
    assert (judges.n, replicas.n) == (1, 2)
    [none] = fits([Need("replicas", None, 1, 2.0, 0.0, "")], [node(1), node(1)])
    assert (none.n_fit, none.enough) == (0, False)
    # What needs no GPU goes to the node without one.
    cpu, gpu = fits([Need("a", 1, 1, 1.0, 0.0, ""), Need("b", 1, 1, 1.0, 1.0, "")], [node(1, 1), node(1)])
    assert cpu.enough and gpu.enough


def test_a_cluster_that_is_too_small_is_named_with_what_it_has_and_what_is_asked():
    with pytest.raises(ConfigError) as error:
        check_fits(ClusterConfig(workers=3), [node(), node()])
    said = str(error.value)
    assert "training workers: 3 × (1 CPU); room for 2: TOO FEW, at least 3" in said and "2 nodes with 1 CPU, 1 CPU" in said
    check_fits(ClusterConfig(workers=3, min_workers=2), [node(), node()])  # elastic: two will do
    check_fits(ClusterConfig(replicas=5), [node(), node()])  # three more may join


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"rise": "0.0.1"}, "has rise 0.0.1, this machine"),
        ({"rise": None}, "has rise not installed"),
        ({"trouble": "ModuleNotFoundError: No module named 'rise'"}, "Install the same rise"),
        ({"trouble": "The node died"}, "could not be asked"),
        ({"sees": False}, "does not see"),
    ],
)
def test_a_node_on_which_nothing_could_work_is_named(about, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        check_nodes([node(), node(**about)], tmp_path, None)


def test_a_node_that_reaches_no_storage_is_told_from_one_that_sees_no_directory(tmp_path):
    with pytest.raises(ConfigError, match=r"cluster.storage = \"s3://b/f\""):
        check_nodes([node(sees=False)], tmp_path, "s3://b/f")


def test_a_dry_run_says_what_will_be_asked_of_the_cluster_without_one():
    does, _ = dry_run(small(cluster={"replicas": 4, "judges": 2, "workers": 2}))
    told = [line for line in does if line.startswith("cluster")]
    assert told == [
        "cluster    auto; judges: 2 × (1 CPU)",
        "cluster    auto; replicas: 4 × (1 CPU)",
        "cluster    auto; training workers: 2 × (1 CPU)",
    ]


def test_a_run_may_be_continued_on_another_cluster_or_none(tmp_path):
    run = RunDir(tmp_path / "run")
    assert not run.open(toy_recipe(cluster={"workers": 2}))
    assert run.open(toy_recipe(cluster={"workers": 4, "address": "local"}))
    assert run.open(toy_recipe())
    assert "cluster" not in run.config.read_text()


def test_a_model_goes_through_the_storage_whole_and_is_known_by_its_weights(nano_dir, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    model = publish(nano_dir, (tmp_path / "storage").as_uri())
    there = tmp_path / "storage" / "models" / model.whole
    fetched = model.fetch()
    assert sorted(p.name for p in there.iterdir() if p.name != DONE) == sorted(p.name for p in nano_dir.iterdir())
    from rise.policies.local import LocalPolicy

    assert LocalPolicy.load(fetched).name == LocalPolicy.load(nano_dir).name  # so a ledger continues either way
    assert stat.S_IMODE(Path(fetched).parent.stat().st_mode) == 0o700
    other = Path(shutil.copytree(nano_dir, tmp_path / "other"))
    (other / "chat_template.jinja").write_text("another")
    again = publish(other, (tmp_path / "storage").as_uri())
    assert again.hash == model.hash and (Path(again.fetch()) / "chat_template.jinja").read_text() == "another"
    (there / DONE).unlink()
    with pytest.raises(DataError, match="not whole"):
        get_folder(model.url, tmp_path / "elsewhere")


@pytest.mark.parametrize("trap", ["open to all", "a link", "a file"])
def test_a_folder_that_somebody_else_has_laid_out_is_not_used(trap, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / "rise-models"
    if trap == "open to all":
        place.mkdir()
        place.chmod(0o777)
    elif trap == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "theirs")
    else:
        place.touch()
    ours = private_folder("rise-models")
    assert ours != place and not ours.is_symlink() and stat.S_IMODE(ours.stat().st_mode) == 0o700
    place = private_folder("rise-others")
    assert place == tmp_path / "rise-others" == private_folder("rise-others") and stat.S_IMODE(place.stat().st_mode) == 0o700


def test_where_nodes_share_the_directory_nothing_is_copied(nano_dir):
    model = publish(nano_dir, None)
    assert (model.fetch(), model.url) == (str(nano_dir), None)
    assert publish("owner/name", None).fetch() == "owner/name"


class Lanes(Policy):
    """A policy that makes batches of two groups at once, and looks who is in each."""

    name, takes_ids, max_in_flight, lanes = "lanes", False, 2, 2

    def __init__(self):
        self.inside, self.groups, self.most = {}, {}, 0

    def enter(self):
        self.inside[GROUP.get()] = self.inside.get(GROUP.get(), 0) + 1
        self.most = max(self.most, sum(n > 0 for n in self.inside.values()))

    def leave(self):
        self.inside[GROUP.get()] -= 1

    async def reply(self, request):
        self.groups.setdefault(GROUP.get(), set()).add(request.problem)
        await asyncio.sleep(0.01)
        return [Reply("4", None, "stop", 1, 1) for _ in request.seeds]


def test_fixed_groups_may_be_played_side_by_side_and_stay_what_they_are(tmp_path, judge):
    policy = Lanes()
    problems = [problem(f"p{i}") for i in range(7)]
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(policy, Prompt(), judge, Sampling(), ledger, purpose="x", deterministic=True)
        done = asyncio.run(rollout(player, problems, n_turns=2, stop_when_right=False))
    assert [t.problem_id for t in done] == [p.id for p in problems]
    assert policy.groups == {0: {"p0", "p1"}, 2: {"p2", "p3"}, 4: {"p4", "p5"}, 6: {"p6"}}
    assert policy.most == 2 and set(policy.inside.values()) == {0}


class Elsewhere(LastNumber):
    """A judge that also judges aside, and says who was asked."""

    elsewhere = True

    def __init__(self, own):
        self.own, self.n_aside = own, 0

    def judge(self, problem, reply):
        raise AssertionError("asked here")

    async def aside(self, problem, reply):
        self.n_aside += 1
        return self.own.judge(problem, reply)


def test_a_judge_that_judges_elsewhere_is_asked_there(tmp_path, judge):
    elsewhere = Elsewhere(judge)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(Lanes(), Prompt(), elsewhere, Sampling(), ledger, purpose="x")
        [done] = asyncio.run(rollout(player, [problem("p")], n_turns=1, stop_when_right=False))
    assert done.turns[0].right and elsewhere.n_aside == 1
