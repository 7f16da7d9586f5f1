"""Several processes agree or fail together. The processes are forked; their messages go through gloo."""

from __future__ import annotations

import os
import socket
import threading

import psutil
import pytest
import torch.distributed as dist

from tad_core.errors import ConfigError, DataError, SubprocessError
from tad_core.training.exits import is_gone, parent_tag, when_gone
from tad_core.training.group import Group
from tests.waiting import CEILING_S


def test_here(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Group.here() == Group(0, 1) and Group.here().first
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Group.here() == Group(3, 4) and not Group.here().first


def test_one_process_needs_no_messages(tmp_path):
    group = Group(0, 1)
    assert group.gather("a") == ["a"] and group.from_first(lambda: 7) == 7
    group.check_shared(tmp_path / "not even there")
    with pytest.raises(DataError, match="mine"), group.together():
        raise DataError("mine")


@pytest.fixture
def two(world):
    """Run the same work as ranks 0 and 1; both must come to their end."""

    def run(work):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def rank(number):
            def here():
                dist.init_process_group(
                    "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=2
                )
                work(Group(number, 2))
                dist.destroy_process_group()
                return 0

            return here

        assert [world.wait(pid) for pid in [world.fork(rank(number)) for number in (0, 1)]] == [0, 0]

    return run


def test_two_processes(two, tmp_path):
    private = [tmp_path / "a", tmp_path / "b"]
    for folder in private:
        folder.mkdir()

    def work(group):
        assert group.gather(group.rank * 10) == [0, 10]
        assert group.from_first(lambda: os.getpid()) == group.gather(os.getpid())[0]
        # What fails in one is raised by all, by its own name where it has one.
        with pytest.raises(DataError, match="none kept"), group.together():
            if group.rank == 1:
                raise DataError("none kept")
        with pytest.raises(ZeroDivisionError if group.rank == 0 else SubprocessError, match="division"):
            group.from_first(lambda: 1 // 0)
        group.check_shared(tmp_path / "shared")
        group.gather(None)  # the first has cleared up by then
        assert list((tmp_path / "shared").iterdir()) == []
        with pytest.raises(ConfigError, match="is not the same folder on"):
            group.check_shared(private[group.rank])

    two(work)


def test_a_parent_is_known_by_more_than_its_number(world):
    mine = parent_tag()
    assert not is_gone(mine)
    host, number, created = mine.split(" ")
    assert is_gone(f"{host} {number} {float(created) + 5}")  # the number was given to another
    assert not is_gone(f"elsewhere {number} 0.0")  # nobody can tell
    pid = world.fork(lambda: 0)
    world.wait(pid)
    assert is_gone(f"{host} {pid} 0.0")


def test_the_end_of_a_parent_is_noticed(world):
    read_end, write_end = os.pipe()
    pid = world.fork(lambda: len(os.read(read_end, 1)))
    tag = f"{socket.gethostname()} {pid} {psutil.Process(pid).create_time()}"
    noticed = threading.Event()
    when_gone(tag, noticed.set, poll_s=0.01)
    assert not noticed.wait(0.1)
    os.write(write_end, b"x")
    world.wait(pid)
    assert noticed.wait(CEILING_S)
