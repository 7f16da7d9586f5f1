"""Settings from YAML: a key given twice, and on which line of the file what is wrong with it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.config import load_config, naming_lines
from tad_core.config.document import parse_document
from tad_core.errors import ConfigError
from tad_core.pretraining.config import load_pretrain_config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "config: a is given twice, on line 1 and on line 3 of x.yaml; keep one of them"),
        ("s:\n  rate: 1\n  seed: 2\n  rate: 1\n", "s.rate is given twice, on line 2 and on line 4"),
        ("l:\n- k: 1\n- k: 2\n  'k': 3\n", "l.1.k is given twice, on line 3 and on line 4"),
        ("s: {a: 1, b: {c: 1, c: 2}}\n", "s.b.c is given twice, on line 1 and on line 1"),
        ("s: {1: a, 0x1: b}\n", "s.0x1 is given twice"),
        ("d: &d {x: 1}\ns:\n  <<: *d\n  x: 2\n  x: 3\n", "s.x is given twice, on line 4 and on line 5"),
        ("d: &d {x: 1}\ne: &e {y: 1}\ns:\n  <<: *d\n  <<: *e\n", "s.<< is given twice, on line 4 and on line 5"),
        ("a: 1\na: 2\nb: 3\nb: 4\n", "on line 2 of x.yaml; keep one of them\nconfig: b is given twice, on line 3"),
    ],
)  # fmt: skip
def test_a_key_given_twice_is_an_error_with_both_lines(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "x.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\0" * 64,
            'config: x.yaml is not YAML: unacceptable character #x0000.*in "x.yaml"',
        ),  # a crash left it
        ("a: \udcff", "unacceptable character #xdcff"),
        ('a: ["\\ud83d"]', r"'\\ud83d' has half a character or a NUL in it"),
        ('store: "a\\0b"', r"'a\\x00b' has half a character or a NUL in it"),
    ],
)
def test_what_is_no_text_is_an_error_that_names_the_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        parse_document(text, "x.yaml")


def test_a_character_that_json_escapes_in_two_halves_is_one() -> None:
    tree = {"name 😀": ["x", "data/😀.jsonl"]}
    assert parse_document(json.dumps(tree), "x.yaml").tree == tree


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\nA: 2\n'1': 3\n1: 4\n",
        "d: &d {x: 1, y: 2}\ns:\n  <<: *d\n  x: 3\n",  # what replaces a merged key is no second one
        "d: &d {x: 1}\ne: &e {x: 2}\ns: {<<: [*d, *e], y: 1}\n",
        "d: &d {x: 1}\ns: *d\nt: *d\n",
        "s:\n- &i {x: 1}\n- *i\n",
        "=: 1\n",
    ],
)
def test_what_is_given_once_reads_as_pyyaml_reads_it(text: str) -> None:
    assert parse_document(text, "x.yaml").tree == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [\n", "line 3"),
        ("a: 1\nb: 2024-13-45\n", "'2024-13-45' cannot be read (month must be in 1..12); quote it"),
        ("a: 1\nb: !!int x\n", "line 2"),
        ("a: !!python/name:os.path\n", "line 1"),
        ("? {x: 1}\n: 2\n", "unhashable key"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 1\n---\nb: 1\n", "line 2"),
    ],
)
def test_what_is_no_yaml_is_one_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "x.yaml")
    assert message in str(caught.value)


def test_lines_of_nested_merged_and_dotted_fields() -> None:
    text = "base: &b\n  x: 1\n  y: 2\ns:\n  <<: *b\n  y: 3\n  a.b: {c: 4}\nl:\n- k: 1\n- k: 2\n"
    document = parse_document(text, "x.yaml")
    assert document.where(["s", "y"]) == " (line 6 of x.yaml)"
    assert document.where(["s", "x"]) == " (line 2 of x.yaml)"  # where it is written, at its anchor
    assert document.where(["s", "a", "b", "c"]) == " (line 7 of x.yaml)"
    assert document.where(["l", 1, "k"]) == " (line 10 of x.yaml)"
    assert document.where(["s", "none"]) == " (line 4 of x.yaml)"  # the section
    assert document.where(["none", "k"]) == ""
    document.replaced.append(("s", "y"))
    assert document.where(["s", "y"]) == "" and document.where(["s", "x"]) == " (line 2 of x.yaml)"


@pytest.fixture
def lines(tiny_tree: dict[str, Any], tmp_path: Path) -> list[str]:
    """The small configuration, one section a line, so that every line number is known."""
    tiny_tree["evaluate"]["tasks"][0]["name"] = "held"
    return [f"{key}: {json.dumps(value)}" for key, value in tiny_tree.items()]


def test_config_and_command_line_refuse_a_key_given_twice(lines: list[str], tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("\n".join([*lines, lines[0]]) + "\n")
    with pytest.raises(ConfigError, match=f"on line 1 and on line {len(lines) + 1} of "):
        load_config(file)
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"--set distill\.lora: .*rank is given twice"):
        load_config(file, ["distill.lora={rank: 2, rank: 4}"])


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("calibrate: {states: 0}", "calibrate.states: 0 is not accepted"),
        ("calibrate:\n  sates: 4", "calibrate.sates: unknown key; did you mean states?"),
        ("zzz: 1", "zzz: unknown key"),
    ],
)
def test_what_pydantic_refuses_is_told_with_its_line(
    lines: list[str], added: str, message: str, tmp_path: Path
) -> None:
    kept = [line for line in lines if not line.startswith("calibrate")]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join([*kept, added]) + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    line = len(kept) + 1 + added.count("\n")
    assert message in str(caught.value) and f"(line {line} of {file})" in str(caught.value)


def test_a_source_that_has_rules_and_is_none(lines: list[str], tmp_path: Path) -> None:
    kept = [line for line in lines if not line.startswith("filter")]
    file = tmp_path / "config.yaml"
    rules = "  extract_by_source:\n    sums: [boxed]\n    gsm9k: [hashes]\n    my.other: [boxed]\n"
    file.write_text("\n".join([*kept, "filter:", rules]))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    first, second = str(caught.value).splitlines()
    assert first.startswith("filter.extract_by_source.gsm9k: 'gsm9k' is not the name of a source")
    assert "use one of sums, funcs, held" in first and first.endswith(f"(line {len(kept) + 4} of {file})")
    assert "'my.other' is not" in second and second.endswith(f"(line {len(kept) + 5} of {file})")

    file.write_text("\n".join([*kept, "filter: {extract_by_source: {sums: [boxed], held: [boxed]}}"]))
    assert set(load_config(file).filter.extract_by_source) == {"sums", "held"}
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["filter.extract_by_source.gsm9k=[hashes]"])
    assert "'gsm9k' is not the name" in str(caught.value) and "(line" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("evaluate.workers 4 needs as many GPUs", "evaluate"),
        ("rollout.response_length: 512 leaves no room", "rollout"),
        ("data source sums: option max_steps is 'x'; it takes a whole number", "data"),
        ("task held: option rows is 'x'", "evaluate"),
        ("--gpu: 'z' is not known", None),
        ("seeds: none", None),
    ],
)
def test_what_is_found_later_is_told_with_its_line(
    lines: list[str], tiny_tree: dict[str, Any], message: str, field: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as caught, naming_lines(file):
        raise ConfigError(message)
    line = None if field is None else list(tiny_tree).index(field) + 1
    assert str(caught.value) == message + (f" (line {line} of {file})" if line else "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out: x\nsteps: 1\nsteps: 2\n", "steps is given twice, on line 2 and on line 3"),
        ("out: x\ncorpus:\n  samples: 0\n", "corpus.samples: 0 is not accepted"),
        ("out: x\nsteps: [\n", "is not YAML"),
        ("- 1\n", "holds no mapping; it needs at least out"),
        ("out: x\nstesp: 3\n", "stesp: unknown key; did you mean steps?"),
    ],
)
def test_the_pretraining_file_is_read_as_strictly(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "pretrain.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_pretrain_config(file)
    assert message in str(caught.value)
    if "samples" in text:
        assert f"(line 3 of {file})" in str(caught.value)


@pytest.mark.parametrize("file", sorted((Path(__file__).resolve().parents[3] / "tad_core").rglob("*.yaml")))
def test_no_shipped_yaml_has_a_key_twice(file: Path) -> None:
    text = "\n".join(
        line for line in file.read_text(encoding="utf-8").splitlines() if "!function" not in line
    )
    parse_document(text, file.name)
