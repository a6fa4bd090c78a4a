"""The panel of scores over a frame."""

import numpy as np
import pytest

from slowfast_cli.media.score_panel import BAR, score_panel

SCORES = [("playing a very long instrument indeed", 0.9), ("rain", 0.45), ("dog", 0.0)]


def bars(pixels):
    """Pixels of the bars by row of the frame."""
    return (np.abs(pixels.astype(int) - BAR[:3]) < 12).all(-1).sum(1)


@pytest.mark.parametrize("size", [(90, 120), (240, 320), (320, 240), (1080, 1920)])
def test_bars_are_as_long_as_the_scores_at_any_size(size):
    frame = np.full((*size, 3), 128, np.uint8)
    drawn = score_panel(frame, "0.0-2.0 s  heard", SCORES)
    assert drawn.shape == frame.shape
    assert (frame == 128).all()  # a copy was drawn on
    lengths = bars(drawn)
    rows = np.split(lengths, np.flatnonzero(np.diff(lengths > 0)) + 1)
    first, second = (int(np.median(row)) for row in rows if row.any())
    assert first / second == pytest.approx(2, rel=0.15)
    assert (drawn[-2:] == 128).all() or size[0] < 100
    bright = (drawn > 180).all(-1)
    assert bright.any(1).sum() > 20  # the text is there


@pytest.mark.parametrize(("size", "text"), [((90, 120), 12), ((240, 320), 12), ((640, 360), 15), ((1080, 1920), 54)])
def test_text_is_a_twentieth_of_the_frame_but_never_too_small_to_read(size, text):
    """Rows are apart by the height of the text and a third of it; a narrow frame has 24 letters in a row."""
    rows = bars(score_panel(np.full((*size, 3), 128, np.uint8), "0.0-2.0 s  heard", SCORES)) > 0
    starts = np.flatnonzero(np.diff(rows.astype(int)) == 1)
    assert starts[1] - starts[0] == text + text // 3


def test_a_tiny_frame_and_no_scores():
    for scores in (SCORES, []):
        assert score_panel(np.zeros((20, 16, 3), np.uint8), "0.0-2.0 s", scores).shape == (20, 16, 3)
