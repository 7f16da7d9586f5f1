"""``tad doctor``: is this machine fit, and what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.text import Text

from flows.terminal import plain_console, plain_table
from tad_core.artifacts.cache import cache_place
from tad_core.artifacts.durable import check_place, nearest
from tad_core.errors import ConfigError, TADError
from tad_core.workers.devices import cores

State = Literal["ok", "warning", "problem"]

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "prefect",
    "fastapi",
    "pyarrow",
    "math-verify",
    "lm-eval",
)
_STYLE = {"ok": "green", "warning": "yellow", "problem": "red"}
_LEAST_FREE_GIB = 5.0
_FASTAPI_BELOW = (0, 151)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def print_findings(store: str) -> bool:
    """Print all findings; True if none is a problem."""
    findings = list(examine(store))
    table = plain_table("what", "state", "found", "remedy")
    for f in findings:
        table.add_row(f.what, Text(f.state, style=_STYLE[f.state]), f.detail, f.remedy)
    plain_console().print(table)
    return all(f.state != "problem" for f in findings)


def examine(store: str) -> Iterator[Finding]:
    """All findings, in the order they are shown."""
    good = sys.version_info >= (3, 11)
    yield Finding(
        "python",
        "ok" if good else "problem",
        platform.python_version(),
        "" if good else "use Python 3.11 or newer",
    )
    yield from _packages()
    yield _processors()
    yield _gpus()
    yield _disk(store)
    yield _sandbox()
    yield _server()


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "problem", "not installed", "make env")
            continue
        if name == "fastapi" and tuple(int(part) for part in found.split(".")[:2]) >= _FASTAPI_BELOW:
            yield Finding(name, "problem", f"{found}: Prefect's server does not start", "make env")
        else:
            yield Finding(name, "ok", found)


def _processors() -> Finding:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    detail = f"{cores()} cores, {memory_gib:.0f} GiB memory"
    if memory_gib < 7:
        return Finding("cpu", "warning", detail, "8 GiB are needed for the demo; lower rollout.workers to 1")
    return Finding("cpu", "ok", detail)


def _gpus() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("gpu", "warning", "none", "fine for configs/demo.yaml; larger models need one")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    free, total = torch.cuda.mem_get_info()
    return Finding("gpu", "ok", f"{', '.join(names)}; {free >> 30} of {total >> 30} GiB free on the first")


def _disk(store: str) -> Finding:
    """Of the store, or where that is remote of this host's own folder."""
    remote = "://" in store
    folder, name = (cache_place(), "TAD_CACHE") if remote else (Path(store), "--store")
    try:
        check_place(folder, name)
    except ConfigError as error:
        return Finding("disk", "problem", str(error))
    there = nearest(folder)
    free_gib = shutil.disk_usage(there).free / 2**30
    where = f"free at {there}" + f", for copies of what is in {store}" * remote
    if free_gib < _LEAST_FREE_GIB:
        return Finding("disk", "warning", f"{free_gib:.1f} GiB {where}", f"free space, or use another {name}")
    return Finding("disk", "ok", f"{free_gib:.0f} GiB {where}")


def _sandbox() -> Finding:
    from tad_core.verify import detect_tier

    try:
        report = detect_tier()
    except TADError as error:
        return Finding("sandbox", "problem", str(error))
    detail = "; ".join([report.name, *report.problems])
    states: dict[int, State] = {1: "ok", 2: "warning"}
    return Finding("sandbox", states.get(report.tier, "problem"), detail, report.remedy)


def _server() -> Finding:
    from flows.environment import check_server, settle

    settle()
    try:
        url = check_server()
    except TADError as error:
        return Finding("prefect server", "problem", str(error))
    if url is None:
        return Finding("prefect server", "ok", "none set: each run starts a temporary one")
    return Finding("prefect server", "ok", url)
