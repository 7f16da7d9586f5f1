"""The batched decoder against the plain-loop definition and against hand-computed cases."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.decoding import DecodeSpec, decode, plan_batches
from tad_core.decoding.confidence import log_odds
from tad_core.decoding.policies.entropy import EntropyMultiBlock, entropy, reveals_needed
from tad_core.errors import ConfigError, DataError
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM
from tests.tad_core.decoding.naive_decoder import FormulaModel, TableModel, naive_decode

torch.set_num_threads(1)

SPECS = [
    DecodeSpec(16, 4, early_stop=False),
    DecodeSpec(16, 4, early_stop=True),
    DecodeSpec(16, 16, early_stop=True),
    DecodeSpec(16, 4, "entropy", 0.0, 0.1, early_stop=False),
    DecodeSpec(16, 4, "entropy", 0.6, 0.1, early_stop=False, mask_in_entropy=False),
    DecodeSpec(16, 4, "entropy", 0.6, 0.5, early_stop=True),
    DecodeSpec(16, 4, "entropy", 0.6, 1.0, early_stop=True),
    DecodeSpec(16, 4, "entropy", 1.2, 0.0, early_stop=True, mask_in_entropy=False),
    DecodeSpec(16, 2, "entropy", math.inf, 0.5, early_stop=False),
]


def prompts_of(count, vocab=11, seed=5):
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (count,), generator=draw).tolist()
    return [torch.randint(2, vocab, (n,), generator=draw).tolist() for n in lengths]


def assert_equal(decoded, trace):
    assert decoded.tokens == trace.tokens
    assert decoded.revealed_at == trace.revealed_at
    assert decoded.forwards == trace.forwards
    assert decoded.stopped_early == trace.stopped_early


def assert_counted(decoded, trace):
    """Equal, and so is what it took to get there."""
    assert_equal(decoded, trace)
    assert (decoded.full_forwards, decoded.computed) == (trace.full_forwards, trace.computed)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_plain_loops_on_known_logits(spec, seed):
    model = FormulaModel(seed, eos_bonus=1.5)
    prompts = prompts_of(9, seed=seed)
    for prompt, decoded in zip(prompts, decode(model, prompts, spec, batch_size=4), strict=True):
        assert_counted(decoded, naive_decode(model, prompt, spec))


def random_llada(vocab_size=23, mlp_hidden_size=64):
    torch.manual_seed(3)
    config = LLaDAConfig(
        d_model=32, n_heads=2, n_layers=2, mlp_hidden_size=mlp_hidden_size, vocab_size=vocab_size, mask_token_id=1,
        eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = LLaDAModelLM(config).eval()
    with torch.no_grad():  # a fresh head is nearly uniform; spread the entropies out
        model.get_output_embeddings().weight.mul_(40)
    return model


@pytest.fixture(scope="module")
def llada():
    return random_llada()


@pytest.fixture(scope="module")
def decided(llada):
    """The same with large weights in every layer: noise of 1e-3 on the logits changes no choice.

    Fresh layers give all masks nearly the same hidden state, and a GPU's rounding then decides which comes first.
    """
    model = copy.deepcopy(llada)
    with torch.no_grad():
        model.get_output_embeddings().weight.div_(100)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(10)
    return model


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_equals_the_plain_loops_on_a_transformer(llada, spec):
    prompts = prompts_of(6, vocab=23)
    decoded = decode(llada, prompts, spec, batch_size=3)
    for prompt, one in zip(prompts, decoded, strict=True):
        assert_counted(one, naive_decode(llada, prompt, spec))


@pytest.mark.determinism
@pytest.mark.parametrize("spec", SPECS[1::2], ids=str)
def test_a_prompt_decodes_the_same_whatever_its_batch(llada, spec):
    prompts = [p for p in prompts_of(5, vocab=23) for _ in range(2)]
    alone = [decode(llada, [p], spec)[0] for p in prompts]
    for size in (3, 64):
        assert decode(llada, prompts, spec, batch_size=size) == alone
    assert decode(llada, prompts[::-1], spec, batch_size=7) == alone[::-1]


@pytest.mark.determinism
@pytest.mark.parametrize("inner", [88, 90])
@pytest.mark.parametrize("method", ["token_by_token", "entropy"])
def test_what_decides_is_bit_for_bit_that_of_the_prompt_alone(inner, method, monkeypatch):
    """Sizes whose products do not fill the vectors of a CPU: torch's silu rounds what is left over in another way."""
    model = random_llada(vocab_size=101, mlp_hidden_size=inner)
    spec, prompts = DecodeSpec(16, 8, method, 0.5), [[2 + i % 9, 3, 4 + i] for i in range(6)]
    seen: list[tuple[list[int], torch.Tensor]] = []
    real = LLaDAModelLM.packed

    def packed(self, ids_T, *rest):
        seen.append((ids_T.tolist(), found_ND := real(self, ids_T, *rest)))
        return found_ND

    monkeypatch.setattr(LLaDAModelLM, "packed", packed)
    for prompt in prompts:
        decode(model, [prompt], spec)
    alone = {tuple(ids): hidden_ND for ids, hidden_ND in seen}
    seen.clear()
    decode(model, prompts, spec, batch_size=6)
    assert len(seen) == len(alone)
    assert all(torch.equal(alone[tuple(ids)], hidden_ND) for ids, hidden_ND in seen)


@pytest.mark.determinism
def test_a_score_is_that_of_the_prompt_alone_where_threads_share_a_sum(monkeypatch):
    """Of one row of a large vocabulary each thread sums a part; several rows are shared out whole."""
    model, spec = random_llada(vocab_size=40_000), DecodeSpec(4, 1, "entropy", 0.0, early_stop=False)
    prompts = [[2 + i, 3, 4 + i] for i in range(6)]
    scores, real = [], EntropyMultiBlock.score

    def score(self, logits_NV, token_N):
        scores.extend((found := real(self, logits_NV, token_N)).tolist())
        return found

    monkeypatch.setattr(EntropyMultiBlock, "score", score)
    torch.set_num_threads(2)
    try:
        for prompt in prompts:
            decode(model, [prompt], spec)
        alone = sorted(scores)
        scores.clear()
        decode(model, prompts, spec, batch_size=6)
    finally:
        torch.set_num_threads(1)
    assert sorted(scores) == alone


@pytest.mark.parametrize("rows", [33, 64, 65])
def test_rows_that_are_read_in_parts_are_read_as_all_at_once_and_none_alone(rows, monkeypatch):
    """A single row would be summed otherwise, and on an accelerator have kernels compiled for it alone."""
    spec = DecodeSpec(rows, rows, "entropy", 1.5, early_stop=False)
    model, prompts = FormulaModel(3, positions=80), prompts_of(2)
    whole = decode(model, prompts, spec)
    read, real = [], EntropyMultiBlock.score

    def score(self, logits_NV, token_N):
        read.append(len(token_N))
        return real(self, logits_NV, token_N)

    monkeypatch.setattr(EntropyMultiBlock, "score", score)
    monkeypatch.setattr("tad_core.decoding.sampling.MAX_SCORED_ELEMENTS", {"cpu": 0})  # 32 rows, the fewest
    assert decode(model, prompts, spec) == whole
    assert rows > max(read) and max(read) <= 32 and min(read) > 1


@pytest.mark.parametrize("family", ["formula", "llada"])
def test_mixed_lengths_in_one_forward_give_the_same(family, llada, request):
    model = FormulaModel(7, vocab_size=23, eos_bonus=1.0) if family == "formula" else llada
    prompts = prompts_of(7, vocab=23)
    alone = [decode(model, prompts, spec) for spec in SPECS[2::2]]
    request.getfixturevalue("together")
    assert [decode(model, prompts, spec, batch_size=10) for spec in SPECS[2::2]] == alone


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_gpu_gives_what_the_cpu_gives(decided, spec):
    prompts = prompts_of(9, vocab=23)
    assert decode(copy.deepcopy(decided).cuda(), prompts, spec, 4) == decode(decided, prompts, spec)


def row(token, margin, vocab=6):
    """Logits of one row whose greedy token leads by ``margin``."""
    return [margin if v == token else 0.0 for v in range(vocab)]


def test_token_by_token_takes_the_most_confident_and_finishes_blocks():
    model = TableModel([row(2, 1.0), row(3, 2.0), row(4, 9.0), row(5, 8.0)])
    (out,) = decode(model, [[2]], DecodeSpec(4, 2))
    assert out.tokens == [2, 3, 4, 5]
    assert out.revealed_at == [2, 1, 3, 4]  # the far surer second block waits
    assert (out.forwards, out.revealed, out.stopped_early) == (4, 4, False)


def test_saturated_confidences_do_not_tie_and_true_ties_go_left():
    model = TableModel([row(2, 60.0), row(3, 90.0), row(4, 75.0), row(5, 75.0)])
    assert torch.tensor(row(2, 60.0)).softmax(0).max() == torch.tensor(row(3, 90.0)).softmax(0).max() == 1.0
    (out,) = decode(model, [[2]], DecodeSpec(4, 4))
    assert out.revealed_at == [4, 1, 2, 3]


def test_multi_block_by_hand():
    """Six positions in three blocks, threshold 0.5; entropies: low, high, low, high, low, low."""
    sure, unsure = 8.0, 1.0
    margins = [sure, unsure, sure, unsure, sure, sure]
    assert (
        float(entropy(torch.tensor([row(2, sure)]).double()))
        < 0.5
        < float(entropy(torch.tensor([row(2, unsure)]).double()))
    )
    model = TableModel([row(2, m) for m in margins])
    (out,) = decode(model, [[2]], DecodeSpec(6, 2, "entropy", 0.5, 0.5, mask_in_entropy=False))
    # 1: block 0 alone gives position 0. 2: that is half, block 1 joins and gives 2; block 0 is forced to 1.
    # 3: block 1 is half done, block 2 joins and gives 4 and 5; block 1, now first unfinished, is forced to 3.
    assert out.revealed_at == [1, 2, 2, 3, 3, 3]
    assert out.forwards == 3


def test_where_nothing_passes_the_lowest_of_all_blocks_and_that_of_the_first_are_revealed():
    """Nothing is below the threshold; two blocks are open from the start, the surest position is in the second."""
    model = TableModel([row(2, 1.0), row(3, 1.5), row(4, 3.0), row(5, 2.0)])
    (out,) = decode(model, [[2]], DecodeSpec(4, 2, "entropy", 0.01, 0.0))
    # 1: position 2 is the lowest of both blocks; block 0 got nothing, so 1 is forced, too. 2: of 0 and 3, 3 is lower.
    assert out.revealed_at == [2, 1, 1, 2]
    # where one passes, the lowest of all is not revealed on top: it passed itself, or it is no lower
    sure = TableModel([row(2, 1.0), row(3, 1.5), row(4, 9.0), row(5, 2.0)])
    (out,) = decode(sure, [[2]], DecodeSpec(4, 2, "entropy", 0.1, 0.0))
    assert out.revealed_at == [2, 1, 1, 2]
    # and where the lowest of all is in the first block, as in forward 1 here, nothing is forced
    first = TableModel([row(2, 3.0), row(3, 1.5), row(4, 2.0), row(5, 1.0)])
    (out,) = decode(first, [[2]], DecodeSpec(4, 2, "entropy", 0.01, 0.0))
    assert out.revealed_at == [1, 2, 2, 3]


def test_the_mask_token_counts_in_the_entropy_unless_told_otherwise():
    """A row that would put a mask there is unsure with the mask and sure without it."""
    likes_mask = [0.0, 9.0, 9.0, 0.0, 0.0, 0.0]  # the mask token is 1
    model = TableModel([likes_mask, likes_mask])
    with_mask, without = (
        decode(model, [[3]], DecodeSpec(2, 2, "entropy", 0.5, mask_in_entropy=counts))[0]
        for counts in (True, False)
    )
    assert (with_mask.revealed_at, without.revealed_at) == ([1, 2], [1, 1])
    assert with_mask.tokens == without.tokens == [2, 2]


@given(decoded=st.floats(0, 1), seed=st.integers(0, 9), threshold=st.sampled_from([0.05, 0.6, 1.5]))
@settings(max_examples=15, deadline=None)
def test_the_threshold_of_full_activation_decides_nothing(decoded, seed, threshold):
    model, spec = FormulaModel(seed), DecodeSpec(16, 4, "entropy", threshold, 0.25)
    trace = naive_decode(model, [2, 3], spec, decoded_threshold=decoded)
    assert_equal(decode(model, [[2, 3]], spec)[0], trace)


EVERY_SETTING = [
    DecodeSpec(16, block, method, threshold, add, early_stop, mask)
    for method, thresholds in (("token_by_token", [0.0]), ("entropy", [0.0, 0.2, 1.0]))
    for threshold in thresholds
    for block in (4, 8)
    for add in ((1.0,) if method == "token_by_token" else (0.0, 0.1, 1.0))
    for early_stop in (True, False)
    for mask in ((True,) if method == "token_by_token" else (True, False))
]


@pytest.mark.thinned(13)
@pytest.mark.parametrize("spec", EVERY_SETTING, ids=str)
def test_equals_the_plain_loops_on_the_shipped_model(shipped, spec):
    model, prompts = shipped
    for prompt, decoded in zip(prompts, decode(model, prompts, spec), strict=True):
        assert_counted(decoded, naive_decode(model, prompt, spec))


def test_threshold_is_strict_and_zero_means_one_at_a_time():
    exact = row(2, 2.0)
    bound = float(entropy(torch.tensor([exact]).double()))
    model = TableModel([exact] * 4)
    assert decode(model, [[2]], DecodeSpec(4, 4, "entropy", bound))[0].forwards == 4
    assert decode(model, [[2]], DecodeSpec(4, 4, "entropy", math.nextafter(bound, 9)))[0].forwards == 1
    saturated = TableModel([row(2, 1000.0)] * 4)  # entropy exactly 0: not below 0
    assert decode(saturated, [[2]], DecodeSpec(4, 4, "entropy", 0.0))[0].revealed_at == [1, 2, 3, 4]


def test_the_mask_token_is_never_produced():
    loud_mask = [row(1, 50.0)] * 4
    for method in ("token_by_token", "entropy"):
        (out,) = decode(TableModel(loud_mask), [[2]], DecodeSpec(4, 2, method, 0.5))
        assert 1 not in out.tokens


def test_early_stop_fills_in_end_of_text_and_does_not_count_it():
    model = TableModel([row(2, 3.0), row(0, 2.0), row(3, 1.0), row(4, 1.0)])
    (out,) = decode(model, [[2]], DecodeSpec(4, 4))
    assert (out.tokens, out.revealed_at) == ([2, 0, 0, 0], [1, 2, 0, 0])
    assert (out.forwards, out.revealed, out.stopped_early) == (2, 2, True)
    (full,) = decode(model, [[2]], DecodeSpec(4, 4, early_stop=False))
    assert (full.tokens, full.forwards, full.stopped_early) == ([2, 0, 3, 4], 4, False)


def test_early_stop_waits_for_masks_before_the_end_of_text():
    model = TableModel([row(2, 1.0), row(0, 9.0), row(3, 5.0), row(4, 0.5)])
    (out,) = decode(model, [[2]], DecodeSpec(4, 4))
    assert out.revealed_at == [3, 1, 2, 0]
    assert out.tokens == [2, 0, 3, 0]  # what was revealed after the end stays as it was


def test_end_of_text_in_the_last_position_is_no_early_stop():
    model = TableModel([row(2, 3.0), row(0, 2.0)])
    (out,) = decode(model, [[2]], DecodeSpec(2, 2))
    assert (out.revealed_at, out.stopped_early) == ([1, 2], False)


@given(
    seed=st.integers(0, 50),
    block=st.sampled_from([2, 4, 8, 16]),
    threshold=st.floats(0, 3),
    add=st.floats(0, 1),
    mask=st.booleans(),
    method=st.sampled_from(["token_by_token", "entropy"]),
    early=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_invariants(seed, block, threshold, add, mask, method, early):
    model = FormulaModel(seed, eos_bonus=1.0)
    spec = DecodeSpec(16, block, method, threshold, add, early, mask)
    for out in decode(model, prompts_of(4, seed=seed), spec, batch_size=3):
        assert model.mask_token_id not in out.tokens
        assert 1 <= out.forwards <= out.revealed <= 16
        assert set(range(1, out.forwards + 1)) == {s for s in out.revealed_at if s}
        assert out.stopped_early == (0 in out.revealed_at)
        assert all(t == 0 for t, s in zip(out.tokens, out.revealed_at, strict=True) if s == 0)
        if method == "token_by_token":
            assert out.revealed == out.forwards  # TPF is 1 exactly


def test_thresholds_of_one_decode_the_blocks_one_after_the_other():
    model = FormulaModel(2)
    for out in decode(model, prompts_of(6), DecodeSpec(16, 4, "entropy", 0.8, 1.0, False)):
        last = [max(out.revealed_at[b : b + 4]) for b in range(0, 16, 4)]
        first = [min(out.revealed_at[b : b + 4]) for b in range(0, 16, 4)]
        assert all(after == before + 1 for before, after in zip(last, first[1:], strict=False))


def test_scores():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0], [0.0, -torch.inf]], dtype=torch.float64)
    assert log_odds(logits, logits.argmax(-1)).tolist() == pytest.approx([0.0, math.log(3.0), math.inf])
    expected = [math.log(2), 0.75 * math.log(4 / 3) + 0.25 * math.log(4), 0.0]
    assert entropy(logits).tolist() == pytest.approx(expected)
    assert entropy(logits)[2] == 0.0


def test_reveals_needed():
    assert [reveals_needed(p, 32) for p in (0, 0.1, 0.5, 0.95, 1.0)] == [0, 4, 16, 31, 32]
    assert reveals_needed(0.7, 10) == 7


def test_batches():
    assert plan_batches([3, 5, 3, 3], 2) == [[1, 0], [2, 3]]
    assert plan_batches([3, 5, 3], 1) == [[1], [0], [2]]
    assert plan_batches([], 2) == []


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="48 does not divide response_length 256"):
        DecodeSpec(256, 48)
    with pytest.raises(ConfigError, match="block_length: 0 does not divide response_length 256"):
        DecodeSpec(256, 0)
    with pytest.raises(ConfigError, match="response_length: 0 is not accepted; use 1 token or more"):
        DecodeSpec(0, 4)
    with pytest.raises(ConfigError, match="threshold: -1"):
        DecodeSpec(8, 4, "entropy", -1)
    with pytest.raises(ConfigError, match="block_add_threshold: 2"):
        DecodeSpec(8, 4, "entropy", 1, 2)
    with pytest.raises(DataError, match="prompt 1: it has no tokens"):
        decode(FormulaModel(), [[2], []], DecodeSpec(4, 4))
