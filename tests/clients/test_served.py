"""Clients others wrote, as they are published, against `rise serve`: they must need no more than an address."""

import json
import re

import pytest
from installed import node_client, python_client, run
from serving import TABLE, serving

from rise.judges.answers import extract
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.tasks import make_task
from rise.tasks.sources import data_directory

RIGHT = TABLE["347*68"][1]
FIRST = TABLE["347*68"][0]


@pytest.fixture(scope="module")
def server():
    with serving(key="s3cret") as running:
        yield running


def test_the_llm_command(server, tmp_path):
    """Simon Willison's `llm`, streaming (its default) and not."""
    command = str(python_client("llm", "llm==0.36") / "llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {name}\n  model_name: {name}\n  api_base: {server.url}/v1\n  api_key_name: rise\n"
            for name in ("m", "m@1")
        )
    )
    home = {"LLM_USER_PATH": str(tmp_path)}
    assert run([command, "-m", "m", "--key", "s3cret", "347*68"], **home).strip() == RIGHT
    assert run([command, "-m", "m", "--key", "s3cret", "--no-stream", "347*68"], **home).strip() == RIGHT
    assert run([command, "-m", "m@1", "--key", "s3cret", "-o", "temperature", "0.5", "347*68"], **home).strip() == FIRST


LANGCHAIN = """
import asyncio, json, sys
from langchain_openai import ChatOpenAI
url, key = sys.argv[1:]
chat = ChatOpenAI(base_url=url, api_key=key, model="m", temperature=0.2, timeout=300)
done = chat.invoke("347*68")
pieces = list(chat.stream("347*68", stream_usage=True))
batch = chat.batch(["347*68", "hello"])
ours = chat.bind(extra_body={"rise": {"turns": 1}}).invoke([("system", "Be brief."), ("human", "347*68")])
later = asyncio.run(chat.ainvoke("347*68"))
bounded = ChatOpenAI(base_url=url, api_key=key, model="m", max_tokens=7).invoke("347*68")
print(json.dumps({
    "invoke": done.content, "usage": done.usage_metadata["output_tokens"],
    "stream": "".join(p.content for p in pieces),
    "stream_usage": [p.usage_metadata for p in pieces if p.usage_metadata][-1]["output_tokens"],
    "batch": [b.content for b in batch], "one": ours.content, "later": later.content,
    "bounded": bounded.usage_metadata["output_tokens"],
}))
"""


def test_langchain(server):
    python = str(python_client("langchain", "langchain-openai==1.7.3") / "python")
    said = json.loads(run([python, "-c", LANGCHAIN, f"{server.url}/v1", "s3cret"]))
    assert said["invoke"] == said["stream"] == said["later"] == RIGHT
    assert said["usage"] == said["stream_usage"] == sum(len(reply.split()) for reply in TABLE["347*68"])
    assert said["batch"] == [RIGHT, "Hello again!"]
    assert said["one"] == FIRST
    assert said["bounded"] <= 7 + 3, "max_tokens goes out as max_completion_tokens, which bounds all turns together"


NODE = """
import OpenAI from "openai";
const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey, maxRetries: 0 });
const ask = { model: "m", messages: [{ role: "user", content: "347*68" }] };
const done = await client.chat.completions.create(ask);
let reasoning = "", content = "", usage;
const streamed = { ...ask, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(streamed)) {
  reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
  content += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
const one = await client.chat.completions.create({ ...ask, rise: { turns: 1, return_turns: true } });
const cut = await client.chat.completions.create({ ...ask, stream: true });
for await (const chunk of cut) { cut.controller.abort(); }
const refused = await client.chat.completions.create({ ...ask, model: "x" }).catch((e) => [e.constructor.name, e.status, e.code]);
const names = [];
for await (const model of client.models.list()) names.push(model.id);
console.log(JSON.stringify({ done, reasoning, content, usage, one, refused, names }));
"""


def test_the_npm_package(server):
    place = node_client("npm", "openai@7.57.0")
    version = run(["node", "--version"])
    if int(version[1:].partition(".")[0]) < 20:
        pytest.skip(f"Node {version.strip()}: the package asks for 22, and has run here with 20")
    (place / "ask.mjs").write_text(NODE)
    said = json.loads(run(["node", "ask.mjs", f"{server.url}/v1", "s3cret"], cwd=place))
    assert said["done"]["choices"][0]["message"]["content"] == said["content"] == RIGHT
    assert all(reply in said["reasoning"] for reply in TABLE["347*68"])
    assert said["usage"] == said["done"]["usage"]
    assert said["one"]["rise"]["turns"][0]["answer"] == "23000"
    assert said["refused"] == ["NotFoundError", 404, "model_not_found"]
    assert said["names"] == ["m", "m@1"]
    server.wait_until(lambda: server.app.state.gate.active == 0)


TASK = """
task: gsm8k_rows
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["</s>"], do_sample: false, temperature: 0.0, max_gen_toks: 64}
filter_list:
  - name: marked
    filter:
      - {function: regex, regex_pattern: "#### (-?[0-9.,]+)"}
      - {function: take_first}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    regexes_to_ignore: [",", "(?s).*#### "]
"""


def gsm8k_rows(n):
    """The first rows of GSM8K's test file; where it is not on this machine, generated word problems laid out as it is."""
    file = data_directory() / "gsm8k/test.jsonl"
    if file.is_file():
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:n]]
    problems = make_task("word-problems").problems("test", n)
    return [{"question": problem.question, "answer": problem.solution} for problem in problems]


def test_lm_evaluation_harness_on_rows_of_gsm8k(tmp_path):
    """The script knows the answers from turn 2 on: the harness must find 1.0 behind the endpoint and 0.0 with a single turn."""
    rows = gsm8k_rows(12)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "gsm8k_rows.yaml").write_text(TASK % json.dumps(str(tmp_path / "rows.jsonl")))
    script = {row["question"]: ["It may be #### -1", f"#### {extract(row['answer'])}"] for row in rows}
    command = str(python_client("lm-eval", "lm-eval[api]==0.4.13") / "lm_eval")
    found = {}
    with serving(ScriptedPolicy.from_table(script), prompt=Prompt(), turns=3) as server:
        for model in ("m", "m@1"):
            out = tmp_path / model
            given = f"model={model},base_url={server.url}/v1/chat/completions,num_concurrent=4,max_retries=1,timeout=600"
            run(
                [
                    command,
                    "run",
                    "--model",
                    "local-chat-completions",
                    "--model_args",
                    given,
                    "--tasks",
                    "gsm8k_rows",
                    "--include_path",
                    str(tmp_path),
                    "--apply_chat_template",
                    "--output_path",
                    str(out),
                ],
                OPENAI_API_KEY="any",
                HF_HOME=str(tmp_path / "hf"),
                HF_DATASETS_OFFLINE="1",
                HF_HUB_OFFLINE="1",
            )
            [results] = out.rglob("results_*.json")
            found[model] = json.loads(results.read_text())["results"]["gsm8k_rows"]["exact_match,marked"]
    assert found == {"m": 1.0, "m@1": 0.0}


def test_schemathesis_finds_no_500(tmp_path):
    """Requests made from the server's own OpenAPI page, valid and not."""
    command = str(python_client("schemathesis", "schemathesis==4.32.5") / "schemathesis")
    with serving(ScriptedPolicy(lambda messages, seed: r"\boxed{1}")) as server:  # a reply to whatever it makes up
        run(
            [
                command,
                "run",
                f"{server.url}/openapi.json",
                "--max-examples",
                "60",
                "--phases",
                "examples,coverage,fuzzing",
                "--checks",
                "not_a_server_error,status_code_conformance,content_type_conformance",
                "--no-color",
                # The same requests every time, and no complaint of a slow machine.
                "--seed",
                "1",
                "--generation-deterministic",
                "--suppress-health-check",
                "all",
                "--request-timeout",
                "120",
            ],
            cwd=tmp_path,
        )
        counted = server.client.get("/metrics").text
        played = re.search(r'route="/v1/chat/completions",status="200"} (\d+)', counted)
        assert played and int(played[1]) > 20, "not all of it was refused"
        assert server.ask().status_code == 200
    assert 'status="500"' not in counted
