"""Calibrate: measure the student's confidence curve and read the Quality and Speed windows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import CalibrateConfig, TADConfig, dump_config
from tad_core.errors import ConfigError
from tad_core.progress import OnProgress, Progress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.kept import kept_files

if TYPE_CHECKING:  # torch is loaded only where something is measured, not to say what is done already
    from tad_core.calibration import Curve, Window

STAGE = "calibrate"
STAGE_VERSION = 3
CURVE = "curve.json"

WindowMode = Literal["quality", "speed"]


def key(config: TADConfig, collection_ref: ArtifactRef, filtered_ref: ArtifactRef) -> str:
    """Fingerprint of the curve and its windows; the model is part of the collection's."""
    fields = {
        "calibrate": config.calibrate.identity(),
        "dtype": config.model.dtype,
        **component_fields(STAGE),
    }
    return fingerprint(STAGE, STAGE_VERSION, fields, [collection_ref.fingerprint, filtered_ref.fingerprint])


def calibrate(
    config: TADConfig,
    collection_ref: ArtifactRef,
    filtered_ref: ArtifactRef,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
) -> ArtifactRef:
    """The curve and the windows, as ``curve.json``.

    Raises:
        ConfigError: a fixed window is longer than a response.
        ModelError: the base cannot be loaded.
    """
    mark, inputs = key(config, collection_ref, filtered_ref), [collection_ref, filtered_ref]
    if not force and (found := store.find(STAGE, mark, inputs)):
        return found
    _check_fixed(config)
    shards, verdicts = kept_files(collection_ref, filtered_ref)
    with store.writer(STAGE, STAGE_VERSION, mark, config.calibrate.model_dump(mode="json"), inputs) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        content = curve_of(config, shards, verdicts, on_progress)
        writer.write_json(CURVE, content)
        return writer.commit({name: content[name] for name in ("quality", "speed", "states", "left_out")})


def curve_of(
    config: TADConfig, shards: Sequence[str], verdicts: Sequence[str], on_progress: OnProgress = silent
) -> dict[str, Any]:
    """The content of ``curve.json`` for these trajectory files."""
    from tad_core.calibration import measure
    from tad_core.data.responses import end_ids
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.training.dataset import load_kept

    settings = config.calibrate

    def tell(done: int, total: int) -> None:
        on_progress(Progress(STAGE, done, total, "states"))

    table = load_kept(shards, verdicts, config.rollout.response_length)
    model = load_model(config.model)
    ends = end_ids(load_tokenizer(config.model))
    curve = measure(model, table, settings.states, settings.seed, settings.batch_size, ends, tell)
    return _content(curve, settings)


def read_windows(ref: ArtifactRef) -> dict[str, int]:
    """``{"quality": steps, "speed": steps}`` of a calibration."""
    curve = ref.read_json(CURVE)
    return {mode: int(curve[mode]["window"]) for mode in ("quality", "speed")}


def _content(curve: Curve, settings: CalibrateConfig) -> dict[str, Any]:
    from tad_core.calibration import at_least_quality, read_window, smooth

    smoothed_L = smooth(curve.confidence_L, curve.count_L, settings.smoothing)
    quality = read_window(
        smoothed_L, curve.count_L, settings.quality_threshold, settings.quality_cap, settings.quality_window
    )
    speed = read_window(
        smoothed_L, curve.count_L, settings.speed_threshold, settings.speed_cap, settings.speed_window
    )
    return {
        "offsets": list(range(1, len(smoothed_L) + 1)),
        "confidence": curve.confidence_L.tolist(),
        "smoothed": smoothed_L.tolist(),
        "count": curve.count_L.tolist(),
        "confidence_all": curve.all_L.tolist(),
        "count_all": curve.all_count_L.tolist(),
        "left_out": curve.left_out,
        "states": curve.states,
        "quality": _entry(quality),
        "speed": _entry(at_least_quality(speed, quality)),
    }


def _entry(window: Window) -> dict[str, Any]:
    return {
        "window": window.window,
        "threshold": window.threshold,
        "crossed": window.crossed,
        "crossing": window.crossing,
        "source": window.source,
        "raised_from": window.raised_from,
    }


def _check_fixed(config: TADConfig) -> None:
    for name in ("quality_window", "speed_window"):
        fixed = getattr(config.calibrate, name)
        if fixed is not None and fixed > config.rollout.response_length:
            raise ConfigError(
                f"calibrate.{name}: {fixed} is more than rollout.response_length "
                f"{config.rollout.response_length}; use at most that"
            )
