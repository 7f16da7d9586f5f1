"""The types of MBPP+'s arguments, which JSON has lost: tuples, sets and complex numbers, by task.

Source: how EvalPlus reads its own releases (``evalplus`` 0.3.1, ``data/mbpp.py``); a task that is not named here has
its arguments as JSON has them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from tad_core.evaluation.benchmarks.base import RowError

Made = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _tuples(values: Any) -> list[tuple[Any, ...]]:
    return [tuple(value) for value in values]


def _tuple_of_tuples(values: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple(_tuples(values))


def _tuple_with_tuples(values: Any) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _nested_tuples(value: Any) -> Any:
    return tuple(map(_nested_tuples, value)) if isinstance(value, list) else value


def _sets(values: Any) -> list[Any]:
    return [set(value) if isinstance(value, list) and value else {} for value in values]


def _dict_of_tuples(values: Any) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(value) for key, value in values.items()}


def _by_task(*entries: tuple[Any, tuple[int, ...]]) -> dict[int, Any]:
    return {task: made for made, tasks in entries for task in tasks}


#: every argument of a task is made so
EVERY: dict[int, Made] = _by_task(
    (tuple, (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424)),
    (tuple, (429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809)),
    (_tuples, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_tuple_of_tuples, (259, 401, 445)),
    (_tuple_with_tuples, (278,)),
    (_nested_tuples, (580, 615, 791)),
)  # fmt: skip
#: the arguments of a task from the first on; further ones stay
PLACES: dict[int, tuple[Made, ...]] = _by_task(
    ((_tuples,), (75, 413, 444, 753)),
    ((_same, tuple), (106, 750)),
    ((_sets,), (115,)),
    ((float, complex), (124,)),
    ((tuple,), (250, 307, 405, 446, 617, 720, 763, 808)),
    ((complex,), (252,)),
    ((_dict_of_tuples,), (722,)),
)


def typed(task: int, arguments: list[Any]) -> list[Any]:
    """The arguments of one call with their types.

    Args:
        task: number of the MBPP task.
        arguments: as JSON has them.

    Raises:
        RowError: they cannot have these types.
    """
    try:
        if task in EVERY:
            return [EVERY[task](argument) for argument in arguments]
        pairs = zip_longest(PLACES.get(task, ())[: len(arguments)], arguments, fillvalue=_same)
        return [made(argument) for made, argument in pairs]
    except (TypeError, ValueError, AttributeError) as error:
        raise RowError(f"an input has not the types of Mbpp/{task}: {error}") from None
