"""Every hostile program, in every tier that promises to hold it; then: is the host as it was?"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tad_core.verify import CodeResult, Limits, Verdict
from tad_core.verify.code import CodeJob
from tad_core.verify.sandbox.launch import Keeper, slot_uids
from tests.tad_core.verify.attacks import Attack, doors, equality, escapes, exits, floods, forging, swallowing
from tests.tad_core.verify.conftest import require

CORPUS: list[Attack] = [
    *exits.ATTACKS,
    *equality.ATTACKS,
    *forging.ATTACKS,
    *floods.ATTACKS,
    *escapes.ATTACKS,
    *doors.ATTACKS,
    *swallowing.ATTACKS,
]
LIMITS = Limits(cpu_s=1, memory_mb=256)
SHM_KEY = 0x7AD001
IPC_CREAT, IPC_RMID = 0o1000, 0


@dataclass
class Host:
    """Things of the host that no program may reach, and a watch on them."""

    folder: Path
    listener: socket.socket
    abstract: socket.socket
    victim: subprocess.Popen[bytes]
    shm: Path
    mailboxes: list[socket.socket]
    visitors: list[str] = field(default_factory=list)

    def fill(self, program: str) -> str:
        """Tell a program where things are."""
        values = {
            "host": str(self.folder),
            "port": str(self.listener.getsockname()[1]),
            "abstract": self.abstract.getsockname().decode().lstrip("\0") if self.abstract else "",
            "victim": str(self.victim.pid),
            "shm": self.shm.name,
            "shmkey": str(SHM_KEY),
        }
        for name, value in values.items():
            program = program.replace("{" + name + "}", value)
        return program

    def letters(self) -> list[bytes]:
        """What was dropped into the mailboxes."""
        found = []
        for mailbox in self.mailboxes:
            mailbox.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                found.append(mailbox.recv(64))
        return found

    def watch(self, server: socket.socket, name: str) -> None:
        """Note who connects."""
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self.visitors.append(name)
            connection.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with prizes: each would be open to an ordinary program of any user."""
    folder = tmp_path_factory.mktemp("host")
    for path in (folder, *folder.parents):
        if str(path).startswith("/tmp/") and path.stat().st_uid == os.geteuid():
            path.chmod(0o777)
    (folder / "secret").write_text("the prize")
    (folder / "secret").chmod(0o666)
    listener = socket.create_server(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0tad-prize-{os.getpid()}")
    abstract.listen()
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(folder / "socket"))
    unix.listen()
    (folder / "socket").chmod(0o777)
    mailboxes = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    mailboxes[0].bind(str(folder / "mailbox"))
    (folder / "mailbox").chmod(0o777)
    mailboxes[1].bind(f"\0tad-prize-{os.getpid()}-mail")
    shm = Path("/dev/shm") / f"tad-prize-{os.getpid()}"
    shm.write_text("the prize")
    shm.chmod(0o666)
    os.environ["TAD_PRIZE"] = "the prize"
    libc = CDLL(None)
    segment = libc.shmget(SHM_KEY, 4096, IPC_CREAT | 0o666)
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    made = Host(folder, listener, abstract, victim, shm, mailboxes)
    for server, name in ((listener, "tcp"), (abstract, "abstract"), (unix, "unix")):
        threading.Thread(target=made.watch, args=(server, name), daemon=True).start()
    yield made
    del os.environ["TAD_PRIZE"]
    victim.kill()
    victim.wait()
    libc.shmctl(segment, IPC_RMID, None)
    shm.unlink()
    for server in (listener, abstract, unix, *mailboxes):
        server.close()


def processes() -> set[str]:
    """Processes that belong to a sandbox of ours: children of this process, or of one of its uids."""
    first = slot_uids(0)[0] if slot_uids(0) else -1
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            status = dict(
                line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line
            )
        except OSError:
            continue
        ours = int(status["PPid"]) == os.getpid() and b"inside.keeper" in command
        if ours or (first > 0 and 0 <= int(status["Uid"].split()[0]) - first < 128):
            found.add(f"{entry.name} {command[:60]!r}")
    return found


def marks() -> set[str]:
    """Files in the places where anybody may leave some."""
    places = [Path(place) for place in ("/tmp", "/dev/shm", "/var/tmp", "/")]
    return {
        str(path)
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if "mark" in path.name or "flood" in path.name or "sparse" in path.name
    }


def run_all(tier: int, corpus: list[Attack], host: Host) -> list[CodeResult]:
    """Run a corpus in two sandboxes, each program among all others."""

    def work(part: list[int]) -> dict[int, CodeResult]:
        keeper = Keeper(tier)
        try:
            return {
                i: CodeJob(host.fill(corpus[i].program), corpus[i].tests, LIMITS).run(keeper) for i in part
            }
        finally:
            keeper.kill()

    with ThreadPoolExecutor(2) as threads:
        parts = threads.map(work, [range(0, len(corpus), 2), range(1, len(corpus), 2)])
        results = {i: result for part in parts for i, result in part.items()}
    return [results[i] for i in range(len(corpus))]


def test_the_corpus_is_large_enough_and_its_names_are_unique() -> None:
    assert len(CORPUS) >= 150
    assert len({attack.name for attack in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("each", [pytest.param(1, marks=pytest.mark.slow), 4], ids=["all", "every fourth"])
@pytest.mark.parametrize("number", [1, 2], ids=["tier1", "tier2"])
def test_no_hostile_program_passes_or_reaches_the_host(number: int, each: int, host: Host) -> None:
    require(number)
    before_processes, before_marks = processes(), marks()
    corpus = [attack for attack in CORPUS if number in attack.tiers][::each]
    results = run_all(number, corpus, host)
    passed = [
        attack.name
        for attack, result in zip(corpus, results, strict=True)
        if result.verdict is Verdict.PASSED
    ]
    assert passed == []
    wrong = [
        f"{attack.name}: {result.verdict} ({result.reason}), expected {sorted(attack.expected)}"
        for attack, result in zip(corpus, results, strict=True)
        if result.verdict not in attack.expected
    ]
    assert wrong == [], "\n".join(wrong)
    assert host.visitors == []
    assert host.letters() == []
    assert host.victim.poll() is None
    assert (host.folder / "secret").read_text() == "the prize"
    assert {path.name for path in host.folder.iterdir()} == {"secret", "socket", "mailbox"}
    assert host.shm.read_text() == "the prize"
    assert marks() == before_marks
    assert processes() - before_processes == set()


@pytest.mark.parametrize("number", [1, 2], ids=["tier1", "tier2"])
def test_a_correct_program_passes_the_tests_that_the_hostile_ones_face(number: int, host: Host) -> None:
    require(number)
    honest = [
        Attack("square", "def f(x): return x * x", frozenset({Verdict.PASSED})),
        Attack("reach", escapes.ATTACKS[0].program.replace("prize()", "1 + 1"), frozenset({Verdict.PASSED})),
    ]
    # With the prize within reach the program of the corpus passes: its failure above means something.
    results = run_all(number, honest[:1], host)
    assert results[0].verdict is Verdict.PASSED
