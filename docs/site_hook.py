"""For the site alone: files of the repository that pages link to, `../rise/…`, are put beside the pages as text.

So the same link works on a page in the repository and on the site, and no link needs an address.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"\]\((?P<path>(?:\.\./)+[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent


def on_files(files: Files, config: Any) -> Files:
    """Add every file outside docs/ that a page links to."""
    found = {}
    for page in files.documentation_pages():
        for link in LINK.finditer(page.content_string):
            target = (DOCS / page.src_uri).parent.joinpath(link["path"]).resolve()
            if not target.is_relative_to(DOCS) and target.is_relative_to(ROOT) and target.exists():
                found[place(target)] = text_of(target)
    for uri, text in found.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to the files added above."""

    def mended(link: re.Match[str]) -> str:
        target = (DOCS / page.file.src_uri).parent.joinpath(link["path"]).resolve()
        if target.is_relative_to(DOCS) or not target.is_relative_to(ROOT):
            return link[0]
        return f"]({'../' * page.file.src_uri.count('/')}{place(target)})"

    return LINK.sub(mended, markdown)


def place(target: Path) -> str:
    """Where a file of the repository stands on the site."""
    return f"source/{target.relative_to(ROOT)}.txt"


def text_of(target: Path) -> str:
    """A file's text; of a folder, the names in it."""
    if target.is_dir():
        return "\n".join(sorted(path.name for path in target.iterdir() if not path.name.startswith((".", "__")))) + "\n"
    return target.read_text(encoding="utf-8")
