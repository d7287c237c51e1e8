"""The directory of several seeds: what says that they belong together, what they share, how many run at a time."""

import json

import pytest
from toys import small

from rise.errors import ConfigError, ResumeError
from rise.recipe.toml import load_recipe
from rise.runs.group import GroupDir, at_a_time, for_seed, is_group, opened_out, parse_seeds, seed_hint, share


@pytest.fixture
def group(tmp_path):
    group = GroupDir(tmp_path / "nano")
    group.open(small(), [0, 2], command=["rise", "run", "nano.toml", "--seeds", "0,2"])
    return group


@pytest.mark.parametrize("text", ["", "0,,x", "0,0", "1.5", "-1", "a"])
def test_seeds_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="0,1,2"):
        parse_seeds(text)


def test_a_small_file_says_what_belongs_together(group):
    assert json.loads(group.about.read_text()) == {"command": ["rise", "run", "nano.toml", "--seeds", "0,2"], "seeds": [0, 2]}
    assert is_group(group.path) and not is_group(group.seed(0).path)
    assert load_recipe(group.recipe) == small(seed=0)


def test_the_same_recipe_continues_and_a_seed_more_joins(group):
    group.open(small(), [0, 2])
    assert group.seeds() == [0, 2]
    group.open(small(seed=1), [1])  # the recipe's own seed is none of the group's settings
    assert group.seeds() == [0, 1, 2]


def test_another_recipe_and_a_strangers_directory_are_refused(group, tmp_path):
    with pytest.raises(ResumeError, match=r"task\.n_train: 2 → 3"):
        group.open(small(task={"n_train": 3}), [0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(ResumeError, match=r"holds no seeds\.json"):
        GroupDir(tmp_path / "mine").open(small(), [0])


def test_what_a_kill_before_the_small_file_leaves_is_no_strangers(tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g/recipe.toml").write_text("torn")
    GroupDir(tmp_path / "g").open(small(), [0])
    assert is_group(tmp_path / "g")


def test_each_seed_takes_over_the_boost_of_its_own_seed_and_nothing_else_is_shared(group):
    recipe = small(boost={"reuse": str(group.path)})
    assert for_seed(recipe, 2).boost.reuse == str(group.path / "seed-2")
    assert for_seed(small(), 2) == small(seed=2)


def test_a_group_stands_for_the_seeds_that_have_begun(group, tmp_path):
    assert opened_out([group.path]) == [group.path]  # none yet
    group.seed(2).path.mkdir()
    group.seed(2).config.touch()
    assert opened_out([tmp_path / "run", group.path]) == [tmp_path / "run", group.path / "seed-2"]
    assert "seed-0" in seed_hint(group.path) and seed_hint(group.seed(0).path) == ""


@pytest.mark.parametrize(
    ("threads", "deterministic", "n_seeds", "cores", "expected"),
    [
        (1, True, 3, 2, (2, None)),  # the recipe's threads decide its sums, so they stay
        (2, True, 3, 2, (1, None)),
        (None, True, 3, 8, (3, None)),  # deterministic is two threads: 8/2 = 4, but three seeds
        (None, False, 3, 8, (3, 2)),  # open: all at once, 8 // 3 threads each
        (None, False, 3, 1, (1, 1)),  # one core: one after the other
        (4, False, 2, 2, (1, None)),
    ],
)
def test_as_many_at_a_time_as_cores_allow(threads, deterministic, n_seeds, cores, expected):
    recipe = small(threads=threads, deterministic=deterministic)
    assert at_a_time(recipe, n_seeds, cores) == expected


def test_seeds_do_not_share_an_accelerator_unless_asked_to():
    recipe = small(threads=None, deterministic=False)
    assert at_a_time(recipe, 3, 8, one_device=True) == (1, 8)
    assert share(recipe, 2, 8) == 4
