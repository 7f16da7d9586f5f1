"""What each component and objective gives on fixed input, in discrete numbers and text no machine rounds otherwise.

python -m tests.tad_core.golden.outputs      # writes outputs.json anew, after a version was raised

Where an output is another and its version is not, nothing is written: what was finished under that version would be
taken for the new. ``--same-version NAME`` writes it all the same, for input that was added here, or for a version
under which nothing was finished yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tad_core.artifacts.components import VERSIONS
from tad_core.config.objectives import OBJECTIVES
from tad_core.data.problem import Problem
from tad_core.data.prompts import student_prompt, teacher_prompt, training_teacher_prompt
from tad_core.data.responses import closed_response, end_ids, response_text, text_length
from tad_core.data.tokenizer import build_tokenizer
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.spec import at_level
from tad_core.evaluation.aup import aup, leaderboard_aup
from tad_core.evaluation.benchmarks.programs import sanitize
from tad_core.evaluation.bootstrap import bootstrap_aup
from tad_core.evaluation.records import RESULT_SCHEMA, Record, points
from tad_core.rollout.engine import RolloutRequest, RolloutSpec, rollout
from tad_core.trajectory.schema import TRAJECTORY_SCHEMA, VERDICT_SCHEMA
from tad_core.verify import Verifier
from tests.tad_core.data import chat_tokenizers
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.golden.objectives import objective_output

HERE = Path(__file__).parent
STORED = HERE / "outputs.json"
BENCHMARKS = Path(__file__).parents[3] / "tad_core" / "evaluation" / "benchmarks"

MATH = Problem("m/0", "toy", "math", "What is 2 + 4?", "2 + 4 = 6\n#### 6", "6")
CODE = Problem(
    "c/0",
    "toy",
    "code",
    "Write f that adds one.",
    "def f(x):\n    return x + 1",
    tests="def test_f():\n    assert f(1) == 2",
)

#: reference, then answers to it
ANSWERS = {
    "6": ["6", "6.0", "12/2", "7", "", "six", "5 or 6", "6 apples", "x = 6"],
    "1/2": [r"\frac12", "0.5", "0.50", r"50\%", "2/4", "0.51"],
    "(1, 2]": ["(1,2]", "[1,2)", r"1 < x \le 2"],
    "x^2-1": ["(x-1)(x+1)", "(x+1)^2-2x-2", "x^2+1"],
    r"\sqrt{2}": [r"\frac{2}{\sqrt2}", "1.41421356", "2^{1/2}"],
    r"\{1,2,3\}": ["3,2,1", "1,2", r"\{3, 1, 2\}"],
    r"\text{Tuesday}": ["tuesday", r"\text{Monday}"],
    "60": ["5 dozen", r"2^{100} \equiv 60 \pmod{7}", "55 to 60"],
    r"3\sqrt{41}": [r"3\sqrt{41} = 19.2", r"3\sqrt{41} = 19.3"],
    "2:3": [r"\frac23", "4:6", "3:2"],
    "15": [r"\text{at most exactly 15}", r"\frac{d}{dx}x^2=15", r"\sum_{k=1}^5 k"],
}
WHOLE = [
    "The answer is 6. No, 7.",
    "It is half of 6",
    "so it is (3, 6)",
    "The answer is 6.",
    "#### 6",
    r"so \boxed{6} and \boxed{7}",
    r"It is -\boxed{6}.",
    r"\boxed{6",
    "2 + 4 = 6\n6",
    "so x > 6",
    "It is 2 * 2 = 6",
    "There are 6 million",
    "It takes 5 to 6 hours.",
    "The number of permutations is 3!",
    "#### 6\n\nQuestion: 3 + 4?\n#### 7",
    "#### 7<|eot_id|>#### 6",
    "The answer is 6. It is 7.",
    "The answer is 6 minutes. It is 360 seconds.",
    "It is 7 dollars/user\n#### 6",
    "The answer is 7. No wait, that is b. So a is 6.",
    "It is 2 + 4 = 6 (2 cars, 4 bears).",
    "It is 6 with 4 legs each.",
    r"\boxed{6}. However, the answer should be 7.",
]
PROGRAMS = [
    "def f(x):\n    return x + 1",
    "Here it is:\n```python\ndef f(x):\n    return x + 2\n```",
    "def f(x):\n    return (",
    "def f(x):\n    raise SystemExit",
    "def g(x):\n    return x",
    "no program at all",
    "    def f(x):\n        return x + 1",
    "class Solution:\n    def f(self, x):\n        return x + 1",
    ">>> def f(x):\n...     return x + 1",
    "def f(x):\n    return x + 1\nassert f(1) == 1",
    "def f(x):\n    return x + 1<|eot_id|>\ndef f(x):\n    return x",
    "It is\n```python\ndef f(x):\n    return g(x)\ndef g(a_user):\n    y = a_user\n    return y + 1\n```",
    "import it like this:\ndef f(x):\n    return x + 1\n\nTime: O(1)",
]
#: answers to a benchmark that asks for ``f``, with more than that in them
LONGER = [
    "Sure:\nimport math\nK = 1\nL = 2\ndef f(x):\n    return g(x) + K\ndef g(x):\n    return x\n"
    "print(f(1))\nn = f(2)\ncut = (",
    "T = [0]\nfor i in range(9):\n    T.append(i)\ntry:\n    import cmath\nexcept ImportError:\n    cmath = None\n"
    "def f(x):\n    return T[x] + cmath.phase(x)\nfor x in T:\n    print(f(x))",
    "def g(x):\n    return x\nprint(g(1))",
]


def prompts() -> Any:
    texts = [MATH.question, MATH.reference, CODE.question, CODE.reference, "Question: Answer: Reference"]
    out: dict[str, Any] = {}
    for family, tokenizer in (
        ("llada", chat_tokenizers.llada(texts)),
        ("dream", chat_tokenizers.dream(texts)),
    ):
        for problem in (MATH, CODE):
            out[f"{family} {problem.kind}"] = {
                "student": _shown(tokenizer, student_prompt(tokenizer, problem)),
                "privileged": _shown(tokenizer, teacher_prompt(tokenizer, problem, "privileged")),
                "system": _shown(tokenizer, training_teacher_prompt(tokenizer, problem, family)),  # type: ignore[arg-type]
            }
    files = sorted(BENCHMARKS.glob("*.yaml"))
    return out | {f.name: hashlib.sha256(f.read_bytes()).hexdigest()[:16] for f in files}


def _shown(tokenizer: Any, ids: list[int]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids)).replace("\n", "\\n")


def responses() -> Any:
    tokenizer = build_tokenizer()
    ends = end_ids(tokenizer)
    written = ["4 + 2 = 6", "6<|eot_id|><|endoftext|>", "6<|endoftext|>7", "<|eot_id|>6", "6<|im_end|>"]
    out = []
    for text in written:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        out.append([text, text_length(ids, ends), response_text(tokenizer, ids, ends)])
    return out


def references() -> Any:
    tokenizer = build_tokenizer()
    return [closed_response(tokenizer, text, 8) for text in ("4 + 2", "4 + 2 = 6", "1 + 1 + 1 + 1 + 1")]


def rollouts() -> Any:
    requests = [
        RolloutRequest(f"p/{i}", s, [2, 3 + i], t)
        for i in range(2)
        for s in range(2)
        for t in (0.0, 0.7, 2.0)
    ]
    # The first ends its text after a few tokens; the second goes on, so that every step's noise shows.
    runs = (
        (FormulaModel(5, eos_bonus=1.0), True),
        (FormulaModel(5, eos_bonus=1.0), False),
        (FormulaModel(6), True),
    )
    return [
        [r.response_ids, r.revealed_at, r.filled_from, r.forwards]
        for model, early in runs
        for r in rollout(model, requests, RolloutSpec(16, 4, 11, early), 3)
    ]


def tables() -> Any:
    schemas = {"trajectory": TRAJECTORY_SCHEMA, "verdict": VERDICT_SCHEMA}
    return {name: {f.name: str(f.type) for f in schema} for name, schema in schemas.items()}


#: the methods that no run is evaluated with, and the value of the knob of each
METHODS = [
    ("confidence", 0.7), ("factor", 1.0), ("entropy_block", 0.6), ("d3llm", 0.6), ("d3llm_dream", 0.6),
    ("pipeline", 0.7), ("low_confidence", 2), ("fixed_budget", 7),
]  # fmt: skip


def decoder() -> Any:
    specs = [DecodeSpec(16, 4)] + [
        DecodeSpec(16, 4, "entropy", threshold, add, mask_in_entropy=mask)
        for threshold in (0.2, 1.0)
        for add in (0.1, 1.0)
        for mask in (True, False)
    ]
    specs += [DecodeSpec(16, 4, **at_level(method, level)) for method, level in METHODS]
    model = FormulaModel(4, eos_bonus=1.0)
    return [[[d.tokens, d.revealed_at, d.forwards] for d in decode(model, [[2], [3, 4]], s)] for s in specs]


def verifier() -> Any:
    asked = [
        (Problem("m", "toy", "math", "?", "?", reference), rf"\boxed{{{said}}}")
        for reference, answers in ANSWERS.items()
        for said in answers
    ]
    asked += [(MATH, said) for said in WHOLE]
    asked += [(CODE, program) for program in PROGRAMS]
    with Verifier() as judge:
        judged = judge.judge([p for p, _ in asked], [said for _, said in asked])
    return [
        [p.answer if p.kind == "math" else "program", said, str(j.verdict)]
        for (p, said), j in zip(asked, judged, strict=True)
    ]


def programs() -> Any:
    return [sanitize(answer, {"f"}) for answer in (*PROGRAMS, *LONGER)]


def _records() -> list[Record]:
    return [
        Record(
            task="t", model=model, method=method, threshold=threshold, problem_id=f"p/{i}", correct=(i * step) % 3 > 0,
            verdict="passed", forwards=16 // step, tokens=16, tokens_text=12, wall_s=0.5, text="x",
            full_forwards=4 // step, computed=20 * 16 // step,
        )
        for model, step in (("base", 1), ("quality", 4))
        for method, threshold in (("token_by_token", 0.0), ("entropy", 0.5))
        for i in range(8)
    ]  # fmt: skip


def records() -> Any:
    return {"columns": {f.name: str(f.type) for f in RESULT_SCHEMA}, "points": points(_records())}


def scores() -> Any:
    found = bootstrap_aup(_records(), 50)
    return {
        "aup": round(aup([(1, 80.0), (3, 78.0), (6, 60.0)], 90.0), 6),
        "leaderboard": [
            leaderboard_aup(points, 90.0) for points in ([(1, 70.0), (1, 80.0)], [(1, 80.0), (4, 74.0)])
        ],
        "bootstrap": {model: _rounded(asdict(found.aup_of(model))) for model in ("base", "quality")},
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 6) if isinstance(value, float) else value


OUTPUTS: dict[str, Callable[[], Any]] = {
    "prompts": prompts,
    "responses": responses,
    "references": references,
    "rollout": rollouts,
    "tables": tables,
    "decoder": decoder,
    "verifier": verifier,
    "programs": programs,
    "records": records,
    "scores": scores,
    **{f"objective {name}": partial(objective_output, name) for name in OBJECTIVES},
}


def version_of(name: str) -> int:
    """Of a component, or of an objective."""
    versions: dict[str, int] = {**VERSIONS}
    return versions[name] if name in versions else OBJECTIVES[name.removeprefix("objective ")].version


def current(name: str) -> dict[str, Any]:
    """Version and output of a component or an objective, as JSON has them."""
    out: dict[str, Any] = json.loads(json.dumps({"version": version_of(name), "output": OUTPUTS[name]()}))
    return out


def renewed(
    stored: dict[str, Any], now: dict[str, Any], same_version: Collection[str] = ()
) -> dict[str, Any]:
    """What to store from now on.

    Raises:
        SystemExit: an output changed and its version did not go up.
    """
    wrong = [
        name
        for name, entry in now.items()
        if name in stored
        and name not in same_version
        and entry != stored[name]
        and entry["version"] <= stored[name]["version"]
    ]
    if wrong:
        raise SystemExit(
            f"{', '.join(wrong)}: another output under version {', '.join(str(now[n]['version']) for n in wrong)}, and "
            "nothing was written; raise it in VERSIONS of tad_core/artifacts/components.py (an objective's in "
            "tad_core/config/objectives.py) above the one in "
            f"{STORED.name}, or, if nothing was finished under it, give --same-version {wrong[0]}"
        )
    return now


def main(arguments: list[str] | None = None) -> None:
    """Write the stored outputs anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--same-version", nargs="*", choices=sorted(OUTPUTS), default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    now = renewed(stored, {name: current(name) for name in OUTPUTS}, options.same_version)
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in now.items()]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
