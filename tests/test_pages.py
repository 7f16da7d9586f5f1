"""What the pages tell a reader to type, to write, to import and to open is there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tad_core.config import TADConfig, load_config
from tad_core.config.loading import parse_config
from tad_core.errors import ConfigError
from tad_core.study.config import load_study

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
#: Pages that tell what was, in the words of their day: only their links are held to what is.
RECORDS = [
    *(ROOT / name for name in ("CHANGELOG.md", "assets/tiny-llada/README.md")),
    *sorted(ROOT.glob("docs/results/*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.S | re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


by_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(text_of(page)) if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of the page's shell blocks, and ``tad …`` within a sentence, as words."""
    lines = re.findall(r"`(tad [a-z][^`]*)`", BLOCK.sub("", text_of(page)).replace("\n", " "))
    for block in blocks(page, "bash", "sh"):
        lines += re.sub(r"<<'EOF'.*?^EOF", "", block.replace("\\\n", " "), flags=re.S | re.M).splitlines()
    for line in lines:
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&"]:
            if word in ("&", "&&", "|"):
                if words:
                    yield words
                words = []
            elif words or not re.match(r"^[A-Z_]+=", word):  # a variable for this command alone
                words.append(word)


def of_program(name: str, page: Path) -> list[list[str]]:
    return [words[1:] for words in commands(page) if Path(words[0]).name == name]


def test_the_pages_are_read() -> None:
    found = {name: sum(len(of_program(name, page)) for page in PAGES) for name in ("tad", "make", "python")}
    assert found["tad"] > 60 and found["make"] > 5 and found["python"] >= 3


@by_page
def test_commands_have_those_names_options_files_and_settings(page: Path) -> None:
    from flows.cli import app

    tad: Any = typer.main.get_command(app)
    for words in of_program("tad", page):
        for name in words[0].split("|"):
            assert name in tad.commands, words
            if name == "lm-eval":  # its options are lm-eval's
                continue
            command = tad.commands[name]
            given, rest, _order = command.make_parser(typer.Context(command)).parse_args(words[1:])
            told = [*given.values(), *rest]
            typed = [str(word) for one in told for word in (one if isinstance(one, list) else [one])]
            files = [word.split(":")[0] for word in typed if word.startswith("configs/")]
            assert all((ROOT / file).is_file() for file in files), words
            load = load_study if name == "study" else load_config
            for changed in given.get("set_") or []:
                read(load, ROOT / (files or ["configs/demo.yaml"])[0], changed)


def read(load: Any, file: Path, changed: str) -> None:
    """One setting may need another beside it to be right; it has to be known."""
    try:
        load(file, [changed])
    except ConfigError as error:
        assert "unknown key" not in str(error), error


@by_page
def test_make_has_those_targets_and_scripts_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.M))
    named = re.findall(r"`make ([a-z-]+)", text_of(page)) + [words[0] for words in of_program("make", page)]
    assert not set(named) - targets
    for words in of_program("python", page):
        if words[0] == "-m":
            assert importlib.util.find_spec(words[1]), words
        elif words[0] != "-c":
            source = (ROOT / words[0]).read_text(encoding="utf-8")
            assert all(f'"{word}"' in source for word in words[1:] if word.startswith("--")), words


@by_page
def test_settings_in_yaml_are_known(page: Path) -> None:
    demo = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8"))
    for block in blocks(page, "yaml"):
        tree = yaml.safe_load(block)
        if not isinstance(tree, dict) or not set(tree) <= set(TADConfig.model_fields):
            continue  # of a study, or of other software
        try:
            parse_config({**demo, **{name: beside(demo.get(name), value) for name, value in tree.items()}})
        except ConfigError as error:
            assert "unknown key" not in str(error), f"{error}\n{block}"


def beside(whole: Any, part: Any) -> Any:
    """A section with what the page says of it."""
    return {**whole, **part} if isinstance(whole, dict) and isinstance(part, dict) else part


@by_page
def test_python_can_be_read_and_names_that_it_imports_are_there(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{node.module} has no {missing}"


@pytest.mark.parametrize("page", [*PAGES, *RECORDS], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", text_of(page))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(page)), flags=re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}
