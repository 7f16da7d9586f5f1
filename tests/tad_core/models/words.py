"""Small checkpoints with the kind of tokenizer that the published ones have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tad_core.models.gguf_vocab import PRE_TOKENIZERS
from tad_core.tokens import TURN_ENDS

TEXTS = (
    "Cleo has 13 coins. Cleo sells 8.  How many coins does Cleo have?\n\n",
    "def add(a, b):\n    return a + b  # it's 1234567 + 89\r\n\tdone",
    "Grüße aus Köln, 你好 и привет! Don't we'll THEY'RE they've I'D",
)


#: Expression, whether pieces that are tokens are taken whole, llama.cpp's name of that.
WAYS = [
    (pattern, whole, name)
    for pattern, named in PRE_TOKENIZERS.items()
    for whole, name in ((False, named.merged), (True, named.whole))
    if name is not None
]
#: A token of ``byte_level`` that its merges do not make.
UNMERGED = " unmerged"


def byte_level(checkpoint: Path, folder: Path, pattern: str, whole: bool = False) -> Path:
    """A copy of a small checkpoint with a byte-level BPE that splits text by ``pattern``, and takes pieces that are
    tokens whole or by their merges."""
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
    tree = json.loads(tokenizer.to_str())
    # Byte-level BPE writes a space as this letter.
    word = UNMERGED.replace(" ", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}")
    tree["model"]["vocab"][word] = tokenizer.get_vocab_size()
    tree["model"]["ignore_merges"] = whole
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.add_tokens([AddedToken("Return the result.", normalized=False)])
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[2], eos_token=special[0], pad_token=special[0],
        mask_token=mask, chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )  # fmt: skip
    words.save_pretrained(folder)
    ids = {"mask_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config | ids))
    return folder
