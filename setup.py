"""What pyproject.toml cannot say: `recipes/` and `experiments/` lie beside the package in a clone, and inside it in a wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithRecipes(build_py):
    """The package, and both folders where `rise.recipe.shipped` and `rise.method.claims.experiment` find them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, home in (("recipes", "rise/recipe"), ("experiments", "rise/method/claims")):
                target = Path(self.build_lib) / home / source
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


setup(cmdclass={"build_py": WithRecipes})
