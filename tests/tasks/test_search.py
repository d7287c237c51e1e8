"""Search tasks: work that can be followed on paper, a judge that believes nothing, skills that nothing joins."""

import random
import re
from collections import Counter

import pytest

from rise.errors import ConfigError
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Verdict

NAMES = ("divisor", "signs", "signs-in-words", "pair", "recall")


def verdict(task, question, reply):
    return task.judge().judge(Problem(question, "", id="p"), reply).verdict


# ---- the work ------------------------------------------------------------------------------------------------------------


def test_division_says_what_is_left_after_each_digit():
    # 43 = 3*11+10, 100 = 9*11+1, 11 = 1*11+0, 5 = 0*11+5
    assert make_task("divisor").worked("43015?", "11") == "11:43r10 100r1 11r0 5r5 no"
    # 43 = 6*7+1, 10 = 7+3, 31 = 4*7+3, 35 = 5*7
    assert make_task("divisor").worked("43015?", "7") == "7:43r1 10r3 31r3 35r0 yes"
    assert make_task("divisor").hits("43015?", "7") and not make_task("divisor").hits("43015?", "11")


def test_signs_show_the_running_sum():
    assert make_task("signs").worked("47 8 5 9=53", "-++") == "-++:47-8=39 39+5=44 44+9=53 53? yes"


def test_signs_in_words_are_the_same_search_written_out():
    task, question = make_task("signs-in-words"), "Put + or - between 47, 8 and 5 so that the result is 44."
    assert task.candidates(question) == ["47 + 8 + 5", "47 + 8 - 5", "47 - 8 + 5", "47 - 8 - 5"]
    assert task.worked(question, "47 + 8 - 5") == "47 + 8 - 5: 47 + 8 = 55, 55 - 5 = 50. Is it 44? no"
    assert task.worked(question, "47 - 8 + 5") == "47 - 8 + 5: 47 - 8 = 39, 39 + 5 = 44. Is it 44? yes"
    assert [c for c in task.candidates(question) if task.hits(question, c)] == ["47 - 8 + 5"]
    for strange in ("47-8+5", "47 - 8 + 6", "-+", "47 - 8", "8 - 47 + 5", "47 - 8 + 5 "):
        assert task.worked(question, strange) is None and not task.hits(question, strange)


def test_a_pair_shows_its_sum():
    assert make_task("pair").worked("a34 b81 c27 d65=92", "cd") == "cd:27+65=92 92? yes"
    assert make_task("pair").worked("a34 b81 c27 d65=92", "dc") is None  # written in the order of the question, once


@pytest.mark.parametrize("name", NAMES)
def test_no_attempt_is_made_with_what_is_no_candidate(name):
    task = make_task(name)
    question = task.problems("train", 1)[0].question
    for strange in ("", "0", "1", "++", "x", "7 7"):
        assert task.worked(question, strange) is None and not task.hits(question, strange)
    assert task.worked("what?", task.candidates(question)[0]) is None


# ---- the judge -----------------------------------------------------------------------------------------------------------


def test_a_reply_is_right_where_candidate_and_work_are():
    task = make_task("divisor")
    assert verdict(task, "43015?", "7:43r1 10r3 31r3 35r0 yes") is Verdict.RIGHT
    assert verdict(task, "43015?", " 7:43r1 10r3 31r3 35r0 yes\n") is Verdict.RIGHT
    assert verdict(task, "43015?", "11:43r10 100r1 11r0 5r5 no") is Verdict.WRONG


def test_a_written_lie_is_wrong_whichever_way_it_lies():
    task = make_task("divisor")
    assert verdict(task, "43015?", "11:43r10 100r1 11r0 5r0 yes") is Verdict.WRONG  # says it hits
    assert verdict(task, "43015?", "7:43r1 10r3 31r3 35r0 no") is Verdict.WRONG  # hits, and says it does not
    assert verdict(task, "43015?", "7:43r2 20r6 60r4 35r0 yes") is Verdict.WRONG  # hits, beside false work
    assert verdict(make_task("pair"), "a34 b81 c27 d65=92", "ab:34+81=92 92? yes") is Verdict.WRONG


@pytest.mark.parametrize("reply", ["", "7", ":", "yes", "9" * 500 + ":"])
def test_what_tries_nothing_is_unparsable(reply):
    assert verdict(make_task("divisor"), "43015?", reply) is Verdict.UNPARSABLE


def test_two_attempts_vote_alike_where_they_try_the_same():
    judge = make_task("divisor").judge()
    assert judge.answer("7:43r1 10r3") == "7" and judge.same("7", "7") and not judge.same("7", "17")


# ---- problems ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_question_has_one_hit_and_a_worked_solution_that_is_right(name):
    task = make_task(name)
    for problem in task.problems("train", 50):
        hits = [c for c in task.candidates(problem.question) if task.hits(problem.question, c)]
        assert hits == [problem.gold]
        assert verdict(task, problem.question, problem.solution) is Verdict.RIGHT


@pytest.mark.parametrize("name", NAMES)
def test_each_candidate_hits_about_equally_often(name):
    task = make_task(name)
    problems = task.problems("train", 600)
    place = Counter(task.candidates(p.question).index(p.gold) for p in problems)
    n = len(task.candidates(problems[0].question))
    assert len(place) == n
    assert all(abs(count - 600 / n) < 5 * (600 / n) ** 0.5 for count in place.values())


@pytest.mark.parametrize("name", NAMES)
def test_no_problem_is_in_two_splits_not_even_in_another_order(name):
    keys = {split: {make_task(name).key(p.question) for p in make_task(name).problems(split, 300)} for split in ("train", "test")}
    assert len(keys["train"]) == 300 and not keys["train"] & keys["test"]
    assert make_task("pair").key("a34 b81 c27 d65=92") == make_task("pair").key("a65 b27 c34 d81=92")
    assert make_task("signs").key("47 8 5 9=53") == make_task("signs").key("47 9 8 5=53") != make_task("signs").key("8 47 5 9=53")


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match=re.escape("primes = [7]")):
        make_task("divisor", primes=[7])
    with pytest.raises(ConfigError, match=re.escape("primes = [7, 9]; 9 is none")):
        make_task("divisor", primes=[7, 9])


# ---- skills --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_lessons_are_honest_and_use_known_characters(name):
    task = make_task(name)
    for lesson in task.skills(task.problems("train", 60), random.Random(0)):
        question = lesson.problem.question
        for line in lesson.attempts if lesson.ask else (*lesson.attempts, lesson.reply):
            assert line == task.worked(question, task.candidate_of(line))
        assert set(question + lesson.reply + (lesson.ask or "")) <= set(task.alphabet)
        kind, n = asked(task, lesson)
        if kind == "hit":
            line = lesson.attempts[n - 1]
            assert lesson.reply == task.hit_words[0 if task.hits(question, task.candidate_of(line)) else 1]
        elif kind == "left":
            tried = [task.candidate_of(line) for line in lesson.attempts]
            assert tried and lesson.reply.split(task.between) == [c for c in task.candidates(question) if c not in tried] != []
        elif kind == "say":
            assert lesson.reply == lesson.attempts[n - 1]
        elif kind == "step":
            left, sign, right = re.fullmatch(r"(\d+) ?([+-]) ?(\d+) ?=", lesson.ask).groups()
            assert not lesson.attempts and int(lesson.reply) == int(left) + int(sign + right)
        elif kind == "compare":
            left, right = re.fullmatch(r"(?:Is )?(\d+) (\d+)\?", lesson.ask).groups()
            assert not lesson.attempts and lesson.reply == ("yes" if left == right else "no")


def asked(task, lesson):
    """(what a lesson asks for, the number of the line it asks about)."""
    if lesson.ask is None:
        return "attempt", 0
    for kind in ("say", "hit", "left"):
        found = re.fullmatch(re.escape(getattr(task, kind)).replace(re.escape("{n}"), r"(\d)"), lesson.ask)
        if found:
            return kind, int(found[1]) if kind != "left" else 0
    return ("step" if lesson.ask.endswith("=") else "compare"), 0


@pytest.mark.parametrize("name", ["signs", "signs-in-words", "pair"])
def test_small_steps_are_those_of_the_work_and_checks_hit_about_half_the_time(name):
    task = make_task(name)
    checks = Counter()
    for problem in task.problems("train", 200):
        worked = " ".join(task.worked(problem.question, c) for c in task.candidates(problem.question))
        for ask, reply in task.small_steps(problem.question, random.Random(problem.id), 5):
            if ask.endswith("="):
                assert f"{ask}{' ' * (name == 'signs-in-words')}{reply}" in worked
            else:
                checks[reply] += 1
    assert 0.45 < checks["yes"] / checks.total() < 0.65  # half of them, and a few that are the same by chance


def test_no_lesson_joins_the_skills_a_turn_is_right_as_often_after_a_hit_as_after_a_miss_is_wrong():
    """Of the attempts that follow any other, one in six hits: what comes next does not depend on what hit."""
    task = make_task("divisor")
    hits, after = Counter(), Counter()
    for lesson in task.skills(task.problems("train", 3000), random.Random(0)):
        if lesson.ask is None:
            after[len(lesson.attempts)] += 1
            hits[len(lesson.attempts)] += task.hits(lesson.problem.question, task.candidate_of(lesson.reply))
    assert all(abs(hits[k] / after[k] - 1 / 6) < 0.03 for k in range(5))
