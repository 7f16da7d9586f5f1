"""Both engines over every benchmark: the same records, figures that agree with a count, 100 for right answers."""

import dataclasses
import socket

import datasets
import pytest

from tad_core.decoding import Decoded, DecodeSpec
from tad_core.errors import ConfigError
from tad_core.evaluation import harness
from tad_core.evaluation.answers import figures
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.harness import LmEvalEngine
from tad_core.evaluation.prompting import chat_text, messages_of
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import DirectEngine
from tests.tad_core.evaluation.benchmarks.conftest import load
from tests.tad_core.evaluation.decoded import decodings_of
from tests.tad_core.verify.conftest import DATA, read_data

SPEC = DecodeSpec(8, 8, "entropy", 9.0)


class Says:
    """A model that answers each prompt with a given text, in the place of a ``Generator``."""

    def __init__(self, tokenizer, answers):
        self.tokenizer, self._answers, self._texts = tokenizer, answers, []

    def encode_text(self, text):
        self._texts.append(text)
        return [len(self._texts) - 1]

    def encode(self, problem):
        return self.encode_text(chat_text(self.tokenizer, messages_of(problem)))

    def decode(self, prompts, spec, on_progress=None):
        return [Decoded(list(p), 1, [1], stopped_early=False) for p in prompts]

    def text(self, decoded):
        return self._answers[self._texts[decoded.tokens[0]]]


@pytest.fixture
def generator(long_model):
    return Generator.load(long_model, batch_size=8)


def run_both(problems, make_generator, verifier):
    generator = make_generator()
    decoded = decodings_of(generator, problems)(SPEC)
    direct = DirectEngine(problems, generator, Scorer(verifier)).run(SPEC, decoded)
    with LmEvalEngine(problems, generator, Scorer(verifier)) as engine:
        under = engine.run(SPEC, decoded)
    return direct, under, engine.results[0]


def without_time(outputs):
    return [dataclasses.replace(o, decoded=dataclasses.replace(o.decoded, wall_s=0.0)) for o in outputs]


def test_a_real_model_under_both_engines(small_problems, generator, verifier, monkeypatch):
    """Nothing reaches for the network; the engine itself compares lm-eval's prompts and sums with its own."""

    asked = []

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: asked.append(args))
    # As it is outside the tests: the library is online.
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)
    direct, under, results = run_both(small_problems, lambda: generator, verifier)
    assert without_time(under) == without_time(direct)
    assert [o.problem.id for o in direct] == [p.id for found in small_problems.values() for p in found]
    assert set(small_problems) <= set(results)
    assert asked == []
    assert (datasets.config.HF_HUB_OFFLINE, datasets.config.HF_UPDATE_DOWNLOAD_COUNTS) == (False, True)


def test_a_dream_under_both_engines(small_problems, long_dream, verifier):
    names = ("gsm8k_cot_zeroshot", "humaneval_instruct", "mbpp_instruct")
    problems = {name: small_problems[name] for name in names}
    generator = Generator.load(long_dream, batch_size=8)
    direct, under, _ = run_both(problems, lambda: generator, verifier)
    assert under == direct
    assert len({o.text for o in direct}) > 1


def right_answer(task, problem):
    if task == "gsm8k":
        return problem.reference + " \nQuestion: and more"
    if task == "gsm8k_cot_zeroshot":
        return f"It is so. The answer is {problem.answer}."
    if task == "minerva_math":
        return f"{problem.reference}\nFinal Answer: The final answer is ${problem.answer}$. I hope it is correct."
    if task in ("humaneval", "humaneval_plus"):
        return f"Sure!\n```python\n{problem.question}{problem.reference}\nprint(1)\n```\nIt works."
    if task in ("humaneval_instruct", "humaneval_plus_instruct"):
        return f"{problem.reference}```\nIt works."
    if task in ("mbpp", "mbpp_plus"):
        return f"{problem.reference}\n[DONE]\nAnd then ("
    return f"\n{problem.reference}\n```"


def wrong_answer(task, problem):
    if problem.kind == "math":
        return "The answer is 77777.\n#### 77777\nFinal Answer: The final answer is $77777$. I hope it is correct."
    if task.startswith("humaneval"):
        return "    return None\n"
    return f"\ndef {'add' if problem.id.endswith('11') else 'area'}(*_):\n    return 9\n```\n"


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("make_answer", [right_answer, wrong_answer])
def test_right_answers_get_100_and_wrong_ones_0(make_answer, plus, small_problems, generator, verifier):
    """EvalPlus's apart: they ask what the benchmarks without the plus ask."""
    tokenizer = generator.tokenizer
    small_problems = {task: found for task, found in small_problems.items() if ("_plus" in task) is plus}
    answers = {
        chat_text(tokenizer, messages_of(p)): make_answer(task, p)
        for task, found in small_problems.items()
        for p in found
    }
    assert len(answers) == sum(map(len, small_problems.values()))
    direct, under, results = run_both(small_problems, lambda: Says(tokenizer, answers), verifier)
    assert under == direct
    right = make_answer is right_answer
    for output in direct:
        assert output.judgement.correct is right, (output.problem.id, output.judgement)
        # The chat's fenced program is no completion of the prompt, which is all that lm-eval's own humaneval knows.
        expected = {name: float(right and name != "pass@1,create_test") for name in output.figures}
        if output.task not in ("humaneval", "humaneval_plus"):
            expected = dict.fromkeys(output.figures, float(right))
        assert output.figures == expected, output.problem.id
    if not plus:
        assert results["minerva_math"]["math_verify,none"] == float(right)


def test_a_group_is_weighted_by_size(small_problems, generator, verifier):
    """Two subsets of one problem and one of two: one right answer of four is a quarter, not a third."""
    problems = {"math": [dataclasses.replace(p, source="math") for p in small_problems["minerva_math"]]}
    tokenizer = generator.tokenizer
    answers = {chat_text(tokenizer, messages_of(p)): wrong_answer("", p) for p in problems["math"]}
    first = problems["math"][0]
    answers[chat_text(tokenizer, messages_of(first))] = right_answer("minerva_math", first)
    direct, under, results = run_both(problems, lambda: Says(tokenizer, answers), verifier)
    assert under == direct
    assert [o.judgement.correct for o in direct] == [True, False, False, False]
    assert results["math"]["math_verify,none"] == results["math"]["exact_match,none"] == 0.25
    assert [results[f"math::{name}"]["math_verify,none"] for name in ("prealgebra", "algebra")] == [1.0, 0.0]


def test_another_prompt_than_the_definition_says_is_refused(small_problems, generator, verifier, monkeypatch):
    problems = {"gsm8k": small_problems["gsm8k"]}
    monkeypatch.setattr(harness, "messages_of", lambda p: [{"role": "user", "content": "something else"}])
    with (
        LmEvalEngine(problems, generator, Scorer(verifier)) as engine,
        pytest.raises(ConfigError, match=r"another prompt for gsm8k/1 .*make env"),
    ):
        engine.run(SPEC, decodings_of(generator, problems)(SPEC))


# --- the public data --------------------------------------------------------------------------------

FILES = {
    "gsm8k": "gsm8k_train.jsonl",
    "minerva_math": "math_train.jsonl",
    "humaneval": "HumanEval.jsonl.gz",
    "humaneval_instruct": "HumanEval.jsonl.gz",
}


@pytest.mark.parametrize(
    "count", [2, pytest.param(None, marks=[pytest.mark.slow, pytest.mark.timeout(5400)])]
)
def test_the_public_data(count, generator, verifier):
    """A tiny model over real rows, all of them in the slow test: lm-eval's figures are those of a direct count."""
    problems = {}
    for task, file in FILES.items():
        rows = len(read_data(file))
        more = {"count": count, "sample": "random", "seed": 3, "min_count": 2 if count else int(rows * 0.99)}
        problems[task] = load(task, DATA / file, **more)
        assert len(problems[task]) == (count or rows - (2 if task == "minerva_math" else 0))
    with LmEvalEngine(problems, generator, Scorer(verifier)) as engine:
        outputs = engine.run(SPEC, decodings_of(generator, problems)(SPEC))
    asked, texts = [o.problem for o in outputs], [o.text for o in outputs]
    assert [o.figures for o in outputs] == figures(asked, texts, Scorer(verifier))


@pytest.mark.parametrize("stride", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_canonical_solutions_of_humaneval_pass(stride, generator, verifier):
    """Through the evaluation's own path, as a body and as a chat's whole function: 164 of 164."""
    tokenizer = generator.tokenizer
    problems = {
        task: load(task, DATA / file)[::stride]
        for task, file in FILES.items()
        if task.startswith("humaneval") and read_data(file)
    }
    answers = {
        chat_text(tokenizer, messages_of(p)): right_answer(task, p)
        for task, found in problems.items()
        for p in found
    }
    says = Says(tokenizer, answers)
    decoded = decodings_of(says, problems)(SPEC)
    for output in DirectEngine(problems, says, Scorer(verifier)).run(SPEC, decoded):
        assert output.judgement.correct, (output.problem.id, output.judgement)
        assert output.figures["pass@1,create_test"] == float(output.task == "humaneval_instruct")
