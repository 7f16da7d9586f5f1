"""The page: self-contained, well-formed, and safe with hostile text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.config import parse_config
from tad_core.data.selection import LeftOutRow
from tad_core.report.document import Document, Material, compose
from tad_core.report.example import Decoding
from tad_core.report.html import render_html
from tad_core.report.scoring import score

HOSTILE = "<script>alert(1)</script><img src=http://evil/x onerror=alert(1)>\"'&{{ 7*7 }}"
VOID = {"meta", "img", "source", "br", "hr", "link", "input"}
PICTURES = dict.fromkeys(("curves", "trajectory", "kept", "calibration", "losses"), (b"light", b"dark"))


class Tree(HTMLParser):
    """Checks that every element is closed in order; keeps tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def make_document(fake: SimpleNamespace, **changes: Any) -> Document:
    records = [r for model, ways in fake.curves.items() for r in fake.records(model, ways)]
    parts: dict[str, Any] = {
        "config": fake.config(),
        "scores": score("hand-made", fake.config().evaluate, records, fake.lineup),
        "filtered": fake.summary(),
        "curve": fake.curve(),
        "windows": fake.windows(),
        "logs": {"quality": fake.log(), "speed": fake.log()},
        "decodings": [Decoding("base", "Base", "token by token", ["a"], [1], 1, 1, True)],
        "prompt": "How much?",
        "timings": [("collect", 12.34), ("filter", 61.0), ("distil Quality", 7265.0)],
        "facts": [("Code", "0.1.0")],
        "left_out": [LeftOutRow("math", "empty box", 2, "math.jsonl:7")],
    }
    return compose(Material(**{**parts, **changes}))


def test_data_left_out_is_on_the_page_and_no_table_where_there_is_none(fake: SimpleNamespace) -> None:
    assert "could not be used" in render_html(make_document(fake), PICTURES)
    assert "could not be used" not in render_html(make_document(fake, left_out=[]), PICTURES)
    hostile = render_html(make_document(fake, left_out=[LeftOutRow("s", HOSTILE, 1, HOSTILE)]), PICTURES)
    assert "<script>" not in hostile and "evil" in hostile


def test_page_is_well_formed_and_loads_nothing(fake: SimpleNamespace) -> None:
    page = render_html(make_document(fake), PICTURES)
    tree = Tree(page)

    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    for tag, attributes in tree.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "srcset", "href"):
            if name in attributes:
                assert str(attributes[name]).startswith("data:image/png;base64,")
    policy = [a["content"] for t, a in tree.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_page_has_every_picture_light_and_dark_with_words_for_it(fake: SimpleNamespace) -> None:
    tree = Tree(render_html(make_document(fake), PICTURES))

    images = [a for t, a in tree.tags if t == "img"]
    dark = [a for t, a in tree.tags if t == "source"]
    assert len(images) == len(dark) == 5
    assert all(len(str(a["alt"])) > 20 for a in images)
    assert all(a["media"] == "(prefers-color-scheme: dark)" for a in dark)


def test_page_shows_the_numbers(fake: SimpleNamespace) -> None:
    text = Tree(render_html(make_document(fake), PICTURES)).text

    for number in ("302.2 [", "510.2 [", "What to bear in mind", "12.3 s", "1 min 01 s", "2 h 01 min"):
        assert number in text


def test_hostile_text_stays_text(fake: SimpleNamespace) -> None:
    summary = fake.summary()
    summary["by_source"][0]["source"] = HOSTILE
    records = fake.records("base", fake.curves["base"], task=HOSTILE)
    document = make_document(
        fake,
        prompt=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        filtered=summary,
        scores=score("x", fake.config().evaluate, records, fake.lineup),
    )

    page = render_html(document, PICTURES)
    tree = Tree(page)

    assert not any(tag == "script" or "onerror" in attributes for tag, attributes in tree.tags)
    assert HOSTILE in tree.text
    assert "49" not in re.findall(r"\{\{.*?\}\}|49", tree.text)


def test_sections_without_data_are_left_out(fake: SimpleNamespace) -> None:
    document = make_document(fake, curve=None, windows={}, logs={}, decodings=[])

    assert [s.title for s in document.sections] == [
        "Results",
        "Accuracy against speed",
        "Trajectories kept",
        "How to read this",
    ]
    Tree(render_html(document, PICTURES))


def test_tiles_need_a_base_to_compare_with(fake: SimpleNamespace) -> None:
    assert [t.title for t in make_document(fake).tiles] == [
        "Quality accuracy", "Quality speed", "Quality AUP", "Speed accuracy", "Speed speed", "Speed AUP",
    ]  # fmt: skip
    records = fake.records("quality", fake.curves["quality"])
    assert make_document(fake, scores=score("x", fake.config().evaluate, records, fake.lineup)).tiles == []


@pytest.mark.parametrize("name", ["quality", "speed"])
def test_tiles_show_the_distilled_number_next_to_the_base(fake: SimpleNamespace, name: str) -> None:
    tile = next(t for t in make_document(fake).tiles if t.model == name and t.title.endswith("speed"))

    assert tile.value == {"quality": "4.0", "speed": "8.0"}[name]
    assert tile.detail == "tokens per forward at 75.0 %; base 4.0 at 10.0 %"


def test_models_with_the_same_window_and_settings_are_told(fake: SimpleNamespace) -> None:
    def said(windows: dict[str, Any], **models: Any) -> str:
        tree = fake.config().model_dump(mode="json", exclude={"models"})
        del tree["evaluate"]["models"]
        config = parse_config({**tree, "models": {"quality": {}, "speed": {}, **models}})
        logs = {name: fake.log() for name in windows}
        return "\n".join(
            f.text for f in make_document(fake, config=config, windows=windows, logs=logs).findings
        )

    window = fake.curve()["quality"]
    two = {"quality": window, "speed": window}
    assert "Both windows are the same, so Quality and Speed were" in said(two)
    assert "are the same, so" not in said(fake.windows())
    three = {**two, "mid": window}
    assert "Their windows are the same, so Quality, Speed and Middle were" in said(
        three, mid={"window": 4, "label": "Middle"}
    )
    # Another loss on the same tokens is another model.
    hard = said(three, mid={"window": 4, "label": "Middle", "settings": {"distant": "hard"}})
    assert "so Quality and Speed were" in hard and "Middle were" not in hard


def test_the_page_says_what_each_model_learns_where_they_differ(fake: SimpleNamespace) -> None:
    tree = fake.config().model_dump(mode="json", exclude={"models"})
    del tree["evaluate"]["models"]
    table = {"quality": {}, "hard": {"window": 4, "settings": {"distant": "none"}}}
    window = fake.curve()["quality"]
    parts = {
        "windows": {"quality": window, "hard": window},
        "logs": {"quality": fake.log(), "hard": fake.log()},
    }
    text = render_html(make_document(fake, config=parse_config({**tree, "models": table}), **parts), PICTURES)

    assert "Quality: Tokens inside the window get hard labels, those beyond it the teacher" in text
    assert "hard: Tokens inside the window get hard labels, those beyond it no loss." in text
    assert "--model-hard:" in text
    assert "Quality: Tokens" not in render_html(make_document(fake), PICTURES)
