"""What public code calls a setting, and where that is here: LLaDA's, Dream's, Fast-dLLM's, D2F's and d3LLM's arguments
of lm-eval, and those of PEFT's and transformers' trainers.

Only for what an error says: none of these names is taken in place of ours, since some mean a little else there.
"""

from __future__ import annotations

from collections.abc import Mapping

_LENGTH, _BY_STEPS = (
    "response_length",
    "method=low_confidence with tokens_per_forward, the response over the steps",
)
_NO_LIKELIHOOD = "-a masked diffusion model has no exact likelihood, and answers alone are measured"
_SAID_ANYWAY = "-speed is always said"
_OF_THE_FILES = "-it comes from the files of the checkpoint"

#: Arguments of a decoder -> the words of ``tad lm-eval --model_args``; after a ``-`` why there is nothing of the kind.
DECODING: Mapping[str, str] = {
    "model_path": "pretrained",
    "peft": "adapter",
    "lora_path": "adapter",
    "torch_dtype": "dtype",
    "gen_length": _LENGTH,
    "max_new_tokens": _LENGTH,
    "max_gen_toks": _LENGTH,
    "max_length": _LENGTH,
    "block_size": "block_length",
    "steps": _BY_STEPS,
    "diffusion_steps": _BY_STEPS,
    "alg": "method",
    "remasking": "method",
    "generation_method": "method",
    "use_cache": "cache=prefix, or cache=dual_block for the dual cache",
    "dual_cache": "cache=dual_block",
    "refresh_interval": "refresh_forwards",
    "cache_delay_iter": "refresh_settle",
    "decoded_token_threshold": "decoded_threshold",
    "skip_threshold": "threshold, with method=pipeline",
    "cfg": "-there is no classifier-free guidance",
    "cfg_scale": "-there is no classifier-free guidance",
    "mc_num": _NO_LIKELIHOOD,
    "is_check_greedy": _NO_LIKELIHOOD,
    "nll_type": _NO_LIKELIHOOD,
    "log_type": _NO_LIKELIHOOD,
    "show_speed": _SAID_ANYWAY,
    "mask_id": _OF_THE_FILES,
    "add_bos_token": _OF_THE_FILES,
    "trust_remote_code": "-no code of a checkpoint is run",
    "escape_until": "-an answer ends where its turn ends",
    "temperature": "-answers are greedy",
    "top_p": "-answers are greedy",
    "alg_temp": "-answers are greedy",
}

#: The same -> fields of a request to the server.
REQUEST: Mapping[str, str] = {
    **{name: "max_tokens" for name, ours in DECODING.items() if ours == _LENGTH},
    "block_size": "block_length",
    "steps": "method low_confidence with tokens_per_forward, or fixed_budget with forward_budget",
    "diffusion_steps": "method low_confidence with tokens_per_forward, or fixed_budget with forward_budget",
    "alg": "method",
    "remasking": "method",
    "use_cache": "cache",
    "dual_cache": "cache, as dual_block",
    "refresh_interval": "refresh_forwards",
    "cache_delay_iter": "refresh_settle",
    "decoded_token_threshold": "decoded_threshold",
}

_CACHES = "rollout.cache.mode or evaluate.decode.cache.mode"
_STEPS = "evaluate.decode.method low_confidence, with tokens a forward as evaluate.thresholds"
#: Keys of a configuration, with their section where they mean something else in another -> the fields of one here.
FIELDS: Mapping[str, str] = {
    "model_path": "model.path",
    "pretrained": "model.path",
    "model_name_or_path": "model.path",
    "torch_dtype": "model.dtype",
    "gen_length": "rollout.response_length",
    "max_new_tokens": "rollout.response_length",
    "block_size": "rollout.block_length or evaluate.decode.block_length",
    "rollout.steps": "-a rollout reveals one token a step, rollout.response_length in all",
    "decode.steps": _STEPS,
    "evaluate.steps": _STEPS,
    "diffusion_steps": _STEPS,
    "alg": "evaluate.decode.method",
    "remasking": "evaluate.decode.method",
    "use_cache": _CACHES,
    "dual_cache": _CACHES,
    "refresh_interval": "evaluate.decode.cache.refresh_forwards",
    "cache_delay_iter": "evaluate.decode.cache.refresh_settle",
    "lr": "distill.learning_rate",
    "lr_scheduler_type": "distill.schedule",
    "num_train_epochs": "distill.epochs",
    "num_epochs": "distill.epochs",
    "gradient_accumulation_steps": "distill.global_batch_size, the states of a step over all devices",
    "per_device_train_batch_size": "distill.micro_batch_size",
    "train_batch_size": "distill.global_batch_size",
    "load_in_4bit": "distill.quantize",
    "r": "distill.lora.rank",
    "lora_r": "distill.lora.rank",
    "lora_rank": "distill.lora.rank",
    "lora_alpha": "distill.lora.alpha",
    "lora_dropout": "distill.lora.dropout",
    "target_modules": "distill.lora.roles",
}


def said(names: Mapping[str, str], name: str) -> str:
    """Of a name of public code, what it is here, for the end of a sentence; empty for any other name."""
    ours = names.get(name, "")
    return f"leave it out, {ours[1:]}" if ours[:1] == "-" else f"here it is {ours}" if ours else ""
