from __future__ import annotations

import ast
import gc
import threading
import time

import pytest

from tad_core.trees import tree_of

SOURCE = "def f(x):\n" + "".join(f"    y{i} = x + {i} * (x - {i})\n" for i in range(30)) + "    return x\n"


@pytest.fixture
def collections_that_take_a_moment():
    """As those of a program with finalizers: others go on in the middle of whatever began one."""

    def wait(phase, info):
        time.sleep(1e-5)

    gc.callbacks.append(wait)
    yield
    gc.callbacks.remove(wait)


def test_threads_read_programs_at_the_same_time(collections_that_take_a_moment):
    """Under CPython 3.11 ast.parse raises SystemError here."""
    expected, read, failed = ast.dump(ast.parse(SOURCE)), [], []

    def work(depth):
        if depth:
            return work(depth - 1)
        try:
            read.extend(ast.dump(tree_of(SOURCE)) for _ in range(50))
        except SystemError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(7 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert read == [expected] * 300


def test_what_is_no_program_is_a_syntax_error():
    with pytest.raises(SyntaxError):
        tree_of("def f(:")
