"""The wheel stands alone: built, unpacked into an environment outside the checkout, used from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git has, so that nothing of this folder helps."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-c", "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])",
         str(out)], cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the wheel and what it needs, and without this checkout."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(place), "platbase": str(place)}))
    zipfile.ZipFile(wheel).extractall(there)
    # A folder named so is searched, and the editable installation in it is not followed.
    (there / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "python"


def tad(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(python), "-m", "flows.cli", *words], cwd=folder, env=clean, text=True, capture_output=True,
        timeout=800,
    )  # fmt: skip


def test_it_holds_configurations_model_and_deployment_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "assets", "configs", "deployments"], cwd=ROOT, check=True, capture_output=True, text=True
    )  # fmt: skip
    assert {f"tad_core/shipped_files/{name}" for name in tracked.stdout.split()} <= names
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/", "findings/"))]


def test_commands_work_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(python), "-c", "import tad_core; print(tad_core.__file__)"], cwd=tmp_path, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert str(python.parents[1]) in where.stdout
    done = tad(python, tmp_path / "a", "init", "mine")
    assert done.returncode == 0, done.stderr
    done = tad(python, tmp_path / "a", "check", "mine/config.yaml")
    assert done.returncode == 0, done.stderr
    done = tad(python, tmp_path / "b", "files", ".")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "b").iterdir()} == {"assets", "configs", "deployments"}
    done = tad(python, tmp_path / "b", "check", "configs/demo.yaml")
    assert done.returncode == 0, done.stderr
    again = tad(python, tmp_path / "b", "files", ".")
    assert again.returncode == 2 and "assets is there already" in again.stderr


@pytest.mark.slow
def test_the_demo_runs_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    small = {
        "data.0.count": 8, "rollout.compare_plain": 0, "calibrate.states": 8, "distill.max_steps": 2,
        "distill.global_batch_size": 4, "distill.micro_batch_size": 4, "evaluate.tasks.0.count": 3,
    }  # fmt: skip
    settings = [w for name, value in small.items() for w in ("--set", f"{name}={value}")]
    done = tad(python, tmp_path / "c", "demo", *settings)
    assert done.returncode == 0, done.stderr + done.stdout
    assert list((tmp_path / "c" / "runs").rglob("report.md"))
