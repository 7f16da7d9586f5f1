"""The ways in which the models of a run are decoded: token by token, and by the decoder of the run or their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tad_core.config import DecodeConfig, DecoderConfig, TADConfig, decoder_of, own_decoder
from tad_core.config.decoders import ENTROPY, TOKEN_BY_TOKEN
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.spec import DecodeSpec, at_level
from tad_core.errors import ConfigError
from tad_core.evaluation.reading import as_read, reads_in_blocks

#: D2F's own decoding, whose blocks have a threshold beside that of tokens
PIPELINE = "pipeline"


def specs_of(decoder: DecoderConfig, config: TADConfig) -> dict[float, DecodeSpec]:
    """How a decoder decodes in a run, by threshold in increasing order; token by token has the one threshold 0.

    Raises:
        ConfigError: its settings do not fit each other or the response.
    """
    settings, length = decoder.as_spec(), config.rollout.response_length
    if decoder.method == TOKEN_BY_TOKEN:
        return {0.0: _token_by_token(settings, length)}
    if decoder.method == PIPELINE:
        settings["decoded_threshold"] = config.evaluate.pipeline.activation_threshold
    return {
        threshold: DecodeSpec(length, **at_level(decoder.method, threshold), **settings)
        for threshold in sorted(decoder.thresholds)
    }


def ways(config: TADConfig, model_name: str) -> list[DecodeSpec]:
    """Token by token, then every threshold in increasing order.

    A model that reads block by block and names no decoder of its own is decoded by D2F's besides.

    Raises:
        ConfigError: the model cannot be decoded so.
    """
    decoder, length = decoder_of(config, model_name), config.rollout.response_length
    settings = config.evaluate.decode.as_spec()
    found = [_token_by_token(settings, length), *specs_of(decoder, config).values()]
    if reads_in_blocks(config, model_name) and own_decoder(config, model_name) is None:
        own = {
            **settings,
            "mask_in_entropy": True,
            "decoded_threshold": config.evaluate.pipeline.activation_threshold,
        }
        found += [
            DecodeSpec(length, method=PIPELINE, threshold=threshold, **own)
            for threshold in sorted(set(config.evaluate.pipeline.thresholds))
        ]
    return list(dict.fromkeys(as_read(config, model_name, spec) for spec in found))


def operating_spec(config: TADConfig, model_name: str) -> DecodeSpec:
    """How a model of a run is meant to be decoded: at the threshold of its headline row.

    Raises:
        ConfigError: the model cannot be decoded so.
    """
    decoder = decoder_of(config, model_name)
    return as_read(config, model_name, specs_of(decoder, config)[decoder.at])


def check_ways(config: TADConfig) -> None:
    """Everything about decoders that the configuration alone cannot tell, of all models that are compared.

    Raises:
        ConfigError: a line for each decoder that cannot decode its models, naming the setting.
    """
    faults: dict[str, list[str]] = {}
    for name in config.evaluate.models:
        try:
            ways(config, name)
        except ConfigError as error:
            own = own_decoder(config, name) is not None
            where = f"models.{name}.decode" if own else "evaluate.decode"
            thresholds = f"{where}.thresholds" if own else "evaluate.thresholds"
            faults.setdefault(_told(str(error), decoder_of(config, name), where, thresholds), []).append(name)
    if faults:
        raise ConfigError("\n".join(f"{fault} (of {', '.join(names)})" for fault, names in faults.items()))


def how(spec: DecodeSpec) -> str:
    """A way in words."""
    knob = POLICIES[spec.method].knob
    if knob is None:
        return "token by token"
    if knob == "threshold" and spec.method != ENTROPY:
        knob = "probability" if spec.method == PIPELINE else f"{spec.method} threshold"
    return f"{knob.replace('_', ' ')} {spec.level:g}"


def modes(specs: Sequence[DecodeSpec]) -> str:
    """Whether ways keep keys and values, in words; two where a model's own decoder has another cache than the run's, by
    which it is decoded token by token."""
    return "; ".join(dict.fromkeys(spec.mode for spec in specs))


def _token_by_token(settings: dict[str, Any], length: int) -> DecodeSpec:
    # One spec, and so the same slices, in every run and study: what does not matter to it is as it always was.
    return DecodeSpec(length, **{**settings, "block_add_threshold": 1.0, "mask_in_entropy": True})


def _told(message: str, decoder: DecoderConfig, where: str, thresholds: str) -> str:
    """What is wrong with a spec, by the setting of the configuration that says it."""
    field = message.partition(":")[0]
    if field in DecodeConfig.model_fields:
        return f"{where}.{message}"
    return f"{thresholds}: {decoder.method} takes none such; {message}"
