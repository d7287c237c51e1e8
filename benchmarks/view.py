"""Whether the viewer stays quick with many trajectories: `python benchmarks/view.py` (Chromium and playwright must be there).

Writes a run with N synthetic trajectories, starts `rise view` on it, measures in a headless browser what a person waits for,
and prints JSON. Times are of one run on one machine, from a cold server; frames are those of scrolling the list from end to end.
Beside them stand the frames of the same page while nothing happens, and the script's own part of a frame: the rest is drawing,
without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rise.jsonl import dumps, write_whole

WORDS = (
    *("so", "the", "number", "of", "crates", "is", "then", "we", "add"),
    *("what", "was", "left", "and", "divide", "by", "lorries", "gives"),
)

SCROLL = """async ([seconds, moving]) => {
  const list = document.querySelector(".list"), frames = [], script = [];
  let last = performance.now(), start = last;
  await new Promise((done) => {
    const step = (now) => {
      frames.push(now - last);
      last = now;
      const began = performance.now();
      if (moving) {
        list.scrollTop = ((now - start) / (1000 * seconds)) * list.scrollHeight;
        rise.app.browser.list.paint();
      }
      script.push(performance.now() - began);
      now - start < 1000 * seconds ? requestAnimationFrame(step) : done();
    };
    requestAnimationFrame(step);
  });
  frames.sort((a, b) => a - b);
  script.sort((a, b) => a - b);
  return {frames: frames.length, median: frames[frames.length >> 1], p99: frames[Math.floor(frames.length * 0.99)],
          worst: frames[frames.length - 1], script: script[script.length >> 1],
          rows: document.querySelectorAll(".list .row").length};
}"""


def write(path: Path, n: int, chars: int, seed: int = 0) -> int:
    """A run whose round 1 has n trajectories of five turns, replies of about `chars` characters. Returns the file's bytes."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choice(WORDS) for _ in range(chars // 5)) for _ in range(1000)]
    (path / "round-1").mkdir(parents=True)
    write_whole(path / "config.toml", 'name = "many"\n')
    with (path / "round-1" / "trajectories.jsonl").open("w", encoding="utf-8") as file:
        for k in range(n):
            gold, turns = str(rng.randrange(10**5)), []
            for t in range(5):
                right = rng.random() < 0.4 + 0.05 * t
                answer = gold if right else str(rng.randrange(10**5))
                turn = {
                    "reply": f"{rng.choice(texts)}\n#### {answer}",
                    "verdict": "right" if right else "wrong",
                    "reward": float(right),
                }
                turns.append(turn | {"answer": answer, "feedback": "Try once more.", "n_prompt_tokens": 90, "n_reply_tokens": 60})
            row = {"problem_id": f"{k:012x}", "question": f"Problem {k}: how many?", "gold": gold, "turns": turns}
            file.write(dumps(row | {"fields": {"kind": ("sum", "product")[k % 2]}}) + "\n")
    return (path / "round-1" / "trajectories.jsonl").stat().st_size


def measure(address: str, n: int, chromium: str) -> dict[str, object]:
    from playwright.sync_api import sync_playwright

    found: dict[str, object] = {}
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(300_000)
        start = time.perf_counter()
        page.goto(f"{address}#/0/round-1/trajectories")
        page.wait_for_selector(".list .row")
        found["first list, s"] = round(time.perf_counter() - start, 2)
        page.wait_for_function("(n) => rise.app.browser.complete && rise.app.browser.rows.length === n", arg=n)
        found["all rows in the page, s"] = round(time.perf_counter() - start, 2)
        for name, change in (
            ("filter fixed", {"show": "fixed"}),
            ("filter turn 5 turned wrong", {"turn": "5", "at": "-", "show": ""}),
        ):
            found[f"{name}, ms"] = page.evaluate(
                """async (change) => {
                const start = performance.now();
                await rise.app.go({...rise.app.parse(), ...change});
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                return Math.round(performance.now() - start);
            }""",
                change,
            )
        for text in ("problem 99999", "no such text"):
            found[f"search “{text}” in all replies, ms"] = page.evaluate(
                """async (q) => {
                const start = performance.now();
                await rise.app.go({key: rise.app.parse().key, q});
                return Math.round(performance.now() - start);
            }""",
                text,
            )
        page.evaluate("() => rise.app.go({key: rise.app.parse().key})")
        page.wait_for_timeout(1500)
        for what, moving in (("nothing moving", False), ("scrolling", True)):
            frames = page.evaluate(SCROLL, [6, moving])
            found |= {f"{what}, {name}": round(value, 1) for name, value in frames.items()}
        page.evaluate("() => document.querySelector('.list').scrollTop = 0")
        times = []
        for _ in range(20):  # j through the list: until the record is drawn
            start = time.perf_counter()
            before = page.evaluate("() => document.querySelector('.problem code')?.textContent ?? ''")
            page.keyboard.press("j")
            page.wait_for_function("(b) => (document.querySelector('.problem code')?.textContent ?? '') !== b", arg=before)
            times.append(time.perf_counter() - start)
        found["next record, median ms"] = round(1000 * sorted(times)[10])
        heap = page.evaluate("() => performance.memory.usedJSHeapSize")
        found["page memory, MB"] = round(heap / 1e6)
        browser.close()
    return found


def _rss(status: Path) -> int:
    return int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) // 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=100_000, help="trajectories")
    options.add_argument("--chars", type=int, default=200, help="characters of a reply")
    options.add_argument("--chromium", default=os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder) / "many", given.n, given.chars)
        found: dict[str, object] = {
            "trajectories": given.n,
            "file, MB": round(size / 1e6),
            "load before": round(os.getloadavg()[0], 1),
        }
        command = [sys.executable, "-m", "rise.cli.main", "view", f"{folder}/many", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                address = re.search(r"http://\S+", server.stdout.readline())
                assert address
                found |= measure(address[0], given.n, given.chromium)
                status = Path(f"/proc/{server.pid}/status")
                if status.exists():
                    found["server memory, MB"] = _rss(status)
            finally:
                server.terminate()
    print(json.dumps(found | {"cores": os.cpu_count()}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
