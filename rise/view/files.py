"""The files of the page: what a browser loads, in order, and what it is allowed to do with it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from rise.report.colours import declarations

SCRIPTS = ("dom.js", "diff.js", "source.js", "chart.js", "overview.js", "list.js", "record.js", "browse.js", "app.js")
STYLES = ("colours.css", "style.css")
ASSETS = (*STYLES, *SCRIPTS)
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Of the server. Nothing from elsewhere, nothing inline; and text cannot become markup, whatever a script does."""

EXPORT_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src data:; base-uri 'none'; form-action 'none'"
)
"""Of a directory on disk, whose data are scripts beside the page: browsers load no other kind of file from there."""


@cache
def asset(name: str) -> str:
    """Text of one of `ASSETS`."""
    if name == "colours.css":
        light, dark = declarations(False), declarations(True)
        return (
            f":root {{ color-scheme: light; {light} }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
            f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n"
        )
    return resources.files("rise.view").joinpath("page", name).read_text(encoding="utf-8")


def page(policy: str = "", prefix: str = "page/") -> str:
    """index.html that loads the rest from beside it. `policy` goes into it where no server can send it as a header."""
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
    styles = "".join(f'<link rel="stylesheet" href="{prefix}{name}">\n' for name in STYLES)
    scripts = "".join(f'<script src="{prefix}{name}" defer></script>\n' for name in SCRIPTS)
    return asset("index.html").replace("<!-- head -->", head + styles + scripts)


def whole_page(data: str) -> str:
    """One file that holds everything; `data` are script elements of type application/json, which are text to a browser."""
    style = "\n".join(asset(name) for name in STYLES)
    script = "\n".join(asset(name) for name in SCRIPTS)
    own = f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    policy = f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>\n'
    text = asset("index.html").replace("<!-- head -->", head)
    return text.replace("<!-- end -->", f"{data}<script>{script}</script>\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
