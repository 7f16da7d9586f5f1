"""Records of a sweep, the scorer's memory, and lm-eval against the direct engine."""

import errno
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import datasets
import pytest

from tad_core.data.problem import Problem
from tad_core.data.prompts import student_prompt
from tad_core.data.sources import load_source
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.errors import StoreError, VerifierError
from tad_core.evaluation import harness, lm_eval_tasks
from tad_core.evaluation.decoders import ways
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.harness import LmEvalEngine
from tad_core.evaluation.records import points
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import DirectEngine, make_engine, sweep
from tad_core.rng import key
from tad_core.verify import Verifier, VerifyConfig
from tad_core.verify.verdict import Judgement, Verdict
from tests.tad_core.evaluation.decoded import decodings_of


class CoinJudge:
    """Passes about half of all answers, decided by problem and text alone."""

    def __init__(self):
        self.batches = []

    def judge(self, problems, texts):
        self.batches.append(len(texts))
        passed = [key(p.id, t) % 2 for p, t in zip(problems, texts, strict=True)]
        return [
            Judgement(Verdict.PASSED if ok else Verdict.DIFFERENT, f"a coin for {t!r}", t)
            for ok, t in zip(passed, texts, strict=True)
        ]


@pytest.fixture
def config(tiny_tree):
    from tad_core.config import parse_config

    tiny_tree["evaluate"]["tasks"] = [
        {"name": "sums", "source": "arithmetic", "split": "heldout", "count": 6},
        {"name": "funcs", "source": "pyfunc", "split": "heldout", "count": 4},
    ]
    tiny_tree["evaluate"]["thresholds"] = [7.2, 0.5]
    tiny_tree["evaluate"]["operating_threshold"] = 7.2
    return parse_config(tiny_tree)


@pytest.fixture
def tasks(config):
    return {source.name: load_source(source) for source in config.evaluate.tasks}


@pytest.fixture
def generator(config):
    return Generator.load(config.model, batch_size=3)


def without_time(records):
    return [{k: v for k, v in vars(r).items() if k != "wall_s"} for r in records]


def test_ways(config):
    specs = ways(config, "base")
    assert [(s.method, s.threshold) for s in specs] == [
        ("token_by_token", 0.0),
        ("entropy", 0.5),
        ("entropy", 7.2),
    ]
    assert {(s.response_length, s.block_length, s.early_stop) for s in specs} == {(16, 8, True)}
    assert (specs[1].block_add_threshold, specs[1].mask_in_entropy) == (0.1, True)


def test_a_full_disk_of_temporary_files_is_told_by_its_name(tasks, generator, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(harness, "load_tasks", full)
    with pytest.raises(StoreError, match=r"TMPDIR: /\S+ takes no temporary file \(the disk is full\)"):
        LmEvalEngine(tasks, generator, Scorer(CoinJudge()))


def test_a_sweep_by_both_engines(config, tasks, generator, monkeypatch):
    """The same records, in order, and nothing reaches for the network."""

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    decodings = decodings_of(generator, tasks)
    direct, example = sweep(
        config, "base", DirectEngine(tasks, generator, Scorer(CoinJudge())), generator, decodings
    )
    judge = CoinJudge()
    with LmEvalEngine(tasks, generator, Scorer(judge)) as engine:
        under, same_example = sweep(config, "base", engine, generator, decodings)
    assert without_time(under) == without_time(direct)
    assert same_example == example
    assert [(r.task, r.problem_id) for r in direct[:10]] == [(t, p.id) for t, ps in tasks.items() for p in ps]
    measured = points(direct)
    assert [p["problems"] for p in measured] == [6, 4] * 3
    assert {p["tpf"] for p in measured if p["method"] == "token_by_token"} == {1.0}
    assert max(p["tpf"] for p in measured) > 1.5
    # the harness's own figures agree with a count of ours
    for i, theirs in enumerate(engine.results):
        for task, found in theirs.items():
            ours = [p["accuracy"] for p in measured if p["task"] == task][i]
            assert 100 * found["solved,none"] == pytest.approx(ours)
    assert 0 < sum(r.correct for r in direct) < len(direct)
    assert [r.reason for r in direct] == [f"a coin for {r.text!r}" for r in direct]
    assert len(judge.batches) <= 3  # one batch a way


@pytest.mark.parametrize("harness", ["lm-eval", "direct"])
def test_reference_answers_pass_the_real_verifier(tasks, generator, harness):
    """Every other answer is the problem's own reference: half are right, under either engine."""
    problems = [p for found in tasks.values() for p in found]
    answers = {
        tuple(generator.encode(p)): p.reference if i % 2 else "I do not know" for i, p in enumerate(problems)
    }

    def recite(problem):
        row = generator.encode_text(answers[tuple(generator.encode(problem))])
        return Decoded([*row, generator.held.eos_token_id], 2, [1] * (len(row) + 1), False)

    decoded = {(task, p.id): recite(p) for task, found in tasks.items() for p in found}
    with (
        Verifier(VerifyConfig(workers=1)) as verifier,
        make_engine(harness, tasks, generator, Scorer(verifier)) as engine,
    ):
        outputs = engine.run(DecodeSpec(16, 8), decoded)
    assert [o.judgement.correct for o in outputs] == [bool(i % 2) for i in range(len(problems))]


def test_the_example(config, tasks, generator):
    _, example = sweep(
        config,
        "base",
        DirectEngine(tasks, generator, Scorer(CoinJudge())),
        generator,
        decodings_of(generator, tasks),
    )
    json.dumps(example)
    assert example["problem_id"] == tasks["sums"][0].id
    assert example["prompt"] == tasks["sums"][0].question
    assert [(d["method"], d["threshold"]) for d in example["decodings"]] == [
        ("token_by_token", 0.0),
        ("entropy", 7.2),
    ]
    for decoding in example["decodings"]:
        assert len(decoding["tokens"]) == len(decoding["revealed_at"]) == 16


def test_lm_eval_sends_the_very_prompts_of_training(generator):
    """Special characters, template syntax, edges of white space: token for token the student's prompt."""
    questions = [
        "plain",
        " {{ 7*7 }} {% if x %} ",
        "line\n\nbreak\n",
        "2020-01-01",
        "<|eot_id|> 3 + 4",
        "é ✓ 漢",
    ]
    problems = [Problem(f"q/{i}", "x", "math", q, "r", answer="1") for i, q in enumerate(questions)]
    problems.append(Problem("q/code", "x", "code", "2021-02-03", "r", tests="assert True"))
    assert list(map(generator.encode, problems)) == [student_prompt(generator.tokenizer, p) for p in problems]
    tasks, spec = {"edges": problems}, DecodeSpec(4, 4, "entropy", 9.0)
    with make_engine("lm-eval", tasks, generator, Scorer(CoinJudge())) as engine:
        # It compares every prompt that lm-eval sends, and would raise an error.
        outputs = engine.run(spec, decodings_of(generator, tasks)(spec))
    assert [o.problem for o in outputs] == problems


def test_the_scorer_judges_each_distinct_answer_once():
    judge = CoinJudge()
    scorer = Scorer(judge)
    one, two = (Problem(i, "x", "math", "q", "r", answer="1") for i in ("p1", "p2"))
    first = scorer.judge([one, one, two], ["5", "5", "5"])
    assert first[0] == first[1]
    assert scorer.judge([two, one, one], ["5", "6", "5"])[0] == first[2]
    assert judge.batches == [2, 1]


def test_a_verifier_that_failed_stops_the_evaluation():
    class Broken:
        def judge(self, problems, texts):
            return [Judgement(Verdict.INFRASTRUCTURE, "no sandbox", "")]

    with pytest.raises(VerifierError, match=r"'p1': no sandbox; run `tad doctor`"):
        Scorer(Broken()).judge([Problem("p1", "x", "math", "q", "r", answer="1")], ["t"])


def test_problems_of_one_id_are_judged_each_by_its_own_reference():
    """Ids are a task's name and what its rows say, and either may hold a slash: of two tasks they can be the same."""

    class Reference:
        def judge(self, problems, texts):
            return [Judgement(Verdict.PASSED, told(p), "") for p in problems]

    def told(problem):
        return f"{problem.source} {problem.answer} {problem.tests} {problem.reference} {problem.meta}"

    kinds = {"math": {"answer": "1"}, "code": {"tests": "x"}}
    made = [Problem("a/b/0", "a", kind, "q", "r", **given) for kind, given in kinds.items()]
    made += [
        replace(made[0], answer="2"), replace(made[1], tests="y"),
        # The source names where an answer is looked for, a program's reference what it is not to copy.
        replace(made[0], source="a/b"), replace(made[1], reference="s"),
        replace(made[0], meta={"math_kind": "text"}), replace(made[1], meta={"entry_point": "f", "n": [1]}),
    ]  # fmt: skip
    scorer = Scorer(Reference())
    for problem in made:
        (found,) = scorer.judge([problem], ["t"])
        assert found.reason == told(problem)
    assert [j.reason for j in scorer.judge(made, ["t"] * len(made))] == [told(p) for p in made]


def test_engines_of_models_side_by_side_take_turns_in_lm_eval(tasks, generator, monkeypatch):
    """It and the data set library change settings of the whole process meanwhile."""
    inside, most = [], []

    def alone(real):
        def call(*arguments, **options):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            try:
                return real(*arguments, **options)
            finally:
                inside.pop()

        return call

    monkeypatch.setattr(lm_eval_tasks.TaskManager, "load", alone(lm_eval_tasks.TaskManager.load))
    monkeypatch.setattr(harness, "evaluate", alone(harness.evaluate))
    before, spec = datasets.config.HF_HUB_OFFLINE, DecodeSpec(16, 8)
    decoded = decodings_of(generator, tasks)(spec)

    def run(_):
        with LmEvalEngine(tasks, generator, Scorer(CoinJudge())) as engine:
            return [(o.problem.id, o.text, o.judgement) for o in engine.run(spec, decoded)]

    with ThreadPoolExecutor(3) as threads:
        first, *others = threads.map(run, range(3))
    assert len(first) == 10 and others == [first, first]
    assert len(most) == 6 and max(most) == 1
    assert before == datasets.config.HF_HUB_OFFLINE
