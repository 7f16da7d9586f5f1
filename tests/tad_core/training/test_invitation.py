"""How hosts find each other: seats are taken once, what is stale or withdrawn is passed over."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.config import DistillConfig
from tad_core.errors import ConfigError, SubprocessError
from tad_core.training import join as module
from tad_core.training.invitation import INVITATION, accept, endpoint, find, invitation, wait_for
from tad_core.training.launch import with_absolute_paths
from tad_core.training.spec import write_spec


@pytest.fixture
def first_host(monkeypatch):
    """A first host that answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(server.getsockname()[1]))
        yield server


@pytest.fixture
def make_spec(world, checkpoint, tmp_path):
    def build(nodes=3):
        spec = world.make_spec(tmp_path, checkpoint, launcher="torchrun", nodes=nodes, global_batch_size=24)
        output = tmp_path / "store" / "distill" / "f00d" / "work"
        output.mkdir(parents=True, exist_ok=True)
        spec = spec.model_copy(update={"output": str(output)})
        write_spec(spec, output / "spec.json")
        return spec, output

    return build


def test_every_seat_is_taken_once(make_spec, first_host, tmp_path):
    spec, output = make_spec()
    with invitation(spec, output) as mine:
        assert mine.number == 0 and mine.host == "127.0.0.1"
        (path,) = find(tmp_path / "store")
        assert find(output) == [path]
        taken = [accept(path) for _ in range(3)]
        assert [seat.number for _, seat in taken[:2]] == [1, 2] and taken[2] is None
        assert taken[0][0].spec == str(output / "spec.json") and taken[0][0].folder == str(Path.cwd())
    assert find(tmp_path / "store") == [] and not list(output.glob(".seat-*"))
    assert accept(path) is None  # withdrawn


def test_the_trainings_of_a_store_elsewhere_are_found_in_the_cache(
    make_spec, first_host, tmp_path, monkeypatch
):
    spec, _ = make_spec(nodes=2)
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    output = Store("memory://invitation/store").scratch("distill", "f" * 32)
    with invitation(spec, output):
        assert find(tmp_path / "cache") == [output / INVITATION]


def test_another_attempt_has_seats_of_its_own(make_spec, first_host, tmp_path):
    spec, output = make_spec(nodes=2)
    for _ in range(2):
        with invitation(spec, output):
            assert wait_for(tmp_path / "store") is not None
            assert wait_for(tmp_path / "store", poll_s=0, enough=iter([False, True]).__next__) is None


def test_a_number_from_the_scheduler_is_kept(make_spec, first_host, tmp_path):
    spec, output = make_spec()
    with invitation(spec, output):
        _, seat = wait_for(tmp_path / "store", number=2)
        assert seat.number == 2
        assert accept(output / INVITATION, 2) is None
        for wrong in (0, 3):
            with pytest.raises(ConfigError, match=r"not a place in a run of 3 hosts; use 1 to 2"):
                accept(output / INVITATION, wrong)


def test_a_host_that_does_not_answer_costs_no_seat(make_spec, first_host):
    spec, output = make_spec(nodes=2)
    with invitation(spec, output):
        first_host.close()
        assert accept(output / INVITATION) is None
        assert not list(output.glob(".seat-*"))


def test_a_run_that_fails_for_want_of_hosts_says_so(make_spec, first_host):
    spec, output = make_spec()
    with (
        pytest.raises(
            SubprocessError, match=r"3 hosts are wanted and 2 came to 127.0.0.1:\d+; run `tad join`"
        ),
        invitation(spec, output),
    ):
        assert accept(output / INVITATION)
        raise SubprocessError("training ended with status 1")
    with pytest.raises(SubprocessError, match="status 1"), invitation(spec, output):
        assert accept(output / INVITATION) and accept(output / INVITATION)
        raise SubprocessError("training ended with status 1")


def test_half_an_invitation_is_none(tmp_path):
    (tmp_path / INVITATION).write_text('{"token": "a"')
    assert accept(tmp_path / INVITATION) is None
    (tmp_path / INVITATION).write_text(json.dumps({"token": "a"}))
    assert accept(tmp_path / INVITATION) is None


def test_one_host_invites_nobody(make_spec, tmp_path):
    spec, output = make_spec(nodes=1)
    with invitation(spec, output) as seat:
        assert seat is None and not (output / INVITATION).exists()


def test_where_the_first_host_is_reached(monkeypatch):
    config = DistillConfig(rendezvous="node0:1234")
    monkeypatch.setenv("MASTER_ADDR", "other")
    assert endpoint(config) == ("node0", 1234)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    assert endpoint(DistillConfig()) == ("other", 29500)
    monkeypatch.delenv("MASTER_ADDR")
    host, port = endpoint(DistillConfig())
    assert host == socket.gethostname() and port > 0


def test_paths_of_settings_mean_the_same_on_every_host(world, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = with_absolute_paths(
        world.make_spec(tmp_path, checkpoint, launcher="torchrun", deepspeed="a/z.json")
    )
    assert spec.distill.deepspeed == str(tmp_path / "a" / "z.json") and spec.distill.hostfile is None


def test_join_may_come_before_the_store(tmp_path):
    def told(line):
        assert line.endswith("store, which is not here yet")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.join(tmp_path / "store", None, told)


def test_join_runs_its_share_and_goes_on_after_a_failure(make_spec, first_host, tmp_path, monkeypatch):
    spec, output = make_spec()
    calls = []

    def watch(command, log_file, timeout_s, on_line, folder):
        calls.append((command, log_file.name, folder))
        if len(calls) == 1:
            raise SubprocessError("training ended with status 1")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "watch", watch)
    said = []
    with invitation(spec, output), pytest.raises(KeyboardInterrupt):
        module.join(tmp_path / "store", None, said.append)
    (first, log, folder), (second, *_) = calls
    assert "--node-rank=1" in first and "--node-rank=2" in second and str(output / "spec.json") == first[-1]
    assert log == "train.node1.log" and folder == str(Path.cwd())
    assert "SubprocessError: training ended with status 1" in said


@pytest.mark.parametrize(("text", "message"), [("x", "TAD_NODE_RANK: 'x' is not a number")])
def test_join_says_what_is_wrong(tmp_path, monkeypatch, text, message):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a folder; give the store"):
        module.join(tmp_path / "file", None, print)
    with pytest.raises(
        ConfigError, match=r"folder: s3://bucket/tad is no folder; .* TAD_CACHE of the first host"
    ):
        module.join("s3://bucket/tad", None, print)
    monkeypatch.setenv(module.RANK_VARIABLE, text)
    with pytest.raises(ConfigError, match=message):
        module.join(tmp_path, None, print)
