"""The word-level tokenizer of the small model: whole words and whole integers are single tokens.

It has LLaDA's special tokens and chat template. The fixed sentences of the prompt templates are one token each,
which halves the prompts and so the cost of every forward on a CPU. Line breaks with their indentation are
tokens too, so that Python survives the round trip: ``decode(encode(text))`` re-encodes to the same ids.
"""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tad_core.config import SourceConfig
from tad_core.data import prompts
from tad_core.data.sources import arithmetic, pyfunc

SPECIAL = (
    "<|endoftext|>", "<|mdm_mask|>", "<|startoftext|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
)  # fmt: skip
UNKNOWN = "<|unknown|>"
SENTENCES = (
    prompts.MATH_TAIL,
    prompts.PRIVILEGED_MATH_TAIL,
    prompts.PRIVILEGED_CODE_TAIL,
    "Reference Answer:",
    "Write a Python function",
    "Return the result.",
)
LARGEST_NUMBER = 500
EXTRA_WORDS = (
    "user",
    "assistant",
    "system",
    "True",
    "False",
    "None",
    "if",
    "else",
    "for",
    "in",
    "while",
    "print",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + (message['content'] | trim) "
    "+ '<|eot_id|>' }}"
    "{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)

# Longest first: each becomes one token, written as a visible stand-in inside the vocabulary.
_BREAKS = (("\n\n", "⏎⏎"), ("\n        ", "⏎··"), ("\n    ", "⏎·"), ("\n", "⏎"))
_WORD = r"⏎⏎|⏎··|⏎·|⏎|```python|```|\\boxed|//=|//|\*\*|[-+*%]=|==|!=|<=|>=|[0-9]+|[A-Za-z_]+|[^\sA-Za-z0-9_]"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, always the same: the vocabulary is read off the generators."""
    splitter = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    normalizer = normalizers.Sequence([normalizers.Replace(raw, f" {shown} ") for raw, shown in _BREAKS])
    words: set[str] = set(EXTRA_WORDS) | {shown for _, shown in _BREAKS}
    for text in _sample_texts():
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    words = {w for w in words if not w.isdigit()}
    ordered = [*SPECIAL, UNKNOWN, *map(str, range(LARGEST_NUMBER + 1)), *sorted(words)]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(ordered)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = _decoder()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (*SPECIAL, UNKNOWN)])
    tokenizer.add_tokens([AddedToken(s, special=False, normalized=False) for s in SENTENCES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        mask_token="<|mdm_mask|>",
        unk_token=UNKNOWN,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def _decoder() -> decoders.Decoder:
    """Words joined by spaces, then the spaces that no writer would put taken out again."""
    steps: list[decoders.Decoder] = [decoders.WordPiece(prefix="\u0000", cleanup=False), decoders.Fuse()]
    for raw, shown in _BREAKS:
        steps.append(decoders.Replace(Regex(f" ?{shown} ?"), raw))
    for before, after in ((" .", "."), (" ,", ","), (" ?", "?"), (" :", ":"), (" )", ")"), (" (", "("), ("( ", "("),
                          (" }", "}"), (" {", "{"), ("{ ", "{")):  # fmt: skip
        steps.append(decoders.Replace(before, after))
    return decoders.Sequence(steps)


def _sample_texts() -> list[str]:
    """Text that holds every word the generators and templates can write."""
    texts = list(SENTENCES)
    for name, module in (("arithmetic", arithmetic), ("pyfunc", pyfunc)):
        source = SourceConfig(name=name, source=name, count=400, options={"min_steps": 1, "max_steps": 6})
        for problem in module.load(source):
            for message in (*prompts.plain_messages(problem), *prompts.privileged_messages(problem)):
                texts.append(message["content"])
    return texts
