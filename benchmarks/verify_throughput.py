"""How many answers and programs the verifier judges in a second.

    python benchmarks/verify_throughput.py [--pairs 10000] [--jobs 600] [--workers 2]

Math pairs are the right and the wrong answers of the MATH and GSM8K training sets where those files lie
beside the project, else made up; a third of them are written differently from their reference. Jobs are
small programs with three assertions each, one in four of them wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path

from tad_core.data.problem import Problem
from tad_core.verify import Verifier, VerifyConfig, extract_answer
from tad_core.verify.config import SandboxChoice

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def references() -> tuple[list[str], str]:
    """Answers to compare with, and where they come from."""
    found: list[str] = []
    for name, column, rule in (
        ("math_train.jsonl", "solution", "boxed"),
        ("gsm8k_train.jsonl", "answer", "hashes"),
    ):
        path = DATA / name
        if path.exists():
            rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
            found += [answer for row in rows if (answer := extract_answer(row[column], (rule,)))]  # type: ignore[arg-type]
    if found:
        return found, "MATH and GSM8K training answers"
    return [str(n) for n in range(1000)] + [rf"\frac{{{n}}}{{{n + 1}}}" for n in range(1, 1000)], "made up"


def math_pairs(count: int) -> tuple[list[tuple[str, str]], str]:
    """(prediction, reference): one third as written, one third rewritten, one third of another problem."""
    chance = random.Random(0)
    answers, origin = references()
    pairs = []
    for i in range(count):
        answer = chance.choice(answers)
        if i % 3 == 0:
            pairs.append((answer, answer))
        elif i % 3 == 1:
            pairs.append((answer.replace(r"\frac", r"\dfrac").replace("+", " + ") + " ", answer))
        else:
            pairs.append((chance.choice(answers), answer))
    return pairs, origin


def hard_pairs(count: int) -> list[tuple[str, str]]:
    """Pairs that only algebra can decide."""
    chance = random.Random(0)
    pairs = []
    for _ in range(count):
        a, b = chance.randint(2, 40), chance.randint(2, 40)
        pairs.append((rf"(x+{a})(x-{b})", rf"x^2+{a - b}x-{a * b}" if a >= b else rf"x^2-{b - a}x-{a * b}"))
    return pairs


def measure_math(pairs: list[tuple[str, str]], workers: int) -> tuple[float, int]:
    """Pairs a second, and how many were equal."""
    problems = [Problem(f"m{i}", "math", "math", "q", "r", answer=want) for i, (_, want) in enumerate(pairs)]
    texts = [f"The answer is \\boxed{{{got}}}." for got, _ in pairs]
    with Verifier(VerifyConfig(workers=workers)) as verifier:
        # Start the processes.
        verifier.judge([problems[0]] * workers * 2, [r"\boxed{\sin^2 x}"] * workers * 2)
        started = time.perf_counter()
        judgements = verifier.judge(problems, texts)
        return len(pairs) / (time.perf_counter() - started), sum(
            judgement.correct for judgement in judgements
        )


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in usage)


def measure_code(count: int, workers: int, sandbox: SandboxChoice) -> tuple[float, int, float]:
    """Jobs a second, how many passed, and CPU milliseconds a job (with the start of the sandboxes)."""
    used = cpu_s()
    asserts = ("candidate(1, 2) == 4", "candidate(2, 0) == 5", "candidate(-3, 1) == 0")
    tests = "def check(candidate):\n" + "".join(f"    assert {line}\n" for line in asserts)
    problem = Problem("c", "c", "code", "q", "r", tests=tests, meta={"entry_point": "f"})
    texts = [
        f"```python\ndef f(x, y):\n    x = x + {3 if i % 4 else 2}\n    return x\n```" for i in range(count)
    ]
    with Verifier(VerifyConfig(workers=workers, sandbox=sandbox)) as verifier:
        verifier.judge([problem] * workers * 2, texts[: workers * 2])
        started = time.perf_counter()
        judgements = verifier.judge([problem] * count, texts)
        speed = count / (time.perf_counter() - started)
    passed = sum(judgement.correct for judgement in judgements)
    return speed, passed, (cpu_s() - used) * 1000 / count


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiers", default="tier1,tier2")
    options = parser.parse_args()
    print(
        f"load average before: {os.getloadavg()[0]:.2f}; cores: {os.cpu_count()}; workers: {options.workers}"
    )
    pairs, origin = math_pairs(options.pairs)
    speed, equal = measure_math(pairs, options.workers)
    print(f"math, {origin}: {speed:.0f} pairs/s ({equal} of {len(pairs)} equal)")
    hard = hard_pairs(max(100, options.pairs // 20))
    speed, equal = measure_math(hard, options.workers)
    print(f"math, algebra only: {speed:.0f} pairs/s ({equal} of {len(hard)} equal)")
    for tier in options.tiers.split(","):
        speed, passed, cost_ms = measure_code(options.jobs, options.workers, tier)
        print(
            f"code, {tier}: {speed:.0f} jobs/s, {cost_ms:.1f} ms of CPU a job ({passed} of {options.jobs} passed)"
        )
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
