"""The decoding methods by name."""

from tad_core.decoding.policies.base import Policy
from tad_core.decoding.policies.confidence import ConfidenceThreshold
from tad_core.decoding.policies.d3llm import D3LLM, D3LLMDream
from tad_core.decoding.policies.entropy import EntropyMultiBlock
from tad_core.decoding.policies.entropy_block import EntropyBlock
from tad_core.decoding.policies.factor import ParallelFactor
from tad_core.decoding.policies.fixed_budget import FixedBudget
from tad_core.decoding.policies.low_confidence import LowConfidence
from tad_core.decoding.policies.pipeline import BlockPipeline
from tad_core.decoding.policies.token_by_token import TokenByToken

POLICIES: dict[str, type[Policy]] = {
    "token_by_token": TokenByToken,
    "entropy": EntropyMultiBlock,
    "confidence": ConfidenceThreshold,
    "factor": ParallelFactor,
    "entropy_block": EntropyBlock,
    "d3llm": D3LLM,
    "d3llm_dream": D3LLMDream,
    "low_confidence": LowConfidence,
    "fixed_budget": FixedBudget,
    "pipeline": BlockPipeline,
}

__all__ = ["POLICIES", "Policy"]
