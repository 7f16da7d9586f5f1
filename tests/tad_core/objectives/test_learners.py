"""What an objective learns while it trains: means by bin, a window that follows, states that weigh by their loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tad_core.config import DistillConfig
from tad_core.config.terms import FollowConfig
from tad_core.objectives import make_objective
from tad_core.objectives.base import Rows
from tad_core.objectives.emphasis import DECAY, STAGES, Emphasis, stage_of
from tad_core.objectives.following import FollowedWindow
from tad_core.objectives.tad import hard_loss, soft_loss
from tad_core.objectives.tally import Tally

LENGTH, VOCABULARY = 8, 5


def alone(value):
    """One process: nothing is added."""


def test_a_tally_has_means_of_what_is_in_its_bins():
    tally = Tally(4)
    tally.add(torch.tensor([0, 2, 2, -1]), torch.tensor([1.0, 2.0, 4.0, 100.0]))
    tally.add(torch.tensor([0]), torch.tensor([3.0]))
    assert tally.means()[1].tolist() == [0, 0, 0, 0]  # the step is not done
    tally.close_step(alone)
    mean_K, count_K = tally.means()
    assert mean_K.tolist() == [2, 0, 3, 0] and count_K.tolist() == [2, 0, 2, 0]


def test_processes_are_added_up_and_earlier_steps_fade():
    tally = Tally(1, decay=0.5)
    for value in (8.0, 2.0):
        tally.add(torch.tensor([0]), torch.tensor([value]))
        tally.close_step(lambda both: both.mul_(2))  # another process that saw the same
    assert tally.sums_2K.tolist() == [[0.5 * 16 + 4], [0.5 * 2 + 2]]


def logits_of(probability_N):
    """Logits by which token 0 has these probabilities, and the others what is left in equal parts."""
    p = torch.tensor(probability_N)[:, None]
    return torch.cat([p, ((1 - p) / (VOCABULARY - 1)).expand(-1, VOCABULARY - 1)], dim=1).log()


def seen(window, confidences):
    """A step in which offsets 1, 2, ... had these confidences."""
    revealed_at_1L = np.arange(1, LENGTH + 1)[None, :]
    bins_1L = window.bins(revealed_at_1L, np.array([0]))
    assert bins_1L.tolist() == [list(range(LENGTH))]
    count = len(confidences)
    labels_N = torch.zeros(count, dtype=torch.long)
    window.watch("near", torch.arange(count), logits_of(confidences), labels_N, torch.zeros(count))


def test_what_a_state_shows_is_at_no_distance():
    window = FollowedWindow(3, FollowConfig(steps=1))
    bins_BL = window.bins(np.array([[1, 4, 2, 3], [4, 3, 2, 1]]), np.array([2, 3]))
    assert bins_BL.tolist() == [[-1, 1, -1, 0], [0, -1, -1, -1]]


def test_the_window_is_where_the_confidence_of_the_last_steps_falls_below_the_threshold():
    window = FollowedWindow(5, FollowConfig(steps=2, threshold=0.5, smoothing=1))
    for done, confidences in enumerate([[0.9, 0.7, 0.3, 0.2], [0.9, 0.9, 0.6, 0.2]], start=1):
        seen(window, confidences)
        window.after_step(done, 10, alone)
    # Means .9, .8, .45, .2: two offsets are good. Step 2 (the third) may be there already and keeps the old one.
    assert [window.at(step / 10) for step in range(5)] == [5, 5, 5, 2, 2]
    for done in (3, 4):
        seen(window, [0.9] * 6 + [0.1])  # nothing is left of what was seen before the last reading
        window.after_step(done, 10, alone)
    assert [window.at(step / 10) for step in (4, 5, 9)] == [2, 6, 6]
    assert window.figures(0.5) == {"window": 6}


def test_a_curve_that_never_falls_below_gives_the_whole_response_and_one_that_is_below_at_once_a_step():
    for confidence, expected in ((0.9, LENGTH), (0.1, 1)):
        window = FollowedWindow(4, FollowConfig(steps=1))
        seen(window, [confidence] * LENGTH)
        window.after_step(1, 10, alone)
        assert window.at(0.2) == expected


def test_a_window_stays_below_its_end():
    window = FollowedWindow(4, FollowConfig(steps=1, most=5))
    for done, (confidence, expected) in enumerate(((0.9, 5), (0.1, 1)), start=1):
        seen(window, [confidence] * LENGTH)
        window.after_step(done, 10, alone)
        assert window.at((done + 1) / 10) == expected


def test_rows_learned_softly_are_counted_once():
    window = FollowedWindow(4, FollowConfig(steps=1, smoothing=1))
    seen(window, [0.9, 0.2])
    window.watch(
        "near_soft", torch.arange(2), logits_of([0.9, 0.9]), torch.zeros(2, dtype=torch.long), torch.zeros(2)
    )
    window.after_step(1, 10, alone)
    assert window.at(1) == 1


def test_a_window_goes_on_from_its_state():
    first, second = (FollowedWindow(5, FollowConfig(steps=3, smoothing=1)) for _ in range(2))
    for done in (1, 2, 3, 4):
        seen(first, [0.9, 0.8, 0.4])
        first.after_step(done, 10, alone)
    second.restore(first.state())
    for done in (5, 6):
        for window in (first, second):
            seen(window, [0.9, 0.4, 0.1])  # which alone would be 1
            window.after_step(done, 10, alone)
    assert (
        [first.at(step / 10) for step in (4, 6, 7)]
        == [second.at(step / 10) for step in (4, 6, 7)]
        == [2, 2, 2]
    )
    assert torch.equal(first.state()["readings"], second.state()["readings"])


def test_stages_cut_the_steps_of_a_trajectory_into_equal_parts():
    assert STAGES == 16
    assert stage_of(np.array([0, 1, 2, 31, 16]), 32).tolist() == [0, 0, 1, 15, 8]


@pytest.mark.parametrize(("power", "expected"), [(1.0, (0.5, 1.5)), (2.0, (0.2, 1.8)), (0.5, None)])
def test_a_state_weighs_by_the_running_loss_of_its_stage(power, expected):
    emphasis = Emphasis(power, {"near": 1.0, "distant": 0.5})
    bins_N, nothing = torch.tensor([0, 0, 15]), torch.zeros(3, VOCABULARY)
    assert emphasis.weights(bins_N).tolist() == [1, 1, 1]
    emphasis.watch("near", bins_N, nothing, bins_N, torch.tensor([0.5, 1.0, 2.0]))
    emphasis.watch("distant", bins_N[:2], nothing[:2], bins_N[:2], torch.tensor([0.5, 0.5]))
    emphasis.watch("distant", bins_N[2:], nothing[2:], bins_N[2:], torch.tensor([2.0]))
    emphasis.after_step(1, 10, alone)
    # Losses of the two stages: 0.75 + 0.25 = 1 and 2 + 1 = 3.
    first, last = expected or (2 / (1 + 3**0.5), 2 * 3**0.5 / (1 + 3**0.5))
    assert emphasis.weights(torch.tensor([0, 15, 7])).tolist() == pytest.approx([first, last, 1])


def test_losses_fade_and_weights_go_on_from_their_state():
    first, second = (Emphasis(1.0, {"near": 1.0}) for _ in range(2))
    nothing = torch.zeros(2, VOCABULARY)
    bins_N = torch.tensor([3, 4])
    for emphasis, steps in ((first, (0, 1)), (second, (1,))):
        for step in steps:
            emphasis.watch("near", bins_N, nothing, bins_N, torch.tensor([[4.0, 4.0], [2.0, 6.0]][step]))
            emphasis.after_step(step + 1, 10, alone)
            if step == 0:
                second.restore(first.state())
                assert second.weights(bins_N).tolist() == [1, 1]
    one = (4 * DECAY + 2) / (DECAY + 1)
    expected = [one / 4, 2 - one / 4]  # both stages together have 4 a row
    assert first.weights(bins_N).tolist() == pytest.approx(expected)
    assert torch.equal(first.weights_K, second.weights_K)


# --- in the objective -----------------------------------------------------------------------------------


def tad(**settings):
    return make_objective(DistillConfig(**settings), 2)


def batch_of(made, progress):
    """Marks of two states and their rows, as the collator makes them."""
    rng = np.random.default_rng(0)
    revealed_at_BL = np.stack([rng.permutation(LENGTH) + 1 for _ in range(2)])
    marks = made.mark(revealed_at_BL, np.array([1, 5]), progress)
    torch.manual_seed(0)
    student_BLV, teacher_BLV = torch.randn(2, 2, LENGTH, VOCABULARY)
    labels_BL = torch.randint(0, VOCABULARY, (2, LENGTH))
    rows = []
    for term in made.terms:
        chosen_BL = torch.from_numpy(marks.rows[term.name])
        own = marks.weights_BL.get(term.name)
        rows.append(
            Rows(
                student_BLV[chosen_BL], labels_BL[chosen_BL], teacher_BLV[chosen_BL] if term.needs_teacher else None,
                None if own is None else torch.from_numpy(own)[chosen_BL],
                bins_N={n: torch.from_numpy(b.copy())[chosen_BL] for n, b in marks.bins_BL.items()},
            )
        )  # fmt: skip
    parts = made.loss(rows, lambda x: x, torch.tensor(made.totals(marks)))
    masked = [torch.from_numpy(marks.rows[name]) for name in ("near", "distant")]
    return marks, parts, student_BLV, teacher_BLV, labels_BL, *masked


@pytest.mark.parametrize(
    ("progress", "soft"), [(0.0, 1.0), (0.125, 0.75), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)]
)
def test_near_labels_go_from_the_teacher_to_the_token(progress, soft):
    made = tad(soften_near=0.5)
    marks, parts, student, teacher, labels, near, distant = batch_of(made, progress)
    hard_N = hard_loss(student[near], labels[near])[0]
    soft_N = soft_loss(student[near], teacher[near])[0]
    far_N = soft_loss(student[distant], teacher[distant])[0]
    expected = (1 - soft) * hard_N.mean() + soft * soft_N.mean() + far_N.mean()
    assert parts.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert marks.rows["near_soft"].sum() == (near.sum() if soft else 0)


def test_once_hard_it_is_what_it_is_without():
    _, parts, *_ = batch_of(tad(soften_near=0.5), 0.5)
    _, plain, *_ = batch_of(tad(), 0.5)
    assert parts.loss.item() == plain.loss.item()
    assert parts.sums_T.tolist() == [plain.sums_T[0].item(), 0.0, plain.sums_T[1].item()]


def test_weights_of_states_are_those_of_their_rows_in_every_term():
    made = tad(emphasis=1.0)
    _, plain, student, teacher, labels, near, distant = batch_of(made, 0.0)
    made.learners[0].after_step(1, 10, alone)
    _, parts, *_ = batch_of(made, 0.0)
    losses = [
        (near, hard_loss(student.flatten(0, 1), labels.flatten())[0].view(2, LENGTH)),
        (distant, soft_loss(student.flatten(0, 1), teacher.flatten(0, 1))[0].view(2, LENGTH)),
    ]
    of_state_B = torch.stack([
        sum(loss_BL[b][chosen_BL[b]].mean() for chosen_BL, loss_BL in losses if chosen_BL[b].any())
        for b in range(2)
    ])  # fmt: skip
    weights_B = of_state_B / of_state_B.mean()
    expected = sum((loss_BL * weights_B[:, None])[chosen_BL].mean() for chosen_BL, loss_BL in losses)
    assert parts.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts.loss.item() != pytest.approx(plain.loss.item(), rel=1e-3)


def test_a_term_without_rows_is_counted_where_the_others_are():
    """On a device of which nothing but shapes is known: what is on another one does not go together with it."""
    made = tad(emphasis=1.0)
    places = {
        name: torch.zeros(count, dtype=torch.long, device="meta")
        for name, count in (("near", 3), ("distant", 0))
    }
    rows = [
        Rows(
            student_ND=torch.zeros(len(place_N), VOCABULARY, device="meta"),
            labels_N=place_N,
            other_ND=torch.zeros(len(place_N), VOCABULARY, device="meta") if name == "distant" else None,
            bins_N={"stage": place_N},
        )
        for name, place_N in places.items()
    ]
    for step in (1, 2):
        made.loss(rows, lambda x: x, torch.tensor([3, 0], device="meta"))
        seen = []
        made.learners[0].after_step(step, 10, seen.append)
        assert [one.device.type for one in seen] == ["meta", "meta"]
        made.restore({name: torch.zeros_like(value, device="cpu") for name, value in made.state().items()})


def test_the_window_that_follows_is_the_window_of_the_marks():
    made = tad(follow={"steps": 1})
    marks, *_ = batch_of(made, 0.0)
    assert marks.rows["near"].sum(1).tolist() == [2, 2]
    made.learners[0].restore({"readings": torch.tensor([[0.0, 2.0], [0.5, 3.0]], dtype=torch.float64)})
    assert [batch_of(made, p)[0].rows["near"].sum(1).tolist() for p in (0.4, 0.5)] == [[2, 2], [3, 3]]


def test_without_these_settings_nothing_is_learned_and_no_term_is_added():
    made = tad()
    assert (
        not made.learners and [term.name for term in made.terms] == ["near", "distant"] and not made.state()
    )


def test_soft_near_tokens_cannot_be_softened():
    with pytest.raises(ValueError, match=r"soften_near: 0\.5 leads to hard labels, and near is soft"):
        DistillConfig(near="soft", soften_near=0.5)


SAME = {"near": "soft", "teacher_prompt": "plain"}


@pytest.mark.parametrize(
    "change", [{}, {"distant": "none"}, {"distant": "hard", "weight_distant": 0}, {"temperature": 2}]
)
def test_a_student_that_is_held_to_itself_alone_is_refused(change):
    with pytest.raises(
        ValueError, match=r"teacher_prompt: plain .* nothing would be learned; set teacher_prompt"
    ):
        DistillConfig(**SAME, **change)
    with pytest.raises(ValueError, match=r"trajectories: plain .* set teacher_prompt to system"):
        DistillConfig(near="soft", trajectories="plain", **change)


@pytest.mark.parametrize(
    "change",
    [
        {"near": "hard"},
        {"near": "taught"},
        {"distant": "hard"},
        {"teacher_prompt": "system", "trajectories": "plain"},
        {"objective": "d2f"},
    ],
)
def test_what_else_there_is_to_learn_of_a_teacher_without_the_reference_is_not(change):
    assert DistillConfig(**{**SAME, **change})


@pytest.mark.parametrize(
    ("change", "name"), [({"emphasis": 1.0}, "emphasis"), ({"follow": {"steps": 5}}, "follow")]
)
def test_what_is_learned_does_not_go_with_deepspeed(change, name):
    with pytest.raises(
        ValueError, match=rf"{name}: what it learns .* deepspeed z.json; set deepspeed to null"
    ):
        DistillConfig(deepspeed="z.json", **change)
