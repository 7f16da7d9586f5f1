"""Measure: one model decoded one way of a study, judged: a cell of the matrix.

What is decoded lies in the slices that evaluations use too, so that a run and a study decode nothing twice.

Files: ``results.parquet`` (one row a threshold and problem) and ``points.json`` (accuracy and speed at each).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from copy import copy

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.base import check_base
from tad_core.checkpoint import load_tokenizer, model_fingerprint
from tad_core.config import ModelConfig, TADConfig, dump_config
from tad_core.decoding import DecodeSpec
from tad_core.evaluation.generate import Texts
from tad_core.evaluation.records import Record, points, write_records
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import DirectEngine, record_of
from tad_core.progress import OnProgress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.decode import Decoding
from tad_core.stages.evaluate import POINTS, RESULTS, load_tasks
from tad_core.stages.slice_plan import plan_slices, spec_fields
from tad_core.study.config import Study
from tad_core.verify import Verifier
from tad_core.workers.jobs import Decoders
from tad_core.workers.pool import Pool

STAGE = "measure"
STAGE_VERSION = 1


class Bench:
    """The data set of a study and its decoders: measures models. Safe from any thread.

    Raises:
        DataError: the problems cannot be used.
        ModelError: there is no such checkpoint.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self._study, self._store, self._run = study, store, study.run
        self.tasks = load_tasks(study.run)
        check_base(study.run.model)
        # JSON first: a problem's meta may hold anything a source likes, tuples too.
        problems = {name: [p.as_dict() for p in found] for name, found in self.tasks.items()}
        self._fields = {
            "model": model_fingerprint(study.run.model),
            "dtype": study.run.model.dtype,
            "verify": study.run.filter.identity(),
            "problems": fingerprint("problems", 1, json.loads(json.dumps(problems)), []),
            **component_fields(STAGE),
        }

    def on(self, run: TADConfig) -> Bench:
        """The same data set and decoders, for models that were trained on other weights.

        Args:
            run: whose ``model`` they are: a further round of the study's run.
        """
        other = copy(self)
        other._run = run
        other._fields = {**self._fields, "model": model_fingerprint(run.model)}
        return other

    @property
    def base(self) -> ModelConfig:
        """The weights that models are measured on, with their adapters or without."""
        return self._run.model

    @property
    def answers(self) -> int:
        """Answers of one model, over all decoders and thresholds."""
        ways = {spec for specs in self._study.specs.values() for spec in specs.values()}
        return len(ways) * sum(map(len, self.tasks.values()))

    def key(self, model: str, decoder: str, adapter: ArtifactRef | None) -> str:
        """Fingerprint of a cell: model, problems, decoder with its thresholds, verifier."""
        inputs = [adapter.fingerprint] if adapter else []
        return fingerprint(STAGE, STAGE_VERSION, self._own_fields(model, decoder), inputs)

    def find(self, model: str, decoder: str, adapter: ArtifactRef | None) -> ArtifactRef | None:
        """The finished cell, or None."""
        return self._store.find(STAGE, self.key(model, decoder, adapter), [adapter] if adapter else [])

    def finished(self, model: str, adapter: ArtifactRef | None) -> dict[str, ArtifactRef]:
        """The cells of a model that are there, by decoder."""
        found = {name: self.find(model, name, adapter) for name in self._study.specs}
        return {name: ref for name, ref in found.items() if ref is not None}

    def measure(
        self,
        model: str,
        adapter: ArtifactRef | None,
        pool: Pool,
        verifier: Verifier,
        threads: int = 1,
        on_progress: OnProgress = silent,
    ) -> dict[str, ArtifactRef]:
        """Every cell of a model, by decoder; those that are there are not decoded again.

        Args:
            model: ``base``, or a variant.
            adapter: its adapter; None for the base.
            pool: of whose slots one is used.
            verifier: judges.
            threads: of the process on a CPU.
            on_progress: told the answers given so far.

        Raises:
            SubprocessError: processes kept dying.
            VerifierError: the verifier itself failed.
        """
        config, done = self._run, self.finished(model, adapter)
        missing = {name: specs for name, specs in self._study.specs_of(model).items() if name not in done}
        if not missing:
            return done
        texts = Texts(load_tokenizer(config.model))
        engine = DirectEngine(self.tasks, texts, Scorer(verifier))
        ways = list(dict.fromkeys(spec for specs in missing.values() for spec in specs.values()))
        plan = plan_slices(config, adapter, self.tasks, ways, texts.tokenizer, self._store)
        hand = Decoders(1, threads)
        with Decoding(config, model, plan, self._store, pool, on_progress, decoders=hand) as decoding:
            for name, specs in missing.items():
                records: list[Record] = []
                for spec in specs.values():
                    outputs = engine.run(spec, decoding.way(spec))
                    records += [record_of(model, spec, output, texts) for output in outputs]
                done[name] = self._write(model, name, adapter, records)
        return done

    def _write(
        self, model: str, decoder: str, adapter: ArtifactRef | None, records: Collection[Record]
    ) -> ArtifactRef:
        inputs, mark = [adapter] if adapter else [], self.key(model, decoder, adapter)
        fields = self._own_fields(model, decoder)

        def find() -> ArtifactRef | None:
            return self._store.find(STAGE, mark, inputs)

        def make() -> ArtifactRef:
            with self._store.writer(STAGE, STAGE_VERSION, mark, fields, inputs) as writer:
                writer.write_text(CONFIG_NAME, dump_config(self._run))
                write_records(writer.path(RESULTS, rows=len(records)), list(records))
                measured = points(records)
                writer.write_json(POINTS, measured)
                info = {"model": model, "decoder": decoder, "points": measured}
                return writer.commit(info, unless=find)

        # Of several hosts that share the slices one is first to put them together.
        return made_once(self._store, STAGE, mark, self._run.rollout.lease_s, find, make)

    def _own_fields(self, model: str, decoder: str) -> dict[str, object]:
        specs: Mapping[float, DecodeSpec] = self._study.specs_of(model)[decoder]
        return {**self._fields, "name": model, "decoder": [spec_fields(spec) for spec in specs.values()]}
