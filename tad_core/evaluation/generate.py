"""A model that is ready to answer: prompts in, decoded responses and their texts out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tad_core.checkpoint import check_model
from tad_core.config import ModelConfig
from tad_core.data.problem import Problem
from tad_core.data.prompts import encode_text
from tad_core.data.responses import end_ids, response_text, text_length
from tad_core.decoding import Decoded, DecodeSpec, OnDecoded, decode, new_fitting, plan_batches
from tad_core.evaluation.prompting import encode
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.models.merge import Merge, merge_into
from tad_core.progress import OnProgress, Progress, silent
from tad_core.weights import shapes_of
from tad_core.workers.fanning import fan_out
from tad_core.workers.jobs import Decoders
from tad_core.workers.pool import Pool

#: Parts of what is decoded for each process, so that none waits long for the last one.
_PARTS = 4


class Texts:
    """A model's tokenizer: from problems to prompts, and from what was decoded back to text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ends = end_ids(tokenizer)

    def encode(self, problem: Problem) -> list[int]:
        """Token ids of the prompt: a benchmark's own, or the plain one of training."""
        return encode(self.tokenizer, problem)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a prompt whose chat template is applied already."""
        return encode_text(self.tokenizer, text)

    def text(self, decoded: Decoded) -> str:
        """The response up to the end of its turn or text, without special tokens."""
        return response_text(self.tokenizer, decoded.tokens, self.ends)

    def text_tokens(self, decoded: Decoded) -> int:
        """Tokens of ``text``."""
        return text_length(decoded.tokens, self.ends)

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """Each token as the text it stands for."""
        return [str(self.tokenizer.decode([i], skip_special_tokens=False)) for i in ids]


class Generator(Texts):
    """A model with its tokenizer that answers prompts at once; nothing is kept.

    The model is held here, or by the processes of a pool: ``close`` ends them, as leaving a ``with`` block does.
    """

    def __init__(
        self, held: DiffusionLM | Processes, tokenizer: Any, batch_size: int | Literal["auto"] = 32
    ) -> None:
        super().__init__(tokenizer)
        self.held, self.batch_size = held, batch_size
        self._fitting = new_fitting()

    @classmethod
    def load(
        cls,
        model: ModelConfig,
        adapter: Path | None = None,
        batch_size: int | Literal["auto"] = 32,
        workers: int = 1,
    ) -> Generator:
        """Load the base model and, if given, an adapter on it.

        Args:
            model: the checkpoint.
            adapter: folder of an adapter.
            batch_size: most samples in one forward, or as many as there is room for.
            workers: processes that decode: on a CPU 0 is one per core, with GPUs one for each that is visible.

        Raises:
            ConfigError: more workers than GPUs.
            ModelError: when the checkpoint or the adapter cannot be used.
        """
        decoders = Decoders.of(model, workers)
        tokenizer = load_tokenizer(model)
        if decoders.slots > 1:
            return cls(Processes(Pool(model), decoders, adapter), tokenizer, batch_size)
        return cls(load_for_inference(model, adapter), tokenizer, batch_size)

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        spec: DecodeSpec,
        on_progress: OnProgress = silent,
        on_decoded: OnDecoded = lambda found: None,
    ) -> list[Decoded]:
        """Decode the prompts, in their order; ``on_decoded`` is told of them by and by, for who keeps them.

        Raises:
            DataError: a prompt is empty, or too long for the model together with the response.
            OutOfMemoryError: not even one prompt fits.
            KilledError, SubprocessError, KeyboardInterrupt: a process of several died.
        """
        if isinstance(self.held, Processes):
            return self.held.decode(prompts, spec, self.batch_size, on_progress, on_decoded)
        return decode(self.held, prompts, spec, self.batch_size, on_progress, self._fitting, on_decoded)

    def close(self) -> None:
        """End the processes that hold the model, if there are any."""
        if isinstance(self.held, Processes):
            self.held.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Processes:
    """A pool whose processes decode with one model."""

    pool: Pool
    decoders: Decoders
    adapter: Path | None

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        spec: DecodeSpec,
        batch_size: int | Literal["auto"],
        on_progress: OnProgress,
        on_decoded: OnDecoded,
    ) -> list[Decoded]:
        """Longest prompts first, a few parts for each process, so that none waits long for the last."""
        size = max(1, -(-len(prompts) // (_PARTS * self.decoders.slots)))
        done, lock = dict.fromkeys(range(len(prompts)), 0), threading.Lock()
        failed = threading.Event()

        def make(part: tuple[int, ...]) -> list[Decoded]:
            def tell(progress: Progress) -> None:
                with lock:
                    done[part[0]] = progress.done
                    on_progress(Progress(progress.stage, sum(done.values()), len(prompts)))

            try:
                return self.pool.run(
                    self.decoders.job([prompts[i] for i in part], spec, batch_size, self.adapter), tell
                )
            except BaseException:
                failed.set()
                raise

        planned = map(tuple, plan_batches([len(p) for p in prompts], size))
        # Nothing more is begun after a failure, which ends it all.
        parts = takewhile(lambda _: not failed.is_set(), planned)
        results: dict[int, Decoded] = {}
        for part, rows in fan_out(parts, make, self.decoders.slots, self.pool.close):
            found = dict(zip(part, rows, strict=True))
            on_decoded(found)
            results |= found
        return [results[i] for i in range(len(prompts))]


def load_for_inference(model: ModelConfig, adapter: Path | None) -> DiffusionLM:
    """The model with its adapter merged, in eval mode: the model that is exported and served.

    An adapter beside the weights would be computed in its own dtype, float32, and triple the matrix products: the
    distilled models would seem slower than the base.

    Raises:
        ModelError: checkpoint or adapter cannot be used, or do not belong together; before any weight is read.
    """
    if adapter is None:
        return load_model(model)
    merge = Merge(adapter)
    merge.check(shapes_of(check_model(model)), model.path)
    return merge_into(load_model(model), merge)
