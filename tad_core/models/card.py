"""The model card of an export: what it is, what it was made from, what was measured, under which licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from tad_core.config import ModelConfig
from tad_core.hub import local_folder

#: A licence told in a card's text: ``| licence | Apache-2.0 |``, ``**License:** MIT``.
_LICENCE_LINE = re.compile(
    r"^[|*_\s-]*licen[cs]e[*_\s]*[|:][*_\s]*([^|\s][^|\n]*?)[*_\s|]*$", re.IGNORECASE | re.MULTILINE
)
#: Those that the hub has a name for, as cards write them.
_HUB_ID = re.compile(r"(apache-2\.0|mit|bsd-[23]-clause|gpl-3\.0|cc-by(-nc)?(-sa)?-4\.0)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """What a card says.

    Attributes:
        name: title.
        label: which of its run's models it is, for readers.
        method: how it was trained.
        loss: its loss, where it has a window.
        base: the checkpoint that its run started from.
        after: models of its run, in order, whose adapters were merged into the base before this one was trained.
        weights: the folder with these merged, where there are any.
        adapter_only: whether the folder holds the adapter or the merged model.
        dtype: of the weights.
        window: steps of the near window; None without one.
        window_source: where the window is from.
        training: settings and figures, by what they are.
        data: training sources, by what they are.
        points: what was measured of it, as in ``points.json``.
        measured_in: dtype of the weights that were measured; empty: that of these.
        beside: the same of the base and of the model it began from, by name; empty where that was not measured.
        gguf: how the one GGUF file is run; empty for safetensors.
        block: tokens of a block, where it reads block by block.
    """

    name: str
    label: str
    method: str
    loss: str
    base: ModelConfig
    adapter_only: bool
    dtype: str
    window: int | None
    window_source: str
    training: dict[str, Any]
    data: dict[str, Any]
    points: Sequence[dict[str, Any]] = ()
    measured_in: str = ""
    beside: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    gguf: str = ""
    block: int | None = None
    after: Sequence[str] = ()
    weights: str = ""


def model_card(facts: Facts) -> str:
    """The text of README.md."""
    base, local = facts.base, Path(facts.base.path).expanduser().is_dir()
    licence = licence_of(base)
    head: dict[str, Any] = {**licence, "tags": ["diffusion", "masked-diffusion", "tad"]}
    if not local and not (facts.after and facts.adapter_only):  # that one is for weights of its run
        head["base_model"] = base.path
        head["base_model_relation"] = "adapter" if facts.adapter_only else "finetune"
    head["library_name"] = "gguf" if facts.gguf else "peft" if facts.adapter_only else "transformers"
    pinned = f" at revision `{base.revision}`" if not local and base.revision else ""
    lines = [
        "---", yaml.safe_dump(head, sort_keys=False).strip(), "---", "",
        f"# {facts.name}", "",
        f"{_told(facts)}: {_merged(facts, f'`{base.path}`{pinned}')}; weights in {facts.dtype}.", "",
        *_section("Windows", _windows(facts)),
        *_section("Data", facts.data),
        *_section("Training", facts.training),
        *_measured(facts),
        *_loading(facts, local),
        "## Licence", "", _licence_text(licence, base), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _told(facts: Facts) -> str:
    """The method, and of several models with a window which one it is."""
    return _cell(facts.method if facts.window is None else f"{facts.method}, {facts.label}")


def _merged(facts: Facts, base: str) -> str:
    """What the weights are, from the base on."""
    before = " and ".join(f"`{name}`" for name in facts.after)
    those = "those" if len(facts.after) > 1 else "that"
    if facts.adapter_only:
        own = (
            f" with {those} of {before} of the same run merged into it (`{facts.weights}`)" if before else ""
        )
        return f"LoRA adapter for {base}{own}"
    return f"LoRA adapter merged in float32 into {base}" + (f", after {those} of {before}" if before else "")


def licence_of(base: ModelConfig) -> dict[str, str]:
    """``license`` and, where the base's card has them, its name and link; ``unknown`` if the card says none.

    A card says it in the fields at its head, as the hub reads them, or in a line of its text or of a table.
    """
    card = local_folder(base) / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    if text.startswith("---") and (end := text.find("\n---", 3)) > 0:
        try:
            head = yaml.safe_load(text[3:end])
        except yaml.YAMLError:
            head = None
        if isinstance(head, dict):
            if isinstance(head.get("license"), list):
                head["license"] = ", ".join(map(str, head["license"]))
            if isinstance(head.get("license"), str):
                names = ("license", "license_name", "license_link")
                return {name: cast(str, head[name]) for name in names if isinstance(head.get(name), str)}
    if (line := _LICENCE_LINE.search(text)) is not None:
        known = _HUB_ID.match(line[1])
        return {"license": known[0].lower()} if known else {"license": "other", "license_name": line[1]}
    return {"license": "unknown"}


def _windows(facts: Facts) -> dict[str, Any]:
    if facts.window is None:
        return {"window": "none: random masks"}
    return {
        "near window": f"{facts.window} steps ({facts.window_source})",
        "loss": facts.loss,
    }


def _section(title: str, rows: dict[str, Any]) -> list[str]:
    body = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return [f"## {title}", "", "| | |", "|---|---|", *body, ""]


def _measured(facts: Facts) -> list[str]:
    if not facts.points:
        return ["## Measured", "", "This model has not been evaluated.", ""]
    others = {name: {_way(p): p for p in points} for name, points in facts.beside.items() if points}
    rows = []
    for p in facts.points:
        how = "token by token" if p["method"] == "token_by_token" else f"{p['method']} {p['threshold']:g}"
        cells = [_cell(p["task"]), how, str(p["problems"]), *_figures(p)]
        for points in others.values():
            cells += _figures(points.get(_way(p)))
        rows.append(f"| {' | '.join(cells)} |")
    heads = ["task", "decoding", "problems", "accuracy", "TPF"]
    heads += [f"{_cell(name)}: {figure}" for name in others for figure in ("accuracy", "TPF")]
    return [
        "## Measured",
        "",
        "Accuracy in percent and tokens per forward (TPF), under the same prompts and problems for all models."
        + _rounded_since(facts),
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *rows,
        "",
    ]


def _rounded_since(facts: Facts) -> str:
    """That the figures are of other weights than these, where they are."""
    if facts.adapter_only or facts.measured_in in ("", facts.dtype):
        return ""
    return (
        f" The weights were in {facts.measured_in} then; as they are written here, in {facts.dtype}, they have not "
        "been measured."
    )


def _way(point: Mapping[str, Any]) -> tuple[Any, ...]:
    return point["task"], point["method"], point["threshold"]


def _figures(point: Mapping[str, Any] | None) -> list[str]:
    return ["–", "–"] if point is None else [f"{point['accuracy']:.1f}", f"{point['tpf']:.2f}"]


def _loading(facts: Facts, local: bool) -> list[str]:
    if facts.gguf:
        return ["## Loading", "", facts.gguf, ""]
    if facts.adapter_only:
        code = ["from peft import PeftModel", "", "model = PeftModel.from_pretrained(base, folder)"]
        text = "`base` is the base model as tad or its own code loads it, `folder` this folder."
    else:
        code = [
            "import tad_core.models",
            "from transformers import AutoModel",
            "",
            "model = AutoModel.from_pretrained(folder)",
        ]
        text = (
            "`folder` is this folder. With tad the classes are registered and no code is fetched; `tad serve` and "
            "`tad generate` take the folder too, and decode as it was measured (`decoder.yaml`)."
        )
        if local:
            text += (
                " Transformers alone does not load it: it has no class of its own for this `model_type`, and the "
                "folder holds no code that `trust_remote_code` could run."
            )
        else:
            text += (
                " Without it the original's code does: `auto_map` points at it, and `trust_remote_code=True` runs it;"
                + (f" `code_revision={facts.base.revision!r}` pins it." if facts.base.revision else "")
            )
    if facts.block is not None:
        text += (
            f"\n\nIts attention is block-causal: a token sees the prompt, the blocks of {facts.block} tokens before "
            "its own, and its own. `tad serve` and `tad generate` decode it so, by the `decoder.yaml` beside it. A "
            "forward of transformers lets every token see all, for which it was not trained."
        )
    return ["## Loading", "", "```python", *code, "```", "", text, ""]


def _licence_text(licence: dict[str, str], base: ModelConfig) -> str:
    if licence["license"] == "unknown":
        return f"The card of `{base.path}` names none; these weights are derived from it and under its terms."
    return f"`{licence.get('license_name', licence['license'])}`, that of `{base.path}`, from which it is derived."


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
