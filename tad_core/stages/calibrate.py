"""Calibrate: measure the student's confidence curve and read windows from it.

The windows of the rules ``quality`` and ``speed`` are kept with the curve. That of any other threshold is read from
the finished curve, so that a model more or less in the table measures nothing again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import CalibrateConfig, TADConfig, Variant, dump_config, variants
from tad_core.config.models import WindowMode
from tad_core.errors import ConfigError
from tad_core.progress import OnProgress, Progress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.kept import kept_files
from tad_core.windows import Window, at_least_quality, read_window, smooth

if TYPE_CHECKING:  # torch is loaded only where something is measured, not to say what is done already
    from tad_core.calibration import Curve

STAGE = "calibrate"
STAGE_VERSION = 3
CURVE = "curve.json"

#: model and tokenizer
Loaded = Callable[[], tuple[Any, Any]]

#: the rules whose windows are kept with the curve
MODES: tuple[WindowMode, ...] = get_args(WindowMode)


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
    loaded: Loaded | None = None,
) -> ArtifactRef:
    """The curve and the windows, as ``curve.json``.

    Args:
        config: the run.
        collection_ref: the trajectories.
        filtered_ref: which of them are right.
        store: where it is looked for and written.
        on_progress: told the states measured.
        force: measure even if it is there.
        loaded: gives (model, tokenizer) where this process may hold them; loaded here otherwise.

    Raises:
        ModelError: the base cannot be loaded, or is not the one that rolled out.
    """
    from tad_core.checkpoint import check_unchanged

    mark, inputs = key(config, collection_ref, filtered_ref), [collection_ref, filtered_ref]

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    def make() -> ArtifactRef:
        shards, verdicts = kept_files(collection_ref, filtered_ref)
        settings = config.calibrate.model_dump(mode="json")
        with store.writer(STAGE, STAGE_VERSION, mark, settings, inputs) as writer:
            writer.write_text(CONFIG_NAME, dump_config(config))
            content, measure_s = curve_of(config, shards, verdicts, on_progress, loaded)
            check_unchanged(config.model, collection_ref.manifest.info.get("base"))
            writer.write_json(CURVE, content)
            info = {name: content[name] for name in (*MODES, "states", "left_out")}
            return writer.commit({**info, "measure_s": round(measure_s, 3)})

    return made_once(store, STAGE, mark, config.rollout.lease_s, find, make, force)


def curve_of(
    config: TADConfig,
    shards: Sequence[str],
    verdicts: Sequence[str],
    on_progress: OnProgress = silent,
    loaded: Loaded | None = None,
) -> tuple[dict[str, Any], float]:
    """The content of ``curve.json`` for these trajectory files, and seconds of its forwards."""
    from tad_core.calibration import measure
    from tad_core.data.responses import end_ids
    from tad_core.models.loading import load_model, load_tokenizer, threads_kept
    from tad_core.training.dataset import load_kept
    from tad_core.workers.threads import set_threads_for

    settings = config.calibrate

    def tell(done: int, total: int) -> None:
        on_progress(Progress(STAGE, done, total, "states"))

    table = load_kept(shards, verdicts, config.rollout.response_length)
    with threads_kept():
        model, tokenizer = loaded() if loaded else (load_model(config.model), load_tokenizer(config.model))
        if not loaded and config.model.threads is None:
            set_threads_for([model])
        ends = end_ids(tokenizer)
        started = time.monotonic()
        curve = measure(model, table, settings.states, settings.seed, settings.batch_size, ends, tell)
        measure_s = time.monotonic() - started
    return _content(curve, settings), measure_s


def windows_of(config: TADConfig, curve: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The window of every model of the table that has one, as ``curve.json`` describes windows.

    One whose threshold this curve gives no window for is left out: it cannot have been trained.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, variant in variants(config).items():
        if variant.window is None:
            continue
        with contextlib.suppress(ConfigError):
            found[name] = window_in(curve, variant)
    return found


def window_in(curve: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """The window of one model that has a rule, in a finished curve.

    Raises:
        ConfigError: the curve never falls below its threshold, or has no offset at all, and it has no cap.
    """
    rule = variant.window
    assert rule is not None, "only a model with a window is asked for one"
    if rule.like is not None:
        return dict(curve[rule.like])
    if rule.steps is not None:
        return _entry(Window(rule.steps, None, False, "fixed", None))
    assert rule.threshold is not None, "the configuration's validator asks for one of the three"
    count_L = np.array(curve["count"])
    found = read_window(np.array(curve["smoothed"]), count_L, rule.threshold, rule.cap or len(count_L))
    if not found.crossed and rule.cap is None:
        seen = [s for s, n in zip(curve["smoothed"], curve["count"], strict=True) if n]
        if not seen:
            raise ConfigError(
                "calibrate.states: no masked position of the states measured is text, so that there is no curve to "
                f"read a window from; raise it, or set models.{variant.name}.window.cap, or a number of steps"
            )
        raise ConfigError(
            f"models.{variant.name}.window.threshold: the student's confidence never falls below {rule.threshold:g} "
            f"(lowest: {min(seen):.2f}), which gives no window; set a higher one, models.{variant.name}.window.cap, or "
            "a number of steps"
        )
    return _entry(found)


def read_curve(ref: ArtifactRef) -> dict[str, Any]:
    """The content of ``curve.json``."""
    curve: dict[str, Any] = ref.read_json(CURVE)
    return curve


def _content(curve: Curve, settings: CalibrateConfig) -> dict[str, Any]:
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
