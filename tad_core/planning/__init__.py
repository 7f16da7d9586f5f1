"""What a run will take, said before it runs: work, time, memory, disk. Nothing here loads torch unless it measures."""

from tad_core.planning.counts import Counts, count
from tad_core.planning.estimate import Estimate, estimate
from tad_core.planning.machines import GPUS, Machine, this_machine
from tad_core.planning.stages import StageEstimate

__all__ = ["GPUS", "Counts", "Estimate", "Machine", "StageEstimate", "count", "estimate", "this_machine"]
