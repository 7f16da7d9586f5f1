"""One error for several pieces that failed."""

from __future__ import annotations

import errno

from flows.collect import summary
from tad_core.errors import DataError, StoreError, SubprocessError

REFUSED = PermissionError(errno.EACCES, "Forbidden", "bucket://one/decode")
FULL = StoreError("store: /here cannot be written (the disk is full); free space there")


def test_what_a_store_refuses_is_said_once() -> None:
    for error in (REFUSED, FULL):
        assert summary({"evaluate base": error, "evaluate speed": error}, 3, "models") is error


def test_other_failures_are_listed_and_a_store_says_what_it_means() -> None:
    made = summary({"a": SubprocessError("died"), "b": REFUSED, "c": FULL}, 9)
    assert isinstance(made, SubprocessError)
    head, *lines = str(made).splitlines()
    assert head.startswith("3 of 9 shards failed; what the others made is kept")
    assert lines[0] == "a: died" and lines[2] == f"c: {FULL}"
    assert lines[1].startswith(
        "b: store: bucket://one/decode is refused (Forbidden); what is finished is kept: "
    )


def test_two_places_that_refuse_are_both_told() -> None:
    cache = StoreError("TAD_CACHE: /there cannot be written (the disk is full); free space there")
    assert "TAD_CACHE" in str(summary({"a": FULL, "b": cache}, 2))
    assert isinstance(summary({"a": DataError("none"), "b": FULL}, 2), DataError)
