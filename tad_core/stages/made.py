"""What a whole run has made, as its report and its status take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.report.lineup import Lineup
from tad_core.stages.rounds import RoundMade


@dataclass(frozen=True)
class RunMade:
    """The artifacts behind a report.

    Attributes:
        collection, filtered, windows: of the run without rounds; no windows where no model has one.
        distilled, evaluated: of all models, those of rounds too.
        rounds: what further rounds have made, by the model that each begins from.
    """

    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef | None
    distilled: Mapping[str, ArtifactRef]
    evaluated: Mapping[str, ArtifactRef]
    rounds: Mapping[str, RoundMade] = field(default_factory=dict)

    def refs(self, config: TADConfig) -> list[ArtifactRef]:
        """All of them, in the order in which the manifest of a report lists its inputs."""
        ordered = Lineup.of(config).ordered
        head = [self.collection, self.filtered, *([] if self.windows is None else [self.windows])]
        head += [ref for of in ordered(self.rounds) for ref in self.rounds[of].refs]
        models = [made[m] for made in (self.distilled, self.evaluated) for m in ordered(made)]
        return [*head, *models]
