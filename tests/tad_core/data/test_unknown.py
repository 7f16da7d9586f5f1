"""Words that the small model's tokenizer does not have: counted by source, refused where they are too many."""

from __future__ import annotations

import pytest

from tad_core.config import ModelConfig, SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.unknown import Unknown, check_unknown, count_unknown, unknown_rows
from tad_core.errors import DataError

MODEL = ModelConfig(path="assets/tiny-llada")


def problem(question: str, reference: str = "So the answer is 5.", source: str = "own") -> Problem:
    return Problem(f"{source}/{question}", source, "math", question, reference, "5")


def test_unknown_words_are_counted_by_source_and_named_the_commonest_first() -> None:
    known = problem("Ann has 5 apples.", source="other")
    own = [problem("Zoe has 5 zebras, zebras."), problem("Ann has 777 zebras.")]
    # Zoe has 5 zebras , zebras . | Ann has 777 zebras . | twice: So the answer is 5 .
    assert count_unknown(MODEL, [known, *own]) == [
        Unknown("own", 7 + 5 + 2 * 6, 5, ["zebras", "Zoe", "777"]),
    ]


def test_a_source_is_refused_above_its_limit_with_all_that_are() -> None:
    sources = [
        SourceConfig(name=name, source="jsonl", max_unknown=limit)
        for name, limit in (("a", 0.1), ("b", 0.5), ("c", 0.0))
    ]
    counted = [Unknown(name, 100, 20, ["zebras"]) for name in "abc"]
    with pytest.raises(DataError) as error:
        check_unknown(sources, counted)
    first, second = str(error.value).split("\n")
    assert first.startswith("data source a: 20.0% of its tokens are unknown")
    assert "zebras" in first and "max_unknown is 10%" in first
    assert second.startswith("data source c:")
    check_unknown([source.model_copy(update={"max_unknown": 0.2}) for source in sources], counted)


def test_a_tokenizer_that_knows_every_text_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bytes:
        """One that falls back to bytes."""

        unk_token_id = None

    monkeypatch.setattr("tad_core.checkpoint.load_tokenizer", lambda _: Bytes())
    assert count_unknown(MODEL, [problem("Zoe has 5 zebras.")]) == []


def test_a_manifest_gives_them_back() -> None:
    entry = Unknown("own", 100, 20, ["zebras"])
    assert unknown_rows({"unknown": [entry._asdict()]}) == [entry] and unknown_rows({}) == []
