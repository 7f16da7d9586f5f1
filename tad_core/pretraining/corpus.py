"""The text: problems drawn by index, encoded side by side, cut into batches of one length.

Shapes: S samples, P longest prompt, R response tokens, B batch, L tokens (prompt and response).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.data.responses import closed_response
from tad_core.data.sources import arithmetic, pyfunc
from tad_core.data.sources._generated import split_of
from tad_core.data.tokenizer import build_tokenizer
from tad_core.pretraining.config import CorpusConfig, PretrainConfig
from tad_core.rng import generator, key

IntArray = NDArray[np.int64]


def draw_sample(corpus: CorpusConfig, index: int) -> tuple[Problem, bool, str]:
    """Sample ``index``: the problem, whether its prompt is privileged, and the response to learn.

    The response's style is drawn on its own, so a privileged prompt teaches to solve in one's own words.
    Held-out problems never appear.
    """
    rng = random.Random(key("pretrain", corpus.seed, index))
    privileged = rng.random() < corpus.privileged_share
    code = rng.random() < corpus.code_share
    easy, hard = (corpus.code_easy, corpus.code_hard) if code else (corpus.math_easy, corpus.math_hard)
    if privileged:
        steps = rng.randint(1, hard)
    elif rng.random() < corpus.hard_share:
        steps = rng.randint(min(easy + 1, hard), hard)
    else:
        steps = rng.randint(max(1, easy - 1), easy)
    while True:
        item = pyfunc.draw_function(rng, steps) if code else arithmetic.draw_chain(rng, steps)
        if split_of(item.signature()) == "train":
            break
    if isinstance(item, pyfunc.Function):
        name = rng.choice(pyfunc.FUNCTIONS)
        question = pyfunc.question(item, name, rng)
        reference = pyfunc.solution(item, name, rng.choice(pyfunc.STYLES))
        response = pyfunc.solution(item, name, rng.choice(pyfunc.STYLES))
        problem = Problem(f"pretrain/{index}", "pyfunc", "code", question, reference, tests="pass")
    else:
        question = arithmetic.question(item, rng)
        reference = arithmetic.solution(item, rng.choice(arithmetic.STYLES))
        response = arithmetic.solution(item, rng.choice(arithmetic.STYLES))
        problem = Problem(
            f"pretrain/{index}", "arithmetic", "math", question, reference, str(item.values()[-1])
        )
    return problem, privileged, response


@cache
def _tokenizer() -> Any:
    return build_tokenizer()


def _encode_range(job: tuple[CorpusConfig, int, int, int]) -> list[tuple[list[int], list[int]]]:
    corpus, start, stop, length = job
    tokenizer = _tokenizer()
    out = []
    for index in range(start, stop):
        problem, privileged, response = draw_sample(corpus, index)
        prompt = prompts.teacher_prompt(tokenizer, problem, "privileged" if privileged else "plain")
        ids = closed_response(tokenizer, response, length)
        if ids is not None:
            out.append((prompt, ids))
    return out


@dataclass(frozen=True)
class Corpus:
    """Encoded samples side by side: prompts ``[S, P]`` padded on the right, their lengths, responses ``[S, R]``."""

    prompt_SP: IntArray
    length_S: IntArray
    response_SR: IntArray

    @classmethod
    def of(cls, samples: list[tuple[list[int], list[int]]]) -> Corpus:
        """Stack samples of different prompt length."""
        length_S = np.array([len(prompt) for prompt, _ in samples])
        prompt_SP = np.zeros((len(samples), int(length_S.max())), dtype=np.int64)
        for row, (prompt, _) in zip(prompt_SP, samples, strict=True):
            row[: len(prompt)] = prompt
        return cls(prompt_SP, length_S, np.array([response for _, response in samples]))

    def batch(self, index_B: IntArray, pad_id: int) -> dict[str, Tensor]:
        """Prompt, response and padding side by side: ids ``[B, L]``, prompt lengths ``[B]``, and the attention
        mask ``[B, L]`` where lengths differ (without one, attention runs in its fastest kernel).
        """
        length_B1, size = self.length_S[index_B][:, None], self.response_SR.shape[1]
        column_1L = np.arange(int(length_B1.max()) + size)[None, :]
        at_BL = column_1L - length_B1
        prompt_BL = self.prompt_SP[index_B][:, np.minimum(column_1L[0], self.prompt_SP.shape[1] - 1)]
        response_BL = np.take_along_axis(self.response_SR[index_B], np.clip(at_BL, 0, size - 1), axis=1)
        ids_BL = np.where(at_BL < 0, prompt_BL, np.where(at_BL < size, response_BL, pad_id))
        batch = {"input_ids": torch.from_numpy(ids_BL), "prompt_length": torch.from_numpy(length_B1[:, 0])}
        if int(length_B1.min()) < int(length_B1.max()):
            batch["attention_mask"] = torch.from_numpy((at_BL < size).astype(np.int64))
        return batch


def encode_corpus(config: PretrainConfig) -> Corpus:
    """Every sample whose response fits with the tokens that end it."""
    workers, total = config.workers or os.cpu_count() or 1, config.corpus.samples
    size = max(1, min(5_000, total // workers))
    jobs = [(config.corpus, i, min(i + size, total), config.response_length) for i in range(0, total, size)]
    if workers == 1:
        return Corpus.of([sample for job in jobs for sample in _encode_range(job)])
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return Corpus.of([sample for part in pool.map(_encode_range, jobs) for sample in part])


@dataclass
class Batches(Dataset[dict[str, Tensor]]):
    """Whole batches of one prompt length where that fills them, in an order drawn from the seed."""

    corpus: Corpus
    batch_size: int
    steps: int
    seed: int
    pad_id: int

    def __post_init__(self) -> None:
        self._order = list(self._draw_order())

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.corpus.batch(self._order[index], self.pad_id)

    def _draw_order(self) -> Iterator[IntArray]:
        rng, produced, size = generator("pretrain order", self.seed), 0, self.batch_size
        while produced < self.steps:
            order = rng.permutation(len(self.corpus.length_S))
            near = order[np.argsort(self.corpus.length_S[order], kind="stable")]
            # 1. whole batches of one prompt length; 2. what is left over, neighbours in length together
            cuts = np.flatnonzero(np.diff(self.corpus.length_S[near])) + 1
            groups = np.split(near, cuts)
            whole = [g[i : i + size] for g in groups for i in range(0, len(g) - size + 1, size)]
            left = np.concatenate([g[len(g) - len(g) % size :] for g in groups])
            mixed = [left[i : i + size] for i in range(0, len(left), size)]
            batches = whole + [batch for batch in mixed if len(batch) == size or not whole]
            for i in rng.permutation(len(batches)):
                yield batches[i]
                produced += 1
                if produced == self.steps:
                    return
