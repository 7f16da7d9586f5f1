"""What a worker process can be asked: one message, one answer, and what it means if the process ends instead."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tad_core import errors
from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import ModelConfig, TADConfig
from tad_core.config.marks import with_cost
from tad_core.workers.devices import cpu_decoders, gpus_for_evaluation, threads_per_worker, workers_of

if TYPE_CHECKING:  # the parent need not load torch
    from tad_core.decoding import Decoded, DecodeSpec

Result = TypeVar("Result")


class Job(ABC, Generic[Result]):
    """One piece of work for a process with a model.

    Attributes:
        stage: whose work it is, in messages.
        slots: how many processes may do such work at once: the first of the pool's.
        adapter: folder of the adapter that is merged into the model; "" for the base model.
        timeout_s: the process is killed if it takes longer.
    """

    stage: str
    slots: int
    adapter: str = ""
    timeout_s: float | None = None

    @abstractmethod
    def message(self) -> dict[str, Any]:
        """What the process is sent; ``do`` says which function of ``process.py`` does it."""

    @abstractmethod
    def result(self, answer: Any) -> Result:
        """From the answer of the process."""

    @abstractmethod
    def death(self, code: int, place: str, tail: str) -> BaseException:
        """What the end of its process means.

        Args:
            code: exit code; negative for a signal.
            place: ``" of GPU 3"``, or nothing.
            tail: its last lines.
        """

    def late(self) -> errors.SubprocessError:
        """It took longer than ``timeout_s``."""
        return errors.SubprocessError(f"{self.stage}: nothing was answered within {self.timeout_s:g} s")


@dataclass(frozen=True)
class ShardJob(Job[ArtifactRef]):
    """Roll out a shard of a collection and write it to the store.

    Attributes:
        config: the run.
        store: where the shard lives.
        piece: condition, start and stop: the slice itself, since how this process cuts the collection is nothing that
            the worker could know.
        force: decode even if it is there.
        base: fingerprint of the model that the collection was planned for, which the worker has to have; "": whichever
            is there.
    """

    config: TADConfig
    store: Store
    piece: tuple[str, int, int]
    force: bool = False
    base: str = ""
    stage = "rollout"

    @property
    def slots(self) -> int:  # type: ignore[override]
        """``rollout.workers``."""
        return workers_of(self.config)

    @property
    def timeout_s(self) -> float | None:  # type: ignore[override]
        """``rollout.shard_timeout_s``."""
        return self.config.rollout.shard_timeout_s

    @property
    def name(self) -> str:
        """Of the shard."""
        condition, start, stop = self.piece
        return f"{condition}-{start:05d}-{stop:05d}"

    def message(self) -> dict[str, Any]:
        """See ``Job``."""
        return {
            "do": "shard",
            "config": self.config.model_dump(mode="json"),
            "store": self.store.root,
            "piece": list(self.piece),
            "force": self.force,
            "base": self.base,
            "threads": self.config.model.threads or threads_per_worker(self.slots),
        }

    def result(self, answer: Any) -> ArtifactRef:
        """Verified again here."""
        return ArtifactRef.model_validate(answer)

    def death(self, code: int, place: str, tail: str) -> BaseException:
        """See ``Job``."""
        kind = errors.KilledError if code == -signal.SIGKILL else errors.SubprocessError
        if code > 0 and "out of memory" in tail.lower():
            kind = errors.OutOfMemoryError
        return kind(
            f"rollout worker{place} ended with code {code} while decoding shard {self.name}; its last lines:\n{tail}"
        )

    def late(self) -> errors.SubprocessError:
        """See ``Job``."""
        return errors.SubprocessError(
            f"rollout.shard_timeout_s: shard {self.name} was not decoded within {self.timeout_s:g} s and its "
            f"worker was killed; raise the limit, or lower {with_cost('rollout.shard_size')}"
        )


@dataclass(frozen=True)
class DecodeJob(Job["list[Decoded]"]):
    """Decode prompts one way; the answers in their order."""

    prompts: Sequence[Sequence[int]]
    spec: DecodeSpec
    batch_size: int | Literal["auto"]
    slots: int
    threads: int
    adapter: str = ""
    stage = "evaluate"

    def message(self) -> dict[str, Any]:
        """See ``Job``."""
        return {
            "do": "decode",
            "prompts": [list(prompt) for prompt in self.prompts],
            "spec": asdict(self.spec),
            "batch_size": self.batch_size,
            "threads": self.threads,
        }

    def result(self, answer: Any) -> list[Decoded]:
        """See ``Job``."""
        from tad_core.decoding import Decoded

        return [Decoded(**row) for row in answer]

    def death(self, code: int, place: str, tail: str) -> BaseException:
        """See ``Job``; a process that Ctrl-C ended tells a parent that waits in another thread."""
        if code == -signal.SIGINT:
            return KeyboardInterrupt()
        where = f"evaluate: the decoding process{place}"
        if code == -signal.SIGKILL:
            return errors.KilledError(
                f"{where} was killed, most likely for want of the host's memory; lower evaluate.workers"
            )
        return errors.SubprocessError(f"{where} ended with code {code}; its last lines:\n{tail}")


@dataclass(frozen=True)
class StageJob(Job[ArtifactRef]):
    """Make the one artifact of a stage, by a process that works on the GPU where the rest of its run does.

    Attributes:
        stage: ``merge`` or ``calibrate``.
        config: the run.
        store: where the artifact lives.
        inputs: what it is made from.
        threads: of the process on a CPU.
        model: ``merge``: the model that is merged.
    """

    stage: Literal["merge", "calibrate"]
    config: TADConfig
    store: Store
    inputs: Sequence[ArtifactRef]
    threads: int
    model: str = ""
    slots = 1

    def message(self) -> dict[str, Any]:
        """See ``Job``."""
        return {
            "do": self.stage,
            "config": self.config.model_dump(mode="json"),
            "store": self.store.root,
            "inputs": [ref.model_dump(mode="json") for ref in self.inputs],
            "threads": self.threads,
            "model": self.model,
        }

    def result(self, answer: Any) -> ArtifactRef:
        """Verified again here."""
        return ArtifactRef.model_validate(answer)

    def death(self, code: int, place: str, tail: str) -> BaseException:
        """See ``Job``."""
        kind = errors.KilledError if code == -signal.SIGKILL else errors.SubprocessError
        return kind(f"{self.stage}: its process{place} ended with code {code}; its last lines:\n{tail}")


@dataclass(frozen=True)
class Decoders:
    """Who decodes in evaluation.

    Attributes:
        slots: processes at once.
        threads: CPU threads of each.
    """

    slots: int
    threads: int

    @classmethod
    def of(cls, model: ModelConfig, wanted: int) -> Decoders:
        """One process a GPU; on a CPU see ``cpu_decoders``.

        Raises:
            ConfigError: more are wanted than there are GPUs.
        """
        gpus = gpus_for_evaluation(model.device, wanted)
        if gpus:
            return cls(gpus, model.threads or threads_per_worker(gpus))
        slots = cpu_decoders(model, wanted)
        return cls(slots, 1 if slots > 1 else model.threads or threads_per_worker(1))

    def job(
        self,
        prompts: Sequence[Sequence[int]],
        spec: DecodeSpec,
        batch_size: int | Literal["auto"],
        adapter: Path | None,
    ) -> DecodeJob:
        """Prompts for one of them."""
        return DecodeJob(prompts, spec, batch_size, self.slots, self.threads, str(adapter or ""))
