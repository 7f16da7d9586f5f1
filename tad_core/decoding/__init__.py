"""Decoding: token by token and entropy-threshold multi-block; forwards are counted once per sample served."""

from tad_core.decoding.base import Decoded, DecodeSpec, decode, new_fitting, plan_batches

__all__ = ["DecodeSpec", "Decoded", "decode", "new_fitting", "plan_batches"]
