"""The program in a model's answer, as the benchmarks of code take it.

The rules are those of EvalPlus's ``sanitize`` (Liu et al. 2023), which the paper's scores are made with: of the code
in the answer the longest run of lines that is Python, and of that what the function asked for needs. So a text
that was cut, a sentence before the code or an example call after it do not fail a right program. EvalPlus takes only
some kinds of statements for needed, so that a table filled by a loop comes out empty; here any kind may be.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections.abc import Collection, Iterator

from tad_core.trees import tree_of
from tad_core.verify.blocks import as_bodies, extract_code, without_end_tokens
from tad_core.verify.definitions import is_stub

#: Lines looked at; no answer of these benchmarks is longer.
_MAX_LINES = 400
#: Runs of lines tried: each line begins few, but where all of them break off (``@a`` again and again) every pair would.
_MAX_TRIES = 2_000
_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
#: They may set a name, or a part of its object, among other things.
_CHANGING = (ast.AugAssign, ast.Expr, ast.For, ast.If, ast.Try, ast.While, ast.With)


def fenced(program: str) -> str:
    """The program as an answer that holds nothing else."""
    longest = max(
        (len(line) - len(line.lstrip("`")) for line in map(str.strip, program.split("\n"))), default=0
    )
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{program}\n{fence}" if program.strip() else ""


def under_head(head: str, body: str, name: str) -> str:
    """A body alone as the rest of the function that ``head`` opens, whatever its indentation; sanitized."""
    body = without_end_tokens(body).strip("\n")
    for part in as_bodies(body):
        program = sanitize(f"{head.rstrip()}\n{part}", {name})
        if not is_stub(program, name):
            return program
    return sanitize(f"{head.rstrip()}\n{body}", {name})


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
    imported = {name for node in tree.body for name in _imported(node)}
    kept = [node for node in _without_repeated_heads(tree.body, wanted) if _is_kept(node, needed, imported)]
    try:
        return ast.unparse(ast.Module(body=kept, type_ignores=[]))
    except RecursionError:
        return ""  # nested deeper than any program


def _without_repeated_heads(body: list[ast.stmt], wanted: Collection[str]) -> list[ast.stmt]:
    """Statements without the last one where it begins a wanted function anew, and was cut before it said more."""
    *others, last = body or [ast.Pass()]
    name = getattr(last, "name", "")
    again = name in wanted and any(getattr(node, "name", "") == name for node in others)
    return others if again and is_stub(ast.unparse(last), name) else body


def defines_any(program: str, wanted: Collection[str]) -> bool:
    """Whether the program defines one of the names."""
    tree = _parse(program)[0]
    return tree is not None and bool(_all_bound(tree) & set(wanted))


def asked_in(tests: str) -> set[str]:
    """Names that tests may take from a program: whatever they call, also built-in functions, and values."""
    tree = _parse(tests)[0]
    if tree is None:
        return set()
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    own = {name for node in tree.body for name in _bound(node) | _imported(node)}
    read = {name for node in tree.body for name in _read(node)}
    return {call.id for call in calls if isinstance(call, ast.Name)} | (read - own - set(dir(builtins)))


def _longest(text: str, wanted: Collection[str]) -> ast.Module | None:
    """The longest run of lines that is Python; one that defines a wanted name comes before any that does not."""
    lines = without_end_tokens(text).replace("\r\n", "\n").split("\n")[:_MAX_LINES]
    tries = iter(range(_MAX_TRIES))
    best: tuple[bool, int] = (False, 0)
    found: ast.Module | None = None
    for start, line in enumerate(lines):
        if not line.strip() or line[0].isspace():
            continue  # a run begins with a statement at the top
        tree, end = _parse_from(lines, start, tries)
        if tree is None:
            continue
        rank = (bool(_all_bound(tree) & set(wanted)), sum(len(part) for part in lines[start:end]))
        if rank > best:
            best, found = rank, tree
        if end == len(lines):
            break  # what begins later is shorter
    return found


def _parse_from(lines: list[str], start: int, tries: Iterator[int]) -> tuple[ast.Module | None, int]:
    """The longest Python from a line on, and where it ends; none where no try is left."""
    end = len(lines)
    while end > start and next(tries, None) is not None:
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


def _is_kept(node: ast.stmt, needed: set[str] | None, imported: set[str]) -> bool:
    if _allows_recursion(node):
        return True
    if isinstance(node, ast.Import | ast.ImportFrom):
        return needed is None or _is_at_hand(node) or bool(_imported(node) & needed)
    if needed is None:
        return isinstance(node, _DEFINING)
    # A call of a module's function (sys.exit()) does not set what needs the module.
    return bool(_bound(node) & (needed - imported if isinstance(node, _CHANGING) else needed))


def _is_at_hand(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import is of the standard library, which costs nothing where it is not needed."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


def _is_main(node: ast.stmt) -> bool:
    """Whether a statement is ``if __name__ == "__main__":``."""
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    )


def _allows_recursion(node: ast.stmt) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    called = node.value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "setrecursionlimit"


def _needed(tree: ast.Module, wanted: Collection[str]) -> set[str] | None:
    """Every name that the wanted ones lead to; None if none of them is defined."""
    uses: dict[str, set[str]] = {}
    for node in tree.body:
        read = _read(node)
        for name in _bound(node):
            uses.setdefault(name, set()).update(read)
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


def _read(node: ast.stmt) -> set[str]:
    """Names of the module that a statement needs: not those that a function in it has for itself."""
    try:
        tables = [symtable.symtable(ast.unparse(node), "<program>", "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    names = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_referenced()}
    while tables:
        inner = tables.pop().get_children()
        names |= {
            symbol.get_name() for table in inner for symbol in table.get_symbols() if symbol.is_global()
        }
        tables += inner
    return names


def _all_bound(tree: ast.Module) -> set[str]:
    return {name for node in tree.body for name in _bound(node)}


def _bound(node: ast.stmt) -> set[str]:
    """Names a statement at the top defines, or whose object it may change a part of."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    if isinstance(node, _CHANGING) and not _is_main(node):
        return {name for part in ast.walk(node) for name in _changed(part)}
    return set()


def _changed(part: ast.AST) -> set[str]:
    """Names that a node sets: as a target, by a definition or an import, or by a call of a method of theirs."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {part.name}
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
        called = part.value.func
        return _root(called) if isinstance(called, ast.Attribute) else set()
    if isinstance(part, ast.Name | ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store):
        return _root(part)
    return _imported(part)


def _root(part: ast.expr) -> set[str]:
    """The name that an attribute or an item is reached from."""
    while isinstance(part, ast.Attribute | ast.Subscript):
        part = part.value
    return {part.id} if isinstance(part, ast.Name) else set()


def _imported(part: ast.AST) -> set[str]:
    if not isinstance(part, ast.Import | ast.ImportFrom):
        return set()
    return {alias.asname or alias.name.partition(".")[0] for alias in part.names}
