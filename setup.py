"""What pyproject.toml cannot say: `recipes/` lies beside the package in a clone, and inside it in a wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithRecipes(build_py):
    """The package, and the recipes as `rise/recipe/recipes`, where `rise.recipe.shipped` finds them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "rise/recipe/recipes"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("recipes", target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


setup(cmdclass={"build_py": WithRecipes})
