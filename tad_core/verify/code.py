"""Run the tests of a program that nobody trusts.

The tests run in one sandbox and the program in another; only plain data passes between them. See
``docs/verification.md`` for what that promises and what it cannot.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import functools
import os
import re
import threading
from dataclasses import dataclass
from typing import Any

from tad_core.errors import VerifierError
from tad_core.trees import tree_of
from tad_core.verify.blocks import as_bodies, extract_code, without_end_tokens, without_prose_behind
from tad_core.verify.config import SandboxChoice
from tad_core.verify.definitions import bound, defines, imported, is_stub, method_as_function, parses
from tad_core.verify.sandbox.launch import Keeper, KeeperError
from tad_core.verify.sandbox.tiers import require_tier
from tad_core.verify.turns import first_turn_of_program
from tad_core.verify.verdict import CodeResult, Verdict

_ATTEMPTS = 3
#: Names that tests ask for which are looked for in a text.
_MAX_ASKED = 8


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Attributes:
        cpu_s: CPU seconds, for the program and for its tests each.
        memory_mb: address space of each, MiB.
        output_kb: printed text that is kept, KiB.
    """

    cpu_s: float = 10.0
    memory_mb: int = 1024
    output_kb: int = 256

    @property
    def wall_s(self) -> float:
        """Seconds by the clock that both may rest; what they compute has more, see ``Allowance``."""
        return 2 * self.cpu_s + 1


@dataclass(frozen=True)
class CodeJob:
    """A program and its tests, ready to run.

    Attributes:
        solution: Python source of the program.
        tests: Python source of its tests.
        limits: what each side may use.
        entry_point: the function that ``check`` gets.
        prelude: trusted source that both sides run first (helpers of the question).
        copies: functions of the tests that stand for the program's own, see ``copies_in``.
    """

    solution: str
    tests: str
    limits: Limits
    entry_point: str | None = None
    prelude: str = ""
    copies: tuple[str, ...] = ()

    def run(self, keeper: Keeper) -> CodeResult:
        """Run in a sandbox; ``KeeperError`` if that failed."""
        limits = {
            "memory_mb": self.limits.memory_mb,
            "cpu_s": self.limits.cpu_s,
            "wall_s": self.limits.wall_s,
            "output_limit": self.limits.output_kb * 1024,
        }
        program = {"solution": behind(self.prelude, self.solution)}
        exam = {
            "tests": self.tests,
            "prelude": self.prelude,
            "entry_point": self.entry_point,
            "copies": list(self.copies),
        }
        return read_report(keeper.run(limits, program, exam))


def read_report(report: dict[str, Any]) -> CodeResult:
    """What a keeper said about a job."""
    return CodeResult(
        verdict=Verdict(report["verdict"]),
        reason=_writable(str(report.get("reason", "")))[:1000],
        tests_run=int(report.get("ran", 0)),
        tests_expected=int(report.get("expected", 0)),
        own_classes=bool(report.get("own_classes", False)),
    )


def _writable(text: str) -> str:
    """The text with what no file can hold (half a character, from a program's own message) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def assemble(text: str, entry_point: str | None, prompt: str = "") -> str:
    """The program in a model's text; with a ``prompt`` that ends in an open function, also its rest.

    A rest may have any indentation, see ``as_bodies``, and prose behind it where it is indented.
    """
    code = extract_code(text, entry_point)
    if not (prompt and entry_point) or (code and defines(code, entry_point)):
        return code
    stub = ""
    indented = _indented_part(text.lstrip("\n"))  # before what is fenced behind it
    # The text first: a fence in it may be one of its docstring.
    for rest in (first_turn_of_program(text), text, without_end_tokens(text), indented, code):
        for body in as_bodies(rest.lstrip("\n")) if rest.strip() else ():
            joined = prompt.rstrip("\n") + "\n" + body
            if parses(joined) and defines(joined, entry_point):
                if not is_stub(joined, entry_point):
                    return without_prose_behind(joined)
                stub = stub or joined
    return stub or code


def assemble_for(text: str, tests: str) -> str:
    """The program in a model's text that defines most of what tests ask for, where no name says which it is.

    A method that tests call as a function is one, see ``method_as_function``.
    """
    asked = _asked_by(tests)
    found = extract_code(text)
    for name in asked if found else ():
        found = method_as_function(found, name)
    count = sum(defines(found, name) for name in asked)
    for at, name in enumerate(asked):
        if at and count == len(asked):
            break
        other = extract_code(text, name)  # by its name, what only begins it or is mended is passed over
        others = sum(defines(other, name) for name in asked)
        if others > count or (not at and others == count > 0):
            found, count = other, others
    return found


@functools.lru_cache(maxsize=256)
def _asked_by(tests: str) -> tuple[str, ...]:
    """Names that tests take from a program: what they import from it, and what they call and do not define."""
    try:
        tree = tree_of(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    nodes = list(ast.walk(tree))
    given = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "solution"]
    names = {alias.name for node in given for alias in node.names if alias.name != "*"}
    own = {name for node in tree.body for name in bound(node) | imported(node)} | set(dir(builtins))
    called = {
        node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return tuple(sorted(names | (called - own)))[:_MAX_ASKED]


def _indented_part(text: str) -> str:
    """The lines that a text begins with up to the first one at the margin: a body before prose about it."""
    margin = re.search(r"^(?=\S)", text, re.MULTILINE)
    return text[: margin.start()] if margin else ""


def behind(prelude: str, solution: str) -> str:
    """The program behind what both sides run first; its imports from the future stay first of all."""
    if not prelude or "__future__" not in solution:
        return f"{prelude}\n\n{solution}" if prelude else solution
    try:
        tree = tree_of(solution)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"{prelude}\n\n{solution}"
    lines = solution.split("\n")
    moved = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            moved.append(ast.unparse(node))
            for at in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[at] = ""
    return "\n".join([*moved, prelude, "", *lines])


def helpers_of(prompt: str, entry_point: str | None) -> str:
    """Imports and helpers of a question's code: everything but the function that is asked for.

    The tests get them from here and not from the program, which could have redefined them.
    """
    try:
        tree = tree_of(prompt)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept = [node for node in tree.body if getattr(node, "name", None) != entry_point]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


@functools.lru_cache(maxsize=256)
def copies_in(tests: str, reference: str) -> tuple[str, ...]:
    """The function of the reference that the tests bring a copy of, where it is clear that they mean the program's.

    Such tests (some rows of KodCode) would prove their own copy right. Which function it is says the reference,
    never the program, which could else put its own in the place of a helper that judges it. Hence none where they
    import from the program, where they use another of its names, or where they bring copies of two: one of them
    may be what the other is judged by.
    """
    try:
        brought, asked = tree_of(tests), tree_of(reference)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    imports = (node for node in ast.walk(brought) if isinstance(node, ast.Import | ast.ImportFrom))
    if any("solution" in (getattr(node, "module", None), *(a.name for a in node.names)) for node in imports):
        return ()
    functions = [
        {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for tree in (brought, asked)
    ]
    own, theirs = ({name for node in tree.body for name in bound(node)} for tree in (brought, asked))
    used = {node.id for node in ast.walk(brought) if isinstance(node, ast.Name)}
    both = {name for name in functions[0] & functions[1] if not name.startswith("test")}
    return tuple(both) if len(both) == 1 and both <= used and not used & (theirs - own) else ()


class SharedSandbox:
    """One keeper for single programs, from any thread."""

    def __init__(self, choice: SandboxChoice) -> None:
        self._lock = threading.Lock()
        self._keeper = Keeper(require_tier(choice).tier)
        self._owner = os.getpid()
        atexit.register(self.close)

    def run(self, job: CodeJob) -> CodeResult:
        """Run one job, starting the keeper again if it failed."""
        with self._lock:
            problem = ""
            for _ in range(_ATTEMPTS):
                try:
                    result = job.run(self._keeper)
                except KeeperError as error:
                    problem = str(error)
                    continue
                if result.verdict is not Verdict.INFRASTRUCTURE:
                    return result
                problem = result.reason
                self._keeper.kill()
            raise VerifierError(f"the sandbox failed {_ATTEMPTS} times: {problem}")

    def close(self) -> None:
        """End the keeper, in the process that started it only."""
        if os.getpid() == self._owner:
            self._keeper.kill()


_shared: dict[tuple[int, SandboxChoice], SharedSandbox] = {}
_shared_lock = threading.Lock()


def run_tests(
    solution: str,
    tests: str,
    limits: Limits | None = None,
    entry_point: str | None = None,
    *,
    prelude: str = "",
    sandbox: SandboxChoice = "auto",
) -> CodeResult:
    """Run ``tests`` against ``solution``; ``VerifierError`` if no verdict could be had.

    Args:
        solution: Python source of the program.
        tests: asserts, ``test_*`` functions, test classes, or HumanEval's ``check(candidate)``.
        limits: what the program may use.
        entry_point: the function that ``check`` gets.
        prelude: trusted source that both sides run first.
        sandbox: the isolation to use.
    """
    key = (os.getpid(), sandbox)
    with _shared_lock:
        if key not in _shared:
            _shared[key] = SharedSandbox(sandbox)
        shared = _shared[key]
    return shared.run(CodeJob(solution, tests, limits or Limits(), entry_point, prelude))
