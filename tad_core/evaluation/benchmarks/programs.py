"""The program in a model's answer, as the benchmarks of code take it.

The rules are those of EvalPlus's ``sanitize`` (Liu et al. 2023), which the paper's scores are made with: of the code
in the answer the longest run of lines that is Python, and of that what the function asked for needs. So a text
that was cut, a sentence before the code or an example call after it do not fail a right program.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from tad_core.trees import tree_of
from tad_core.verify.blocks import extract_code

#: Lines looked at; no answer of these benchmarks is longer.
_MAX_LINES = 400
_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def fenced(program: str) -> str:
    """The program as an answer that holds nothing else."""
    longest = max(
        (len(line) - len(line.lstrip("`")) for line in map(str.strip, program.split("\n"))), default=0
    )
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{program}\n{fence}" if program.strip() else ""


def block_of(text: str) -> str:
    """The fenced code of an answer, as the verifier finds it; the whole text if there is no fence."""
    return extract_code(text) or text


def program_in(text: str, wanted: Collection[str]) -> str:
    """The sanitized program in a chat's answer: in its fenced code, or in the text where that has what is wanted."""
    for source in (*(extract_code(text, name) for name in sorted(wanted)), text):
        program = sanitize(source, wanted)
        if defines_any(program, wanted):
            return program
    return sanitize(block_of(text), wanted)


def sanitize(text: str, wanted: Collection[str]) -> str:
    """Of ``text`` the longest Python, and of that imports and whatever the ``wanted`` names need.

    Args:
        text: code, perhaps with other lines around it, perhaps cut.
        wanted: names of functions that are asked for; if none is defined, every definition is kept.
    """
    tree = _longest(text, wanted)
    if tree is None:
        return ""
    needed = _needed(tree, wanted)
    kept: list[ast.stmt] = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, _KEPT) and (needed is None or _bound(node) & needed))
    ]
    try:
        return ast.unparse(ast.Module(body=kept, type_ignores=[]))
    except RecursionError:
        return ""  # nested deeper than any program


def defines_any(program: str, wanted: Collection[str]) -> bool:
    """Whether the program defines one of the names."""
    tree = _parse(program)[0]
    return tree is not None and bool(_all_bound(tree) & set(wanted))


def called_in(tests: str) -> set[str]:
    """Names that tests call, which a program may be asked for."""
    tree = _parse(tests)[0]
    if tree is None:
        return set()
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


def _longest(text: str, wanted: Collection[str]) -> ast.Module | None:
    """The longest run of lines that is Python; one that defines a wanted name comes before any that does not."""
    lines = text.replace("\r\n", "\n").split("\n")[:_MAX_LINES]
    best: tuple[bool, int] = (False, 0)
    found: ast.Module | None = None
    for start, line in enumerate(lines):
        if not line.strip() or line[0].isspace():
            continue  # a run begins with a statement at the top
        tree, end = _parse_from(lines, start)
        if tree is None:
            continue
        rank = (bool(_all_bound(tree) & set(wanted)), sum(len(part) for part in lines[start:end]))
        if rank > best:
            best, found = rank, tree
        if end == len(lines):
            break  # what begins later is shorter
    return found


def _parse_from(lines: list[str], start: int) -> tuple[ast.Module | None, int]:
    """The longest Python from a line on, and where it ends."""
    end = len(lines)
    while end > start:
        tree, wrong = _parse("\n".join(lines[start:end]))
        if tree is not None:
            return tree, end
        # No run that keeps the wrong line is Python, or a longer one would have been.
        end = min(end - 1, start + max(0, wrong - 1))
    return None, start


def _parse(source: str) -> tuple[ast.Module | None, int]:
    """The tree, or the number of the first wrong line."""
    try:
        return tree_of(source), 0
    except SyntaxError as error:
        return None, error.lineno or 0
    except (ValueError, RecursionError, MemoryError):
        return None, 0


def _needed(tree: ast.Module, wanted: Collection[str]) -> set[str] | None:
    """Every name that the wanted ones lead to; None if none of them is defined."""
    uses: dict[str, set[str]] = {}
    for node in tree.body:
        named = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        for name in _bound(node):
            uses.setdefault(name, set()).update(named)
    waiting = [name for name in wanted if name in uses]
    if not waiting:
        return None
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += uses.get(name, ())
    return reached


def _all_bound(tree: ast.Module) -> set[str]:
    return {name for node in tree.body for name in _bound(node)}


def _bound(node: ast.stmt) -> set[str]:
    """Names a statement at the top defines, or whose object it sets a part of."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return set()
