"""Every stage of a run on 1, 2, 4, 8 GPUs of a host: rates, their ratio to one GPU, memory, and what the plan had said.

Random weights of the full shape, and as few problems as keep every process busy. Collection and evaluation go through
the pool that a run uses; its processes have loaded the model and compiled before the clock starts, since that is paid
once and not by the shard. Distillation is both models in one pass and one model (plain data parallel, layers recorded),
and one model with ZeRO-2; of a training the median step counts. What the stages make must not depend on the number of
processes: trajectories and answers are compared. Markdown on stdout, for docs/results/scale.md.

    python benchmarks/scale.py --gpus 1,2,4,8 --work /scratch/scale           # about 20 GB of disk
    python benchmarks/scale.py --gpus 1,2,4,8 --work /tmp/scale --size tiny   # so many processes of a CPU
    … --kill                                                                  # and kill one half way
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import machine, write_checkpoint  # noqa: E402
from scale_stages import Measured, Setup, answers_of, collect, distil, evaluate, trajectories  # noqa: E402

if TYPE_CHECKING:
    from tad_core.workers.pool import Pool

STAGES = ("collect", "evaluate", "distil two", "distil one", "distil zero2")

# --- a process dies ---------------------------------------------------------------------------------------


def killed(setup: Setup, pool: Pool, whole: dict[str, Measured]) -> dict[str, str]:
    """Collection and evaluation again, each with a process killed half way and run again: what was done twice."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import collect as run_collect
    from tad_core.stages.evaluate import evaluate as run_evaluate

    config = setup.config("killed")
    shutil.rmtree(config.store, ignore_errors=True)
    store = Store(config.store)
    told = {}
    for stage, run, made in (
        ("collect", lambda: run_collect(config, store, pool=pool), trajectories),
        ("evaluate", lambda: run_evaluate(config, "base", None, store, pool=pool), answers_of)
    ):  # fmt: skip
        before = pieces(Path(config.store))
        error = half_way(run, pool, Path(config.store), before)
        kept = pieces(Path(config.store))
        ref = run()
        again = sum(kept[name] != at for name, at in pieces(Path(config.store)).items() if name in kept)
        same = made(ref) == whole[stage].made
        told[stage] = (
            f"killed with {len(kept) - len(before)} pieces done ({error}); {again} of them made again; "
            f"{'the same' if same else 'NOT THE SAME'} as undisturbed"
        )
    return told


def half_way(run: Callable[[], Any], pool: Pool, store: Path, before: dict[str, int]) -> str:
    """Run it, and kill one of the pool's processes when a few pieces are there; what the run ended with."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            if len(pieces(store)) - len(before) >= max(1, len(pool.pids())):
                with contextlib.suppress(psutil.Error, IndexError):
                    psutil.Process(pool.pids()[-1]).kill()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    from tad_core.errors import TADError

    try:
        run()
        return "it ended all the same"
    except TADError as error:
        return type(error).__name__
    finally:
        stop.set()
        thread.join()


def pieces(store: Path) -> dict[str, int]:
    """Manifests of shards and slices in a store, and when each was written, in nanoseconds."""
    return {
        str(f.relative_to(store)): f.stat().st_mtime_ns
        for f in store.glob("**/*-[0-9]*.json")
        if "leases" not in f.parts
    }


# --- all of it ----------------------------------------------------------------------------------------------


def measure(setup: Setup, only: list[str]) -> dict[str, Measured]:
    """Every stage at one number of processes."""
    from tad_core.workers.pool import Pool

    found: dict[str, Measured] = {}
    shutil.rmtree(setup.work, ignore_errors=True)
    with Pool(setup.config().model) as pool:
        if decoding := {"collect", "evaluate"} & set(only):
            warm(setup, pool)
        if decoding or setup.processes == setup.options.gpus[0]:  # training needs rows
            found["collect"] = collect(setup, pool)
            say(setup, "collect", found)
        if "evaluate" in only:
            found["evaluate"] = evaluate(setup, pool)
            say(setup, "evaluate", found)
        if setup.options.kill and setup.processes == max(setup.options.gpus):
            for stage, text in killed(setup, pool, found).items():
                print(f"{stage}, {setup.processes} processes: {text}\n", flush=True)
    if not decoding:  # it was not warm: no rate
        found.pop("collect", None)
    for name in ("distil two", "distil one", "distil zero2"):
        if name in only:
            found[name] = distil(setup, name.removeprefix("distil "))
            say(setup, name, found)
    return found


def warm(setup: Setup, pool: Pool) -> None:
    """Every process loads the model and decodes a shard of each stage's size."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import collect as run
    from tad_core.stages.evaluate import evaluate as run_evaluate

    shard = max(1, setup.options.samples // setup.options.shards)
    config = setup.config("warm", problems=setup.processes * max(2, shard))
    store = Store(config.store)
    run(config, store, pool=pool)
    run_evaluate(config, "base", None, store, pool=pool)


def say(setup: Setup, name: str, found: dict[str, Measured]) -> None:
    """How far it is, on stderr."""
    one = found[name]
    print(f"{setup.processes}: {name} {one.rate:.3f}/s, {one.took_s:.1f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Write the checkpoint, measure, print the tables."""
    options = read_options()
    os.environ["HF_HUB_OFFLINE"] = "1"
    model = Path(options.work).resolve() / f"llada-{options.size}" / "model"
    if not (model / "config.json").exists():
        write_checkpoint(model, "llada", options.size)
    print(f"`python benchmarks/scale.py {' '.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}\n")
    print(f"{json.dumps(machine())}\n", flush=True)
    found = {count: measure(Setup(options, count), options.only) for count in options.gpus}
    table(found)


def table(found: dict[int, dict[str, Measured]]) -> None:
    """Rates and ratios by stage, memory, and whether all made the same."""
    counts = list(found)
    print("| stage | " + " | ".join(f"{n}: a second, ratio, peak MiB" for n in counts) + " | same |")
    print("|---|" + "---|" * (len(counts) + 1))
    for stage in STAGES:
        cells = []
        having = [n for n in counts if stage in found[n]]
        if not having:
            continue
        first = found[having[0]][stage]
        for n in counts:
            one = found[n].get(stage)
            if one is None:
                cells.append("not run")
                continue
            planned_s = f", plan {one.planned_s:.0f} s, took {one.took_s:.0f}" if one.planned_s else ""
            peak = "/".join(map(str, one.memory_mib)) or "?"
            cells.append(f"{one.rate:.2f}, {one.rate / first.rate:.2f} x, {peak}{planned_s}")
        same = all(found[n][stage].made == first.made for n in having)
        print(f"| {stage} | " + " | ".join(cells) + f" | {'yes' if same else 'no'} |", flush=True)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--work", required=True, help="folder of everything written")
    parser.add_argument("--samples", type=int, default=1024, help="to collect; half as many are evaluated")
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--response", type=int, default=64, help="tokens of a response")
    parser.add_argument("--cache", choices=["none", "dual"], default="dual")
    parser.add_argument("--steps", type=int, default=12, help="of distillation")
    parser.add_argument("--global-batch", type=int, default=32)
    parser.add_argument(
        "--kill", action="store_true", help="kill a process of the largest number in each stage"
    )
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
