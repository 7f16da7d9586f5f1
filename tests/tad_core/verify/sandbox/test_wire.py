"""Plain values cross the wire unchanged; nothing else crosses it."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import math
import os
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.verify.sandbox.inside import frames, wire

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.complex_numbers(allow_nan=False), st.text(),
    st.binary(), st.fractions(), st.decimals(allow_nan=False), st.dates(), st.datetimes(), st.timedeltas(),
)  # fmt: skip
hashable = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
values = st.recursive(
    st.one_of(scalars, st.frozensets(hashable, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=3),
    ),
    max_leaves=12,
)


def there_and_back(value: Any) -> Any:
    import json

    codec = wire.Codec()
    return codec.decode(json.loads(json.dumps(codec.encode(value))))


@settings(deadline=None)  # the machine may be busy
@given(values)
def test_plain_values_come_back_the_same(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_what_json_cannot_say_is_kept() -> None:
    assert math.isnan(there_and_back(float("nan")))
    assert there_and_back(-0.0).hex() == "-0x0.0p+0"
    assert there_and_back(float("-inf")) == float("-inf")
    assert there_and_back(10**5000) == 10**5000
    assert there_and_back({1: "a", "1": "b", (1,): [2]}) == {1: "a", "1": "b", (1,): [2]}
    assert type(there_and_back(True)) is bool
    assert there_and_back(Decimal("1.10")).as_tuple() == Decimal("1.10").as_tuple()
    assert there_and_back([Fraction(1, 3), range(2, 9, 3), ...]) == [Fraction(1, 3), range(2, 9, 3), ...]


class Sneaky(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    "value", [Sneaky(3), object(), Sneaky, lambda: 1, iter([]), [Sneaky(3)], {"a": object()}]
)
def test_what_is_not_plain_cannot_be_sent(value: Any) -> None:
    with pytest.raises(wire.UnsendableError):
        wire.Codec().encode(value)


@pytest.mark.parametrize(
    "data",
    [{"t": "eval", "v": "1"}, {"t": "type", "v": "__import__"}, {"t": "type", "v": "exec"}, {"t": "namedtuple", "v": ["P", ["a b"], [1]]},
     {"t": "int", "v": "x"}, {"v": 1}, {"t": "set", "v": [[1]]}, {"t": "handle", "v": 3}],
)  # fmt: skip
def test_what_is_not_known_cannot_be_received(data: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)):
        wire.Codec().decode(data)


def test_overwriting_keeps_identities() -> None:
    inner: list[int] = [1]
    table: dict[str, Any] = {"a": inner, "b": 2}
    wire.overwrite(table, {"a": [1, 5], "c": 3})
    assert table == {"a": [1, 5], "c": 3}
    assert table["a"] is inner


def test_frames_arrive_whole_or_not_at_all() -> None:
    reader, writer = os.pipe()
    frames.send(writer, {"a": [1, "ü"]})
    assert frames.receive(reader) == {"a": [1, "ü"]}
    os.write(writer, b"\x00\x00\x00\x05{")
    with pytest.raises(frames.DeadlineError):
        frames.receive(reader, time.monotonic() + 0.05)
    os.close(writer)
    with pytest.raises(frames.ClosedError):
        frames.receive(reader)
    os.close(reader)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x03{{{", b"\x00\x00\x00\x02\xff\xfe"])
def test_what_is_no_message_is_said_to_be_none(data: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with pytest.raises(frames.MalformedError):
        frames.receive(reader)
    os.close(reader)


@pytest.mark.parametrize("shown", [{}, {"b": 1, "a": 2}, {(1,): [2]}])
def test_a_view_of_a_dictionary_is_one_again(shown: dict[Any, Any]) -> None:
    for view in (shown.keys(), shown.values(), shown.items()):
        back = there_and_back(view)
        assert type(back) is type(view) and list(back) == list(view)
        assert back != list(view), "a view is no list"
    assert there_and_back(shown.keys()) == shown.keys() and there_and_back(shown.items()) == shown.items()
