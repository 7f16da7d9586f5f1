"""What the YAMLs name for lm-eval: verdicts of the pipeline's scorer, or of one of their own on the command line."""

from tad_core.evaluation.benchmarks import functions
from tad_core.evaluation.scoring import Scorer
from tad_core.verify.verdict import Judgement, Verdict
from tests.tad_core.evaluation.benchmarks.conftest import HUMANEVAL, MBPP


def test_on_the_command_line_programs_go_to_the_sandbox(small_problems):
    docs = [dict(row) for row in HUMANEVAL]
    answers = [["    return [2 * x for x in xs]\n", "    return xs\n"], ["I do not know"]]
    assert functions.humaneval_sanitized(answers, docs) == [["passed", "failed"], ["failed"]]
    assert functions.humaneval_as_lm_eval(answers, docs) == [["passed", "failed"], ["failed"]]
    assert functions.mbpp_sanitized([[MBPP[0]["code"]]], [MBPP[0]]) == [["passed"]]
    assert functions.pass_at_1(["tests"], [["passed"]]) == {"pass@1": 1.0}
    assert functions.pass_at_1(["tests"], [["timeout"]]) == {"pass@1": 0.0}


def test_under_the_pipeline_its_scorer_is_asked_under_the_pipelines_ids():
    asked = []

    class Judge:
        def judge(self, problems, texts):
            asked.extend(p.id for p in problems)
            return [Judgement(Verdict.TIMEOUT, "", "")] * len(texts)

    docs = [{"id": "mine/11", **MBPP[0]}]
    with functions.judging(Scorer(Judge())):
        assert functions.mbpp_instruct_sanitized([["x = 1"]], docs) == [["timeout"]]
    assert asked == ["mine/11"]
