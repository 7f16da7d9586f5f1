"""Rollout: ours against a plain loop, side by side in one process; prints samples a second and the ratio.

The plain loop is what the method's definition says word for word: one sample, every step a forward over prompt and
response with logits for all positions, the most confident masked position of the block revealed, all L steps. Both
decode the same problems with the same checkpoint at temperature 0, and the tokens up to the end of text must agree.

    python benchmarks/rollout.py [--model assets/tiny-llada] [--problems 12] [--threads 1]
"""

from __future__ import annotations

import argparse
import time

import torch

from tad_core.config import ModelConfig, SourceConfig
from tad_core.data.prompts import teacher_prompt
from tad_core.data.sources import load_source
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.rollout.engine import RolloutRequest, RolloutSpec, rollout

LENGTH, BLOCK = 64, 16


@torch.inference_mode()
def plain_rollout(model: DiffusionLM, prompt: list[int]) -> list[int]:
    """Final tokens of one sample, by the definition."""
    device = next(model.parameters()).device
    ids = torch.tensor([prompt + [model.mask_token_id] * LENGTH], device=device)
    for step in range(LENGTH):
        probabilities = model(ids)[0].double().softmax(-1)
        probabilities[:, model.mask_token_id] = 0
        confidence, token = probabilities.max(-1)
        first = len(prompt) + step // BLOCK * BLOCK
        inside = torch.arange(len(ids[0]), device=device)
        open_ = (ids[0] == model.mask_token_id) & (inside >= first) & (inside < first + BLOCK)
        at = confidence.masked_fill(~open_, -1).argmax()
        ids[0, at] = token[at]
    return ids[0, len(prompt) :].tolist()


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="assets/tiny-llada")
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(ModelConfig(path=options.model))
    tokenizer = load_tokenizer(options.model)
    source = SourceConfig(
        name="a", source="arithmetic", count=options.problems, options={"min_steps": 3, "max_steps": 4}
    )
    prompts = [teacher_prompt(tokenizer, p, "privileged") for p in load_source(source)]
    requests = [RolloutRequest(str(i), 0, prompt, 0.0) for i, prompt in enumerate(prompts)]

    def ours(finish_early: bool) -> list[list[int]]:
        spec = RolloutSpec(LENGTH, BLOCK, 0, finish_early)
        return [r.response_ids for r in rollout(model, requests, spec, options.batch)]

    runs = {
        "plain loop": lambda: [plain_rollout(model, prompt) for prompt in prompts],
        "ours, every step computed": lambda: ours(False),
        "ours, finished early": lambda: ours(True),
    }
    plain_rollout(model, prompts[0])  # warm-up
    speed, tokens = {}, {}
    for name, run in runs.items():
        started = time.perf_counter()
        tokens[name] = run()
        speed[name] = len(prompts) / (time.perf_counter() - started)
    cut = [t[: t.index(model.eos_token_id)] if model.eos_token_id in t else t for t in tokens["plain loop"]]
    for name in runs:
        same = sum(t[: len(c)] == c for t, c in zip(tokens[name], cut, strict=True))
        ratio = speed[name] / speed["plain loop"]
        print(f"{name:28} {speed[name]:7.2f} samples/s  {ratio:5.2f}x  same text {same}/{len(cut)}")


if __name__ == "__main__":
    main()
