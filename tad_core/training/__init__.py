"""Distillation and fine-tuning of adapters, in a process of its own."""
