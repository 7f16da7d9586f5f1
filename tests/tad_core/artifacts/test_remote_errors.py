"""A store that is not a disk and refuses, or does not answer: errors of one kind, which say where."""

from __future__ import annotations

import errno
from typing import Any

import aiohttp
import fsspec
import pytest
import typer
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.memory import MemoryFileSystem

from flows.running import guard
from tad_core.artifacts import Store
from tad_core.artifacts.files import create_bytes, list_names, read_bytes, remote_errors, write_bytes
from tad_core.artifacts.ref import read_manifest
from tad_core.artifacts.stamps import listed_stamps, stamps_of
from tad_core.artifacts.unwritable import unwritable
from tad_core.errors import StoreError

URL = "refusing://bucket/store"
FAULTS = [
    PermissionError("told so"),  # as s3fs has it, with a text alone
    OSError(errno.EREMOTEIO, "told so"),
    aiohttp.ClientPayloadError("told so"),
    aiohttp.ServerDisconnectedError("told so"),
]


class Refusing(MemoryFileSystem):
    """Answers whatever it is asked with the same error."""

    protocol = "refusing"
    fault: Exception = FAULTS[0]

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise type(self.fault)(*self.fault.args)

    cat_file = pipe_file = ls = find = info = put_file = _open = _refuse


@pytest.fixture(params=FAULTS, ids=lambda fault: type(fault).__name__)
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.setattr(Refusing, "fault", request.param)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: read_bytes(f"{URL}/a"),
        lambda: write_bytes(f"{URL}/a", b""),
        lambda: create_bytes(f"{URL}/a", b""),
        lambda: list_names(f"{URL}/a"),
        lambda: stamps_of(f"{URL}/a", ["b"]),
        lambda: listed_stamps(f"{URL}/a"),
        lambda: read_manifest(f"{URL}/a"),
    ],
    ids=["read", "write", "create", "list", "stamps", "listed", "manifest"],
)
def test_the_error_says_where_and_why(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="told so") as caught:
        ask()
    assert str(caught.value.filename).startswith(f"{URL}/a")
    with pytest.raises(typer.Exit) as ended:
        guard(ask, debug=False)
    told = capsys.readouterr().err
    assert ended.value.exit_code == 1 and told.count("\n") == 1 and "told so" in told
    assert told.startswith(f"error: store: {URL}/a") and "then run the same command again" in told
    assert ("s3:ListBucket" in told) == isinstance(Refusing.fault, PermissionError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer in time"),
        (FSTimeoutError(), "no answer in time"),
        (aiohttp.ServerTimeoutError(), "no answer in time"),
        (ConnectionResetError(), "ConnectionResetError"),
        (aiohttp.ClientError(), "ClientError"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
    ],
)
def test_one_that_says_nothing_is_told_by_what_it_is(
    error: Exception, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask() -> None:
        with remote_errors(f"{URL}/a"):
            raise error

    with pytest.raises(typer.Exit) as ended:
        guard(ask, debug=False)
    told = capsys.readouterr().err
    assert ended.value.exit_code == 1
    assert told.startswith(f"error: store: {URL}/a cannot be reached or refuses ({reason}); ")


@pytest.mark.usefixtures("refusing")
def test_a_store_that_cannot_be_looked_into_is_told_before_any_work() -> None:
    from tad_core.errors import ArtifactError

    with pytest.raises(ArtifactError, match=rf"^store: {URL} cannot be read \(told so\); check the bucket"):
        Store(URL).check_reachable()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), OSError(errno.EACCES, "no", "/home/me/cache"), FileNotFoundError("gone")],
)
def test_faults_of_this_host_and_kinds_of_errors_stay(error: OSError) -> None:
    name = error.filename
    with pytest.raises(type(error)) as caught, remote_errors(f"{URL}/a"):
        raise error
    assert caught.value is error
    assert error.filename == (f"{URL}/a" if isinstance(error, FileNotFoundError) else name)


def test_what_is_no_fault_of_a_store_stays_as_it_is() -> None:
    with pytest.raises(KeyError), remote_errors(URL):
        raise KeyError("a")


def test_one_that_refuses_what_is_written_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else is made for it: more space or another folder would not help."""
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.setattr(Refusing, "fault", PermissionError("told so"))
    with (
        pytest.raises(
            StoreError, match=r"cannot be written \(told so\).*may list the bucket and get, put"
        ) as caught,
        Store(URL).writer("stage", 1, "f" * 32, {}) as writer,
    ):
        writer.write_text("data.txt", "hello")
        writer.commit()
    assert "free space" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            errno.EROFS,
            "(Read-only file system); what was finished before is safe: make it writable, or choose",
        ),
        (errno.EACCES, "(no); what was finished before is safe: make it writable, or choose another folder"),
        (
            errno.ENOSPC,
            "(the disk is full); what was finished before is safe: free space there, or choose another",
        ),
    ],
)
def test_a_disk_is_told_what_it_takes(code: int, told: str) -> None:
    """By the reason that the system has, where a library says more than that."""
    assert told in str(unwritable("/store/stage", OSError(code, "no")))
