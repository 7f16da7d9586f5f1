"""What a small base model can do: the table of its card, as Markdown.

For each difficulty of the generated problems, held out: rollouts with and without the reference at temperature 0.7
(those that collection would keep), then greedy decoding token by token and at entropy thresholds with several blocks
open, or one (``--sequential``). Minutes on a GPU; on a CPU take few problems.

    python benchmarks/base_model.py --model assets/tiny-llada --steps 3-4 4-5 5-6 --problems 400
    python benchmarks/base_model.py --model assets/tiny-llada --source pyfunc --steps 2-3 --problems 20
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from tad_core.config import Condition, ModelConfig, SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.prompts import student_prompt, teacher_prompt
from tad_core.data.responses import end_ids, response_text
from tad_core.data.sources import load_source
from tad_core.decoding import DecodeSpec, decode
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.rollout.engine import RolloutRequest, RolloutSpec, rollout
from tad_core.verify import Verifier

LENGTH, BLOCK, TEMPERATURE = 64, 16, 0.7


class Base:
    """A checkpoint with what judges its answers."""

    def __init__(self, path: str, batch: int, verifier: Verifier) -> None:
        self.model, self.tokenizer = load_model(ModelConfig(path=path)), load_tokenizer(path)
        self.batch, self.verifier = batch, verifier

    def rolled_out(self, problems: Sequence[Problem], condition: Condition) -> str:
        """Share of sampled rollouts that are right."""
        requests = [
            RolloutRequest(p.id, 0, teacher_prompt(self.tokenizer, p, condition), TEMPERATURE)
            for p in problems
        ]
        results = rollout(self.model, requests, RolloutSpec(LENGTH, BLOCK, 0, True), self.batch)
        return f"{self._right(problems, [r.response_ids for r in results]):.1f} %"

    def decoded(self, problems: Sequence[Problem], spec: DecodeSpec) -> str:
        """Share of greedy answers that are right, and tokens per forward."""
        prompts = [student_prompt(self.tokenizer, p) for p in problems]
        results = decode(self.model, prompts, spec, self.batch)
        tpf = sum(d.revealed for d in results) / sum(d.forwards for d in results)
        return f"{self._right(problems, [d.tokens for d in results]):.1f} % at {tpf:.2f}"

    def _right(self, problems: Sequence[Problem], answers: Sequence[list[int]]) -> float:
        ends = end_ids(self.tokenizer)
        texts = [response_text(self.tokenizer, ids, ends) for ids in answers]
        judged = self.verifier.judge(problems, texts)
        return 100 * sum(bool(j.correct) for j in judged) / len(judged)


def main() -> None:
    """Measure and print, a row as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="assets/tiny-llada", help="folder of the checkpoint")
    parser.add_argument("--source", choices=["arithmetic", "pyfunc"], default="arithmetic")
    parser.add_argument("--steps", nargs="+", default=["3-3", "4-4"], help="difficulties, as fewest-most")
    parser.add_argument("--problems", type=int, default=100, help="of each difficulty")
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.05, 0.2, 0.5, 1.0])
    parser.add_argument("--sequential", action="store_true", help="one block open at a time")
    parser.add_argument("--batch", type=int, default=512)
    options = parser.parse_args()
    add = 1.0 if options.sequential else 0.1
    ways = [
        DecodeSpec(LENGTH, BLOCK),
        *(DecodeSpec(LENGTH, BLOCK, "entropy", t, add) for t in options.thresholds),
    ]
    heads = ["steps", "privileged", "plain", "token by token", *map(str, options.thresholds), "s"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with Verifier() as verifier, torch.inference_mode():
        base = Base(options.model, options.batch, verifier)
        for steps in options.steps:
            low, _, high = steps.partition("-")
            problems = load_source(
                SourceConfig(
                    name="held-out", source=options.source, split="heldout", seed=1, count=options.problems,
                    options={"min_steps": int(low), "max_steps": int(high or low)},
                )
            )  # fmt: skip
            started = time.perf_counter()
            cells = [base.rolled_out(problems, "privileged"), base.rolled_out(problems, "plain")]
            cells += [base.decoded(problems, way) for way in ways]
            spent = f"{time.perf_counter() - started:.0f}"
            print(f"| {' | '.join([steps, *cells, spent])} |", flush=True)


if __name__ == "__main__":
    main()
