"""Public names of a package: what its tests ask about them."""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType


def in_order(names: Iterable[str]) -> list[str]:
    """Names as `__all__` lists them: constants, then classes, then functions, each from A to Z."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def names_in(package: ModuleType) -> set[str]:
    """Names in the package's namespace that look public, without its submodules."""
    return {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and not isinstance(value, __future__._Feature)
        and not (isinstance(value, ModuleType) and value.__name__.startswith(f"{package.__name__}."))
    }


def without_docstring(package: ModuleType) -> list[str]:
    """Public names without a docstring of their own."""
    return [name for name in package.__all__ if not (_own_docstring(getattr(package, name)) or _is_described(package, name))]


def _own_docstring(value: object) -> str | None:
    if inspect.isclass(value):
        text = vars(value).get("__doc__") or ""
        # a dataclass without a docstring gets its signature
        return None if text.startswith(f"{value.__name__}(") else text
    return inspect.getdoc(value) if inspect.isroutine(value) else None


def _is_described(package: ModuleType, name: str) -> bool:
    """True if a module of the package assigns the name and describes it in a string on the next line."""
    for file in Path(package.__path__[0]).rglob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for node, following in pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
    return False


def assert_public_names(name: str) -> None:
    """Check that `__all__` is in order and complete, and that each of its names can be imported and has a docstring."""
    package = import_module(name)
    names = package.__all__
    assert names == in_order(names), f"the order is {in_order(names)}"
    missing = [each for each in names if not hasattr(package, each)]
    assert not missing, f"{name} has no {missing}"
    other = names_in(package) - set(names)
    assert not other, f"{name}.__all__ lacks {other}; add them, or begin their names with _"
    assert not without_docstring(package), f"{without_docstring(package)} have no docstring"
