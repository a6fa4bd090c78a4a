"""The default weights of predictions."""

import pytest
import tiny

from slowfast_cli.weights.chosen import choices, choices_file


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CONFIG", str(tmp_path / "config"))


def test_chosen_weights_are_used_until_the_bundled_ones_are(trained):
    clip = tiny.DATA / "rain.wav"
    done = tiny.good("weights", "use", trained)
    assert "now uses" in done.err
    assert "3 classes (label)" in done.err
    assert "helicopter" in tiny.good("predict", clip).out
    assert "sneezing" not in tiny.good("predict", clip, "--top", 20).out
    tiny.good("weights", "use", "default")
    assert choices() == {}
    assert tiny.good("predict", clip, "--json").out.count('"score"') == 5


def test_weights_of_the_other_kind_and_damaged_choices_are_refused(trained):
    assert tiny.slowfast("weights", "use", trained, "--for", "smell").code == 2
    assert tiny.slowfast("weights", "use", "nothing").code == 4
    tiny.good("weights", "use", trained, "--for", "video")
    assert "sneezing" in tiny.good("predict", tiny.DATA / "rain.wav", "--top", 20).out
    choices_file().write_text("[1]")
    done = tiny.slowfast("predict", tiny.DATA / "rain.wav")
    assert (done.code, "weights.json: not the choices of" in done.err) == (4, True)


def test_a_video_without_weights_for_video_is_judged_by_its_sound():
    done = tiny.good("predict", tiny.DATA / "clock.mp4")
    assert "the answer is what is heard" in done.err


def test_a_video_without_audio_gets_weights_for_frames_proposed():
    done = tiny.slowfast("predict", tiny.DATA / "video" / "h264_10bits.mp4")
    assert (done.code, "has nothing to hear; for what is seen: `slowfast weights use" in done.err) == (3, True)
