"""Who may import whom, read from the sources; and that the library works without Prefect."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Parts of tad_core, low to high: each may import its own level and those below.
LEVELS = [
    {"errors", "extras", "rng", "settings", "progress", "signals", "fitting", "windows", "trees", "presence"},
    {
        "config",
        "artifacts",
        "base",
        "checkpoint",
        "families",
        "hub",
        "hub_client",
        "weights",
        "tokens",
        "shapes",
        "shipped",
    },
    {"models", "data", "trajectory"},
    {"decoding", "verify"},
    {"rollout", "workers", "objectives", "training", "evaluation", "calibration", "pretraining"},
    {"report"},
    {"stages"},
    {"planning", "serving", "study"},
]
#: The tree of settings holds the verifier's, which live beside what they set; the worker process runs stages.
EXCEPTIONS = {
    ("tad_core.config.tree", "tad_core.verify.config"),
    # What counts as a box or as a #### answer is decided in one place, which reads text and nothing else.
    ("tad_core.data.sources.gsm8k", "tad_core.verify.extract"),
    ("tad_core.data.sources.math", "tad_core.verify.extract"),
    ("tad_core.data.sources.kodcode", "tad_core.verify.definitions"),
    ("tad_core.data.sources.table", "tad_core.verify.extract"),
    ("tad_core.workers.process", "tad_core.stages.collect"),
    ("tad_core.workers.process", "tad_core.stages.calibrate"),
    ("tad_core.workers.process", "tad_core.stages.rounds"),
}


def modules() -> dict[str, Path]:
    found = {}
    for package in ("tad_core", "tasks", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Everything a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def level(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "tad_core" or len(parts) < 2:
        return None
    return next((i for i, names in enumerate(LEVELS) if parts[1] in names), None)


def test_every_part_has_a_level() -> None:
    assert [m for m in modules() if m.startswith("tad_core.") and level(m) is None] == []


@pytest.mark.parametrize("package", ["tad_core", "tasks", "flows"])
def test_nothing_imports_upwards(package: str) -> None:
    above = {"tad_core": ("tasks", "flows", "prefect"), "tasks": ("flows",), "flows": ()}[package]
    wrong = []
    for module, path in modules().items():
        if module.split(".")[0] != package:
            continue
        for imported in imports(path):
            if imported.split(".")[0] in above:
                wrong.append(f"{module} imports {imported}")
            mine, other = level(module), level(imported)
            if any(module == a and imported.startswith(b) for a, b in EXCEPTIONS):
                continue
            if mine is not None and other is not None and other > mine:
                wrong.append(f"{module} imports {imported}")
    assert wrong == []


def test_training_meets_rollout_and_evaluation_through_files_only() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in modules().items()
        if module.startswith("tad_core.training")
        for imported in imports(path)
        if imported.startswith(("tad_core.rollout", "tad_core.evaluation"))
    ]
    assert wrong == []


def test_the_library_never_loads_prefect() -> None:
    """A fresh interpreter imports every module of tad_core; imports inside functions are covered above."""
    names = [m for m in modules() if m.startswith("tad_core") and not m.endswith("__main__")]
    # Scripts that run inside the sandbox, and kernels, for which torch brings triton where it is made for GPUs.
    names = [m for m in names if ".inside" not in m and not m.endswith("_kernel")]
    code = "import importlib, sys\n" + "\n".join(f"importlib.import_module({name!r})" for name in names)
    code += "\nbad = {'prefect', 'tasks', 'flows'} & set(sys.modules)\nsys.exit(str(bad) if bad else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_deployed_run_starts_without_what_only_single_stages_need() -> None:
    code = "import sys, flows.deployed\nsys.exit(', '.join({'matplotlib', 'torch', 'lm_eval'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_supported_families_are_the_loadable_ones() -> None:
    from tad_core import families
    from tad_core.models.loading import FAMILIES

    assert set(families.FAMILIES) == set(FAMILIES)
    for kind, (config, model) in FAMILIES.items():
        assert config.model_type == kind and model.config_class is config
        assert model.family == families.FAMILIES[kind].name


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_fastapi_stays_where_prefects_server_starts() -> None:
    """From 0.151 on the server answers 422 to nulls, from 0.155 on it does not start."""

    def small(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:2])

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "fastapi>=0.139,<0.151" in wanted and "prefect==3.8.8" in wanted
    for found in (pins()["fastapi"], version("fastapi")):
        assert (0, 139) <= small(found) < (0, 151)


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins()}
    names = [re.sub(r"[-_.]+", "-", re.split(r"[<>=!;\[ ]", item)[0]).lower() for item in named]
    assert [name for name in names if name not in pinned] == []
