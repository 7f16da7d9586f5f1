"""Report: put every number, picture and sentence of a run on one page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tad_core.artifacts import ArtifactRef, Manifest, Store, fingerprint, read_manifest, ref_at
from tad_core.artifacts.components import component_fields
from tad_core.artifacts.stamps import side_by_side
from tad_core.config import TADConfig, dump_config, variants
from tad_core.data.selection import left_out_rows
from tad_core.data.unknown import unknown_rows
from tad_core.evaluation.records import Record, read_records
from tad_core.progress import OnProgress, Progress, silent
from tad_core.report.document import Document, Material, compose
from tad_core.report.example import decodings
from tad_core.report.html import render_html
from tad_core.report.lineup import Lineup
from tad_core.report.markdown import REPORT_NAME, render_markdown
from tad_core.report.scores import SCORES_NAME, Operating, Scores
from tad_core.report.scoring import score
from tad_core.report.texts import Shard, Text, of_record, rollouts, spread
from tad_core.report.theme import DARK, LIGHT, Theme
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.calibrate import read_curve, windows_of
from tad_core.stages.filter import read_summary
from tad_core.stages.made import RunMade
from tad_core.stages.rounds import RoundMade
from tad_core.trajectory.schema import PRIVILEGED
from tad_core.verify.verdict import NO_PROGRAMS

STAGE = "report"
STAGE_VERSION = 3
#: Answers shown of every source, model and reason.
_SHOWN = 2
HTML_NAME = "report.html"


def key(config: TADConfig, made: RunMade) -> str:
    """Fingerprint of a report: the settings it prints and everything it is made from."""
    fields = {**config.identity(), **component_fields(STAGE)}
    return fingerprint(STAGE, STAGE_VERSION, fields, [ref.fingerprint for ref in made.refs(config)])


def report(
    config: TADConfig,
    made: RunMade,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
) -> ArtifactRef:
    """``report.md``, ``report.html`` (self-contained), the pictures and ``scores.json``.

    Args:
        config: the whole run.
        made: by it, up to here.
        store: where it is looked for and written.
        on_progress: told of the pictures.
        force: write it even if it is there.

    Raises:
        DataError: when the models were evaluated on different problems.
    """
    inputs, mark = made.refs(config), key(config, made)

    def make() -> ArtifactRef:
        return _written(config, mark, inputs, gather(config, made), store, on_progress)

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    return made_once(store, STAGE, mark, config.rollout.lease_s, find, make, force)


def _written(
    config: TADConfig,
    mark: str,
    inputs: Sequence[ArtifactRef],
    material: Material,
    store: Store,
    on_progress: OnProgress,
) -> ArtifactRef:
    document = compose(material)
    names = [s.picture.name for s in document.sections if s.picture is not None]
    pictures: dict[str, tuple[bytes, bytes]] = {}
    for i, name in enumerate(names):
        on_progress(Progress(STAGE, i, len(names), "pictures"))
        pictures[name] = (draw(name, material, LIGHT), draw(name, material, DARK))
    with store.writer(STAGE, STAGE_VERSION, mark, config.model_dump(mode="json"), inputs) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        for name, (light, _) in pictures.items():
            writer.path(f"{name}.png").write_bytes(light)
        writer.write_text(REPORT_NAME, render_markdown(document))
        writer.write_text(HTML_NAME, render_html(document, pictures))
        writer.write_json(SCORES_NAME, scores_content(material.scores, document))
        ref = writer.commit(_info(material.scores, document))
    on_progress(Progress(STAGE, len(names), len(names), "pictures"))
    return ref


# --- the parts --------------------------------------------------------------------------------------


def gather(config: TADConfig, made: RunMade) -> Material:
    """Read what the report is made from."""
    lineup, operating = Lineup.of(config), Operating.of(config)
    curve = None if made.windows is None else read_curve(made.windows)
    records: list[Record] = []
    for model in lineup.ordered(made.evaluated):
        records += read_records(made.evaluated[model].local("results.parquet"))
    prompt, decoded = decodings(
        {m: ref.read_json("example.json") for m, ref in made.evaluated.items()}, lineup
    )
    return Material(
        config=config,
        scores=score(config.name, config.evaluate, records, lineup, operating.own),
        filtered=read_summary(made.filtered),
        curve=curve,
        windows=_windows(config, curve, made.rounds),
        logs={m: _read_lines(made.distilled[m]) for m in lineup.ordered(made.distilled)},
        decodings=decoded,
        prompt=prompt,
        timings=_timings(made, records, lineup),
        left_out=left_out_rows(made.collection.manifest.info),
        unknown=unknown_rows(made.collection.manifest.info),
        rejected=_rejected(made.collection, made.filtered),
        wrong=_wrong(records, operating),
        facts=[
            *_round_facts(made.rounds, lineup),
            *_facts(
                [
                    made.collection.manifest,
                    *(made.evaluated[m].manifest for m in lineup.ordered(made.evaluated)),
                ]
            ),
        ],
    )


def draw(name: str, material: Material, theme: Theme) -> bytes:
    """One picture of the report as PNG."""
    # matplotlib takes a second to load, which no other stage needs
    from tad_core.report import plots
    from tad_core.report.calibration_plot import calibration
    from tad_core.report.curves_plot import curves
    from tad_core.report.trajectory_plot import trajectory

    if name == "curves":
        return curves(material.scores, material.lineup, theme)
    if name == "trajectory":
        return trajectory(material.decodings, material.lineup, theme)
    if name == "kept":
        return plots.kept(material.filtered, theme)
    if name == "calibration":
        assert material.curve is not None, "the section exists only with a curve"
        return calibration(material.curve, material.windows, material.lineup, theme)
    assert name == "losses", name
    return plots.losses(material.logs, material.lineup, theme)


def scores_content(scores: Scores, document: Document) -> dict[str, Any]:
    """``scores.json``: every number of the table, and the sentences drawn from them."""
    said = [{"kind": f.kind, "text": f.text} for f in document.findings]
    return {**scores.model_dump(mode="json"), "findings": said}


def _info(scores: Scores, document: Document) -> dict[str, Any]:
    aup = {t.task: {s.model: round(s.aup, 3) for s in t.scores} for t in scores.tasks}
    return {"aup": aup, "cautions": sum(f.kind == "caution" for f in document.findings)}


def _rejected(collection: ArtifactRef, filtered: ArtifactRef) -> list[Text]:
    """Some trajectories of the privileged teacher that did not pass, of every source and verdict."""
    names = [s["name"] for s in collection.manifest.info["shards"] if s["condition"] == PRIVILEGED]
    shards = (
        Shard(name, ref_at(collection.url, f"{name}.json"), ref_at(filtered.url, f"{name}.json"))
        for name in names
    )
    return spread((text for text in rollouts(shards) if not text.correct), _SHOWN)


def _wrong(records: Sequence[Record], operating: Operating) -> list[Text]:
    """Some wrong answers at the operating threshold, of every task, model and verdict."""
    at = (r for r in records if (r.method, r.threshold) == operating.way(r.model) and not r.correct)
    return spread(map(of_record, at), _SHOWN)


def _windows(
    config: TADConfig, curve: dict[str, Any] | None, rounds: Mapping[str, RoundMade]
) -> dict[str, dict[str, Any]]:
    """The window of every model that has one, from the curve of its round."""
    table = variants(config)
    curves: dict[str | None, dict[str, Any] | None] = {None: curve}
    curves |= {of: read_curve(made.windows) for of, made in rounds.items()}
    found = {of: windows_of(config, one) for of, one in curves.items() if one is not None}
    every = {name: found.get(table[name].round_of, {}).get(name) for name in table}
    return {name: window for name, window in every.items() if window is not None}


def _round_facts(rounds: Mapping[str, RoundMade], lineup: Lineup) -> list[tuple[str, str]]:
    """What each round was trained on."""
    found = []
    for of in lineup.ordered(rounds):
        summary = read_summary(rounds[of].filtered)
        shares = (f"{e['kept']} of {e['total']} {e['source']} {e['condition']}" for e in summary["by_source"])
        found.append((f"Rollouts of {lineup.label(of)} that passed", ", ".join(shares)))
    return found


def _read_lines(ref: ArtifactRef) -> list[dict[str, Any]]:
    text = ref.local("losses.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def _timings(made: RunMade, records: Sequence[Record], lineup: Lineup) -> list[tuple[str, float]]:
    """Seconds of work of each stage, of all its workers together; evaluation: its decoding."""
    found = [("collect", _decode_s(made.collection)), ("filter", _judge_s(made.filtered))]
    if made.windows is not None:
        found.append(("calibrate", made.windows.manifest.wall_s))
    for of in lineup.ordered(made.rounds):
        own, told = made.rounds[of], f"round of {lineup.label(of)}"
        found.append((f"collect, {told}", _decode_s(own.collection)))
        found.append((f"filter, {told}", _judge_s(own.filtered)))
        found.append((f"calibrate, {told}", own.windows.manifest.wall_s))
    for model in lineup.ordered(made.distilled):
        manifest = made.distilled[model].manifest
        wall_s = float(manifest.info.get("wall_s", manifest.wall_s))  # of all models of the pass
        found.append((f"distil {lineup.label(model)}", wall_s / int(manifest.info.get("in_one_pass", 1))))
    for model in lineup.ordered(record.model for record in records):
        found.append((f"evaluate {lineup.label(model)}", sum(r.wall_s for r in records if r.model == model)))
    return found


def _judge_s(filtered: ArtifactRef) -> float:
    return float(filtered.manifest.info["judge_s"])


def _decode_s(collection: ArtifactRef) -> float:
    info = collection.manifest.info
    if "decode_s" in info:
        return float(info["decode_s"])
    # Collections that were closed earlier have it in the manifests of their shards alone.
    names = [f"{shard['name']}.json" for shard in info["shards"]]
    shards = side_by_side(lambda name: read_manifest(collection.url, name), names)
    return sum(float(m.info.get("decode_s", m.wall_s)) for m in shards if m is not None)


def _facts(manifests: list[Manifest]) -> list[tuple[str, str]]:
    def all_of(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    tiers = [t for m in manifests[1:] if (t := m.info.get("tier", NO_PROGRAMS)) != NO_PROGRAMS]
    return [
        ("Code", all_of(m.code_version for m in manifests)),
        ("Machine of collection", _machine(manifests[0])),
        ("Machine of evaluation", all_of(_machine(m) for m in manifests[1:])),
        *([("Isolation of programs in evaluation", all_of(tiers))] if tiers else []),
        ("Artifacts", ", ".join(f"{m.stage} {m.fingerprint[:12]}" for m in manifests)),
    ]


def _machine(manifest: Manifest) -> str:
    hardware = manifest.hardware
    parts = [", ".join(hardware["gpus"])] if hardware.get("gpus") else []
    parts.append(f"{hardware.get('cpus', '?')} CPU cores, {hardware.get('machine', '?')}")
    if "torch" in hardware:
        parts.append(f"torch {hardware['torch']}")
    return ", ".join(parts)
