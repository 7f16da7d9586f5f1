"""What tests change that is not the program's own: it reaches their own side only.

``patch("builtins.input")``, ``random.seed(0)`` or ``os.environ["X"] = "y"`` would change what the program sees if both
ran in one process. A program that fails then may be right.
"""

from __future__ import annotations

import ast
import sys

_MODULES = sys.stdlib_module_names | {"builtins"}
_SETTERS = frozenset(
    {"seed", "chdir", "putenv", "setlocale", "tzset", "setdefault", "update", "setrecursionlimit"}
)
_PATCHES = frozenset({"patch", "object", "dict", "multiple"})
#: Names of asyncio that tell when or in which order something of the program runs, where it runs to its end in one go.
_TIMED = frozenset(
    {
        "wait_for",
        "timeout",
        "timeout_at",
        "wait",
        "as_completed",
        "create_task",
        "gather",
        "TaskGroup",
        "ensure_future",
    }
)


def changed_elsewhere(tree: ast.AST) -> str:
    """What the tests change of the standard library, as they write it; empty if nothing."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SETTERS
        ):
            targets = [node.func]
        elif isinstance(node, ast.Call) and _is_patch(node.func) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                if first.value.partition(".")[0] in _MODULES:
                    return first.value
            else:
                targets = [ast.Attribute(value=first, attr="")]
        for target in targets:
            if not isinstance(target, ast.Name) and _root(target) in _MODULES:
                return ast.unparse(target).rstrip(".")
    return ""


def is_timed(tree: ast.AST) -> bool:
    """Whether the tests use what depends on several things of the program running at the same time."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in _TIMED)
        or (isinstance(node, ast.Name) and node.id in _TIMED)
        for node in ast.walk(tree)
    )


def _is_patch(function: ast.expr) -> bool:
    name = ast.unparse(function)
    return "patch" in name.split(".") and name.rpartition(".")[2] in _PATCHES


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
