"""kill -9 at random times, on workers, the flow process and the server; then every shard is there exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.drills.common import (
    alive,
    begun,
    content,
    environment,
    family,
    leftovers,
    start,
    tree_of,
    wait_until,
    workers_below,
    write,
)
from tests.drills.prefect_server import Server

COMMAND = "tests.drills.run"


class Drill:
    """The run under attack: it is started, attacked, and gone on with."""

    def __init__(self, folder: Path, server: Server, shards: int, workers: int, shard_s: float) -> None:
        self.folder, self.server, self.shards = folder, server, shards
        self.store = folder / "store"
        self.config = write(tree_of(str(self.store), shards, workers=workers), folder)
        self.env = environment(folder, "flow", shard_s, PREFECT_API_URL=server.url)
        self.run: subprocess.Popen[bytes] | None = None
        self.seen: set[psutil.Process] = set()
        self.lost = 0

    def go_on(self) -> None:
        """Start it, or resume what was killed; nothing if it is running."""
        if self.run is not None and self.run.poll() is None:
            return
        words = ["collect", self.config] if self.run is None else ["resume", self.config]
        self.run = start(COMMAND, words, self.env, self.folder / "flow.log")

    def finished(self) -> set[str]:
        return {f.stem for f in self.store.glob("collect/*/privileged-*.json")}

    def in_flight(self) -> set[str]:
        return set(begun(self.folder)) - self.finished()

    def wait_for_work(self) -> None:
        """Until another shard is finished while a worker is busy, or all is done."""
        before, all_done = len(self.finished()), self.shards

        def ready() -> bool:
            if self.run is not None and self.run.poll() not in (None, 0):
                self.go_on()  # the server was away when it started
            done = len(self.finished())
            return done == all_done or (done > before and bool(self.in_flight()))

        wait_until(ready, 600, "a shard")
        self.seen |= set(family(self.run.pid))

    def kill_worker(self, rng: random.Random) -> str:
        workers = workers_below(self.run.pid)
        if not workers:
            return "no worker"
        self.lost += 1
        rng.choice(workers).kill()
        return "worker"

    def kill_flow(self) -> str:
        children = workers_below(self.run.pid)
        self.run.send_signal(signal.SIGKILL)
        self.run.wait()
        wait_until(lambda: not any(map(alive, children)), 30, "the end of workers without their parent")
        self.lost += len(self.in_flight())
        return "flow"

    def kill_server(self, rng: random.Random) -> str:
        self.server.kill()
        time.sleep(3 * rng.random())
        self.server.start()
        return "server"

    def end(self) -> None:
        """Go on to the end, undisturbed."""
        for _ in range(3):
            self.go_on()
            if self.run.wait(timeout=900) == 0:
                return
        pytest.fail((self.folder / "flow.log").read_text()[-4000:])

    def check(self) -> None:
        """Everything that has to hold afterwards."""
        count = begun(self.folder)
        repeated = sum(count.values()) - self.shards
        print(
            f"{self.shards} shards, begun {sum(count.values())}, repeated {repeated}, lost in flight {self.lost}"
        )
        assert len(count) == self.shards and len(self.finished()) == self.shards
        assert repeated <= self.lost
        assert leftovers(self.store) == []
        assert not [p for p in self.seen if alive(p)]
        assert content(str(self.store)) == self.undisturbed()

    def undisturbed(self) -> dict[str, bytes]:
        """The same collection by one process of the library."""
        folder = self.folder / "undisturbed"
        folder.mkdir()
        config = write(tree_of(str(folder / "store"), self.shards, workers=1), folder)
        host = start("tests.drills.hosts", [config], environment(folder, "x", shard_s=0), folder / "log")
        assert host.wait(timeout=600) == 0, (folder / "log").read_text()[-2000:]
        return content(str(folder / "store"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_rounds_of_kill_minus_nine(tmp_path: Path) -> None:
    rng = random.Random(os.environ.get("DRILL_SEED", "7"))
    with Server(tmp_path) as server:
        automate(server)
        drill = Drill(tmp_path, server, shards=200, workers=4, shard_s=2.0)
        killed = []
        try:
            for _ in range(int(os.environ.get("DRILL_ROUNDS", "20"))):
                drill.go_on()
                drill.wait_for_work()
                time.sleep(2 * rng.random())
                target = rng.choice(["worker", "worker", "flow", "server"])
                what = {
                    "worker": lambda: drill.kill_worker(rng),
                    "flow": drill.kill_flow,
                    "server": lambda: drill.kill_server(rng),
                }
                killed.append(what[target]())
                print(f"round {len(killed)}: {killed[-1]}, {len(drill.finished())} shards done", flush=True)
            assert len(drill.finished()) < drill.shards, "all faults fell into the work"
            drill.end()
        finally:
            if drill.run is not None and drill.run.poll() is None:
                os.killpg(drill.run.pid, signal.SIGKILL)
                drill.run.wait()
        drill.check()
        assert {"worker", "flow", "server"} <= set(killed)
        wait_until(
            lambda: not {"Running", "Pending"} & set(server.flow_states()), 420, "the end of every run"
        )
        states = server.flow_states()
        print(states)
        assert states["Crashed"] == killed.count("flow") and states["Completed"] == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_shards_do_not_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    """Killed for as long as the shards take, which is 15 s; then it is back, and the run tells it how it ended."""
    with Server(tmp_path) as server:
        drill = Drill(tmp_path, server, shards=60, workers=2, shard_s=0.5)
        try:
            drill.go_on()
            drill.wait_for_work()
            server.kill()
            before, killed = len(drill.finished()), time.monotonic()
            wait_until(lambda: len(drill.finished()) == 60, 120, "the other shards")
            took = time.monotonic() - killed
            server.start()
            assert drill.run.wait(timeout=600) == 0, (tmp_path / "flow.log").read_text()[-4000:]
        finally:
            if drill.run.poll() is None:
                os.killpg(drill.run.pid, signal.SIGKILL)
                drill.run.wait()
        print(f"{60 - before} shards without a server in {took:.1f} s")
        drill.check()
        assert server.flow_states() == {"Completed": 1}


def automate(server: Server) -> None:
    """The shipped automation, as `make deploy` puts it."""
    from flows.automation import heartbeat_automation

    with server.client() as client:
        client.request("POST", "/automations/", json=heartbeat_automation().model_dump(mode="json"))
