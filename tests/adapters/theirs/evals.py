"""Tasks as users of inspect_ai write them."""

from random import Random

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import CORRECT, Score, accuracy, answer, choice, match, model_graded_qa, scorer
from inspect_ai.solver import generate, multiple_choice, prompt_template, self_critique, system_message, use_tools
from inspect_ai.tool import think

SUMS = [Sample(id=f"s{a}", input=f"{a}+{a + 1}?", target=str(2 * a + 1)) for a in range(1, 41)]


@task
def sums(last: int = 40):
    solver = [system_message("End with 'ANSWER: N'."), prompt_template("Work it out.\n{prompt}"), generate()]
    return Task(dataset=SUMS[:last], solver=solver, scorer=answer("line"))


@task
def sky():
    sample = Sample(input="What colour is the sky?", choices=["red", "blue"], target="B")
    return Task(dataset=[sample], solver=multiple_choice(), scorer=choice())


@scorer(metrics={"close": [accuracy()], "exact": [accuracy()]})
def two_parts():
    async def score(state, target):
        said = state.output.completion
        return Score(value={"close": 0.5 if said.isdigit() else 0, "exact": CORRECT if said == target.text else "I"}, answer=said)

    return score


@task
def parts():
    return Task(dataset=SUMS, scorer=two_parts())


@task
def two_scorers():
    return Task(dataset=SUMS, scorer=[match(), answer("line")])


@task
def graded():
    return Task(dataset=SUMS, scorer=model_graded_qa())


@task
def critic():
    return Task(dataset=SUMS, solver=[generate(), self_critique()], scorer=match())


@task
def twice():
    return Task(dataset=SUMS, solver=[generate(), generate()], scorer=match())


@task
def tools():
    return Task(dataset=SUMS, solver=[use_tools(think()), generate()], scorer=match())


@task
def sandboxed():
    return Task(dataset=SUMS, sandbox="local", scorer=match())


@task
def dice():
    return Task(dataset=[Sample(input=f"{Random().random()}?", target="1")], scorer=match())
