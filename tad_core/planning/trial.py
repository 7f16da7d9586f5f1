"""How fast this machine is at a forward of the model, tried in about a second."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from tad_core.config import TADConfig
from tad_core.errors import TADError
from tad_core.planning.counts import Counts
from tad_core.planning.speeds import Pace, Speeds
from tad_core.shapes import Shape
from tad_core.workers.devices import cpu_workers, threads_per_worker

if TYPE_CHECKING:
    from tad_core.models.base import DiffusionLM

#: A trial takes about so long, and so many forwards at the least.
_TRIAL_S, _FORWARDS = 1.0, 4
#: Times the computing time that a trial takes on a machine that does something else as well.
_BUSY = 1.3
#: What the source of a pace ends with that was tried on such a machine.
BUSY = ", busy"
#: Parameters of a model that is tried on a CPU without being asked to: 2 GB in float32.
_LIGHT = 500_000_000


def filled_in(speeds: Speeds, trial: Pace) -> Speeds:
    """What is known, with a trial in the place of what is not."""
    return replace(
        speeds,
        rollout=speeds.rollout or trial,
        train=speeds.train or trial,
        decode=speeds.decode or trial,
        calibrate=speeds.calibrate or speeds.decode or trial,
    )


def is_light(shape: Shape) -> bool:
    """Whether a CPU loads and runs the model in a moment, so that it may be tried without being asked to."""
    return shape.parameters <= _LIGHT


def tried_on_a_cpu(config: TADConfig, shape: Shape, counts: Counts) -> Pace | None:
    """``try_out`` where nobody asked for it; None where the model is not here or cannot be loaded."""
    try:
        return try_out(config, shape, counts)
    except TADError:  # of what a run would refuse the plan speaks elsewhere
        return None


def try_out(config: TADConfig, shape: Shape, counts: Counts) -> Pace:
    """Time forwards of one batch on the configured device for about a second; loads the model.

    Of one thread of a CPU the time that it computes counts, so that what else runs there does not.

    Raises:
        ModelError: the checkpoint is not here.
    """
    import torch

    from tad_core.models.loading import load_model, threads_kept

    with threads_kept():
        model = load_model(config.model)
        if model.device.type == "cpu":  # as one of the processes that share the cores
            workers = config.rollout.workers or cpu_workers(config.model)
            torch.set_num_threads(config.model.threads or threads_per_worker(workers))
        return _timed(model, config, shape, counts)


def _timed(model: DiffusionLM, config: TADConfig, shape: Shape, counts: Counts) -> Pace:
    import torch

    from tad_core.decoding.room import slots_for
    from tad_core.models.batching import at_once

    tokens = round(counts.teacher) + config.rollout.response_length
    rollout = config.rollout
    slots = slots_for(
        model, rollout.batch_size, round(counts.teacher), rollout.response_length, rollout.block_length, False
    )
    batch = at_once(model.device.type, slots)
    ids_BL = torch.full((batch, tokens), model.mask_token_id, device=model.device)
    mask_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    # On a busy machine the time of a clock is that of all that runs; of a thread its own is known.
    alone = model.device.type == "cpu" and torch.get_num_threads() == 1
    walls: list[float] = []
    own: list[float] = []
    with torch.inference_mode():
        while len(walls) < _FORWARDS or sum(walls) < _TRIAL_S:
            started, used = time.perf_counter(), time.thread_time()
            hidden_BLD = model.hidden(ids_BL, mask_BL)
            model.head(hidden_BLD[:, -config.rollout.block_length :])
            if ids_BL.is_cuda:
                torch.cuda.synchronize()
            walls.append(time.perf_counter() - started)
            own.append(time.thread_time() - used)
    work = shape.forward(tokens, config.rollout.block_length, batch)
    source = f"tried now, {len(walls)} forwards"
    if alone and sum(walls) > _BUSY * sum(own):
        source += BUSY
    return Pace(work / median(own if alone else walls), source)
