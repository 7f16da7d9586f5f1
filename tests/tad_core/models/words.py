"""Small checkpoints with the kind of tokenizer that the published ones have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tad_core.tokens import TURN_ENDS

TEXTS = (
    "Cleo has 13 coins. Cleo sells 8.  How many coins does Cleo have?\n\n",
    "def add(a, b):\n    return a + b  # it's 1234567 + 89\r\n\tdone",
    "Grüße aus Köln, 你好 и привет! Don't we'll THEY'RE they've I'D",
)


def byte_level(checkpoint: Path, folder: Path, pattern: str) -> Path:
    """A copy of a small checkpoint with a byte-level BPE that splits text by ``pattern``."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    mask = "<|mdm_mask|>" if config["model_type"] == "llada" else "<|mask|>"
    special = ["<|endoftext|>", mask, "<|startoftext|>", TURN_ENDS[config["model_type"]]]
    tokenizer = Tokenizer(models.BPE())
    steps = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken("Return the result.", normalized=False)])
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[2], eos_token=special[0], pad_token=special[0],
        mask_token=mask, chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )  # fmt: skip
    words.save_pretrained(folder)
    ids = {"mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config | ids))
    return folder
