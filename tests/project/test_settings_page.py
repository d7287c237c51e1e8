"""docs/settings.md is made from the settings records, and each setting has a sentence and somebody who reads it."""

import ast
import sys

import pytest
from documents import ROOT

from rise.recipe import rules
from rise.recipe.config import RunConfig


@pytest.fixture(scope="module")
def made():
    """The module docs/make_settings.py."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_settings

        yield make_settings
    finally:
        sys.path.pop(0)


def test_the_page_is_what_the_records_say(made):
    assert (ROOT / "docs/settings.md").read_text() == made.settings_page(), "run `make docs`"


def test_every_setting_has_a_sentence(made):
    from readers import all_records

    records = all_records(RunConfig)
    assert sum(len(model.model_fields) for model in records.values()) > 150
    for name, model in records.items():
        for field in model.model_fields:
            meaning, _ = made.sentences(model).get(field, ("", ""))
            assert meaning.endswith("."), f"{name}.{field} has no sentence below it"


def test_a_name_that_ends_in_seconds_has_seconds_as_its_unit(made):
    from readers import all_records

    for name, model in all_records(RunConfig).items():
        for field, (_, unit) in made.sentences(model).items():
            assert not field.endswith("_s") or unit == "seconds", f"{name}.{field}"


def test_every_setting_is_read_by_a_module(made):
    assert made.unread() == []


def test_readers_named_by_hand_have_the_name_in_them(made):
    for (_, field), modules in made.BY_HAND.items():
        for module in modules:
            assert f'"{field}"' in (ROOT / (module.replace(".", "/") + ".py")).read_text()


def test_a_reader_is_found_by_annotation_attribute_and_assignment(made, tmp_path):
    from readers import Readers

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "work.py").write_text(
        "class Work:\n"
        "    def __init__(self, config: RunConfig) -> None:\n"
        "        self.config, self.n = config, 3\n"
        "    def go(self):\n"
        "        train = self.config.boost.train_multi_turn or self.config.train\n"
        "        return train.epochs\n"
        "def other(work: Work, thing):\n"
        "    return work.config.weigh.clip, thing.seed\n"
    )
    found = Readers(package, RunConfig, set())
    assert found["TrainConfig", "epochs"] == found["WeighConfig", "clip"] == ["package.work"]
    assert found["RunConfig", "seed"] == []  # of a thing that nobody knows


def test_every_rule_is_in_its_list():
    trees = [ast.parse((ROOT / f"rise/recipe/{name}.py").read_text()) for name in ("rules", "learning_rules")]
    nodes = [node for tree in trees for node in tree.body]
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    listed = [rule.__name__ for rule in (*rules.RUN, *rules.RELABEL, *rules.CLUSTER)]
    assert functions - {"check"} == set(listed) and len(listed) == len(set(listed))
