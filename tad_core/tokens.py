"""Whether every token id that a checkpoint's files speak of has a row in the embedding; read without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tad_core.errors import ModelError
from tad_core.families import FAMILIES, family_of

_SPECIAL = ("mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id")
#: How the families spell the end of a turn, by ``model_type``.
TURN_ENDS = {kind: family.turn_end for kind, family in FAMILIES.items() if family.turn_end}
#: DreamOn's token in whose place two masks go.
_EXPAND = "<|expand|>"


def check_tokens(folder: Path, config: Mapping[str, Any]) -> None:
    """Hold the ids in config.json and in the tokenizer's files against the rows of the embedding.

    Raises:
        ModelError: naming the first token beyond them, a file that is no tokenizer's, or what shows that the tokenizer
            is another family's.
    """
    rows = family_of(config).vocabulary(config)
    for name in _SPECIAL:
        value = config.get(name)
        if value is not None and not (isinstance(value, int) and 0 <= value < rows):
            raise ModelError(
                f"model.path: {folder}/config.json has {name} {value!r}; the vocabulary has the ids 0 to {rows - 1}"
            )
    found: dict[str, int] = {}
    one = (folder / "tokenizer.json").is_file()  # the others are not read beside it
    for file in (
        *(("tokenizer.json",) if one else ("vocab.json", "added_tokens.json")),
        "tokenizer_config.json",
    ):
        if (folder / file).is_file():
            ids = dict(_ids(folder / file))
            _check_ids(folder / file, ids, rows)
            found |= ids
    _check_family(folder, config, found)


def _check_family(folder: Path, config: Mapping[str, Any], ids: Mapping[str, int]) -> None:
    remedy = "take tokenizer and weights of one model"
    family, mask = config.get("model_type"), config.get("mask_token_id")
    own = TURN_ENDS.get(str(family))
    others = [f"{end!r}, as {name} does" for name, end in TURN_ENDS.items() if name != family and end in ids]
    if own and others and own not in ids:
        raise ModelError(
            f"model.path: the weights in {folder} are of type {family!r}, and the tokenizer beside them ends a turn "
            f"with {others[0]}; {remedy}"
        )
    if _EXPAND in ids:
        raise ModelError(
            f"model.path: the tokenizer in {folder} has {_EXPAND!r}, as DreamOn has, which adds and removes masks "
            "while it decodes; that is not implemented, use a model of a fixed length"
        )
    at_mask = [token for token, number in ids.items() if number == mask]
    if at_mask and not any("mask" in token.lower() for token in at_mask):
        raise ModelError(
            f"model.path: {folder}/config.json has mask_token_id {mask}, which the tokenizer beside it spells "
            f"{at_mask[0]!r}; {remedy}"
        )


def check_vocabulary(folder: Path, ids: Mapping[str, int]) -> None:
    """The same of a tokenizer that is loaded: it may have given ids to special tokens that its files only name.

    Raises:
        ModelError: naming the token furthest beyond the embedding.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # a tokenizer alone
        return
    _check_ids(folder, ids, family_of(config).vocabulary(config))


def _check_ids(where: Path, ids: Mapping[str, int], rows: int) -> None:
    beyond = {token: number for token, number in ids.items() if not 0 <= number < rows}
    if beyond:
        token = max(beyond, key=lambda t: abs(beyond[t]))
        raise ModelError(
            f"model.path: {where} has the token {token!r} with id {beyond[token]} ({len(beyond)} such), and the "
            f"vocabulary has the ids 0 to {rows - 1}; take tokenizer and weights of one model, or widen the embedding"
        )


def _ids(file: Path) -> Iterator[tuple[str, int]]:
    """Every token of a file with its id."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        if file.name == "tokenizer.json":
            vocabulary = tree["model"]["vocab"]
            if isinstance(vocabulary, list):  # Unigram: token and score, by id
                vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
            yield from _numbers(vocabulary)
            yield from ((str(t["content"]), int(t["id"])) for t in tree.get("added_tokens") or ())
        elif file.name == "tokenizer_config.json":
            for number, token in (tree.get("added_tokens_decoder") or {}).items():
                yield str(token["content"]), int(number)
        else:
            yield from _numbers(tree)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"model.path: {file} cannot be read as a tokenizer's ({type(error).__name__}: {error}); copy or "
            "download it again"
        ) from None


def _numbers(tree: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield from ((token, int(number)) for token, number in tree.items())
