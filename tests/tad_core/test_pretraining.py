from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from tad_core.config import ModelConfig
from tad_core.data.sources import arithmetic
from tad_core.data.sources._generated import split_of
from tad_core.data.tokenizer import build_tokenizer
from tad_core.errors import ConfigError, ModelError, TrainingError
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.pretraining.config import CorpusConfig, PretrainConfig, load_pretrain_config
from tad_core.pretraining.corpus import Batches, Corpus, draw_sample, encode_corpus
from tad_core.pretraining.objective import diffusion_loss, draw_masks
from tad_core.pretraining.train import PretrainTrainer, pretrain

SMALL: dict[str, Any] = {
    "d_model": 32, "n_layers": 1, "n_heads": 2, "mlp_hidden_size": 48, "workers": 1, "batch_size": 8,
    "warmup_steps": 1, "corpus": {"samples": 120},
}  # fmt: skip


def test_draws_are_keyed_and_have_the_shares_asked_for() -> None:
    corpus = CorpusConfig(privileged_share=0.3, code_share=0.25, hard_share=0.2)
    drawn = [draw_sample(corpus, i) for i in range(1500)]
    assert drawn[7] == draw_sample(corpus, 7) != draw_sample(corpus.model_copy(update={"seed": 1}), 7)
    privileged = sum(p for _, p, _ in drawn) / len(drawn)
    code = sum(problem.kind == "code" for problem, _, _ in drawn) / len(drawn)
    assert abs(privileged - 0.3) < 0.04 and abs(code - 0.25) < 0.04


def test_held_out_problems_never_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    original = arithmetic.question
    monkeypatch.setattr(arithmetic, "question", lambda c, rng: kept.append(c.signature()) or original(c, rng))
    for i in range(600):
        draw_sample(CorpusConfig(code_share=0.0), i)
    assert len(kept) == 600 and {split_of(s) for s in kept} == {"train"}


def test_plain_prompts_are_mostly_easy_and_privileged_ones_of_every_length() -> None:
    corpus = CorpusConfig(code_share=0.0, privileged_share=0.5, hard_share=0.1)
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for i in range(800):
        problem, privileged, _ = draw_sample(corpus, i)
        lengths[privileged].append(problem.question.count(".") - 1)
    easy = sum(n <= corpus.math_easy for n in lengths[False]) / len(lengths[False])
    assert 0.85 < easy < 0.95 and set(lengths[True]) == {1, 2, 3, 4, 5}


def test_every_answer_ends_as_a_llada_ends_its_turn() -> None:
    config = PretrainConfig(out="unused", **SMALL)
    tokenizer = build_tokenizer()
    turn_end, end = tokenizer.convert_tokens_to_ids("<|eot_id|>"), tokenizer.eos_token_id
    response_SR = encode_corpus(config).response_SR
    at_S = (response_SR == turn_end).argmax(1)
    assert at_S.min() > 0 and ((response_SR == turn_end).sum(1) == 1).all()
    assert all((row[at + 1 :] == end).all() for row, at in zip(response_SR, at_S, strict=True))


CORPUS = Corpus.of([([7, 8], [1, 2, 0]), ([7], [3, 0, 0]), ([7, 8, 9, 9], [4, 5, 6])])


def test_a_batch_by_hand() -> None:
    batch = CORPUS.batch(np.array([0, 2]), pad_id=0)
    assert batch["input_ids"].tolist() == [[7, 8, 1, 2, 0, 0, 0], [7, 8, 9, 9, 4, 5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0], [1] * 7]
    assert batch["prompt_length"].tolist() == [2, 4]
    assert "attention_mask" not in CORPUS.batch(np.array([2, 2]), pad_id=0), "nothing to mask"


def test_batches_cover_every_sample_once_an_epoch_in_a_keyed_order() -> None:
    corpus = Corpus.of([([7] * (1 + i % 5), [i]) for i in range(64)])
    order = [b.tolist() for b in Batches(corpus, 8, 8, 0, 0)._order]
    assert sorted(i for batch in order for i in batch) == list(range(64))
    assert order == [b.tolist() for b in Batches(corpus, 8, 8, 0, 0)._order]
    assert order != [b.tolist() for b in Batches(corpus, 8, 8, 1, 0)._order]
    assert len(Batches(corpus, 8, 30, 0, 0)._order) == 30
    alike = [
        len({int(corpus.length_S[i]) for i in batch}) == 1 for batch in Batches(corpus, 8, 8, 0, 0)._order
    ]
    assert sum(alike) == 5, "13 or 12 samples of each of five lengths fill five batches of eight"


class Uniform(nn.Module):
    """Every token equally likely among 4; remembers what it was shown."""

    class config:  # noqa: N801
        mask_token_id = 99

    def hidden(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        self.seen = ids_BL
        return torch.zeros(*ids_BL.shape, 1)

    def head(self, rows: Tensor) -> Tensor:
        return torch.zeros(*rows.shape[:-1], 4)


def test_scattered_states_are_masked_with_probability_t() -> None:
    masked, t = draw_masks(4000, 8, 4, 0.0, torch.Generator().manual_seed(0))
    assert (t == t[:, :1]).all() and 0.48 < t.mean() < 0.52
    for low in (0.0, 0.25, 0.5, 0.75):
        rows = (t[:, 0] > low) & (t[:, 0] <= low + 0.25)
        assert masked[rows].float().mean().item() == pytest.approx(low + 0.125, abs=0.03)


def test_block_states_are_clean_before_a_block_and_masked_after_it() -> None:
    masked, t = draw_masks(3000, 12, 4, 1.0, torch.Generator().manual_seed(0))
    current = [0, 0, 0]
    for row, chance in zip(masked.view(-1, 3, 4), t.view(-1, 3, 4), strict=True):
        # the current block is the one whose t is below 1; before it nothing is masked, after it everything
        (block,) = (chance[:, 0] < 1).nonzero()[-1]
        assert not row[:block].any() and row[block + 1 :].all() and (chance[block + 1 :] == 1).all()
        current[block] += 1
    assert all(900 < n < 1100 for n in current)
    _, mixed = draw_masks(4000, 12, 4, 0.25, torch.Generator().manual_seed(1))
    # two of three block states have a later block, whose probability is 1
    assert (mixed[:, -1] == 1).float().mean().item() == pytest.approx(0.25 * 2 / 3, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_loss_is_masked_cross_entropy_over_t(share: float) -> None:
    """For a uniform model a token weighs log V as often as it can be masked: E[1[masked] / t] is then 1."""
    model, noise = Uniform(), torch.Generator().manual_seed(0)
    ids = torch.tensor([[3, 1, 2, 0, 3, 1]] * 4000)
    masked, t = draw_masks(4000, 4, 2, share, noise)
    loss = diffusion_loss(model, ids, torch.ones_like(ids), torch.full((4000,), 2), masked, t)
    # of two blocks, the first is clean in half of the block states
    assert loss.item() == pytest.approx(np.log(4) * (1 - share / 4), rel=0.08)
    assert (model.seen[:, :2] == ids[:, :2]).all()  # prompts are never masked
    assert ((model.seen[:, 2:] == 99) == masked).all()


def test_it_learns_saves_and_goes_on(tmp_path: Path) -> None:
    config = PretrainConfig(out=str(tmp_path / "a"), steps=60, learning_rate=1e-2, **SMALL)
    corpus = encode_corpus(config)
    folder = pretrain(config, corpus)
    tokenizer = load_tokenizer(folder)
    model = load_model(ModelConfig(path=str(folder)), "cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32} and len(tokenizer) == model.vocab_size

    def loss_of(folder: Path) -> float:
        batch = corpus.batch(np.arange(48), tokenizer.pad_token_id)
        with torch.no_grad():
            masked, t = draw_masks(48, 64, 16, 0.5, torch.Generator().manual_seed(5))
            return diffusion_loss(
                load_model(ModelConfig(path=str(folder)), "cpu"), batch["input_ids"], batch["attention_mask"],
                batch["prompt_length"], masked, t,
            ).item()  # fmt: skip

    fresh = pretrain(
        config.model_copy(update={"out": str(tmp_path / "b"), "steps": 1, "learning_rate": 1e-9}), corpus
    )
    learned = loss_of(folder)
    assert learned < 0.6 * loss_of(fresh)
    still = config.model_copy(
        update={"out": str(tmp_path / "c"), "steps": 1, "learning_rate": 1e-9, "init_from": str(folder)}
    )
    assert loss_of(pretrain(still, corpus)) == pytest.approx(learned, rel=0.02)


def test_a_loss_that_is_no_number_ends_it_and_saves_nothing(tmp_path: Path) -> None:
    """After hours there would be a checkpoint of no use."""
    config = PretrainConfig(out=str(tmp_path / "out"), steps=40, learning_rate=1e30, **SMALL)
    with pytest.raises(
        TrainingError, match=r"^pretraining: step [2-9]: its .* is (nan|inf).*lower learning_rate 1e\+30"
    ):
        pretrain(config, Corpus.of([([7, 8], [9] * 64)] * 8))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_faults_of_the_config_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; give the file of a pretraining, e\.g\. "):
        load_pretrain_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("out: x\nstepz: 3\n")
    with pytest.raises(ConfigError, match="stepz"):
        load_pretrain_config(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("out: x\nblock_length: 24\n")
    with pytest.raises(ConfigError, match="24 does not divide response_length 64"):
        load_pretrain_config(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("out: x\nseed: 4294967296\n")
    with pytest.raises(ConfigError, match="seed: 4294967296 is not accepted"):
        load_pretrain_config(tmp_path / "bad.yaml")


ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_checkpoint_is_small_and_loads() -> None:
    folder = ROOT / "assets" / "tiny-llada"
    assert sum(p.stat().st_size for p in folder.iterdir()) < 12_000_000
    model = load_model(ModelConfig(path=str(folder)), "cpu")
    assert 3_000_000 <= sum(p.numel() for p in model.parameters()) <= 6_000_000
    assert load_tokenizer(folder).get_vocab() == build_tokenizer().get_vocab()


def test_the_shipped_recipe_gives_the_shape_of_the_shipped_model() -> None:
    recipe = load_pretrain_config(ROOT / "configs" / "pretrain-tiny.yaml")
    shipped = load_model(ModelConfig(path=str(ROOT / "assets" / Path(recipe.out).name)), "cpu").config
    for name in ("d_model", "n_layers", "n_heads", "mlp_hidden_size", "rope_theta"):
        assert getattr(shipped, name) == getattr(recipe, name), name


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_layers_run_in_bfloat16_where_the_trainer_is_told_so(
    tiny_checkpoint: Path, tmp_path: Path, bf16: bool, dtype: torch.dtype
) -> None:
    model = load_model(ModelConfig(path=str(tiny_checkpoint)))
    seen: list[torch.dtype] = []
    model.blocks[0].ff_out.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, bf16=bf16, report_to=[])
    recipe = PretrainConfig(out=str(tmp_path), response_length=8, block_length=8)
    trainer = PretrainTrainer(model=model, args=arguments, recipe=recipe)
    loss = trainer.compute_loss(model, Corpus.of([([7, 8], [9] * 8)]).batch(np.array([0]), pad_id=0))
    assert seen == [dtype] and loss.dtype == torch.float32


def test_what_would_fail_at_the_end_is_said_before_the_first_step(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretrainTrainer, "train", lambda self: pytest.fail("it was trained"))
    (tmp_path / "file").write_text("in the way")

    def refused(**changes: Any) -> str:
        config = PretrainConfig(**{"out": str(tmp_path / "out"), "steps": 1, **SMALL, **changes})
        with pytest.raises((ConfigError, ModelError)) as caught:
            pretrain(config, CORPUS)
        return str(caught.value)

    assert "out: " in refused(out=str(tmp_path / "file" / "out")) and not (tmp_path / "out").exists()
    assert refused(init_from=str(tmp_path)).startswith(f"init_from: {tmp_path} has no config.json")
    assert refused(init_from=str(tiny_checkpoint)).startswith(
        f"init_from: {tiny_checkpoint} is not of this shape"
    )
