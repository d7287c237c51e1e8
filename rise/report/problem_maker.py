"""The process that makes a generated task's problems for a page: settings of a stranger's recipe may make it slow or large.

Run as a script, which ends at its limits. Reads {"path", "config", "most", "bytes"}, writes [[id, question, gold], …].
"""

from __future__ import annotations

import json
import resource
import sys


def main() -> None:
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (asked["bytes"], asked["bytes"]))
    sys.path[:] = asked["path"]
    from rise.errors import DataError
    from rise.recipe.problems import held_out_problems, training_problems
    from rise.recipe.toml import build_config
    from rise.tasks import make_task

    config = build_config(asked["config"])
    task = make_task(config.task.name, **config.task.settings)
    found: dict[str, list[str]] = {}
    fresh = config.rollout.problems == "fresh"
    try:
        for k in range(0, 1 + (config.iterate.rounds if fresh else 1)):
            for problem in training_problems(config, task, k) if k else held_out_problems(config, task):
                found[problem.id] = [problem.id, problem.question, problem.gold]
            if len(found) >= asked["most"]:
                break
    except DataError:  # no further problem is left
        pass
    json.dump(list(found.values())[: asked["most"]], sys.stdout)


if __name__ == "__main__":
    main()
