"""Several seeds in one table, figure and sentence: three synthetic runs whose numbers can be checked on paper."""

import json

import pytest
from synthetic_run import BOOST, rows, same, write_run
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import DataError
from rise.evaluation.uncertainty import paired_difference
from rise.report import console_table, write_report
from rise.report.claims import claims, headline
from rise.report.collect_seeds import collect_seeds, read
from rise.report.compare_seeds import minus, read_groups, to_json
from rise.report.load import LoadedSeeds, load
from rise.report.seed_tables import runs_table, seed_differences_table, seeds_table
from rise.runs.group import GroupDir
from rise.view.library import Library

CONFIG = """name = "toy"
seed = {seed}

[model.nano]
hidden = 8

[boost]
enabled = true
also_one_turn = false

[iterate]
rounds = 1
"""

KEPT = ("rrrrr", "rrrr", "rrrr")
FIXED = ("wrrrr", "wwww", "wwww")
NEVER = ("wwwww", "wwww", "wwww")


def patterns(kept, fixed, never):
    return [KEPT] * kept + [FIXED] * fixed + [NEVER] * never


GOOD = [patterns(4, 8, 8), patterns(4, 9, 7), patterns(4, 10, 6)]
"""Of 20 problems: t1 is .20 in each seed, t5 is .60, .65 and .70."""


PLAIN = patterns(4, 0, 16)
"""Nothing is mended."""


def group_of(path, rounds, boost=PLAIN):
    path.mkdir()
    for seed, of in enumerate(rounds):
        stages = {"boost": boost} | ({"round-1": of} if of else {})
        write_run(path / f"seed-{seed}", stages, config=CONFIG.format(seed=seed))
    group = GroupDir(path)
    group.recipe.write_text(CONFIG.format(seed=0))
    group.about.write_text(json.dumps({"command": ["rise", "run", "toy.toml", "--seeds", "0,1,2"], "seeds": [0, 1, 2]}))
    return group


@pytest.fixture
def group(tmp_path):
    return group_of(tmp_path / "good", GOOD)


def last(group):
    return collect_seeds(group.path).over[-1]


def test_a_number_has_its_mean_both_intervals_and_every_seeds_value(group):
    number = last(group).numbers["t5"]
    assert {seed: estimate.value for seed, estimate in number.by_seed.items()} == {0: 0.6, 1: 0.65, 2: 0.7}
    assert number.seeds.value == pytest.approx(0.65)
    assert number.seeds.high - 0.65 == pytest.approx(0.1242, abs=5e-5)  # 4.303 · .05/√3
    assert number.problems.n == 20
    cell = rows(seeds_table(collect_seeds(group.path)))["round 1"][5]
    over_seeds, _, each = cell.small.splitlines()
    assert (cell.text, over_seeds, each) == ("65.0", "seeds 52.6–77.4,", "each 60.0  65.0  70.0")


def test_a_difference_says_in_how_many_seeds_it_is_above_zero(group):
    number = last(group).numbers["t5-t1"]
    # Gains .40 .45 .50: mean .45, s = .05, the same half width.
    assert (number.seeds.value, number.seeds.low) == (pytest.approx(0.45), pytest.approx(0.45 - 0.1242, abs=5e-5))
    # Problems 0 … 3 right throughout, 4 … 11 fixed in all seeds, 12 in two of three, 13 in one.
    right = [1.0] * 12 + [2 / 3, 1 / 3] + [0.0] * 6
    pooled = paired_difference(right, [1.0] * 4 + [0.0] * 16)
    assert (number.problems.low, number.problems.high) == (pytest.approx(pooled.low), pytest.approx(pooled.high))
    [row, *_] = seed_differences_table(collect_seeds(group.path)).rows
    assert [cell.text for cell in row][1] == "+45.0" and [cell.text for cell in row][4:] == ["3 of 3", "+40.0  +45.0  +50.0"]


def test_the_sentence_claims_where_both_intervals_do(group):
    text = headline(collect_seeds(group.path))
    assert "the model corrects itself" in text and "Means of seeds 0, 1, 2" in text
    [first, *_] = claims(collect_seeds(group.path))
    assert first.answer == "yes" and "above zero in 3 of 3 seeds" in first.detail


def test_a_spread_between_trainings_that_holds_zero_is_no_finding(tmp_path):
    # Gains 0, .40, .60 of 20 problems: mean .333, s = .306, half 4.303 · .306/√3 = .759. Over problems it is clear.
    group = group_of(tmp_path / "g", [patterns(4, 0, 16), patterns(4, 8, 8), patterns(4, 12, 4)])
    number = last(group).numbers["t5-t1"]
    assert number.problems.low > 0 > number.seeds.low
    assert number.n_above == 2
    text = headline(collect_seeds(group.path))
    assert text.startswith("After round 1, this run does not show that the model corrects itself:")
    assert claims(collect_seeds(group.path))[0].answer == "undecided"


def test_problems_too_few_to_tell_are_no_finding_though_seeds_agree(tmp_path):
    # One problem of eight is mended in every seed: no spread between trainings, but too little to tell.
    of = [KEPT] * 4 + [FIXED] + [NEVER] * 3
    group = group_of(tmp_path / "g", [of] * 3, boost=BOOST)
    number = last(group).numbers["t5-t1"]
    assert (number.seeds.low, number.seeds.high) == (0.125, 0.125) and number.problems.low < 0
    assert claims(collect_seeds(group.path))[0].answer == "undecided"


def test_one_seed_measured_says_nothing_of_the_spread(tmp_path):
    group = group_of(tmp_path / "g", [GOOD[0], None, None])
    data = collect_seeds(group.path)
    assert data.over[-1].seeds == (0,)
    assert headline(data).startswith("One seed is measured, so the spread between trainings is not known. Seed 0: After round 1")
    assert [claim.answer for claim in claims(data)] == [claim.answer for claim in claims(data.runs[0])]
    assert rows(runs_table(data))["seed 1"][-1].text == "not measured yet: base, round 1"


def test_a_seed_that_has_not_come_as_far_takes_no_part(tmp_path):
    group = group_of(tmp_path / "g", [GOOD[0], GOOD[1], None])
    data = collect_seeds(group.path)
    assert [over.seeds for over in data.over] == [(0, 1, 2), (0, 1)]
    assert "Means of seeds 0, 1;" in headline(data)


@pytest.mark.slow
def test_both_pages_hold_the_table_the_figure_and_links_to_the_seeds(group):
    html, text = write_report(group.path)
    page, plain = html.read_text(), text.read_text()
    for found in (page, plain):
        assert "seeds 52.6–77.4" in found and "3 of 3" in found and "+40.0" in found
        assert "Data and training" not in found and "Trajectories" not in found  # those are of one run
    assert 'id="figure-seeds"' in page and 'id="figure-seed-differences"' in page
    for seed in range(3):
        assert f'href="seed-{seed}/report.html"' in page and f"[seed {seed}](seed-{seed}/report.html)" in plain
        assert (group.seed(seed).path / "report.html").exists()
    again = html.read_bytes()
    write_report(group.path)
    assert html.read_bytes() == again


def test_the_report_of_a_run_has_no_section_over_seeds(group):
    html, _ = write_report(group.seed(0).path)
    assert "Over seeds" not in html.read_text()


def test_nothing_begun_and_runs_beside_a_group_are_said(group, tmp_path):
    empty = GroupDir(tmp_path / "empty")
    empty.path.mkdir()
    empty.about.write_text('{"seeds": [0]}')
    with pytest.raises(DataError, match="none of its seeds has begun"):
        collect_seeds(empty.path)
    with pytest.raises(DataError, match="rise compare"):
        read(group.path, beside=[group.seed(0).path])


def said(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_show_report_and_compare_print_one_table_over_seeds(group):
    for command in ("show", "report", "compare"):
        printed = said(command, group.path)
        assert "65.0" in printed and "52.6–77.4" in printed and "3 of 3" in printed, command
    assert console_table(group.path) is not None


def test_groups_are_set_beside_each_other_seed_by_seed(group, tmp_path):
    # Against seeds at .50, .60 and .70: .10, .05, 0 more. Mean .05, s = .05.
    other = group_of(tmp_path / "other", [patterns(4, 6, 10), patterns(4, 8, 8), patterns(4, 10, 6)])
    first, second = read_groups([other.path, group.path], same)
    found = minus(second, first)["t5"]
    assert [estimate.value for estimate in found.by_seed.values()] == pytest.approx([0.1, 0.05, 0.0])
    assert (found.seeds.value, found.seeds.low) == (pytest.approx(0.05), pytest.approx(0.05 - 0.1242, abs=5e-5))
    assert found.problems.n == 20
    plain = to_json([first, second])
    assert plain["groups"][0]["minus_first"] is None
    assert plain["groups"][1]["t5-t1"]["n_above"] == 3
    out = tmp_path / "out"
    printed = said("compare", other.path, group.path, "--out", out)
    assert "Minus other, seed by seed" in printed and "+5.0" in printed
    assert json.loads((out / "compare.json").read_text()) == json.loads(json.dumps(plain))
    assert "each +10.0" in (out / "compare.md").read_text() and (out / "compare.svg").exists()


def test_groups_that_have_come_unequally_far_are_named_with_their_stages(group, tmp_path):
    begun = group_of(tmp_path / "begun", [None])
    assert [entry.label for entry in read_groups([group.path, begun.path], same)] == ["good, round 1", "begun, boost"]
    assert [entry.label for entry in read_groups([group.path], same)] == ["good"]


def test_a_group_among_runs_stands_with_each_of_its_seeds(group, tmp_path):
    run = write_run(tmp_path / "plain", {"boost": patterns(4, 0, 16), "round-1": GOOD[0]}, config=CONFIG.format(seed=9))
    found = json.loads(said("compare", run.path, group.path, "--json"))
    assert [row["label"] for row in found["runs"]] == ["plain", "good/seed-0", "good/seed-1", "good/seed-2"]


def test_the_viewer_shows_all_seeds(group):
    assert [run["directory"] for run in Library([group.path]).overview()["runs"]] == ["seed-0", "seed-1", "seed-2"]


def test_tables_of_a_group_have_a_column_seed(group):
    pytest.importorskip("pandas")
    loaded = load(group.path)
    assert isinstance(loaded, LoadedSeeds) and loaded.stages == ["boost", "round-1"]
    metrics = loaded.metrics()
    t5 = metrics[(metrics.stage == "round-1") & (metrics.metric == "t5")]
    assert list(t5.seed) == [0, 1, 2] and list(t5.value) == [0.6, 0.65, 0.7]
    turns = loaded.turns()
    assert turns.columns[0] == "seed" and set(turns.seed) == {0, 1, 2}
    assert loaded.examples().columns[0] == "seed"
    over = loaded.over_seeds().set_index(["stage", "metric"])
    assert over.loc[("round-1", "t5-t1"), "n_above"] == 3
    assert over.loc[("round-1", "t5"), "low"] == pytest.approx(0.5258, abs=5e-5)
    assert "<svg" in loaded.plot_turns()._repr_svg_()


def test_a_group_where_one_run_is_wanted_names_one(group):
    with pytest.raises(DataError, match=r"give one, .*seed-0"):
        from rise.report.compare import find_stage

        find_stage(group.path)
