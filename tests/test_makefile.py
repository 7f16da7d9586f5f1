"""Setting up bubblewrap: installed where that may be done, else named, and never a reason to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import CEILING_S

ROOT = Path(__file__).resolve().parents[1]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


class Machine:
    """A PATH with nothing on it but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.venv = folder / "venv"
        self.log = folder / "calls"
        for name in ("mkdir", "cat"):
            (self.bin / name).symlink_to(shutil.which(name) or name)

    def has(self, name: str, script: str = "") -> Machine:
        """A command that notes how it was called and then does what ``script`` says."""
        file = self.bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{script}\n')
        file.chmod(0o755)
        return self

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Run the target."""
        assert MAKE is not None
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        command = [MAKE, "--no-print-directory", "-f", str(ROOT / "Makefile"), "sandbox", f"VENV={self.venv}"]
        return subprocess.run(
            command,
            env={**environment, "PATH": str(self.bin)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=CEILING_S,
        )

    def calls(self) -> list[str]:
        """How the commands were called, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_done_or_said_where_bubblewrap_is_there(machine: Machine) -> None:
    done = machine.has("bwrap").has("apt-get").has("id", "echo 0").set_up()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == []


def test_root_with_apt_installs_it_quietly_without_what_it_only_recommends(machine: Machine) -> None:
    done = machine.has("apt-get", "echo noise; echo noise >&2").has("id", "echo 0").set_up()
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "installed bubblewrap: programs under test run isolated in tier 1\n"
    (install,) = [call for call in machine.calls() if call.startswith("apt-get")]
    assert install.endswith("install -y --no-install-recommends bubblewrap")


def test_package_lists_are_fetched_where_they_are_missing(machine: Machine) -> None:
    script = (
        f'case "$*" in update) touch={machine.bin}/lists; : > $touch;; *) [ -e {machine.bin}/lists ];; esac'
    )
    done = machine.has("apt-get", script).has("id", "echo 0").set_up()
    assert "installed bubblewrap" in done.stdout
    assert [call.split()[-1] for call in machine.calls() if call.startswith("apt-get")] == [
        "bubblewrap",
        "update",
        "bubblewrap",
    ]


def test_without_a_network_the_set_up_goes_on_and_says_so_in_one_line(machine: Machine) -> None:
    done = machine.has("apt-get", "echo no route to host >&2; exit 100").has("id", "echo 0").set_up()
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert "could not be installed" in done.stdout and "tier 2" in done.stdout
    assert "no route to host" in (machine.venv / "apt.log").read_text()


@pytest.mark.parametrize("user", ["1000", "0"])
def test_whoever_may_not_install_is_told_the_command(machine: Machine, user: str) -> None:
    machine.has("id", f"echo {user}")
    if user != "0":  # root, but no apt
        machine.has("apt-get")
    done = machine.set_up()
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "no bubblewrap: programs under test run in tier 2; for tier 1: sudo apt-get install bubblewrap"
    ]
    assert not any(call.startswith("apt-get") for call in machine.calls())


def test_the_environment_asks_for_it() -> None:
    assert MAKE is not None
    command = [MAKE, "-n", "-W", "pyproject.toml", "env", "PYTHON=python3"]
    plan = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CEILING_S)
    assert "sandbox" in plan.stdout


def test_bytecode_is_kept_also_where_the_environment_says_otherwise(machine: Machine, tmp_path: Path) -> None:
    """Without it every process compiles all it imports: half a minute each on a slow machine."""
    pytest_there = machine.venv / "bin" / "pytest"
    pytest_there.parent.mkdir(parents=True)
    pytest_there.write_text('#!/bin/sh\necho "bytecode: ${PYTHONDONTWRITEBYTECODE-kept}"\n')
    pytest_there.chmod(0o755)
    (machine.venv / ".installed").touch()
    assert MAKE is not None
    run = subprocess.run(
        [MAKE, "-f", str(ROOT / "Makefile"), "test", f"VENV={machine.venv}"],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CEILING_S,
    )
    assert "bytecode: kept" in run.stdout, run.stderr
