"""Benchmarks: each is one YAML, a task of lm-eval that both engines read, and a class that knows its data set.

A configuration names one as a task: ``{name: …, source: benchmark, options: {task: gsm8k, path: …}}``.
"""

from __future__ import annotations

from tad_core.evaluation.benchmarks.base import Benchmark
from tad_core.evaluation.benchmarks.evalplus import (
    HumanEvalPlus,
    HumanEvalPlusInstruct,
    MBPPPlus,
    MBPPPlusInstruct,
)
from tad_core.evaluation.benchmarks.gsm8k import GSM8K
from tad_core.evaluation.benchmarks.humaneval import HumanEval, HumanEvalInstruct
from tad_core.evaluation.benchmarks.mbpp import MBPP, MBPPInstruct
from tad_core.evaluation.benchmarks.minerva_math import MinervaMath

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        GSM8K("gsm8k"),
        GSM8K("gsm8k_cot_zeroshot"),
        MinervaMath("minerva_math"),
        HumanEval("humaneval"),
        HumanEvalInstruct("humaneval_instruct"),
        MBPP("mbpp"),
        MBPPInstruct("mbpp_instruct"),
        HumanEvalPlus("humaneval_plus"),
        HumanEvalPlusInstruct("humaneval_plus_instruct"),
        MBPPPlus("mbpp_plus"),
        MBPPPlusInstruct("mbpp_plus_instruct"),
    )
}
