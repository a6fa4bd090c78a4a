"""Sound that belongs, and sound that does not: who is paired with whom, which pairs count, what is minimised."""

import pytest
import torch

from slowfast_cli.tasks.avsync import Sync, distinct, with_negatives
from slowfast_cli.types import Batch, Inputs


def sounds(values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_easy_pairs_take_the_next_clips_sound():
    a, b = sounds([0, 1, 2, 3]), sounds([10, 11, 12, 13])
    assert with_negatives(a, b, hard=0).flatten().tolist() == [0, 1, 2, 3, 11, 12, 13, 10]


def test_a_quarter_is_hard():
    a, b = sounds(range(8)), sounds(range(10, 18))
    assert with_negatives(a, b, hard=0.25).flatten()[8:].tolist() == [11, 12, 13, 14, 15, 10, 16, 17]
    assert with_negatives(a, b, hard=1)[8:].flatten().tolist() == [10, *range(11, 18)]
    assert with_negatives(a[:1], b[:1], hard=0.25).flatten().tolist() == [0, 10]


def test_pairs_that_cannot_be_distinguished_do_not_count():
    torch.manual_seed(0)
    a = torch.randn(4, 1, 8, 5)
    b = torch.randn(4, 1, 8, 5)
    b[1] = 0.001 * b[1]  # silent
    b[2] = 3 * a[2]  # the same
    a[3] = 7  # flat
    assert distinct(torch.cat([a, b])).tolist() == [True, False, False, False]


def outputs(seen, belongs, other, counts):
    heard = torch.tensor(belongs + other)
    return {"video_res4": torch.tensor(seen), "audio_res4": heard, "valid_res4": torch.tensor(counts)}


def batch(n):
    torch.manual_seed(0)
    return Batch(inputs=Inputs(logmel=torch.randn(2 * n, 1, 6, 4)), targets={}, ids=("x",) * n)


def test_the_loss_draws_together_and_pushes_apart():
    given = outputs([[0.5, 0.0], [0.0, 0.5]], [[0.5, 0.0], [0.5, 0.0]], [[0.0, 0.5], [0.0, 0.5]], [1.0, 1.0])
    near, far = 0.5**0.5, 0.5**0.5
    want = (0 + (0.99 - far) ** 2 + near**2 + 0.99**2) / 4
    losses = Sync(stages=("res4",)).losses(given, batch(2))
    assert losses["sync_res4"].item() == pytest.approx(want, rel=1e-5)
    assert Sync(stages=("res4",), weight=3).losses(given, batch(2))["sync_res4"].item() == pytest.approx(
        3 * want, rel=1e-5
    )
    deaf = {**given, "valid_res4": torch.tensor([0.0, 0.0])}
    assert Sync(stages=("res4",)).losses(deaf, batch(2))["sync_res4"] == 0


def test_scores_say_which_sound_is_nearer():
    given = outputs([[0.5, 0.0], [0.0, 0.5]], [[0.5, 0.0], [0.5, 0.0]], [[0.0, 0.5], [0.0, 0.5]], [1.0, 1.0])
    scores = Sync(stages=("res4",)).scores(given, batch(2))["sync_res4"]
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_equal_vectors_have_a_gradient_that_is_a_number():
    seen = torch.tensor([[0.5, 0.0]], requires_grad=True)
    given = {"video_res4": seen, "audio_res4": torch.tensor([[0.5, 0.0], [0.5, 0.0]]), "valid_res4": torch.ones(1)}
    Sync(stages=("res4",)).losses(given, batch(1))["sync_res4"].backward()
    assert seen.grad.isfinite().all()


def test_clips_that_say_nothing_have_no_score():
    given = outputs([[0.5, 0.0]] * 3, [[0.5, 0.0]] * 3, [[0.0, 0.5]] * 3, [1.0, 0.0, 1.0])
    whole = batch(3)
    whole.inputs.logmel[5] = whole.inputs.logmel[2]  # both sounds of the last are the same
    scores = Sync(stages=("res4",)).scores(given, whole)["sync_res4"]
    assert scores[0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert scores[1:].isnan().all()


def test_strangers_are_of_other_segments():
    from slowfast_cli.tasks.avsync import easy_negatives

    got = easy_negatives(sounds([0, 1, 2, 3]), ["a", "a", "b", "b"]).flatten().tolist()
    assert got == [0, 1, 2, 3, 2, 2, 0, 0]
    assert easy_negatives(sounds([5, 6]), ["a", "a"]).flatten().tolist() == [5, 6, 5, 6]
