"""A model that is ready to answer: prompts in, decoded responses and their texts out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tad_core.checkpoint import check_model
from tad_core.config import ModelConfig
from tad_core.data.problem import Problem
from tad_core.data.prompts import encode_text
from tad_core.data.responses import end_ids, response_text, text_length
from tad_core.decoding import Decoded, DecodeSpec, decode, new_fitting
from tad_core.evaluation.pool import GpuPool
from tad_core.evaluation.processes import decode_forked, worker_count
from tad_core.evaluation.prompting import encode
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_model, load_tokenizer, resolve_device
from tad_core.models.merge import Merge, merge_into
from tad_core.progress import OnProgress, silent
from tad_core.rollout.devices import gpus_for_evaluation
from tad_core.weights import shapes_of


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
    """A model with its tokenizer; decoding is the same for every caller.

    The model is held here, or by the processes of several GPUs: ``close`` ends them, as leaving a ``with`` block does.
    """

    def __init__(
        self, model: DiffusionLM | GpuPool, tokenizer: Any, batch_size: int = 32, workers: int = 1
    ) -> None:
        super().__init__(tokenizer)
        self.model, self.batch_size, self.workers = model, batch_size, workers
        self._fitting = new_fitting()

    @classmethod
    def load(
        cls, model: ModelConfig, adapter: Path | None = None, batch_size: int = 32, workers: int = 1
    ) -> Generator:
        """Load the base model and, if given, an adapter on it.

        Args:
            model: the checkpoint.
            adapter: folder of an adapter.
            batch_size: most samples in one forward.
            workers: processes that decode: on a CPU 0 is one per core, with GPUs one for each that is visible.

        Raises:
            ConfigError: more workers than GPUs.
            ModelError: when the checkpoint or the adapter cannot be used.
            SubprocessError: when the process of a GPU died.
        """
        gpus = gpus_for_evaluation(model.device, workers)
        if gpus > 1 and resolve_device(model.device).type == "cuda":
            return cls(GpuPool(model, adapter, gpus), load_tokenizer(model), batch_size, gpus)
        loaded = load_for_inference(model, adapter)
        count = worker_count(workers, model.threads, loaded.device)
        return cls(loaded, load_tokenizer(model), batch_size, count)

    def decode(
        self, prompts: Sequence[Sequence[int]], spec: DecodeSpec, on_progress: OnProgress = silent
    ) -> list[Decoded]:
        """Decode the prompts, in their order."""
        if isinstance(self.model, GpuPool):
            return self.model.decode(prompts, spec, self.batch_size, on_progress)
        if self.workers > 1:
            return decode_forked(self.model, prompts, spec, self.workers, on_progress)
        return decode(self.model, prompts, spec, self.batch_size, on_progress, self._fitting)

    def close(self) -> None:
        """End the processes that hold the model, if there are any."""
        if isinstance(self.model, GpuPool):
            self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


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
