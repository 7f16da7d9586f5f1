"""The training objectives there are: what each is made of, as far as settings, keys and checks have to know.

One entry an objective; its file in ``tad_core/objectives`` is loaded where something is trained, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class ObjectiveKind:
    """An objective, as seen from outside.

    Attributes:
        made_by: ``module:class`` of the objective; called with the settings, the window and whether to compile.
        trains_on: kept trajectories of the teacher, or the references of the collection's problems.
        windowed: whether it splits near tokens from distant ones, and so needs a window.
        told: what it is, for cards; a sentence without its end.
        inputs: how many it makes of a drawn state: so many times the sequences of a micro-batch.
        lacks: settings of ``distill`` that mean nothing to it, and so are no part of what is trained; in ``OBJECTIVES``
            those that others have for themselves are among them.
        own: settings of ``distill`` that it reads and that most others do not: they lack them unless they name them.
        snapshot: whether an earlier state of the adapter is run beside the one in training.
        block_causal: whether the student reads block by block (``mask_block``), in training and so when it decodes.
        version: raised where the same settings give other states or another loss, which makes its adapters' keys new.
    """

    made_by: str
    trains_on: Literal["trajectories", "references"]
    windowed: bool
    told: str
    inputs: int = 1
    lacks: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    snapshot: bool = False
    block_causal: bool = False
    version: int = 1


#: settings of the distillation loss and of the teacher, which fine-tuning on references does not have
_OF_DISTILLATION = frozenset(
    {"near", "distant", "weight_distant", "temperature", "teacher_prompt", "filled_states"}
    | {"follow", "soften_near", "emphasis"}
)
#: which trajectories are trained on, which is nothing to an objective that trains on none
_OF_TRAJECTORIES = frozenset({"trajectories", "answers"})
OBJECTIVES: dict[str, ObjectiveKind] = {
    "tad": ObjectiveKind(
        "tad_core.objectives.tad:TADObjective",
        "trajectories",
        windowed=True,
        told="Temporal-aware trajectory self-distillation (TAD)",
    ),
    "sft": ObjectiveKind(
        "tad_core.objectives.sft:SFTObjective",
        "references",
        windowed=False,
        told="Plain fine-tuning on the references with random masks, the baseline of TAD's comparisons",
        lacks=_OF_DISTILLATION | _OF_TRAJECTORIES,
    ),
    "random": ObjectiveKind(
        "tad_core.objectives.sft:SFTObjective",
        "trajectories",
        windowed=False,
        told="Training on the teacher's kept answers with random masks: TAD without the order of its trajectories",
        lacks=_OF_DISTILLATION - {"filled_states"},
    ),
    "dparallel": ObjectiveKind(
        "tad_core.objectives.dparallel:DParallelObjective",
        "trajectories",
        windowed=False,
        told="dParallel's certainty forcing on the teacher's kept answers",
        inputs=2,
        lacks=_OF_DISTILLATION - {"filled_states"},
        own=frozenset({"weight_certainty", "mask_block"}),
    ),
    "d3llm": ObjectiveKind(
        "tad_core.objectives.d3llm:D3LLMObjective",
        "trajectories",
        windowed=False,
        told="d3LLM's pseudo-trajectory distillation on the teacher's kept answers",
        inputs=2,
        lacks=_OF_DISTILLATION - {"filled_states"},
        own=frozenset({"weight_certainty", "mask_ratio", "mask_blocks", "complement_certainty", "labels"}),
        version=2,  # blocks grow by parts of the run, and the last length has a part of its own
    ),
    "t3d": ObjectiveKind(
        "tad_core.objectives.t3d:T3DObjective",
        "trajectories",
        windowed=False,
        told="T3D's direct discriminative optimization on the teacher's kept answers",
        lacks=_OF_DISTILLATION - {"filled_states"},
        own=frozenset({"mask_block", "t3d"}),
        snapshot=True,
    ),
    "d2f": ObjectiveKind(
        "tad_core.objectives.d2f:D2FObjective",
        "trajectories",
        windowed=False,
        told="D2F's asymmetric distillation of a student that reads block by block, on the teacher's kept answers",
        lacks=_OF_DISTILLATION - {"temperature", "teacher_prompt", "filled_states"},
        own=frozenset({"mask_block", "d2f"}),
        block_causal=True,
    ),
}

_OWN = frozenset().union(*(kind.own for kind in OBJECTIVES.values()))
OBJECTIVES |= {name: replace(kind, lacks=kind.lacks | _OWN - kind.own) for name, kind in OBJECTIVES.items()}

#: settings of ``distill`` in which models trained in one pass may differ: they choose how rows are penalised, and
#: neither states, teacher nor optimizer
OF_THE_LOSS = frozenset(
    {"near", "distant", "weight_distant", "temperature", "follow", "soften_near", "emphasis"}
    | {"weight_certainty", "t3d"}
)


def _known(name: str) -> str:
    if name not in OBJECTIVES:
        raise PydanticCustomError(
            "objective", "Input should be {known}", {"known": " or ".join(map(repr, OBJECTIVES))}
        )
    return name


ObjectiveName = Annotated[str, AfterValidator(_known)]
