"""TAD as a library: temporal-aware trajectory self-distillation of masked diffusion language models."""

__version__ = "0.1.0"
