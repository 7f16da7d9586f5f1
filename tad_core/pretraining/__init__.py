"""Pretraining of the small base model: LLaDA's masked-diffusion objective on generated problems.

The base learns easy problems from plain prompts and problems of every difficulty from privileged prompts, as a
real base model knows more with the answer at hand than without.
"""
