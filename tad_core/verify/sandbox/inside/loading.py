"""Run the top level of a program: what it defines is judged, also where it then tries itself and fails.

A wrong assertion behind a right function, a call of ``input()``, a use of a file that is not there: as where a module's
tests are left out, what follows such a statement is run, and what is missing then fails in the tests.
"""

from __future__ import annotations
import __future__

import ast
import types

#: Statements that may fail without an end of the program: none that others are written for, as imports are.
_MAY_FAIL = (
    ast.Assert, ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.Delete,
    ast.Raise,
)  # fmt: skip
#: Failed statements that are passed over.
_MOST = 64


def run_top_level(source: str, module: types.ModuleType) -> BaseException | None:
    """Run a program in a module; the error that ended it, if it did before all of it was run."""
    body: list[ast.stmt] | None = None
    try:
        try:
            code = _compiled(source)
        except SyntaxError:  # a return that stands behind a function, perhaps
            body = [node for node in ast.parse(source).body if _stands_alone(node)]
            code = _compiled(ast.Module(body=body, type_ignores=[]))
        for _ in range(_MOST):
            try:
                exec(code, module.__dict__)
                return None
            except Exception as problem:
                body = ast.parse(source).body if body is None else body
                failed = _failed(body, problem, code)
                if failed is None or _takes_back(body[failed], module):
                    return problem
                body = body[failed + 1 :]
                flags = code.co_flags & __future__.annotations.compiler_flag
                code = _compiled(ast.Module(body=body, type_ignores=[]), flags)
        return None
    except SystemExit as end:  # a program that ends itself has defined what it defines
        defined = any(callable(value) for name, value in module.__dict__.items() if not name.startswith("__"))
        return None if defined else end
    except BaseException as problem:
        return problem


def _compiled(source: str | ast.Module, flags: int = 0) -> types.CodeType:
    code: types.CodeType = compile(source, "solution.py", "exec", flags=flags, dont_inherit=True)
    return code


def _stands_alone(node: ast.stmt) -> bool:
    """Whether a statement may stand outside a function; a star before an expression (an item of a list) never does."""
    within = isinstance(node, ast.Expr) and isinstance(
        node.value, ast.Yield | ast.YieldFrom | ast.Await | ast.Starred
    )
    return not (within or isinstance(node, ast.Return))


def _takes_back(node: ast.stmt, module: types.ModuleType) -> bool:
    """Whether a statement would have given another value to what is defined before it: ``f = cached(f)``."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    names = (target.id for target in targets if isinstance(target, ast.Name))
    return any(callable(module.__dict__.get(name)) for name in names)


def _failed(body: list[ast.stmt], problem: BaseException, code: types.CodeType) -> int | None:
    """Which statement failed, if the program may go on behind it."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    if trace is None or isinstance(problem, ImportError | MemoryError):
        return None
    line = trace.tb_lineno
    at = next((at for at, node in enumerate(body) if node.lineno <= line <= (node.end_lineno or 0)), None)
    return at if at is not None and isinstance(body[at], _MAY_FAIL) else None
