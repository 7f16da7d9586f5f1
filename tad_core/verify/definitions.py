"""What a Python source defines, read as a tree: nothing is run."""

from __future__ import annotations

import ast
import builtins

from tad_core.trees import tree_of

#: statements that a block of definitions holds
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_BUILTINS = frozenset(dir(builtins))


def parses(source: str) -> bool:
    """Whether ``source`` is Python."""
    return tree_or_none(source) is not None


def defines(source: str, name: str) -> bool:
    """Whether ``source`` binds ``name`` at its top level."""
    tree = tree_or_none(source)
    return tree is not None and any(name in bound(node) for node in tree.body)


def is_stub(source: str, name: str) -> bool:
    """Whether all that ``source`` says of a function or a class is its head: nothing, ``pass``, ``...``.

    So it is of a function that is not implemented, and not of a class that derives from another.
    """
    last = _last_named(source, name)
    if isinstance(last, ast.ClassDef) and (last.bases or last.keywords or last.decorator_list):
        return False
    return isinstance(last, DEFINING[:3]) and all(map(_says_nothing, last.body))


def methods_of(source: str, name: str) -> set[str]:
    """The methods that a class of a source has by itself; none where ``name`` is no class."""
    last = _last_named(source, name)
    return (
        {node.name for node in last.body if isinstance(node, DEFINING[:2])}
        if isinstance(last, ast.ClassDef)
        else set()
    )


def _last_named(source: str, name: str) -> ast.stmt | None:
    tree = tree_or_none(source)
    found = [node for node in tree.body if getattr(node, "name", None) == name] if tree else []
    return found[-1] if found else None


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, ast.Pass | ast.Import | ast.ImportFrom)


def defines_something(source: str) -> bool:
    """Whether ``source`` is Python that defines a function, a class or a name (prose rarely does)."""
    tree = tree_or_none(source)
    return tree is not None and any(bound(node) for node in tree.body)


def ends_in_prose_at(source: str) -> int:
    """The line from which on a source says no more than words, and notes of names that nothing gives; else 0."""
    tree = tree_or_none(source)
    if tree is None or any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body
    ):
        return 0
    given_at: dict[str, int] = {}
    for at, node in enumerate(tree.body):
        for name in _given(node):
            given_at.setdefault(name, at)
    line = 0
    for at in range(len(tree.body) - 1, 0, -1):
        before, node = tree.body[at - 1], tree.body[at]
        if all(name in _BUILTINS or given_at.get(name, at) < at for name in _named_alone(node)):
            break
        if node.lineno > (before.end_lineno or 0):  # behind a statement of the same line it does not begin
            line = node.lineno
    return line


def _named_alone(node: ast.stmt) -> set[str]:
    """The names in a statement that is a word (``Done``) or a note (``Time: O(n)``); none in any other."""
    word = isinstance(node, ast.Expr) and isinstance(node.value, ast.Name)
    note = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    if not (word or note):
        return set()
    asked = node.annotation if isinstance(node, ast.AnnAssign) else node
    return {part.id for part in ast.walk(asked) if isinstance(part, ast.Name)}


def _given(node: ast.stmt) -> set[str]:
    """The names that a statement may give the ones behind it."""
    names = (
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    )
    statements = [part for part in ast.walk(node) if isinstance(part, ast.stmt)]
    return {*names, *bound(node), *(name for part in statements for name in imported(part))}


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds by a definition or an assignment, also under a condition."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.If | ast.Try | ast.With):
        return {
            name for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt) for name in bound(part)
        }
    return set()


def imported(node: ast.stmt) -> set[str]:
    """The names that an import binds."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


def tree_or_none(source: str) -> ast.Module | None:
    """The tree of a source; None where it is not Python, or nested beyond the parser's limits."""
    try:
        return tree_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # MemoryError and RecursionError: the parser's own limits on nesting


def method_as_function(source: str, name: str) -> str:
    """A program with a function that calls the method ``name`` of its class, where only that has the name.

    So is a ``class Solution`` used that holds the function which was asked for. Any other source stays as it is.
    """
    tree = tree_or_none(source)
    if (
        tree is None
        or hasattr(builtins, name)
        or any(name in bound(node) | imported(node) for node in tree.body)
    ):
        return source
    for node in tree.body:
        methods = {part.name: part for part in getattr(node, "body", ()) if isinstance(part, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef) and name in methods and _made_of_nothing(methods.get("__init__")):
            call = f"{node.name}().{name}(*args, **kwargs)"
            return f"{source.rstrip()}\n\n\ndef {name}(*args, **kwargs):\n    return {call}\n"
    return source


def _made_of_nothing(init: ast.FunctionDef | None) -> bool:
    """Whether an object needs no argument."""
    if init is None:
        return True
    positional = [*init.args.posonlyargs, *init.args.args]
    keywords = [default for default in init.args.kw_defaults if default is None]
    return len(positional) - 1 <= len(init.args.defaults) and not keywords


def wrong_line(source: str) -> int | None:
    """The line at which a source is seen to be no Python, counted from 1; None where it is."""
    try:
        tree_of(source)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None
