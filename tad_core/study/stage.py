"""Study: the results of all cells as one artifact.

Files: ``results.json``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import dump_config
from tad_core.errors import ConfigError
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.rounds import first
from tad_core.study.config import Study
from tad_core.study.costs import costs_of
from tad_core.study.measure import Bench
from tad_core.study.parts import find_trajectories
from tad_core.study.results import StudyResults, results_of
from tad_core.study.run import Cell, Made, Matrix

STAGE = "study"
STAGE_VERSION = 3
RESULTS = "results.json"


def key(study: Study, made: Made) -> str:
    """Fingerprint of the results: what the study says, every cell, and the verdicts of further rounds."""
    fields = _fields(study, made.cells)
    return fingerprint(STAGE, STAGE_VERSION, fields, [ref.fingerprint for ref in inputs_of(made)])


def inputs_of(made: Made) -> list[ArtifactRef]:
    """As the manifest lists them: the cells; where there are further rounds, what their costs are read from."""
    found = [made.cells[cell] for cell in sorted(made.cells, key=str)]
    if made.rounds:
        found += [made.trajectories.filtered, *(made.rounds[one].filtered for one in sorted(made.rounds))]
    return found


def conclude(study: Study, made: Made, store: Store, force: bool = False) -> ArtifactRef:
    """The results of what there is, from the store or made now.

    Raises:
        DataError: no variant is complete.
    """
    inputs, mark = inputs_of(made), key(study, made)

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    def make() -> ArtifactRef:
        results = results_of(study, made.cells, costs_of(study, made))
        with store.writer(STAGE, STAGE_VERSION, mark, _fields(study, made.cells), inputs) as writer:
            writer.write_text(CONFIG_NAME, dump_config(study.run))
            writer.write_json(RESULTS, results.model_dump(mode="json"))
            return writer.commit({"variants": results.variants, "left_out": results.left_out})

    return made_once(store, STAGE, mark, study.run.rollout.lease_s, find, make, force)


def read_results(ref: ArtifactRef) -> StudyResults:
    """The numbers of a finished study."""
    return StudyResults.model_validate(ref.read_json(RESULTS))


def look(study: Study, store: Store) -> Made:
    """What of a study is there; runs nothing.

    Raises:
        ConfigError: its trajectories are not there yet.
    """
    trajectories = find_trajectories(first(study.run), store)
    if trajectories is None:
        raise ConfigError(
            f"store: {store.root} has no finished collection, verdicts and windows of {study.config.name}; run the "
            "study first"
        )
    matrix = Matrix(study, store, trajectories, Bench(study, store))
    matrix.look()
    return matrix.made


def _fields(study: Study, cells: Mapping[Cell, ArtifactRef]) -> dict[str, object]:
    evaluate = study.run.evaluate
    return {
        "study": study.config.identity(),
        "aup_alpha": evaluate.aup_alpha,
        "bootstrap": evaluate.bootstrap,
        "cells": {"/".join(map(str, cell)): ref.fingerprint for cell, ref in sorted(cells.items(), key=str)},
        **component_fields(STAGE),
    }
