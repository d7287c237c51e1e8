"""Keys are sent where they belong and shown nowhere; the way to an endpoint: proxies and certificates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asked_endpoint import ask, policy_of
from odd_endpoint import Say

from rise.errors import PolicyError
from rise.policies.http import HttpPolicy

# ---- B03, S08: keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["sk-secret-abc\n", "sk-secret-abc\r\n", "  sk-secret-abc\t", "\ufeffsk-secret-abc"])
def test_white_space_around_a_key_is_left_out(endpoint: Any, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", raw)
    server = endpoint()
    ask(policy_of(server))
    assert server.calls[0].headers["authorization"] == "Bearer sk-secret-abc"


@pytest.mark.parametrize(
    "raw", ["sk-secret\nabc", "sk-secret\x00abc".replace("\x00", "\x01"), "sk-secret abc", "sk–secret–abc", "é-secret-abc"]
)
def test_a_key_that_cannot_be_sent_is_refused_at_once_and_not_shown(
    endpoint: Any, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", raw)
    server = endpoint()
    with pytest.raises(PolicyError, match=r"\$MY_KEY holds no key") as error:
        ask(policy_of(server, key="MY_KEY"))
    assert server.calls == []
    assert "secret" not in str(error.value)


KEY = 'sk-se"cret/a+b=c\\d'


@pytest.mark.parametrize(
    "form",
    [
        lambda key: key,
        repr,
        json.dumps,
        lambda key: key.upper(),
        lambda key: __import__("urllib.parse").parse.quote(key),
        lambda key: __import__("urllib.parse").parse.quote(key, safe=""),
        lambda key: __import__("base64").b64encode(f"Bearer {key}".encode()).decode(),
        lambda key: __import__("html").escape(key),
        lambda key: "x" * 180 + key,  # the message is cut in the middle of it
        lambda key: "x" * 280 + key,
        lambda key: key[:-3] + "***",
    ],
)
@pytest.mark.parametrize("status", [401, 503, 200])
def test_a_key_is_shown_in_no_form_that_a_server_says_it_back_in(
    endpoint: Any, form: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = endpoint(lambda call: Say(status, f"not good: {form(KEY)} is wrong"))
    with pytest.raises(PolicyError) as error:
        ask(policy_of(server, attempts=2))
    said = str(error.value)
    assert "[key]" in said or "xxx" in said
    for piece in (KEY, KEY.upper(), form(KEY)[-40:], KEY[:10], "cret%2Fa", "cret/a+b"):
        assert piece not in said


@pytest.mark.parametrize(
    "spec",
    [
        "http://host/v1?api_key=SECRET#m",
        "http://host/v1?api%5Fkey=SECRET#m",
        "http://host/v1?api-version=2&subscription-key=SECRET#m",
        "http://host/v1?x=1;access_token=SECRET#m",
        "http://host/v1?code=SECRET#m",
        "http://host/v1?v=SECRETa1b2c3d4e5f6g7#m",
        "http://host/sk-SECRET123456/v1#m",
        "http://me:SECRET@host/v1#m",
        "http://SECRET@host/v1#m",
        "http://me:SEC#RET@host/v1#m",
        "http://me:SEC/RET@host/v1#m",
        "http://a/v1,http://host/v1?sig=SECRET#m",
        "HTTP://me:SECRET@host/v1#m",
        "htp://me:SECRET@host/v1?key=SECRET#m",
        "http://host:bad/v1?key=SECRET",
    ],
)
def test_a_url_that_holds_a_key_is_refused_and_not_shown(spec: str) -> None:
    from rise.errors import ConfigError
    from rise.policies import check_spec
    from rise.recipe.toml import build_config

    with pytest.raises(PolicyError) as error:
        check_spec(spec)
    assert "SEC" not in str(error.value) and "RET" not in str(error.value)
    if spec.startswith("http:") and "bad" not in spec and "/RET" not in spec:
        # Named in a recipe it is refused too, whether the recipe uses it or not: recipes are written into run directories.
        with pytest.raises(ConfigError) as refused:
            build_config({"model": {"path": "m"}, "relabel": {"teacher": spec}})
        assert "SEC" not in str(refused.value)


@pytest.mark.parametrize(
    "spec",
    [
        "https://host/openai/deployments/gpt-4o-mini/?api-version=2024-12-01-preview#gpt",
        "https://api.cloudflare.com/client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/ai/v1#@cf/meta/llama",
        "https://router.huggingface.co/hf-inference/models/xai-org/v1#org/model@main",
        "http://[::1]:8000/v1#m",
        "http://localhost:8000#m@2",
    ],
)
def test_an_address_without_a_key_is_taken(spec: str) -> None:
    assert HttpPolicy.from_spec(spec).model == spec.partition("#")[2]


@pytest.mark.parametrize("value", ["sk-proj-abcdefghijkl", "sk_live_abcdefghijkl", "abcdef1234567890abcdef12345"])
def test_a_key_written_where_its_variable_is_named_is_refused_and_not_shown(value: str) -> None:
    from rise.errors import ConfigError
    from rise.recipe.toml import build_config

    with pytest.raises(ConfigError, match="is the name of an environment variable") as error:
        build_config({"model": {"path": "m"}, "http": {"key": value}})
    assert value not in str(error.value)


# ---- B04: proxies and certificates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "nonsense://x"])
def test_loopback_needs_no_proxy(endpoint: Any, variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, proxy)
    assert ask(policy_of(endpoint()))[0].text == "\\boxed{3}"


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://me:word@127.0.0.1:1080", r"\$ALL_PROXY names a SOCKS proxy.*pip install 'httpx\[socks\]'.*NO_PROXY"),
        ("nonsense://me:word@x", r"\$ALL_PROXY names no proxy"),
        ("http://me:word@host:99999", r"\$ALL_PROXY names no proxy"),
    ],
)
def test_a_proxy_that_will_not_do_is_named_before_anything_is_asked(
    proxy: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PolicyError, match=words) as error:
        HttpPolicy.from_spec("https://example.org/v1#m")
    assert "word" not in str(error.value).replace("password", "")
    monkeypatch.setenv("NO_PROXY", "example.org")
    HttpPolicy.from_spec("https://example.org/v1#m")


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from rise.policies.http_client import trusted

    trusted.cache_clear()
    (tmp_path / "bad.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bad.pem"))
    with pytest.raises(PolicyError, match="SSL_CERT_FILE"):
        HttpPolicy.from_spec("https://example.org/v1#m")
    trusted.cache_clear()


def test_a_server_without_tls_behind_https_is_refused_at_once(endpoint: Any) -> None:
    server = endpoint()
    policy = policy_of(server, f"https://127.0.0.1:{server.server_port}/v1#m")
    with pytest.raises(PolicyError, match="does not speak TLS"):
        ask(policy)
