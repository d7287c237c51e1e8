"""Which module reads which setting, found in the source: attribute reads on values that are known to be settings records.

A value is known by an annotation (`config: RunConfig`), by the annotated result of a function, by an attribute of a class that
is annotated or set from such a value, and by what is assigned from one.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import BaseModel

Types = frozenset[str]
NONE: Types = frozenset()


def fields_of(model: type[BaseModel]) -> dict[str, list[type[BaseModel]]]:
    """Field → the settings records it may hold (none for plain values)."""
    return {name: records_in(field.annotation) for name, field in model.model_fields.items()}


def records_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings records that an annotation names, alone or among alternatives."""
    options = [annotation, *getattr(annotation, "__args__", ())]
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def all_records(root: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """`root` and every record below it, by class name."""
    found: dict[str, type[BaseModel]] = {}
    waiting = [root]
    while waiting:
        model = waiting.pop()
        if model.__name__ not in found:
            found[model.__name__] = model
            waiting += [inner for inners in fields_of(model).values() for inner in inners]
    return found


class Readers:
    """`readers["TrainConfig", "epochs"]` is the sorted list of modules that read it."""

    def __init__(self, package: Path, root: type[BaseModel], skip: set[str]) -> None:
        records = all_records(root)
        self.fields = {name: set(model.model_fields) for name, model in records.items()}
        self.results: dict[str, Types] = {}
        """What a function of this name returns."""
        self.attributes: dict[tuple[str, str], Types] = {}
        """What an attribute of a class holds."""
        self.found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for name, model in records.items():
            for field, inner in fields_of(model).items():
                self.attributes[name, field] = frozenset(r.__name__ for r in inner)
        trees = {}
        for path in sorted(package.rglob("*.py")):
            module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
            trees[module] = ast.parse(path.read_text(encoding="utf-8"))
        scopes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        self.classes = {scope.name for scope in scopes} | self.fields.keys()
        for tree in trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (types := self.annotated(node.returns)):
                    self.results[node.name] = types
        for _ in range(2):  # an attribute may be set from an attribute of a class further down
            for scope in scopes:
                if scope.name not in self.fields:
                    self._attributes_of(scope)
        for module, tree in trees.items():
            if module not in skip:
                _Reads(self, module).visit(tree)

    def __getitem__(self, key: tuple[str, str]) -> list[str]:
        return sorted(self.found[key])

    def annotated(self, annotation: ast.expr | None) -> Types:
        """The classes of ours that an annotation's words name."""
        return frozenset(_words(annotation)) & self.classes if annotation else NONE

    def _attributes_of(self, scope: ast.ClassDef) -> None:
        """Annotated fields, properties, and what methods set: `self.config = config` where the parameter is annotated."""
        for item in scope.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self.attributes[scope.name, item.target.id] = self.annotated(item.annotation)
            if not isinstance(item, ast.FunctionDef):
                continue
            if any(_is_name(decorator, "property") for decorator in item.decorator_list):
                self.attributes[scope.name, item.name] = self.annotated(item.returns)
            reads = _Reads(self, "", scope.name)
            reads.parameters(item)
            for node in ast.walk(item):
                if isinstance(node, ast.AnnAssign) and _of_self(node.target):
                    self.attributes[scope.name, node.target.attr] = self.annotated(node.annotation)
                for target, value in _assignments(node):
                    if _of_self(target) and (types := reads.types(value)):
                        self.attributes[scope.name, target.attr] = types
                    elif isinstance(target, ast.Name):
                        reads.scope[target.id] = reads.types(value)


class _Reads(ast.NodeVisitor):
    """Walks one module and files every read of a setting."""

    def __init__(self, readers: Readers, module: str, of_class: str = "") -> None:
        self.readers, self.module, self.of_class = readers, module, of_class
        self.scope: dict[str, Types] = {}

    def types(self, node: ast.expr | None) -> Types:
        """The classes that an expression may be an instance of."""
        if isinstance(node, ast.Name):
            return frozenset([self.of_class]) if node.id == "self" else self.scope.get(node.id, NONE)
        if isinstance(node, ast.Attribute):
            return frozenset().union(*(self.readers.attributes.get((owner, node.attr), NONE) for owner in self.types(node.value)))
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*map(self.types, node.values))
        if isinstance(node, ast.IfExp):
            return self.types(node.body) | self.types(node.orelse)
        if isinstance(node, ast.List | ast.Tuple):
            return frozenset().union(*map(self.types, node.elts))
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            return frozenset([name]) if name in self.readers.classes else self.readers.results.get(name, NONE)
        return NONE

    def parameters(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            self.scope[argument.arg] = self.readers.annotated(argument.annotation)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside = dict(self.scope)
        self.parameters(node)
        self.generic_visit(node)
        self.scope = outside

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outside, self.of_class = self.of_class, node.name
        self.generic_visit(node)
        self.of_class = outside

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target, value in _assignments(node):
            if isinstance(target, ast.Name):
                self.scope[target.id] = self.types(value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.scope[node.target.id] = self.readers.annotated(node.annotation)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name):
            self.scope[node.target.id] = self.types(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if isinstance(node.target, ast.Name):
            self.scope[node.target.id] = self.types(node.iter)
        self.generic_visit(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp | ast.ListComp) -> None:
        for inner in node.generators:  # before the element, which uses their names
            self.visit(inner)
        self.visit(node.elt)

    visit_ListComp = visit_GeneratorExp

    def visit_Attribute(self, node: ast.Attribute) -> None:
        for owner in self.types(node.value):
            if node.attr in self.readers.fields.get(owner, ()):
                self.readers.found[owner, node.attr].add(self.module)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """`getattr(record, name)` and `record.model_dump()` read every field; a dump with arguments only hands the record on."""
        wholes: list[ast.expr] = []
        if _is_name(node.func, "getattr") and len(node.args) == 2 and not isinstance(node.args[1], ast.Constant):
            wholes.append(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "model_dump" and not node.args and not node.keywords:
            wholes.append(node.func.value)
        for owner in [owner for whole in wholes for owner in self.types(whole)]:
            for field in self.readers.fields.get(owner, ()):
                self.readers.found[owner, field].add(self.module)
        self.generic_visit(node)


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(target, value) of an assignment, tuples taken apart."""
    for target in node.targets if isinstance(node, ast.Assign) else []:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _of_self(node: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and _is_name(node.value, "self")


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _words(annotation: ast.expr) -> Iterator[str]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)
