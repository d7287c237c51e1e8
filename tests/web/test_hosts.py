"""The names by which both servers may be called: a page of another origin that lets its name point here is refused."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from serving import TABLE, serving
from view_run import write_viewed

from rise.errors import ConfigError
from rise.policies.scripted import ScriptedPolicy
from rise.serve.web.hosts import Hosts, is_loopback, name_in
from rise.view.library import Library
from rise.view.server import running

FOREIGN = [
    "evil.example",
    "evil.example:PORT",
    "127.0.0.1.evil.example",
    "localhost.evil.example:PORT",
    "127.0.0.1:PORT@evil.example",
    "evil.example:PORT#127.0.0.1",
    "10.0.0.1:PORT",
    "127.0.0.2:PORT",
    "0.0.0.0:PORT",
    "2130706433",
    "0x7f.1",
    "[::2]:PORT",
    "[::1].evil.example",
    "localhost:PORT:PORT",
    "localhost,evil.example",
    "testserver",
    "*",
    "lo\u0441alhost".encode().decode("latin-1"),
    "",
]
OWN = ["127.0.0.1:PORT", "localhost:PORT", "LocalHost", "localhost.", "[::1]:PORT", "127.0.0.1"]


@pytest.fixture(scope="module", params=["serve", "view"])
def server(request, tmp_path_factory):
    """(port, a path to ask for) of each server."""
    if request.param == "serve":
        with serving() as found:
            yield int(found.url.rpartition(":")[2]), "/v1/models"
    else:
        with running(Library([write_viewed(tmp_path_factory.mktemp("runs") / "run").path])) as url:
            yield int(url.rstrip("/").rpartition(":")[2]), "/api/overview"


def status(port, path, hosts, at="127.0.0.1"):
    connection = http.client.HTTPConnection(at, port, timeout=300)
    connection.putrequest("GET", path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host.replace("PORT", str(port)))
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_refused_and_learns_nothing(server, host):
    port, path = server
    code, body = status(port, path, [host])
    assert code == 400 and b"choices" not in body and b"stages" not in body and b"owned_by" not in body
    assert "--allow-host" in str(json.loads(body)) if host and "\x81" not in host else True


@pytest.mark.parametrize("host", OWN)
def test_names_of_this_machine_are_answered(server, host):
    assert status(*server, [host])[0] == 200


def test_no_name_and_two_names_are_refused(server):
    assert status(*server, [])[0] == 400
    assert status(*server, ["localhost", "evil.example"])[0] == 400
    assert status(*server, ["evil.example", "localhost"])[0] == 400


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/openapi.json", "/playground", "/nothing", "/v1/chat/completions"])
def test_no_path_is_exempt(path):
    with serving() as found:
        assert status(int(found.url.rpartition(":")[2]), path, ["evil.example"])[0] == 400


def test_a_completion_for_a_foreign_name_spends_nothing():
    policy = ScriptedPolicy.from_table(TABLE)
    with serving(policy) as found:
        answer = found.ask(headers={"host": "evil.example"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_host", "host")
        assert policy.n_requests == 0
        assert found.ask().status_code == 200


@pytest.mark.parametrize(
    ("host", "more", "own", "foreign"),
    [
        ("127.0.0.1", [], ["127.0.0.1", "localhost"], ["127.0.0.2", "evil.example"]),
        ("127.0.0.2", [], ["127.0.0.2", "127.0.0.1"], ["127.0.0.3", "evil.example"]),
        ("::1", [], ["[::1]:80", "[0:0:0:0:0:0:0:1]", "localhost"], ["[::2]", "evil.example"]),
        ("localhost", [], ["localhost:80"], ["evil.example"]),
        ("192.168.0.7", [], ["192.168.0.7"], ["192.168.0.8", "evil.example"]),
        (
            "0.0.0.0",
            [],
            ["10.1.2.3:80", "[fe80::1]", "localhost", socket.gethostname()],
            ["evil.example", "10.1.2.3.evil.example"],
        ),
        ("::", [], ["10.1.2.3", "[::1]"], ["evil.example"]),
        ("127.0.0.1", ["Rise.example.", "10.0.0.9"], ["rise.example:443", "10.0.0.9"], ["evil.example", "x.rise.example"]),
    ],
)
def test_the_address_it_listens_on_decides_which_names_are_its_own(host, more, own, foreign):
    hosts = Hosts.of(host, more)
    assert [name for name in own if not hosts.allow(name)] == []
    assert [name for name in foreign if hosts.allow(name)] == []


@pytest.mark.parametrize("name", ["*", "*.example", "http://a.example", "a.example/x", "a b", "", "a@b"])
def test_a_name_to_allow_that_is_none_is_refused(name):
    with pytest.raises(ConfigError, match="--allow-host"):
        Hosts.of("127.0.0.1", [name])


def test_what_is_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "::1", "0:0:0:0:0:0:0:1", "localhost", "LOCALHOST.")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "localhost.example", "2130706433")))
    assert name_in("a.example:80") == "a.example" and name_in("[::1") is None and name_in("a:80:90") is None


@contextmanager
def command(*words):
    """A command of ours that says its address, and the port in it."""
    environment = {name: value for name, value in os.environ.items() if name != "RISE_API_KEY"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rise.cli.main", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.stdout.readline()
        yield said, int(re.search(r":(\d+)/", said)[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)


@pytest.mark.parametrize("host", ["127.0.0.2", pytest.param("::1", marks=pytest.mark.slow)])
def test_another_loopback_address_is_not_all_hosts(tmp_path, host):
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 here")
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps({"1+1": ["2"]}))
    run = write_viewed(tmp_path / "run").path
    for words, path in ((["view", str(run)], "/api/overview"), (["serve", f"scripted:{replies}"], "/v1/models")):
        with command(*words, "--host", host, "--port", "0", "--allow-host", "rise.example") as (said, port):
            assert f"http://{'[::1]' if host == '::1' else host}:{port}/" in said
            assert status(port, path, [f"[{host}]:PORT" if ":" in host else host], at=host)[0] == 200
            assert status(port, path, ["rise.example"], at=host)[0] == 200
            assert status(port, path, ["evil.example"], at=host)[0] == 400


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
        return True
    except OSError:
        return False
