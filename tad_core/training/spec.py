"""What the training process is told: one small JSON of paths and settings, never data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from tad_core.artifacts.fingerprint import fingerprint
from tad_core.config import DistillConfig, ModelConfig
from tad_core.config.explaining import explained
from tad_core.config.objectives import OBJECTIVES, OF_THE_LOSS
from tad_core.errors import ConfigError
from tad_core.settings import ADDED, Strict

#: How the states of an epoch come into their order: by NumPy's shuffle of them all, or by a permutation that is worked
#: out where it is read (``rng.Permutation``).
Order = Literal["shuffled", "keyed"]
#: States that are shuffled in memory, 4 bytes each.
MOST_SHUFFLED = 1 << 24


def order_for(states: int) -> Order:
    """The order of an epoch of at most so many states."""
    return "shuffled" if states <= MOST_SHUFFLED else "keyed"


@dataclass(frozen=True)
class AdapterRun:
    """What is one adapter's own in a pass: ``mark`` is its identity, ``output`` the folder of all that is written."""

    name: str
    window: int | None
    distill: DistillConfig
    mark: str
    output: Path


class AlsoTrained(Strict):
    """A further adapter of the same pass: the same objective, states and teacher, another window or other penalties."""

    name: str = Field(pattern=r"^[\w-]+$", description="Its name in progress lines.")
    window: int | None = Field(None, ge=1, description="Steps of its near set (tad).")
    # Not a whole section: what the launcher changes for the machine is changed in one place.
    loss: dict[str, JsonValue] = Field({}, description="Settings of its loss that are not the spec's.")
    run_id: str = Field(description="Identity of its run.")
    output: str = Field(description="Folder of its checkpoints and results.")


class TrainingSpec(Strict):
    """The whole input of ``python -m tad_core.training SPEC.json``."""

    model: ModelConfig = Field(description="The base; also the teacher.")
    distill: DistillConfig = Field(description="Objective, optimizer, adapter.")
    trajectories: list[str] = Field([], description="Trajectory shards (tad).")
    verdicts: list[str] = Field([], description="Their verdicts, same order; empty: train on every row.")
    problems: str | None = Field(None, description="problems.jsonl of the collection (references).")
    response_length: int = Field(ge=2, description="Tokens of a response (L).")
    window: int | None = Field(None, ge=1, description="Steps of the near set (tad).")
    order: Order = Field(
        "shuffled",
        description="Of an epoch's states: shuffled in memory, or keyed, of which nothing is.",
        json_schema_extra=ADDED,
    )
    base: str | None = Field(
        None, description="Fingerprint that the model has to have.", json_schema_extra=ADDED
    )
    run_id: str | None = Field(None, description="Identity of the run; default: that of this file.")
    output: str = Field(description="Folder of checkpoints, losses.jsonl, adapter/ and summary.json.")
    name: str = Field("default", pattern=r"^[\w-]+$", description="Of the adapter, where there are several.")
    also: list[AlsoTrained] = Field([], description="Further adapters trained in the same pass.")

    @model_validator(mode="after")
    def _inputs_fit(self) -> Self:
        name, kind = self.distill.objective, OBJECTIVES[self.distill.objective]
        if kind.trains_on == "references" and self.problems is None:
            raise ValueError(f"problems: missing; the {name} objective trains on a problems.jsonl")
        if self.distill.teacher_prompt == "system" and self.problems is None:
            raise ValueError(
                "problems: missing; distill.teacher_prompt system reads the references from problems.jsonl"
            )
        if self.distill.on_reference_labels and self.problems is None:
            raise ValueError(
                "problems: missing; distill.labels reference reads the references from problems.jsonl"
            )
        if kind.trains_on == "trajectories" and not self.trajectories:
            raise ValueError(f"trajectories: empty; the {name} objective needs at least one shard")
        if kind.windowed and self.window is None:
            raise ValueError(f"window: missing; the {name} objective needs the window, e.g. 8")
        if self.verdicts and len(self.verdicts) != len(self.trajectories):
            raise ValueError(
                f"verdicts: {len(self.verdicts)} files for {len(self.trajectories)} shards; give one for each, or none"
            )
        return self

    @model_validator(mode="after")
    def _one_pass_fits(self) -> Self:
        if not self.also:
            return self
        for other in self.also:
            if other.window is None and OBJECTIVES[self.distill.objective].windowed:
                raise ValueError(
                    f"also: {other.name} has no window, which the {self.distill.objective} objective needs, e.g. 8"
                )
            if not other.loss.keys() <= OF_THE_LOSS:
                raise ValueError(
                    f"also: {other.name} differs in more than {', '.join(sorted(OF_THE_LOSS))}; train it alone"
                )
            try:
                self._with(other.loss)
            except ValidationError as error:
                lines = [line for fault in error.errors() for line in explained(DistillConfig, fault)]
                raise ValueError("\n".join(f"also: {other.name}.loss.{line}" for line in lines)) from None
        if self.distill.deepspeed is not None:
            raise ValueError(
                f"also: distill.deepspeed {self.distill.deepspeed} clips all gradients by one norm, which would tie "
                "the adapters to each other; set it to null, which takes any number of GPUs, or train them one after "
                "the other"
            )
        for field in ("name", "output"):
            values = [getattr(self, field), *(getattr(other, field) for other in self.also)]
            if len(set(values)) < len(values):
                raise ValueError(f"also: two adapters have the same {field}; give each its own ({values})")
        return self

    @property
    def adapters(self) -> list[AdapterRun]:
        """The adapters of the pass, this spec's own first."""
        own = AdapterRun(self.name, self.window, self.distill, self.mark, Path(self.output))
        others = (
            AdapterRun(o.name, o.window, self._with(o.loss), o.run_id, Path(o.output)) for o in self.also
        )
        return [own, *others]

    def _with(self, loss: dict[str, JsonValue]) -> DistillConfig:
        return DistillConfig.model_validate({**self.distill.model_dump(), **loss}) if loss else self.distill

    @property
    def mark(self) -> str:
        """Identity of the run: checkpoints of another mark are not resumed from."""
        if self.run_id is not None:
            return self.run_id
        # Where an adapter is written, and what else is trained beside it, are no part of what it is.
        left_out = ("output", "name", "also")
        return fingerprint("training", 1, {k: v for k, v in self.identity().items() if k not in left_out}, [])


def read_spec(path: str | Path) -> TrainingSpec:
    """Parse a spec file.

    Raises:
        ConfigError: with every fault, one line each.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"spec: {path} cannot be read ({error.strerror}); give the path of a spec file"
        ) from None
    except ValueError as error:
        raise ConfigError(f"spec: {path} is not JSON ({error})") from None
    return parse_spec(tree)


def parse_spec(tree: Any) -> TrainingSpec:
    """Validate a plain tree.

    Raises:
        ConfigError: with every fault, one line each.
    """
    try:
        return TrainingSpec.model_validate(tree)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            where = ".".join(map(str, fault["loc"]))
            message = str(fault["msg"]).removeprefix("Value error, ")
            lines += [f"spec: {where}: {line}" if where else f"spec: {line}" for line in message.split("\n")]
        raise ConfigError("\n".join(lines)) from None


def write_spec(spec: TrainingSpec, path: str | Path) -> None:
    """Write the file that ``read_spec`` reads."""
    Path(path).write_text(json.dumps(spec.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
