"""Prompts that do not fit into the model, found before any work and without torch.

Three prompts of a problem must leave room for the response: the plain one, the one of the rollout, and the one that
the teacher may have in training. No text has more tokens than bytes, so most are settled by their length alone, without
even being rendered; only long ones are tokenised, over all cores. Tens of thousands of problems take seconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tad_core.checkpoint import check_model, load_tokenizer
from tad_core.config import ModelConfig, TADConfig
from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.data.selection import OVER_LONG
from tad_core.errors import ConfigError
from tad_core.families import family_of

#: A tokenizer may put a space before a text, and rewrite it a little differently where two texts meet.
_SLACK = 8
#: who has changed the variable by which ``tokenizers`` decides on threads
_TOKENIZING = threading.Lock()


def max_positions(model: ModelConfig) -> int | None:
    """Tokens that the model takes, prompt and response together; None where its config.json sets no limit."""
    settings = check_model(model)
    said = settings.get(family_of(settings).names.positions)
    return said if isinstance(said, int) else None


class LengthCheck:
    """Says which problems have a prompt that is too long; a ``selection.Check``.

    Args:
        config: model, response length and ``rollout.max_prompt_tokens``.

    Raises:
        ModelError: no usable checkpoint.
        ConfigError: the response alone does not fit.
    """

    def __init__(self, config: TADConfig) -> None:
        positions, response = max_positions(config.model), config.rollout.response_length
        if positions is not None and positions <= response:
            raise ConfigError(
                f"rollout.response_length: {response} leaves no room for a prompt in the model's {positions} "
                f"positions; use less than {positions}"
            )
        limits = [config.rollout.max_prompt_tokens, None if positions is None else positions - response]
        #: most tokens of a prompt; None if there is no limit
        self.room = min((limit for limit in limits if limit is not None), default=None)
        self._model = config.model
        self._family = family_of(check_model(config.model)).name
        self._tokenizer: Any = None
        self._frame = 0.0

    def __call__(self, problems: Sequence[Problem]) -> list[str]:
        """``OVER_LONG`` for each problem with a prompt that does not fit, else an empty text."""
        if self.room is None:
            return [""] * len(problems)
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._model)
            self._frame = self._measure_frame()
        owners: list[int] = []
        long: list[str] = []
        for i, problem in enumerate(problems):
            if self._most_tokens(problem) > self.room:
                texts = self._texts(problem)
                owners += [i] * len(texts)
                long += texts
        over = {i for i, length in zip(owners, self._lengths(long), strict=True) if length > self.room}
        return [OVER_LONG if i in over else "" for i in range(len(problems))]

    def _texts(self, problem: Problem) -> list[str]:
        plain = prompts.render(self._tokenizer, prompts.plain_messages(problem))
        return [
            plain,
            prompts.render(self._tokenizer, prompts.privileged_messages(problem)),
            prompts.with_system_reference(plain, problem.reference, self._family),
        ]

    def _lengths(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        # Without the wrapper, which warns of every text beyond its own idea of what is long.
        core = self._tokenizer.backend_tokenizer
        core.no_truncation()
        core.no_padding()
        with all_cores():
            return [len(e.ids) for e in core.encode_batch_fast(texts, add_special_tokens=False)]

    def _most_tokens(self, problem: Problem) -> float:
        """No fewer tokens than the longest prompt has: bytes of what is put into the template, and its own."""
        plain = self._bytes(prompts.plain_messages(problem)[0]["content"])
        privileged = self._bytes(prompts.privileged_messages(problem)[0]["content"])
        return max(privileged, plain + self._bytes(problem.reference)) + self._frame

    def _measure_frame(self) -> float:
        """Bytes that the template and the turn with the reference put around; infinite if it may repeat its content."""

        def length(content: str, reference: str) -> int:
            text = prompts.render(self._tokenizer, [{"role": "user", "content": content}])
            return self._bytes(prompts.with_system_reference(text, reference, self._family))

        frame = length("x", "x") - 2
        return frame + _SLACK if length("x" * 100, "x" * 10) == frame + 110 else float("inf")

    def _bytes(self, text: str) -> int:
        """Bytes of ``text`` after what the tokenizer rewrites before it splits."""
        normalizer = self._tokenizer.backend_tokenizer.normalizer
        rewritten = normalizer.normalize_str(text) if normalizer is not None else text
        return len(rewritten.encode("utf-8", "surrogatepass"))


@contextmanager
def all_cores() -> Iterator[None]:
    """Let ``tokenizers`` use its threads for one call; elsewhere they stay off, since processes are forked.

    One caller at a time: of two side by side the second would put back what the first has set, and leave it on. Nobody
    waits longer for that, since one call takes all cores.
    """
    with _TOKENIZING:
        before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        try:
            yield
        finally:
            if before is None:
                del os.environ["TOKENIZERS_PARALLELISM"]
            else:
                os.environ["TOKENIZERS_PARALLELISM"] = before
