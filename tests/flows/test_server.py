"""The temporary server: proxies do not stop it, and where it does not start it says why and where."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import psutil
import pytest

from flows.server import still_starting
from flows.server_faults import explain, report
from tests.drills.common import ROOT, environment, tree_of, wait_until, write
from tests.waiting import CEILING_S

_START = """
import sys
from flows.environment import settle, spare_loopback
spare_loopback()
settle()
from flows.server import TemporaryServer
from tad_core.errors import ServerError
server = TemporaryServer()
try:
    print(server.url())
except ServerError as error:
    sys.exit(str(error))
"""


def newer(home: Path) -> None:
    """What an unknown version of Prefect leaves."""
    home.mkdir()
    with sqlite3.connect(home / "prefect.db") as database:
        database.execute("create table alembic_version (version_num varchar(32) not null primary key)")
        database.execute("insert into alembic_version values ('ffffffffffff')")


def damaged(home: Path) -> None:
    home.mkdir()
    (home / "prefect.db").write_bytes(bytes(range(256)) * 20)


def a_file(home: Path) -> None:
    home.write_text("a file, where the folder should be")


@pytest.mark.parametrize(
    ("fault", "why", "remedy"),
    [
        pytest.param(
            newer, "Can't locate revision identified by 'ffffffffffff'", "a newer Prefect has written the database",
            marks=pytest.mark.slow,
        ),
        pytest.param(damaged, "file is not a database", "move it away", marks=pytest.mark.slow),
        pytest.param(
            a_file, "unable to open database file", "make it a folder that can be written", marks=pytest.mark.slow
        ),
    ],
)  # fmt: skip
def test_a_server_that_does_not_start_says_why(fault, why: str, remedy: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home = tmp_path / "records"
    fault(home)
    env = environment(tmp_path, "one", PREFECT_HOME=str(home))
    config = write(tree_of(str(tmp_path / "store"), 2, workers=1), tmp_path)
    command = [sys.executable, "-m", "tests.drills.run", "collect", config]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=CEILING_S)
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert why in told and f"{home} (PREFECT_HOME)" in told and remedy in told
    assert "Traceback" not in done.stderr and "Fatal Python error" not in done.stderr


@pytest.mark.parametrize(
    ("options", "fill", "variable", "why", "remedy"),
    [
        pytest.param(
            "ro", "", "HOME", "unable to open database file", "make it a folder that can be written",
            marks=pytest.mark.slow,
        ),
        pytest.param("size=64k", "", "HOME", "database or disk is full", "free space there", marks=pytest.mark.slow),
        pytest.param(
            "size=4k", "head -c 4096 /dev/zero > {place}/filled && ", "TMPDIR", "database or disk is full",
            "and in TMPDIR ({place})", marks=pytest.mark.slow,
        ),
    ],
    ids=["read-only HOME", "full HOME", "full TMPDIR"],
)  # fmt: skip
def test_a_place_that_cannot_be_written(
    options: str, fill: str, variable: str, why: str, remedy: str, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mounted = f"mount -t tmpfs -o {options} tmpfs {place}"
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-m", "sh", "-c", mounted], capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    # Without records, so that tables have to be made.
    env = environment(tmp_path, "one", **{"PREFECT_HOME": str(tmp_path / "records"), variable: str(place)})
    if variable == "HOME":
        del env["PREFECT_HOME"]
    script = f'{mounted} && {fill.format(place=place)}exec "$0" -c "$1"'
    command = [unshare, "-m", "sh", "-c", script, sys.executable, _START]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=CEILING_S)
    assert done.returncode == 1
    assert why in done.stderr and remedy.format(place=place) in done.stderr
    assert (f"{place}/.prefect" if variable == "HOME" else env["PREFECT_HOME"]) in done.stderr
    assert "Fatal Python error" not in done.stderr


@pytest.mark.parametrize(
    "variable",
    ["HTTP_PROXY", *(pytest.param(name, marks=pytest.mark.slow) for name in ("http_proxy", "ALL_PROXY"))],
)
def test_a_proxy_does_not_stand_before_the_local_server(variable: str, tmp_path: Path) -> None:
    """Nobody listens at the proxy; the run asks its server and so do its children."""
    env = environment(tmp_path, "one", PREFECT_CLIENT_MAX_RETRIES="0", **{variable: "http://127.0.0.1:9"})
    for name in ("NO_PROXY", "no_proxy"):
        env.pop(name, None)
    config = write(tree_of(str(tmp_path / "store"), 2, workers=1), tmp_path)
    command = [sys.executable, "-m", "tests.drills.run", "collect", config]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=CEILING_S)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "store").glob("collect/*/privileged-*.json"))) == 2
    assert "a temporary one" in done.stderr
    assert " | INFO" not in done.stdout + done.stderr, "Prefect's own lines stay out of the terminal"
    wait_until(lambda: not started_with(env["TAD_CACHE"]), what="the end of all that was started")


def started_with(cache: str) -> list[psutil.Process]:
    """Living processes that were started with this ``TAD_CACHE``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile, or is a zombie
            if process.environ().get("TAD_CACHE") == cache:
                found.append(process)
    return found


def test_a_start_that_takes_long_is_not_silent() -> None:
    told: list[str] = []
    said = threading.Event()

    def say(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            said.set()

    with still_starting(say, every_s=0.01):
        assert said.wait(CEILING_S)
    assert re.match(r"Prefect: still starting, \d+ s of at most 180 s; .* PREFECT_API_URL", told[0])
    assert re.fullmatch(r"Prefect: still starting, \d+ s of at most 180 s", told[1]), "the advice comes once"
    assert not any(thread.name == "still starting" for thread in threading.enumerate()), (
        "it ends with the start"
    )


def test_the_reason_is_the_innermost_error(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise PermissionError(13, "Permission denied", "/records/prefect.db")
        except OSError as error:
            raise RuntimeError("no database") from error
    except RuntimeError as error:
        report(error)
    with mock.patch.dict(os.environ, PREFECT_API_URL=""):
        told = explain(3, f"a warning\n{capsys.readouterr().err}", 180)
    assert (
        "ended with code 3: PermissionError: [Errno 13] Permission denied: '/records/prefect.db' / " in told
    )
    assert "RuntimeError: no database. It keeps its records in " in told
    assert "make it a folder that can be written" in told and "a warning" not in told


def test_without_a_reason_the_last_lines_are_told() -> None:
    told = explain(-9, "one\ntwo\n", 180)
    assert "ended with code -9. It keeps" in told and told.endswith("Its last lines:\none\ntwo")
    assert "`tad doctor`" in told and "does not answer after 180 s" in explain(None, "", 180)


def test_the_password_of_a_database_is_not_shown() -> None:
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

    url = "postgresql+asyncpg://me:secret@db/prefect"
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        told = explain(3, "", 180)
    assert "postgresql+asyncpg://me:***@db/prefect" in told and "secret" not in told
