"""Several files at a time: in order, bounded, as if alone, and ended by whatever ends them."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.media import audio
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.stages.predict.parallel import AHEAD, MOST_FILES, predict_parallel
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Failed, FilePrediction
from slowfast_cli.weights.file import Card, save

EXAMPLES = ("dog.ogg", "rain.wav", "rooster.flac", "sneeze.mp3", "clock.mp4", "helicopter.mkv")


def answer(path):
    return FilePrediction(path=path, start=0, end=1, scores={})


def numbered(count):
    return [Path(str(number)) for number in range(count)]


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("predict")]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(0)
    card = Card(
        net=with_width(VARIANTS["asf-r50"], 8),
        classes={"label": ("a", "b", "c")},
        front_end=tiny.FRONT_END,
        clip_seconds=0.6,
        views=2,
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, card.model().state_dict(), card)
    return Predictor(path, "cpu")


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("threads", [1, 2, 64])
def test_answers_come_in_order_with_failures_at_their_places(count, threads):
    def whole(paths):
        time.sleep(0.001 * (hash(paths[0]) % 5))
        return [Failed(path=each, reason="b") if int(str(each)) % 5 == 4 else answer(each) for each in paths]

    words = [Failed(path=each, reason="a") if int(str(each)) % 7 == 3 else each for each in numbered(count)]
    reported = list(predict_parallel(words, whole, threads=threads))
    assert [each.path for each in reported] == numbered(count)
    failed = {int(str(each.path)): each.reason for each in reported if isinstance(each, Failed)}
    assert failed == {n: "a" if n % 7 == 3 else "b" for n in range(count) if n % 7 == 3 or n % 5 == 4}
    assert not ours()


def test_no_more_is_read_than_a_window_ahead():
    asked, most = 0, 0

    def paths():
        nonlocal asked
        for path in numbered(400):
            asked += 1
            yield path

    for taken, _ in enumerate(predict_parallel(paths(), lambda some: list(map(answer, some)), threads=2)):
        most = max(most, asked - taken)
    assert asked == 400
    assert most <= (AHEAD * 2 + 1) * MOST_FILES + 1


def test_each_thread_has_its_share_of_the_cores():
    seen = set()

    def whole(paths):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        time.sleep(0.002)
        return list(map(answer, paths))

    before = torch.get_num_threads()
    list(predict_parallel(numbered(60), whole, threads=3))
    assert len(seen) == 3
    assert {cores for _, cores in seen} == {1}
    assert torch.get_num_threads() == before


def test_an_error_ends_it_after_the_answers_before():
    def whole(paths):
        if Path("5") in paths:
            raise RuntimeError("shapes")
        return list(map(answer, paths))

    reported = []
    with pytest.raises(RuntimeError, match="shapes"):
        reported.extend(int(str(each.path)) for each in predict_parallel(numbered(300), whole, threads=2))
    assert reported == list(range(len(reported)))
    assert len(reported) <= 5
    assert not ours()


def test_an_interrupt_does_not_wait_for_the_files_in_work():
    begun, goes_on = [], threading.Event()

    def whole(paths):
        begun.extend(paths)
        if Path("0") in paths:
            raise KeyboardInterrupt
        goes_on.wait(60)
        return list(map(answer, paths))

    with pytest.raises(KeyboardInterrupt):
        list(predict_parallel(numbered(300), whole, threads=2))
    goes_on.set()
    for thread in ours():
        thread.join(60)
    assert len(begun) <= 6  # a job of 1 or 2 files each, of those waiting


def test_who_has_had_enough_waits_for_no_more_files():
    begun = []

    def whole(paths):
        begun.extend(paths)
        time.sleep(0.01)
        return list(map(answer, paths))

    answers = predict_parallel(numbered(5000), whole, threads=2)
    next(answers)
    answers.close()
    count = len(begun)
    assert count < 200
    assert not ours()
    time.sleep(0.05)
    assert len(begun) == count


def test_batched_answers_are_those_of_each_file_alone(predictor, tmp_path, three_cores):
    files = [
        Path(shutil.copyfile(tiny.DATA / name, tmp_path / f"{turn}-{name}")) for turn in range(4) for name in EXAMPLES
    ]
    files += [tiny.write(tmp_path / f"{n}.wav", tiny.sound("rain.wav", 2)[:n]) for n in (1, 159, 9600, 30000)]
    (tmp_path / "broken.wav").write_bytes(b"RIFF broken")
    words = [*files[:5], tmp_path / "broken.wav", *files[5:], Failed(path=tmp_path / "x", reason="before")]
    reported = list(predictor.files(words))
    assert [each.path for each in reported] == [*files[:5], tmp_path / "broken.wav", *files[5:], tmp_path / "x"]
    assert [type(each) for each in reported].count(Failed) == 2
    for each in reported:
        if isinstance(each, FilePrediction):
            (alone,) = predictor.files([each.path])
            assert (each.start, each.end) == (alone.start, alone.end)
            np.testing.assert_allclose(each.scores["label"], alone.scores["label"], atol=1e-5)


def test_a_file_whose_views_are_near_is_read_once_and_the_same(predictor, tmp_path, monkeypatch):
    """A slice is that of the whole: views are cut out of one read, or read one by one where they are far apart."""
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", 5, rate=44100), 44100)
    asked = []
    read = audio.read
    monkeypatch.setattr(audio, "read", lambda *words, **more: asked.append(more) or read(*words, **more))
    (once,) = predictor.files([path])
    assert len(asked) == 1
    monkeypatch.setattr("slowfast_cli.stages.predict.audio.NEAR", 0)
    (by_view,) = predictor.files([path])
    assert len(asked) > 2
    np.testing.assert_array_equal(once.scores["label"], by_view.scores["label"])


@pytest.mark.cuda
def test_a_gpu_answers_as_the_cpu_does(predictor, tmp_path):
    """Threads share it."""
    files = [Path(shutil.copyfile(tiny.DATA / name, tmp_path / f"{n}-{name}")) for n in range(4) for name in EXAMPLES]
    torch.manual_seed(0)
    card = predictor.card
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    here, there = ([*Predictor(tmp_path / "w.safetensors", device).files(files)] for device in ("cpu", "cuda"))
    assert [each.path for each in there] == files
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other.scores["label"], one.scores["label"], atol=1e-3)
