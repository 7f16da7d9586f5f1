"""TAD as a library: temporal-aware trajectory self-distillation of masked diffusion language models.

What is listed in ``__all__`` stays as it is from version to version; docs/library.md uses all of it. A name's module is
imported when the name is first asked for, so that ``import tad`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tad_core import __version__ as __version__

if TYPE_CHECKING:
    from tad_core.artifacts import Store as Store
    from tad_core.checkpoint import load_tokenizer as load_tokenizer
    from tad_core.config import ModelConfig as ModelConfig
    from tad_core.config import SourceConfig as SourceConfig
    from tad_core.config import load_config as load_config
    from tad_core.data.problem import Problem as Problem
    from tad_core.data.prompts import student_prompt as student_prompt
    from tad_core.data.prompts import teacher_prompt as teacher_prompt
    from tad_core.data.responses import end_ids as end_ids
    from tad_core.data.responses import response_text as response_text
    from tad_core.data.sources import load_problems as load_problems
    from tad_core.decoding import DecodeSpec as DecodeSpec
    from tad_core.decoding import decode as decode
    from tad_core.evaluation.aup import aup as aup
    from tad_core.models.loading import load_model as load_model
    from tad_core.objectives.tad import hard_loss as hard_loss
    from tad_core.objectives.tad import soft_loss as soft_loss
    from tad_core.rollout.engine import RolloutRequest as RolloutRequest
    from tad_core.rollout.engine import RolloutSpec as RolloutSpec
    from tad_core.rollout.engine import rollout as rollout
    from tad_core.stages.pipeline import run_pipeline as run_pipeline
    from tad_core.trajectory.states import partition as partition
    from tad_core.trajectory.states import state_at as state_at
    from tad_core.verify import Verifier as Verifier

_HOME = {
    "DecodeSpec": "tad_core.decoding",
    "ModelConfig": "tad_core.config",
    "Problem": "tad_core.data.problem",
    "RolloutRequest": "tad_core.rollout.engine",
    "RolloutSpec": "tad_core.rollout.engine",
    "SourceConfig": "tad_core.config",
    "Store": "tad_core.artifacts",
    "Verifier": "tad_core.verify",
    "aup": "tad_core.evaluation.aup",
    "decode": "tad_core.decoding",
    "end_ids": "tad_core.data.responses",
    "hard_loss": "tad_core.objectives.tad",
    "load_config": "tad_core.config",
    "load_model": "tad_core.models.loading",
    "load_problems": "tad_core.data.sources",
    "load_tokenizer": "tad_core.checkpoint",
    "partition": "tad_core.trajectory.states",
    "response_text": "tad_core.data.responses",
    "rollout": "tad_core.rollout.engine",
    "run_pipeline": "tad_core.stages.pipeline",
    "soft_loss": "tad_core.objectives.tad",
    "state_at": "tad_core.trajectory.states",
    "student_prompt": "tad_core.data.prompts",
    "teacher_prompt": "tad_core.data.prompts",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tad' has no attribute {name!r}; it has {', '.join(_HOME)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
