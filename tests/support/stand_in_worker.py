"""A worker that speaks as those of other projects do, without their packages: sums to score, and a number to guess.

With the environment variable HF_STAND_IN=changed (workers are given HF_…) the game says something else than it did.
"""

import json
import os
import sys

MORE = "Higher!" if os.environ.get("HF_STAND_IN") == "changed" else "More."


def answer(request):
    match request["do"]:
        case "describe" if request["what"] == "nothing":
            return {"refused": "its solver gives the model tools."}
        case "describe" if request.get("env") == "listed":
            return {"n": 2, "system": None, "versions": {}, "splits": {"train": 2, "test": 1}, "action": "text"}
        case "describe":
            return {"n": 40, "system": "Add.", "versions": {}, "splits": None, "action": "text"}
        case "make" if request.get("env") == "listed":
            return {"problems": ["Guess." for _ in request["resets"]]}
        case "make" if "resets" in request:
            return {"problems": [f"Game {reset['seed']}: from 1 to 9." for reset in request["resets"]]}
        case "make":
            rows = range(request["start"], request["start"] + request["n"])
            return {"problems": [{"index": i, "question": f"{i}+1?", "gold": str(i + 1), "fields": {"index": i}} for i in rows]}
        case "score" if request["question"] != f"{request['index']}+1?":
            return {"changed": f"sample {request['index']} is another one now."}
        case "score":
            said, right = request["reply"], str(request["index"] + 1)
            score = 2.0 if said == "two" else 1.0 if said == right else 0.5 if said.isdigit() else 0.0
            return {"score": score, "answer": said if said.isdigit() else None, "unanswered": said == "pass"}
        case "play":
            return played(request)


def played(request):
    number = request["reset"]["seed"] % 9 + 1
    for k, action in enumerate(request["actions"]):
        if k >= 3:
            return {"score": 0.0, "observation": "", "done": True, "over": True}
        said = "Yes." if action == str(number) else MORE if action < str(number) else "Less."
        if k < len(request["said"]) and request["said"][k] != said:
            return {"changed": f"played again, step {k + 1} says {said!r}, where it said {request['said'][k]!r}"}
    return {"score": float(said == "Yes."), "observation": said, "done": said == "Yes.", "over": False}


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
