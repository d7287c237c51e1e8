"""Rows in the original formats of the benchmarks, all of them written here: none is a published one."""

import json

NAMES = ("gsm8k", "math", "svamp", "mbpp", "humaneval")


def write_benchmarks(root):
    """A data directory, as `$RISE_DATA` names one."""
    for name, files in FILES.items():
        (root / name).mkdir(parents=True)
        for file, text in files().items():
            (root / name / file).write_text(text)
    return root


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def gsm8k():
    def row(i):
        n = 4 * i
        steps = f"They plant {i}*4=<<{i}*4={n}>>{n} beans.\nWith 3 more that is {n}+3=<<{n}+3={n + 3}>>{n + 3}."
        return {"question": f"Mara plants {i} rows of 4 beans and 3 more. How many?", "answer": f"{steps}\n#### {4 * i + 3}"}

    return {"train.jsonl": lines(map(row, range(2, 32))), "test.jsonl": lines(map(row, range(40, 44)))}


def math():
    def row(i):
        solution = rf"Since $2x = {i}$, we have $x = \frac{{{i}}}{{2}}$, so $x = \boxed{{\frac{{{i}}}{{2}}}}$."
        return {"problem": f"If $2x = {i}$, what is $x$?", "level": f"Level {i % 5 + 1}", "type": "Algebra", "solution": solution}

    return {"train.jsonl": lines(map(row, range(1, 61, 2))), "test.jsonl": lines(map(row, range(101, 109, 2)))}


def svamp():
    head = "Question,Numbers,Equation,Answer,group_nums,Grade,Type,Body,Ques_Statement\n"
    rows = [
        f"number0 snails meet number1 slugs . how many are they ?,{i} {i + 2},+ number0 number1,{2 * i + 2}.0,[],1,Addition,,\n"
        for i in range(30)
    ]
    # Once more in other letters, as the two sources of the original have it, and once with another answer.
    rows.append('Number0 snails meet number1 slugs .  how many are they ?,3 5,+ number0 number1,8.0,"[0, 1]",1,Addition,,\n')
    rows.append('number0 snails meet number1 slugs . how many are they ?,4 6,- number0 number1,2.0,"[0, 1]",1,Addition,,\n')
    test = [
        {
            "ID": f"own-{i}",
            "Body": f"If {i} snails wait under a leaf",
            "Question": "and 2 leave, how many are left?",
            "Equation": f"( {i}.0 - 2.0 )",
            "Answer": float(i - 2),
            "Type": "Subtraction",
        }
        for i in range(5, 9)
    ]
    return {"train.csv": head + "".join(rows).replace("Number0", "number0"), "svamp.json": json.dumps(test)}


def mbpp():
    def row(number):
        k = number
        return {
            "text": f"Write a function to add {k} to a number and double it.",
            "code": f"def add_double_{k}(n):\r\n  return (n + {k}) * 2",
            "task_id": number,
            "test_setup_code": "",
            "test_list": [f"assert add_double_{k}({n}) == {(n + k) * 2}" for n in (0, 5, -3)],
            "challenge_test_list": [],
        }

    odd = row(700) | {"test_list": ["assert add_double_9(node.left) == 4"], "code": "x = 1"}  # no plain value: left out
    few_shot = [row(number) for number in (1, 10)]
    return {"mbpp.jsonl": lines([*few_shot, *map(row, (11, 12, 510, 511, 600, 601, 602, 603, 974)), odd])}


def humaneval():
    def row(i):
        doc = f"Multiply every value by {i}.\n    >>> scale_{i}([1])\n    [{i}]\n    "
        prompt = f'def scale_{i}(values: list) -> list:\n    """ {doc}"""\n'
        test = (
            "\n\nMETADATA = {\n    'author': 'us'\n}\n\n\ndef check(candidate):\n"
            f"    assert candidate([1, 2]) == [{i}, {2 * i}], 'two'\n    assert candidate([]) == []\n"
            f"    assert candidate([3 * 4]) == [{12 * i}]\n    assert not candidate([])\n    assert True, 'done'\n"
        )
        body = f"    return [value * {i} for value in values]\n"
        return {
            "task_id": f"HumanEval/{i}",
            "prompt": prompt,
            "entry_point": f"scale_{i}",
            "canonical_solution": body,
            "test": test,
        }

    near = {
        "task_id": "HumanEval/8",
        "prompt": 'def third(x: float) -> float:\n    """ A third of x. """\n',
        "entry_point": "third",
        "canonical_solution": "    return x / 3\n",
        "test": "def check(candidate):\n    assert abs(candidate(1.0) - 0.333333) < 1e-5\n    assert candidate(3.0) == 1.0\n",
    }
    dice = row(9)
    dice["test"] += "    for i in range(9):\n        assert candidate([random.random()])\n"  # cannot be read: left out
    return {"HumanEval.jsonl": lines([*map(row, (2, 3, 4)), near, dice])}


FILES = {"gsm8k": gsm8k, "math": math, "svamp": svamp, "mbpp": mbpp, "humaneval": humaneval}
