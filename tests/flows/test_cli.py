"""What a user meets: help, messages, exit codes. Wrong input ends before Prefect is even imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from tad_core.artifacts.runs import begin, end
from tad_core.config import parse_config
from tests.waiting import CEILING_S

ROOT = Path(__file__).resolve().parents[2]
Tree = dict[str, Any]


@pytest.fixture
def tree(make_tree: Callable[[Path], Tree], tmp_path: Path) -> Tree:
    return make_tree(tmp_path / "store")


@pytest.fixture
def call(tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run a command on the tree as it then is; Prefect must not be reached."""

    def refuse(*_: Any) -> None:
        raise AssertionError("Prefect was reached")

    monkeypatch.setattr("flows.running._under_prefect", refuse)

    def run(*words: str, command: str = "run") -> tuple[int, str]:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(tree))
        result = CliRunner().invoke(app, [command, str(file), *words])
        return result.exit_code, result.output

    return run


def test_help_lists_every_command_with_examples() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for word in (
        "run",
        "collect",
        "filter",
        "calibrate",
        "distill",
        "evaluate",
        "report",
        "status",
        "doctor",
    ):
        assert word in result.output
    assert "tad run configs/demo.yaml" in result.output and "130" in result.output


def test_the_version_is_one_everywhere() -> None:
    import tomllib

    import tad_core

    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0 and result.output.split() == ["tad", tad_core.__version__]
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    # Not read from the package: images build their environment before they have its code.
    assert project["project"]["version"] == tad_core.__version__


def test_a_shell_completes_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"_TAD_COMPLETE": "complete_bash", "COMP_WORDS": "tad pl", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="tad", env=asked)
    assert result.output.split() == ["plan"]


def test_help_and_status_load_neither_torch_nor_prefect() -> None:
    code = (
        "import sys, flows.cli, flows.status, tad_core.stages.status\n"
        "sys.exit(', '.join({'torch', 'transformers', 'prefect'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_key_names_the_nearest(call: Any, tree: Tree) -> None:
    tree["rollout"]["block_lenght"] = 8
    code, output = call()
    assert code == 2 and "rollout.block_lenght" in output and "did you mean block_length?" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "rollout.seed"], "section.field=value"),
        (["--set", "rollout.seed=-1"], "rollout.seed"),
        (["--force", "colect"], "use one of collect, filter"),
    ],
)
def test_a_wrong_option_is_told(call: Any, words: list[str], told: str) -> None:
    code, output = call(*words)
    assert code == 2 and told in output


def test_a_stage_that_a_command_does_not_come_to_is_not_forced(call: Any) -> None:
    code, output = call("--force", "distill", command="filter")
    told = " ".join(output.split())
    assert code == 2 and "--force: distill comes after filter, with which this run ends" in told
    assert "name one of collect, filter, or run to distill" in told


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        ("plan", ["--gpus", "4"], "--gpus: 4 given, and it is read with --gpu alone"),
        ("plan", ["--gpu", "h100", "--measure"], "--measure: times this machine, and --gpu h100 plans for another"),
        ("collect-worker", ["--host", "2", "--hosts", "2"], "--host: 2 is none of --hosts 2; use 0 to 1"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_told(
    call: Any, command: str, words: list[str], told: str
) -> None:
    code, output = call(*words, command=command)
    assert code == 2 and told in " ".join(output.split())


def test_a_missing_config_is_told() -> None:
    result = CliRunner().invoke(app, ["run", "nothing.yaml"])
    assert result.exit_code == 2 and "nothing.yaml does not exist" in result.output


def test_a_missing_data_file_is_told(call: Any, tree: Tree) -> None:
    tree["data"][0]["options"]["path"] = "gone.jsonl"
    code, output = call()
    assert code == 2 and "'gone.jsonl' is not a file" in output


def test_a_run_says_at_once_what_it_does(call: Any, tree: Tree) -> None:
    tree["data"][0]["options"]["path"] = "nowhere.jsonl"
    code, output = call()
    first, *rest = output.splitlines()
    assert code == 2 and first == "tiny: checking data, model, store and this machine"
    assert rest[0].startswith("error: ")


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["serve", "nothing"], "loading torch, to serve nothing"),
        (["export", "{config}", "--model", "speed", "--out", "{folder}"], "looking for speed in the store"),
        (["study", "{config}"], "checking the study and its run"),
    ],
)
def test_what_loads_for_seconds_says_so_first(
    tree: Tree, tmp_path: Path, words: list[str], first: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(tree))
    command, *rest = (word.format(config=file, folder=tmp_path) for word in words)
    result = CliRunner().invoke(app, [command, *rest])
    assert result.exit_code == 2
    line, *more = result.stderr.splitlines()
    assert first in line and more and more[0].startswith("error: ")


def test_an_empty_data_set_is_told(call: Any, tree: Tree, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    tree["data"][0]["options"]["path"] = str(empty)
    code, output = call()
    assert code == 2 and "solvable: it is empty" in output


def test_a_missing_benchmark_file_is_told_before_collecting(call: Any, tree: Tree) -> None:
    tree["evaluate"]["tasks"][0] = {
        **tree["evaluate"]["tasks"][0],
        "options": {**tree["data"][0]["options"], "path": "gone.jsonl"},
    }
    code, output = call()
    assert code == 2 and "gone.jsonl" in output


@pytest.mark.parametrize("fault", ["missing", "no mask token", "other type"])
def test_a_wrong_checkpoint_is_told(
    fault: str, call: Any, tree: Tree, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    copy = tmp_path / "model"
    if fault != "missing":
        shutil.copytree(tiny_checkpoint, copy)
        config = json.loads((copy / "config.json").read_text())
        if fault == "no mask token":
            del config["mask_token_id"]
        else:
            config["model_type"] = "bert"
        (copy / "config.json").write_text(json.dumps(config))
    tree["model"]["path"] = str(copy)
    code, output = call()
    told = {"missing": "is not a folder", "no mask token": "no mask_token_id", "other type": "'bert'"}
    assert code == 2 and told[fault] in output


@pytest.mark.parametrize("command", ["run", "status", "check", "plan", "show"])
def test_a_store_that_cannot_be_is_told(call: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("in the way")
    code, output = call("--store", str(tmp_path / "file" / "store"), command=command)
    assert code == 2 and "file is a file); choose another folder" in output
    code, output = call("--store", "nosuch://place", command=command)
    assert code == 2 and "nosuch://, which is not known; use a folder" in output


@pytest.mark.parametrize(("command", "name"), [("init", "NAME"), ("files", "FOLDER")])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(app, [command, str(tmp_path / "file" / "mine")])
    assert result.exit_code == 2 and result.output.startswith(f"error: {name}: "), result.output
    assert "file is a file); name another folder" in result.output


def test_a_full_disk_is_told_before_any_work(call: Any, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        code, output = call("--store", str(small / "store"))
        left = [p for p in small.rglob("*") if p.is_file()]
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert code == 2 and "MiB free" in output and left == []


def test_status_counts_and_says_what_waits(call: Any, tree: Tree) -> None:
    code, output = call(command="status")
    assert code == 0
    assert "0 of 3 shards" in output and "missing" in output and "done" not in output
    assert not Path(tree["store"]).exists(), "looking leaves nothing behind"


def test_status_of_a_run_with_rounds_fits_the_line_and_cuts_no_folder(
    call: Any, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tad_core.stages.status import StageStatus

    longest, name, later = f"calibrate/{'0' * 32}", "second-of-quality", "round of quality-of-first"
    url = f"{tree['store']}/{longest}"
    seen = [
        StageStatus("collect", "a", "done", is_shard=True),
        StageStatus("calibrate", "windows", "done", url=url),
        StageStatus("collect", "a", "done", is_shard=True, part=later),
        StageStatus("collect", "all shards", "running", "on vm (process 12)", part=later),
        StageStatus("calibrate", "windows", "done", url=url, part=later),
        StageStatus("distill", name, "missing", "waits for quality-of-first, merged", part=later),
        StageStatus("evaluate", name, "missing"),
    ]
    monkeypatch.setattr("flows.status.pipeline_status", lambda *_: seen)
    monkeypatch.setenv("COLUMNS", "80")
    code, output = call(command="status")
    lines = [line.rstrip() for line in output.splitlines()]
    table = lines[1:]
    assert code == 0 and str(tree["store"]) in lines[0]
    assert max(map(len, table)) <= 80 and sum(line.endswith(longest) for line in table) == 2
    assert [line for line in table if line in (later, "all models")] == [later, "all models"]
    assert sum(line.startswith("stage ") for line in table) == 1
    assert "all shards running on vm (process 12)" in " ".join(output.split())


def test_status_says_who_has_a_shard(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tad_core.stages.status import StageStatus

    seen = [
        StageStatus("collect", "privileged-00000-00004", "done", is_shard=True),
        StageStatus("collect", "privileged-00004-00008", "missing", is_shard=True),
        StageStatus("collect", "privileged-00008-00012", "running", "vm (process 12)", is_shard=True),
        StageStatus("collect", "all shards", "missing"),
    ]
    monkeypatch.setattr("flows.status.pipeline_status", lambda *_: seen)
    code, output = call(command="status")
    flat = " ".join(output.split())
    assert code == 0 and "1 of 3 shards running" in flat
    assert "privileged-00008-00012 running on vm (process 12)" in flat


def test_status_says_whether_it_is_being_run_and_how_the_last_run_ended(call: Any, tree: Tree) -> None:
    config = parse_config(tree).model_dump(mode="json")
    record = begin(tree["store"], config, "report")
    assert f"running now: to report, process {os.getpid()} of " in " ".join(call(command="status")[1].split())
    begin(tree["store"], {**config, "name": "other"}, "collect")
    end(tree["store"], record, "failed", "the disk is full")
    told = " ".join(call(command="status")[1].split())
    assert "last run: to report, of 2" in told and "failed: the disk is full; the same command, or" in told
    end(tree["store"], record, "done")
    assert "run:" not in call(command="status")[1]


@pytest.mark.parametrize("name", ["runs[red]", "runs:x:100:b:"])
def test_names_are_printed_as_they_are(name: str, call: Any, tree: Tree, tmp_path: Path) -> None:
    """A folder may be called as a terminal's markup or one of its emoji is."""
    tree["store"] = str(tmp_path / name)
    code, output = call(command="status")
    assert code == 0 and name in "".join(output.split())


def test_status_names_rows_that_are_left_out(call: Any, tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"question": "1+1?", "answer": "#### 2"}\nno json\n')
    options = {"path": str(file)}
    tree["data"] = [{"name": "own", "source": "jsonl", "min_count": 1, "options": options}]
    code, output = call(command="status")
    assert code == 0 and "left out of own: 1 row, not JSON (own.jsonl:2)" in " ".join(output.split())


def test_output_that_nobody_reads_ends_a_command_in_silence(tree: Tree, tmp_path: Path) -> None:
    """As behind ``| head``."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flows.cli", "plan", str(file), "--gpu", "h200", "--no-data", "--json"]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=CEILING_S
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_unexpected_error_is_one_line_unless_asked(call: Any) -> None:
    code, output = call()  # everything is right, so the forbidden Prefect is reached
    assert code == 1 and "unexpected AssertionError: Prefect was reached" in output
    assert "Traceback" not in output
    assert "Traceback" in call("--debug")[1]


@pytest.mark.parametrize("command", [["generate"], ["check"], ["serve"]])
def test_a_name_that_no_file_has_is_one_message(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, 300 * "a", *(["hi"] if command == ["generate"] else [])])
    assert done.exit_code == 2
    assert "no file or folder has so long a name (255 bytes at most); give another" in done.output.replace(
        "\n", " "
    )


def test_a_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.environment import check_server
    from tad_core.errors import ConfigError

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:9/api does not answer"),
    ):
        check_server()


def test_doctor_finds_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from flows import doctor

    found = {f.what: f for f in doctor.examine(str(tmp_path / "store"))}
    assert {"python", "torch", "fastapi", "cpu", "gpu", "disk", "sandbox", "prefect server"} <= set(found)
    assert found["python"].state == found["fastapi"].state == "ok"
    assert all(f.remedy for f in found.values() if f.state == "problem" and f.what != "prefect server")
    monkeypatch.setattr(doctor, "version", lambda name: "0.155.0")
    wrong = {f.what: f for f in doctor._packages()}["fastapi"]
    assert wrong.state == "problem" and wrong.remedy == "make env"
