"""Why a Prefect server does not start: told by its process, explained with the folder it uses and what to do."""

from __future__ import annotations

import os
import sys
import tempfile

_MARK = "server does not start: "
_LAST_CHARACTERS = 2000
#: What to look for in a reason, in lower case, and what to do then.
_REMEDIES = (
    (("can't locate revision",), "a newer Prefect has written the database: install that version, or {other}"),
    (("not a database", "malformed"), "the database is damaged: move it away, or {other}"),
    (("disk is full", "no space left", "disk quota"), "free space there and in TMPDIR ({temporary}), or {other}"),
    (
        ("unable to open database", "readonly", "read-only", "permission denied", "not a directory", "disk i/o error"),
        "make it a folder that can be written, or {other}",
    ),
    (("database is locked",), "end the other Prefect server that uses it, or {other}"),
    (("no usable temporary directory",), "set TMPDIR to a folder that is there and has space"),
)  # fmt: skip
_OTHER = "set PREFECT_HOME to another folder"
_ANY = "run `tad doctor`, {other}, or start a server with `prefect server start` and set PREFECT_API_URL to its address"


def report(error: BaseException) -> None:
    """Print the reason in one line, for ``explain`` in the parent."""
    cause = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    # The inner one is what the system said, the outer one may name the object.
    inner, outer = (f"{type(e).__name__}: {_first_line(e)}" for e in (cause, error))
    lines = [outer] if _first_line(cause) in outer else [inner, outer]
    print(f"{_MARK}{' / '.join(lines)}", file=sys.stderr, flush=True)


def explain(code: int | None, said: str, waited_s: float) -> str:
    """The message for a server that ended with ``code``, or for None is silent after ``waited_s``, and printed
    ``said``."""
    told = [line.removeprefix(_MARK) for line in said.splitlines() if line.startswith(_MARK)]
    what = f"does not answer after {waited_s:.0f} s" if code is None else f"ended with code {code}"
    why = f": {told[-1]}" if told else ""
    tail = "" if told or not said.strip() else f"\nIts last lines:\n{said.strip()[-_LAST_CHARACTERS:]}"
    remedy = _remedy(told[-1] if told else said)
    return f"Prefect's temporary server {what}{why}. It keeps its records in {_records()}; {remedy}{tail}"


def _remedy(reason: str) -> str:
    lowered = reason.lower()
    found = next((remedy for signs, remedy in _REMEDIES if any(sign in lowered for sign in signs)), _ANY)
    return found.format(other=_OTHER, temporary=os.environ.get("TMPDIR") or _temporary())


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "which is not there"


def _records() -> str:
    """The folder, and the database where it is another."""
    from prefect.settings import get_current_settings
    from sqlalchemy.engine import make_url

    settings = get_current_settings()
    set_here = settings.server.database.connection_url
    if set_here is None:
        return f"{settings.home} (PREFECT_HOME)"
    database = make_url(set_here.get_secret_value())
    if database.database == str(settings.home / "prefect.db"):
        return f"{settings.home} (PREFECT_HOME)"
    return f"{database.render_as_string(hide_password=True)} (PREFECT_SERVER_DATABASE_CONNECTION_URL)"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
