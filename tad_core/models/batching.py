"""What a row gives does not depend on its batch: how many run at once."""

from __future__ import annotations


def at_once(device_type: str, wanted: int) -> int:
    """How many samples run together where ``wanted`` may: one on a CPU, all on an accelerator.

    A vectorised function takes the elements that fill no whole vector another way than the others (``silu`` and
    ``sigmoid`` of torch round them otherwise), sums and matrix products take other kernels for other shapes: what a
    sample gives in company differs in its last bits. Alone it has nothing to depend on, and on a CPU that is as fast,
    since the matrix products of one sample are compute-bound there.
    """
    return 1 if device_type == "cpu" else wanted
