"""Python source as a tree, whoever else reads some at the same time."""

from __future__ import annotations

import ast
import threading

# Under CPython 3.11 two threads that build trees at once count one depth of recursion between them, and one gets a
# SystemError: a garbage collection in the middle, whose callbacks and finalizers are Python, lets the other go on.
_TURN = threading.Lock()


def tree_of(source: str) -> ast.Module:
    """``ast.parse``, one at a time.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as ``ast.parse``.
    """
    with _TURN:
        return ast.parse(source)
