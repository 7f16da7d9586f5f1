"""Pretraining of the small base model: LLaDA's masked-diffusion objective on generated problems.

The base learns easy problems from plain prompts and problems of every difficulty from privileged prompts, as a
real base model knows more with the answer at hand than without. Loss (Nie et al. 2025, eq. 3 and the SFT
variant): t uniform in (0, 1], every response token masked with probability t, cross-entropy over the masked
tokens weighted by 1/t; the end-of-text padding of the response is learned too.

Shapes: B batch, L tokens (prompt and response), R response tokens, N masked tokens.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from tad_core.config import ModelConfig
from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.data.sources import arithmetic, pyfunc
from tad_core.data.sources._generated import split_of
from tad_core.data.tokenizer import build_tokenizer
from tad_core.errors import ConfigError
from tad_core.models import LLaDAConfig, LLaDAModelLM
from tad_core.models.loading import load_model
from tad_core.rng import generator, key
from tad_core.settings import RUNTIME, Strict

IntArray = NDArray[np.int64]

_SHORTEST_T = 1e-3
_BATCHES_SORTED_TOGETHER = 64


class CorpusConfig(Strict):
    """What the base sees. Easy plain prompts have up to ``easy`` steps, the rest up to ``hard``."""

    samples: int = Field(400_000, ge=1, description="Distinct draws; an epoch.")
    privileged_share: float = Field(0.3, ge=0, le=1, description="Share of privileged prompts.")
    code_share: float = Field(0.25, ge=0, le=1, description="Share of Python-function problems.")
    hard_share: float = Field(0.15, ge=0, le=1, description="Share of hard problems among the plain prompts.")
    math_easy: int = Field(3, ge=1, le=6, description="Steps of an easy word problem, at most.")
    math_hard: int = Field(5, ge=1, le=6, description="Steps of a hard word problem, at most.")
    code_easy: int = Field(2, ge=1, le=6, description="Operations of an easy function, at most.")
    code_hard: int = Field(4, ge=1, le=6, description="Operations of a hard function, at most.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


class PretrainConfig(Strict):
    """Size of the model and how it is trained."""

    out: str = Field(description="Folder of the checkpoint.", json_schema_extra=RUNTIME)
    d_model: int = Field(256, ge=16, description="Hidden size.")
    n_layers: int = Field(6, ge=1, description="Layers.")
    n_heads: int = Field(4, ge=1, description="Attention heads; divides d_model.")
    mlp_hidden_size: int = Field(768, ge=16, description="SwiGLU size.")
    rope_theta: float = Field(10_000.0, gt=0, description="RoPE base.")
    response_length: int = Field(64, ge=8, description="Response tokens, end-of-text padding included.")
    corpus: CorpusConfig = Field(CorpusConfig(), description="Training text.")
    steps: int = Field(4500, ge=1, description="Optimizer steps.")
    batch_size: int = Field(512, ge=1, description="Samples per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak, cosine to zero.")
    warmup_steps: int = Field(200, ge=0, description="Linear warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    init_from: str | None = Field(None, description="Checkpoint to go on from; default: fresh weights.")
    seed: int = Field(0, ge=0, description="Weights, masks, order.")
    compile: bool = Field(False, description="Fuse each layer with torch.compile.", json_schema_extra=RUNTIME)
    workers: int = Field(
        0, ge=0, description="Processes that draw text; 0: all cores.", json_schema_extra=RUNTIME
    )


def load_pretrain_config(path: str | Path) -> PretrainConfig:
    """Read and validate a pretraining YAML.

    Raises:
        ConfigError: with every problem, one line each.
    """
    try:
        return PretrainConfig.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(f"config: {path} does not exist") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from None


# --- text -------------------------------------------------------------------------------------------


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
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        if len(ids) < length:
            out.append((prompt, ids + [tokenizer.eos_token_id] * (length - len(ids))))
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
        """Prompt, response and padding side by side: ids and mask ``[B, L]``, prompt lengths ``[B]``."""
        length_B1, size = self.length_S[index_B][:, None], self.response_SR.shape[1]
        column_1L = np.arange(int(length_B1.max()) + size)[None, :]
        at_BL = column_1L - length_B1
        prompt_BL = self.prompt_SP[index_B][:, np.minimum(column_1L[0], self.prompt_SP.shape[1] - 1)]
        response_BL = np.take_along_axis(self.response_SR[index_B], np.clip(at_BL, 0, size - 1), axis=1)
        ids_BL = np.where(at_BL < 0, prompt_BL, np.where(at_BL < size, response_BL, pad_id))
        return {
            "input_ids": torch.from_numpy(ids_BL),
            "attention_mask": torch.from_numpy((at_BL < size).astype(np.int64)),
            "prompt_length": torch.from_numpy(length_B1[:, 0]),
        }


def encode_corpus(config: PretrainConfig) -> Corpus:
    """Every sample whose response fits with an end-of-text."""
    workers, total = config.workers or os.cpu_count() or 1, config.corpus.samples
    size = max(1, min(5_000, total // workers))
    jobs = [(config.corpus, i, min(i + size, total), config.response_length) for i in range(0, total, size)]
    if workers == 1:
        return Corpus.of([sample for job in jobs for sample in _encode_range(job)])
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return Corpus.of([sample for part in pool.map(_encode_range, jobs) for sample in part])


@dataclass
class Batches(Dataset[dict[str, Tensor]]):
    """Whole batches of similar length, in an order drawn from the seed."""

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
        rng, produced = generator("pretrain order", self.seed), 0
        span = self.batch_size * _BATCHES_SORTED_TOGETHER
        while produced < self.steps:
            order = rng.permutation(len(self.corpus.length_S))
            for start in range(0, len(order), span):
                part = order[start : start + span]
                near = part[np.argsort(self.corpus.length_S[part], kind="stable")]
                cut = [near[i : i + self.batch_size] for i in range(0, len(near), self.batch_size)]
                whole = [batch for batch in cut if len(batch) == self.batch_size] or cut
                for i in rng.permutation(len(whole)):
                    yield whole[i]
                    produced += 1
                    if produced == self.steps:
                        return


# --- training ---------------------------------------------------------------------------------------


def diffusion_loss(
    model: Any,
    ids_BL: Tensor,
    attention_BL: Tensor,
    prompt_length_B: Tensor,
    length: int,
    noise: torch.Generator,
) -> Tensor:
    """The objective above; the mean over all B x R response tokens of masked cross-entropy over t."""
    device = ids_BL.device
    at_BR = prompt_length_B[:, None] + torch.arange(length, device=device)
    t_B1 = torch.rand(len(ids_BL), 1, generator=noise, device=device).clamp_min(_SHORTEST_T)
    masked_BR = torch.rand(at_BR.shape, generator=noise, device=device) < t_B1
    labels_BR = ids_BL.gather(1, at_BR)
    noisy_BL = ids_BL.scatter(1, at_BR, labels_BR.masked_fill(masked_BR, model.config.mask_token_id))
    hidden_BLD = model.hidden(noisy_BL, attention_BL)
    rows_BRD = hidden_BLD.gather(1, at_BR[..., None].expand(-1, -1, hidden_BLD.shape[-1]))
    logits_BRV = model.head(rows_BRD).float()
    ce_BR = F.cross_entropy(logits_BRV.transpose(1, 2), labels_BR, reduction="none")
    return (ce_BR * masked_BR / t_B1).mean()


class PretrainTrainer(Trainer):  # type: ignore[misc]
    """The Hugging Face trainer with the masked-diffusion loss."""

    def __init__(self, *args: Any, response_length: int, noise_seed: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._length = response_length
        self._noise = torch.Generator(device=self.args.device).manual_seed(noise_seed)

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """See ``diffusion_loss``."""
        return diffusion_loss(
            model,
            inputs["input_ids"],
            inputs["attention_mask"],
            inputs["prompt_length"],
            self._length,
            self._noise,
        )

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def pretrain(
    config: PretrainConfig, corpus: Corpus | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> Path:
    """Train the base and write checkpoint and tokenizer (bfloat16 safetensors) to ``config.out``.

    Args:
        config: size of the model, corpus, schedule.
        corpus: from ``encode_corpus``, if that was run already.
        callbacks: of the trainer.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(config.seed)
    model = LLaDAModelLM(
        LLaDAConfig(
            d_model=config.d_model,
            n_heads=config.n_heads,
            n_layers=config.n_layers,
            mlp_hidden_size=config.mlp_hidden_size,
            vocab_size=len(tokenizer),
            max_sequence_length=1024,
            rope_theta=config.rope_theta,
            mask_token_id=tokenizer.mask_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    if config.init_from is not None:
        model.load_state_dict(load_model(ModelConfig(path=config.init_from), "cpu").state_dict())
    if config.compile:
        for block in model.blocks:
            block.compile(dynamic=True)
    batches = Batches(
        corpus or encode_corpus(config), config.batch_size, config.steps, config.seed, tokenizer.pad_token_id
    )
    out = Path(config.out)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=config.steps,
        per_device_train_batch_size=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=torch.cuda.is_available(),
        logging_steps=max(1, config.steps // 50),
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        seed=config.seed,
        disable_tqdm=True,
        dataloader_num_workers=2 if torch.cuda.is_available() else 0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = PretrainTrainer(
        model=model,
        args=arguments,
        train_dataset=batches,
        data_collator=lambda items: items[0],
        response_length=config.response_length,
        noise_seed=config.seed,
        callbacks=list(callbacks),
    )
    trainer.train()
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
