"""What pyproject.toml cannot say: `recipes/` and `experiments/` lie beside the package in a clone, and inside it in a wheel. And
a registry's page, where a path into this repository leads nowhere, gets a README without such links."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def without_paths(page: str) -> str:
    """The page with links to the web alone: a path stands behind its words as text, `[words](docs/a.md)` → words (`docs/a.md`).

    A picture that lies here says in words what it shows. Once the repository has a public address, links can lead there.
    """

    def told(link: re.Match[str]) -> str:
        if re.match(r"https?://|#", link["target"]):
            return link[0]
        return f"{link['words']}." if link["image"] else f"{link['words']} (`{link['target']}`)"

    return LINK.sub(told, re.sub(r"<!--.*?-->\n?", "", page, flags=re.DOTALL))


class WithRecipes(build_py):
    """The package, and both folders where `rise.recipe.shipped` and `rise.method.claims.experiment` find them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, home in (("recipes", "rise/recipe"), ("experiments", "rise/method/claims")):
                target = Path(self.build_lib) / home / source
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


setup(
    cmdclass={"build_py": WithRecipes},
    long_description=without_paths(Path("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
