"""Base URLs of endpoints as a spec names them, `URL,URL#MODEL`: taken apart, and refused where they hold what nobody may read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("http", "https")

_CALLED_A_KEY = re.compile(
    r"key|token|secret|passw|pwd|auth|credential|signature|jwt|bearer|session|private|^(sig|sas|code|pass|pw|ak|sk)$", re.I
)
_LOOKS_LIKE_A_KEY = (
    re.compile(r"\b(sk-[\w-]{6,}|(pk|rk|gsk|hf|xai|nvapi|ghp|glpat|r8)[-_](?=[\w-]*\d)[\w-]{16,})", re.I),
    re.compile(r"\b(AIza|eyJ|AKIA)[\w-]{10,}"),
    re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I),
)
_LONG = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9+/=]{16,}")
"""Letters and digits in one run: what no version or deployment is called."""


@dataclass(frozen=True, slots=True)
class Address:
    """One base URL. What is asked for goes behind its path, its query behind that."""

    base: str
    """Scheme, host and path, without a slash at the end."""
    query: str = ""

    @classmethod
    def read(cls, url: str) -> Address:
        """Raises `ValueError` with a sentence that does not hold the URL's secrets."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:  # a port that is none, brackets that do not close
            raise ValueError(f'"{shown(url)}" is no base URL ({_reason(error)}). {HOW_TO_WRITE}') from None
        if parts.scheme not in SCHEMES or not host or port == 0 or re.search("[\\s\x00-\x20\x7f\ud800-\udfff]", url):
            raise ValueError(f'"{shown(url)}" is no base URL. {HOW_TO_WRITE}')
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/"), parts.query)

    def at(self, path: str) -> str:
        """The URL of something under it.

        >>> Address.read("http://host/v1/?api-version=2").at("/chat/completions")
        'http://host/v1/chat/completions?api-version=2'
        """
        return f"{self.base}{path}{'?' + self.query if self.query else ''}"

    def __str__(self) -> str:
        return self.at("")


HOW_TO_WRITE = "Write http://host:port/v1, several divided by commas."


def _reason(error: ValueError) -> str:
    """What is wrong with it, without the words of the URL that Python repeats."""
    return "its port is no number from 1 to 65535" if "port" in str(error).lower() else "its host cannot be read"


def shown(spec: str) -> str:
    """A spec for a message: names, passwords and the values of a query left out, however it is written.

    >>> shown("http://me:word@host/v1?api_key=abc#m"), shown("http://host/v1?api-version=2#m")
    ('http://…@host/v1?…#m', 'http://host/v1?…#m')
    """
    text = re.sub(r"(?<=://).*@", "…@", spec, flags=re.DOTALL)
    return re.sub(r"\?[^#,]*", "?…", text, flags=re.DOTALL)


def secret_in(spec: str) -> str | None:
    """Which secret the URLs of a spec hold, in words and without its value; None where they hold none or the spec has no URL.

    >>> secret_in("https://host/v1?api-version=2024-10-21-preview#gpt") is None, secret_in("https://host/v1?api_key=abc#m")
    (True, 'a key in its query (api_key)')
    """
    if not re.match(r"\s*https?:", spec, re.I):
        return None
    if _has_user(spec):
        return "a name or password"
    for url in spec.partition("#")[0].split(","):
        base, _, query = url.partition("?")
        if any(pattern.search(unquote(base)) for pattern in _LOOKS_LIKE_A_KEY[:2]):
            return "a key in its path"
        for name, value in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
            if _CALLED_A_KEY.search(name):
                return f"a key in its query ({name[:40]})"
            if _LONG.search(value) or any(pattern.search(value) for pattern in _LOOKS_LIKE_A_KEY):
                return f"what looks like a key in its query ({name[:40]})"
        if query and not parse_qsl(query, keep_blank_values=True):
            return "a query that cannot be read"
    return None


def same_model(left: str, right: str) -> bool:
    """Whether two specs name one model of endpoints, whose address may have changed.

    >>> same_model("http://a/v1#m", "https://b/v1,https://c/v1#m"), same_model("http://a/v1#m", "http://a/v1#n")
    (True, False)
    """
    (one, _, model), (other, _, name) = left.partition("#"), right.partition("#")
    return model == name != "" and all(urlsplit(url).scheme in SCHEMES for url in (one, other))


def named(spec: str) -> str:
    """What the policy of a spec is called in ledgers. Raises `ValueError` for what is no URL."""
    urls, _, model = spec.partition("#")
    return f"http-{','.join(str(Address.read(url)) for url in urls.split(','))}#{model}"


def looks_like_a_key(text: str) -> bool:
    """Whether a word has the form of the keys that hosted endpoints give out.

    >>> looks_like_a_key("sk_abc123def456"), looks_like_a_key("OPENAI_API_KEY"), looks_like_a_key("KEY_2")
    (True, False, False)
    """
    return re.match(r"(sk|gsk|hf|xai|nvapi)_", text) is not None or (len(text) > 20 and _LONG.fullmatch(text) is not None)


def key_in(text: str) -> str | None:
    """The first few characters of what has the form of a key in a text of any length; None where nothing has.

    >>> key_in("Set it: sk-live-0123456789"), key_in("A task-and-risk-averse model, hf_hub, eyJ")
    ('sk-…', None)
    """
    found = next((match for pattern in _LOOKS_LIKE_A_KEY[:2] if (match := pattern.search(text))), None)
    return f"{found[0][:3]}…" if found else None


def _has_user(spec: str) -> bool:
    for authority in re.findall(r"://([^/?]*)", spec):
        before, hash_, behind = authority.partition("#")
        _, colon, port = before.rpartition(":")
        if "@" in before or (hash_ and "@" in behind and colon and not port.isdigit()):
            return True
    return False


def no_secret(spec: str, named: str, variable: str = "OPENAI_API_KEY") -> str | None:
    """What to say of a spec that holds a secret; `named` is what the message calls it, which is not the spec."""
    found = secret_in(spec)
    if found is None:
        return None
    return (
        f"{named} carries {found}, which would end up in files. Put the key into the environment: ${variable} (http.key names "
        "the variable, http.key_header the header that it is sent in), and leave it out of the URL"
    )
