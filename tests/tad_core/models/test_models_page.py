"""The small random checkpoints of docs/models.md: what the page says is run, loaded and decoded with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tad_core.checkpoint import check_model, load_tokenizer
from tad_core.config import ModelConfig
from tad_core.data.problem import Problem
from tad_core.data.prompts import student_prompt
from tad_core.decoding import DecodeSpec, decode
from tad_core.errors import ModelError
from tad_core.models.loading import load_model

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's code was run."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    section = page.split("## A small random checkpoint")[1].split("\n## ")[0]
    folder = tmp_path_factory.mktemp("page")
    (folder / "assets").symlink_to(ROOT / "assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(
            compile("\n".join(re.findall(r"```python\n(.*?)```", section, flags=re.S)), "models.md", "exec"),
            {},
        )
    return folder


@pytest.mark.parametrize("name", ["random-llada", "random-dream"])
def test_it_loads_and_decodes(place: Path, name: str) -> None:
    config = ModelConfig(path=str(place / name))
    assert check_model(config)["model_type"].lower() == name.split("-")[1]
    tokenizer, model = load_tokenizer(config), load_model(config)
    prompt = student_prompt(tokenizer, Problem("p", "s", "math", "1 + 2", "3", answer="3"))
    (one,) = decode(model, [prompt], DecodeSpec(16, 8))
    assert len(one.tokens) == 16 and max(one.tokens) < model.vocab_size


def test_the_tokenizer_of_the_other_is_refused(place: Path, tmp_path: Path) -> None:
    for file in (place / "random-llada").iterdir():
        other = place / "random-dream" / file.name
        (tmp_path / file.name).write_bytes((other if "token" in file.name else file).read_bytes())
    with pytest.raises(ModelError, match=r"type 'llada'.*'<\|im_end\|>', as Dream does"):
        check_model(ModelConfig(path=str(tmp_path)))
