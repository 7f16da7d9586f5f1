"""The training run, by the Hugging Face Trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Trainer, TrainerCallback, TrainingArguments

from tad_core.artifacts.durable import check_place, readable
from tad_core.config import ModelConfig
from tad_core.data.tokenizer import build_tokenizer
from tad_core.errors import ConfigError, ModelError, TrainingError
from tad_core.models import LLaDAConfig, LLaDAModelLM
from tad_core.models.loading import load_model
from tad_core.pretraining.config import PretrainConfig
from tad_core.pretraining.corpus import Batches, Corpus, encode_corpus
from tad_core.pretraining.objective import diffusion_loss, draw_masks


class PretrainTrainer(Trainer):  # type: ignore[misc]
    """The Hugging Face trainer with the masked-diffusion loss."""

    def __init__(self, *args: Any, recipe: PretrainConfig, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recipe = recipe
        self._noise = torch.Generator(device=self.args.device).manual_seed(recipe.seed)

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """See ``diffusion_loss``."""
        ids_BL, recipe = inputs["input_ids"], self._recipe
        masked_BR, t_BR = draw_masks(
            len(ids_BL), recipe.response_length, recipe.block_length, recipe.block_share, self._noise
        )
        attention_BL = inputs.get("attention_mask")
        # The trainer leaves autocast to the model's forward, which this loss does not call.
        with torch.autocast(ids_BL.device.type, torch.bfloat16, enabled=self.args.bf16):
            return diffusion_loss(model, ids_BL, attention_BL, inputs["prompt_length"], masked_BR, t_BR)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Note the figures of the last steps.

        Raises:
            TrainingError: one is no number, and so is what every later step would compute.
        """
        super().log(logs, *args, **kwargs)
        for name in ("loss", "grad_norm", "train_loss"):
            if not math.isfinite(value := logs.get(name, 0.0)):
                raise TrainingError(
                    f"pretraining: step {self.state.global_step}: its {name} is {value}, and nothing is saved; lower "
                    f"learning_rate {self._recipe.learning_rate:g}, or raise warmup_steps {self._recipe.warmup_steps}"
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

    Raises:
        ConfigError: ``out`` cannot be written, or ``init_from`` is of another shape.
        ModelError: ``init_from`` is no checkpoint.
        TrainingError: loss or gradient are no numbers any more.
    """
    out = Path(config.out)
    check_place(out, "out")  # it is written last, after hours
    tokenizer = build_tokenizer()
    torch.manual_seed(config.seed)
    model = _model(config, tokenizer)
    batches = Batches(
        corpus or encode_corpus(config), config.batch_size, config.steps, config.seed, tokenizer.pad_token_id
    )
    trainer = PretrainTrainer(
        model=model,
        args=_arguments(config),
        train_dataset=batches,
        data_collator=lambda items: items[0],
        recipe=config,
        callbacks=list(callbacks),
    )
    trainer.train()
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    for file in Path(out).glob("*.safetensors"):
        readable(file)
    return out


def _model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> LLaDAModelLM:
    """The model before the first step: random, or the weights of ``init_from``."""
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
        try:
            weights = load_model(ModelConfig(path=config.init_from), "cpu").state_dict()
        except ModelError as error:
            raise type(error)(str(error).replace("model.path", "init_from", 1)) from error.__cause__
        wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
        if wanted != {name: tensor.shape for name, tensor in weights.items()}:
            raise ConfigError(
                f"init_from: {config.init_from} is not of this shape; use a checkpoint that was pretrained with the "
                f"same d_model ({config.d_model}), n_layers, n_heads and mlp_hidden_size, or leave it out"
            )
        model.load_state_dict(weights)
    if config.compile:
        for block in model.blocks:
            block.compile(dynamic=True)
    return model


def _arguments(config: PretrainConfig) -> TrainingArguments:
    return TrainingArguments(
        output_dir=config.out,
        max_steps=config.steps,
        per_device_train_batch_size=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=torch.cuda.is_available(),
        logging_steps=max(1, config.steps // 50),
        logging_nan_inf_filter=False,  # it would wait for the device in every step
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        seed=config.seed,
        disable_tqdm=True,
        dataloader_num_workers=2 if torch.cuda.is_available() else 0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
