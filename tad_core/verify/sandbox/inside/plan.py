"""What the source of the tests holds, known before any of it runs."""

from __future__ import annotations

import ast
import builtins
import sys
import types

from .elsewhere import changed_elsewhere, is_timed

#: The names by which assertions are counted, in the tests' own namespace.
COUNT, FAILED = "__tad_count__", "__tad_failed__"
_CHECKERS = ("check", "check_solution")
_TEST_CASES = frozenset({"TestCase", "IsolatedAsyncioTestCase"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class NoTestsError(Exception):
    """There is nothing that could prove the program right."""


class Plan:
    """What the source of the tests holds, known before any of it runs."""

    def __init__(
        self, source: str, prelude: str, entry_point: str | None, copies: frozenset[str] = frozenset()
    ) -> None:
        try:
            self.tree = ast.parse(source)
            self.prelude = ast.parse(prelude)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NoTestsError(f"the tests are not Python: {error}") from error
        body = [node for node in self.tree.body if not _is_main_guard(node)]
        body = [node for node in body if not (isinstance(node, _FUNCTIONS) and node.name in copies)]
        self.tree.body = body
        self.functions = [n.name for n in body if isinstance(n, _FUNCTIONS) and n.name.startswith("test")]
        self.classes = [n.name for n in body if isinstance(n, ast.ClassDef) and _looks_like_tests(n)]
        self.checkers = [n.name for n in body if isinstance(n, _FUNCTIONS) and n.name in _CHECKERS]
        if not entry_point and (self.functions or self.classes):
            self.checkers = []  # a helper that happens to be called so
        #: whether anything could be a test: some are made while the top level runs
        self.could_test = bool(self.functions or self.classes or self.checkers) or "test" in source.lower()
        self.body_asserts = any(_asserts_outside_functions(node) for node in body)
        #: what the tests change that the program cannot see, and whether they time it
        self.elsewhere, self.timed = changed_elsewhere(self.tree), is_timed(self.tree)
        self.catches_assertions = any(_catches_assertions(node) for node in ast.walk(self.tree))
        self._guarded = _guarded(self.tree)
        self.wanted = self._wanted_names()  # before the stars are taken out
        self.tree = ast.fix_missing_locations(_Rewrite().visit(self.tree))

    def may_swallow(self, trace: types.TracebackType | None) -> bool:
        """Whether a context manager of the program may swallow an error that was raised in its block.

        Not where an assertion of the block would then not be reached.
        """
        if trace is None or trace.tb_frame.f_code.co_filename != "test_solution.py":
            return False
        return not any(first <= trace.tb_lineno <= last for first, last in self._guarded)

    def _wanted_names(self) -> set[str]:
        """Names that the tests use, and that are neither built in nor given by the prelude.

        None beside those they import where they import some: a name that they forgot is an error, as it is
        in any module, and not something that the program may define to its liking.
        """
        if any(_imports_by_name(node) for node in ast.walk(self.tree)):
            return set()
        used = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        given = {node.name for node in self.prelude.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef))}
        return used - set(dir(builtins)) - given - self.wanted_modules() - {COUNT, FAILED}

    def wanted_modules(self) -> set[str]:
        """Names that are used only as modules of the standard library are (``math.isclose``), and pytest.

        Tests may rely on the program having imported them; they never get the program's idea of them.
        """
        names = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        dotted = [
            node.value.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        modules = sys.stdlib_module_names - {"this", "antigravity"} | {"pytest"}
        return {name for name in set(dotted) & modules if names.count(name) == dotted.count(name)}


def _imports_by_name(node: ast.AST) -> bool:
    """Whether this is ``from solution import f`` or ``import solution``, but no star."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "solution" and node.names[0].name != "*"
    return isinstance(node, ast.Import) and any(alias.name == "solution" for alias in node.names)


def _looks_like_tests(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return node.name.startswith("Test") or not _TEST_CASES.isdisjoint(bases)


def _is_main_guard(node: ast.stmt) -> bool:
    """What would run the tests when this file is run: ``if __name__ == …``, and ``unittest.main()`` without it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in ("unittest.main", "pytest.main", "sys.exit")
    return isinstance(node, ast.If) and "__name__" in {
        inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)
    }


def _asserts_outside_functions(node: ast.AST) -> bool:
    if _is_assertion(node):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return False
    return any(_asserts_outside_functions(child) for child in ast.iter_child_nodes(node))


class _Rewrite(ast.NodeTransformer):
    """Count assertions that held, keep those that failed; take no name from the program that was not asked for."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """``from solution import *`` could bring a new ``abs``: the names that are used are given anyway."""
        if node.module == "solution" and node.names[0].name == "*":
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.stmt | list[ast.stmt]:
        """``raise AssertionError`` is as good as ``assert False``."""
        self.generic_visit(node)
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if not (isinstance(kind, ast.Name) and kind.id == "AssertionError"):
            return node
        return [_placed(_call(FAILED, ast.Constant(value=node.lineno)), node), node]

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """``if …: count`` and else ``note the failure, assert False``."""
        failure = ast.Assert(test=ast.Constant(value=False), msg=node.msg)
        body, orelse = [_call(COUNT)], [_call(FAILED, ast.Constant(value=node.lineno)), failure]
        return _placed(ast.If(test=node.test, body=body, orelse=orelse), node)


def _call(name: str, *args: ast.expr) -> ast.stmt:
    return ast.Expr(value=ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=list(args), keywords=[]))


def _placed(made: ast.stmt, node: ast.stmt) -> ast.stmt:
    """A statement in the place of another, so that an error in it names that line."""
    for inner in ast.walk(made):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, node)
    return made


def _is_assertion(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    return isinstance(node, ast.Call) and (
        isinstance(node.func, ast.Attribute)
        and (node.func.attr.startswith("assert") or node.func.attr in ("raises", "fail"))
    )


def _guarded(tree: ast.AST) -> list[tuple[int, int]]:
    """For each ``with`` block that holds assertions: its first line, and the line of its last assertion."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            lines = [inner.lineno for part in node.body for inner in ast.walk(part) if _is_assertion(inner)]  # type: ignore[attr-defined]
            if lines:
                found.append((node.lineno, max(lines)))
    return found


def _catches_assertions(node: ast.AST) -> bool:
    """Whether this expects an AssertionError by its name: then one that is caught is no failure."""
    if isinstance(node, ast.ExceptHandler):
        caught = node.type
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        expects = node.func.attr in ("raises", "assertRaises", "assertRaisesRegex", "suppress")
        caught = ast.Tuple(elts=node.args) if expects else None
    else:
        return False
    return caught is not None and "AssertionError" in {
        inner.id for inner in ast.walk(caught) if isinstance(inner, ast.Name)
    }
