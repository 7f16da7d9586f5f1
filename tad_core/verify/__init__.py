"""The verifier: is this answer right? It runs untrusted programs and reads untrusted mathematics.

Importing it is quick: sympy and the sandbox are loaded by the processes that need them.
"""

from tad_core.verify.blocks import extract_code
from tad_core.verify.code import Limits, run_tests
from tad_core.verify.config import VerifyConfig
from tad_core.verify.extract import extract_answer
from tad_core.verify.math import math_equal
from tad_core.verify.sandbox.tiers import TierReport, detect_tier
from tad_core.verify.verdict import CodeResult, Judgement, MathVerdict, Verdict
from tad_core.verify.verifier import Verifier

__all__ = [
    "CodeResult",
    "Judgement",
    "Limits",
    "MathVerdict",
    "TierReport",
    "Verdict",
    "Verifier",
    "VerifyConfig",
    "detect_tier",
    "extract_answer",
    "extract_code",
    "math_equal",
    "run_tests",
]
