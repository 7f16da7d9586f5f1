"""Tokenizers with the chat templates and special tokens of the real families, and words for everything else.

A word here is a run of word characters, a run of line breaks, or one other sign; a full stop swallows the line
breaks behind it, as it does in the byte-level vocabularies of both families: tokens may form across the seam
between a template's own text and what is put into it.
"""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tad_core.data.tokenizer import CHAT_TEMPLATE as LLADA_TEMPLATE

DREAM_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' -%}"
    "{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else -%}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' or message.role == 'assistant' or (message.role == 'system' and not loop.first) -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' }}{%- endif -%}"
)

LLADA_SPECIAL = (
    "<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
)  # fmt: skip
DREAM_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|beginoftext|>", "<|mask|>")
_WORD = r"\.\n+|\n+|\w+|[^\s\w]| "


class WordTokenizer(PreTrainedTokenizerFast):
    """A fast tokenizer that can say its tokens as text."""

    def words(self, ids: list[int]) -> list[str]:
        """The tokens as they were written."""
        return [str(token) for token in self.convert_ids_to_tokens(ids)]


def build(special: tuple[str, ...], template: str, texts: list[str], **roles: str) -> WordTokenizer:
    """A tokenizer that knows every word of ``texts``."""
    splitter = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text)}
    ordered = [*special, "<unk>", *sorted(words)]
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(ordered)}, unk_token="<unk>"))
    core.pre_tokenizer = splitter
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return WordTokenizer(tokenizer_object=core, unk_token="<unk>", chat_template=template, **roles)


def llada(texts: list[str]) -> WordTokenizer:
    """LLaDA's format over the words of ``texts``."""
    return build(
        LLADA_SPECIAL, LLADA_TEMPLATE, [*texts, "user assistant system \n\n"],
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        mask_token="<|mdm_mask|>",
    )  # fmt: skip


def dream(texts: list[str], template: str = DREAM_TEMPLATE) -> WordTokenizer:
    """Dream's format over the words of ``texts``."""
    own = "user assistant system You are a helpful assistant.\n \n \n\n assistant.\n\n x."
    return build(
        DREAM_SPECIAL, template, [*texts, own],
        bos_token="<|beginoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", mask_token="<|mask|>",
    )  # fmt: skip
