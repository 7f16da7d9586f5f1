"""Evaluation: the sweep over ways of decoding, run by lm-eval or directly, and AUP with its intervals."""
