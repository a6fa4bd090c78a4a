"""Answers for any sound: whole files and timelines, every kind of source, every form of output."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.media import audio
from slowfast_cli.media.audio_decoders import SoundFileSource
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.evaluate import run
from slowfast_cli.stages.predict.predictor import Failed, FilePrediction, Predictor, Timeline
from slowfast_cli.stages.predict.sources import sources
from slowfast_cli.stages.predict.top import tops
from slowfast_cli.types import Recording, UsageError, WeightsError
from slowfast_cli.weights.file import DEFAULT, Card, read, save

NAMES = ("helicopter", "rain", "rooster")
EXAMPLES = ("dog.ogg", "rain.wav", "rooster.flac", "sneeze.mp3", "clock.mp4", "helicopter.mkv")


def card_of(**more):
    net = with_width(VARIANTS["asf-r50"], 8)
    return Card(
        **{
            "net": net,
            "classes": {"label": NAMES},
            "front_end": tiny.FRONT_END,
            "clip_seconds": 0.6,
            "views": 2,
            **more,
        }
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that was not trained, whose answers are spread evenly."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, card_of().model().state_dict(), card_of())
    return path


@pytest.fixture(scope="module")
def predictor(weights):
    return Predictor(weights, "cpu")


def test_bfloat16_is_a_little_off_and_says_the_same():
    files = [tiny.DATA / name for name in EXAMPLES]
    exact, lower = ([*Predictor(DEFAULT, "cpu", precision=each).files(files)] for each in ("fp32", "bf16"))
    for one, other in zip(exact, lower, strict=True):
        a, b = one.scores["label"], other.scores["label"]
        assert 0 < np.abs(a - b).max() < 0.02
        assert a.argmax() == b.argmax()
    done = tiny.slowfast("predict", tiny.DATA / "dog.ogg", "--precision", "fp8")
    assert (done.code, "--precision fp8: expected fp32 or bf16" in done.err) == (2, True)


def predict(weights, *words, stdin=b""):
    return tiny.slowfast("predict", *words, "-w", weights, stdin=stdin)


def copies(folder, *names):
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copyfile(tiny.DATA / name, folder / name)) for name in names]


def test_a_table_on_stdout_and_the_rest_on_stderr(trained):
    done = tiny.good("predict", tiny.DATA / "rain.wav", "-w", trained)
    assert str(tiny.DATA / "rain.wav") in done.out
    assert all(name in done.out for name in NAMES)
    shares = [float(line.split("│")[2].strip(" %")) for line in done.out.splitlines() if line.startswith("│")]
    assert len(shares) == 3  # of five asked for, there are three
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.2)
    one = tiny.good("predict", tiny.DATA / "rain.wav", "-w", trained, "--top", "1")
    assert sum(line.startswith("│") for line in one.out.splitlines()) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_container_is_answered_as_json(weights, name):
    done = predict(weights, tiny.DATA / name, "--json")
    assert done.code == 0
    (line,) = done.lines
    assert list(line) == ["path", "start", "end", "set", "top"]
    assert (line["path"], line["start"], line["set"]) == (str(tiny.DATA / name), 0.0, "label")
    assert line["end"] == pytest.approx(audio.probe(Recording(id="x", path=tiny.DATA / name)).seconds, abs=1e-3)
    assert all(list(top) == ["label", "index", "score"] for top in line["top"])
    assert all(NAMES[top["index"]] == top["label"] for top in line["top"])
    scores = [top["score"] for top in line["top"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_the_answer_is_that_of_an_evaluation_from_media(trained, sounds):
    """The same views, the same padding, the same log-mel."""
    recipe = load("folder", [f"data.root={sounds}", *tiny.WORDS, "data.source=media"])
    found = run.evaluate(recipe, trained / "best.safetensors")
    files = [sounds / id for id in found.rows.ids]
    answers = list(Predictor(trained / "best.safetensors", "cpu").files(files))
    for row, answer in enumerate(answers):
        np.testing.assert_allclose(answer.scores["label"], found.rows.scores["label"][row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 159, 160, 9599, 9600, 9601, 30000])
def test_sounds_shorter_and_longer_than_a_clip_just_work(predictor, tmp_path, samples):
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", 2)[:samples])
    (answer,) = predictor.files([path])
    assert isinstance(answer, FilePrediction)
    assert answer.end == pytest.approx(samples / 16000)
    assert answer.scores["label"].sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 2.1, 2.35, 2.6, 7.3])
def test_a_timeline_covers_the_whole_sound(predictor, tmp_path, seconds):
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", seconds))
    answers = list(predictor.files([path], Timeline(window=1.0, hop=0.25)))
    for number, answer in enumerate(answers):
        assert answer.start == pytest.approx(0.25 * number, abs=1e-4)
        assert answer.end == pytest.approx(min(answer.start + 1.0, seconds), abs=1e-4)
        cut = tiny.write(tmp_path / "cut.wav", tiny.sound("rain.wav", seconds)[round(answer.start * 16000) :][:16000])
        (alone,) = predictor.files([cut])
        np.testing.assert_allclose(answer.scores["label"], alone.scores["label"], rtol=1e-3, atol=1e-5)
    assert answers[-1].end == pytest.approx(seconds, abs=1e-4)
    assert all(answer.end < seconds - 1e-6 for answer in answers[:-1])


def test_a_timeline_of_several_minutes_is_in_step(predictor, tmp_path):
    """Over the blocks that sound is read in, and from another rate."""
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", 130, rate=8000), 8000)
    answers = list(predictor.files([path], Timeline(window=2.0, hop=1.5)))
    assert [answer.start for answer in answers] == pytest.approx([1.5 * number for number in range(len(answers))])
    assert answers[-1].end == pytest.approx(130)
    assert len(answers) == 87


def test_timelines_in_every_form(weights, tmp_path):
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", 1.2))
    done = predict(weights, path, "--timeline", "0.6/0.3")
    lines = done.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["0.00-0.60 s", "0.30-0.90 s", "0.60-1.20 s"]
    assert all(line.count("%") == 3 for line in lines)
    done = predict(weights, path, path, "--timeline", "0.6", "--json", "--csv", tmp_path / "t.csv")
    assert [(line["start"], line["end"]) for line in done.lines] == [(0.0, 0.6), (0.6, 1.2)] * 2
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "start", "end", "set", "rank", "label", "index", "score"]
    assert len(rows) == 4 * 3
    reported = [(line["path"], line["start"], top["label"], top["score"]) for line in done.lines for top in line["top"]]
    assert reported == [(row["path"], float(row["start"]), row["label"], float(row["score"])) for row in rows]
    assert [row["rank"] for row in rows[:3]] == ["1", "2", "3"]


@pytest.mark.parametrize("text", ["x", "1/2", "0/0", "-1/1", "2/", "nan", "inf", "1/nan", "", "1/0.5/2"])
def test_timelines_that_make_no_sense(weights, text):
    done = predict(weights, tiny.DATA / "rain.wav", f"--timeline={text}")
    if text == "2/":
        assert done.code == 0  # one window after the other
        return
    assert done.code == 2
    assert f"--timeline {text.split('/')[0]}" in done.err
    assert "2.0/0.5" in done.err


def test_a_hop_below_a_sample_is_one(predictor, tmp_path):
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", 0.002))
    answers = list(predictor.files([path], Timeline(window=0.001, hop=1e-9)))
    assert len(answers) == 17
    with pytest.raises(UsageError):
        Timeline(window=1.0, hop=2.0)


def test_sources_of_every_kind(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copies(tmp_path / "sounds", "dog.ogg", "rain.wav")
    copies(tmp_path / "sounds" / "deep", "clock.mp4")
    (tmp_path / "sounds" / "notes.md").write_text("no sound")
    (tmp_path / "sounds" / "._rain.wav").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "sounds" / "folder.wav").mkdir()
    (tmp_path / "list.txt").write_text("\ufeffsounds/dog.ogg\n\n  sounds/rain.wav  \r\n", encoding="utf-8")
    copies(tmp_path, "rooster.flac")[0].rename(tmp_path / "what[1].flac")

    def paths(*words, stdin=b""):
        done = predict(weights, *words, "--json", stdin=stdin)
        assert done.code == 0, done.err
        return [line["path"] for line in done.lines]

    assert paths("sounds") == ["sounds/dog.ogg", "sounds/rain.wav", "sounds/deep/clock.mp4"]
    assert paths("sounds/*.ogg", "sounds/**/*.mp4") == ["sounds/dog.ogg", "sounds/deep/clock.mp4"]
    assert paths("list.txt") == ["sounds/dog.ogg", "sounds/rain.wav"]
    (tmp_path / "sounds" / "\u732b.wav").write_bytes((tmp_path / "sounds" / "rain.wav").read_bytes())
    for encoding in ("utf-16", "utf-16-be"):
        text = "" if encoding == "utf-16" else "\ufeff"
        (tmp_path / "list.txt").write_text(f"{text}sounds/dog.ogg\r\n\r\nsounds/\u732b.wav\r\n", encoding=encoding)
        assert paths("list.txt") == ["sounds/dog.ogg", "sounds/\u732b.wav"]
    (tmp_path / "sounds" / "list.txt").write_text("dog.ogg\ndeep/clock.mp4\n")
    assert paths("sounds/list.txt") == ["sounds/dog.ogg", "sounds/deep/clock.mp4"]
    assert paths("-", stdin=b"sounds/rain.wav\n\nsounds/dog.ogg\n") == ["sounds/rain.wav", "sounds/dog.ogg"]
    assert paths("what[1].flac") == ["what[1].flac"]
    assert paths(tmp_path / "sounds" / "dog.ogg") == [str(tmp_path / "sounds" / "dog.ogg")]


@pytest.mark.parametrize("word", ["nothing", "*.wav"])
def test_a_source_without_sound_says_what_it_looked_for(weights, tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nothing").mkdir()
    done = predict(weights, word)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"error: {word}: ")


def test_one_broken_file_does_not_stop_the_others(weights, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF broken")
    good = copies(tmp_path, "rain.wav", "dog.ogg")
    words = [good[0], tmp_path / "broken.wav", tmp_path / "gone.wav", good[1]]
    done = predict(weights, *words, "--json", "--csv", tmp_path / "out.csv")
    assert done.code == 3
    assert [line["path"] for line in done.lines] == [str(path) for path in good]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 2 * 3
    errors = done.err.splitlines()
    assert errors[0].startswith(f"error: {tmp_path / 'broken.wav'}: ")
    assert errors[1] == f"error: {tmp_path / 'gone.wav'}: cannot be read: No such file or directory"
    assert errors[2] == "error: 2 of 4 files could not be used"
    done = predict(weights, tmp_path / "gone.wav")
    assert (done.code, done.err.splitlines()[1]) == (3, "error: the file could not be used")


def test_a_decoder_that_raises_anything_fails_its_file_only(predictor, tmp_path, monkeypatch):
    good, bad = copies(tmp_path, "rain.wav", "dog.ogg")
    decode = SoundFileSource.blocks

    def hurt(source, first):
        for number, block in enumerate(decode(source, first)):
            if source.file.format == "OGG" and number:
                raise RuntimeError("what libraries say")
            yield block

    monkeypatch.setattr(SoundFileSource, "blocks", hurt)
    first, second, third = predictor.files([bad, good, bad])
    assert (type(first), type(second), type(third)) == (Failed, FilePrediction, Failed)
    reason = f"{bad}: its decoder failed (RuntimeError: what libraries say): fetch it again, or convert it"
    assert first.reason == reason
    *answers, failed = predictor.files([bad], Timeline(window=0.5, hop=0.5))
    assert failed.reason == reason
    assert all(isinstance(answer, FilePrediction) for answer in answers)


def test_a_defect_of_the_network_is_not_blamed_on_the_file(predictor, monkeypatch):
    def broken(*signals):
        raise RuntimeError("shapes")

    monkeypatch.setattr(predictor._model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(predictor.files([tiny.DATA / "rain.wav"]))


def test_several_heads_have_a_table_each_and_a_joint_action(kitchen, trained_epic):
    path = kitchen / "audio" / "P01_01.wav"
    done = tiny.good("predict", path, "-w", trained_epic)
    for title in ("verb", "noun", "action"):
        assert f"{path} - {title}" in done.out
    done = tiny.good("predict", path, "-w", trained_epic, "--json", "-k", "7")
    lines = {line["set"]: line["top"] for line in done.lines}
    assert list(lines) == ["verb", "noun", "action"]
    predictor = Predictor(trained_epic / "best.safetensors", "cpu")
    (answer,) = predictor.files([path])
    joint = np.outer(answer.scores["verb"], answer.scores["noun"])
    for top, place in zip(lines["action"], np.argsort(-joint, axis=None, kind="stable"), strict=False):
        verb, noun = divmod(int(place), 300)
        assert top["index"] == [verb, noun]
        assert top["score"] == pytest.approx(joint[verb, noun], abs=1e-6)
        assert top["label"] == f"{predictor.card.classes['verb'][verb]} {predictor.card.classes['noun'][noun]}"
    assert {len(top) for top in lines.values()} == {7}
    assert {type(line.index) for line in tops(answer, predictor.card, 3)["action"]} == {tuple}


def test_a_low_score_says_what_the_model_knows(weights, tmp_path):
    torch.manual_seed(0)
    model = card_of().model()
    torch.nn.init.zeros_(model.heads.linears["label"][0].weight)
    unsure, sure = tmp_path / "unsure.safetensors", tmp_path / "sure.safetensors"
    save(unsure, model.state_dict(), card_of())
    torch.nn.init.constant_(model.heads.linears["label"][0].bias[1], 9.0)
    save(sure, model.state_dict(), card_of())
    reported = (
        "A top score is low: this model knows only these 3: helicopter, rain, rooster (label). "
        "For others: `slowfast weights use asf-vggsound` (309 classes; 107 MB, "
    )
    assert reported in predict(unsure, tiny.DATA / "rain.wav").err
    assert reported not in predict(sure, tiny.DATA / "rain.wav").err
    assert predict(unsure, tiny.DATA / "rain.wav", "--json").err == ""


def test_weights_that_do_not_go_with_the_program(weights, trained, tmp_path):
    for word, reported in {
        "no/such/file": "no/such/file: no such weights: train them first",
        "gone.safetensors": "gone.safetensors: no such weights",
        "asf-vggsond": "did you mean 'asf-vggsound'?",
        str(tmp_path): f"{tmp_path}: a folder without best.safetensors or last.safetensors",
        str(tiny.DATA / "rain.wav"): "rain.wav: not a safetensors file",
    }.items():
        done = predict(word, tiny.DATA / "rain.wav")
        assert (done.code, done.out) == (4, "")
        assert reported in done.err
        assert len(done.err.splitlines()) == 1
    wrong = tmp_path / "wrong.safetensors"
    for front_end in ({**tiny.FRONT_END, "window_ms": 500}, {"speed": 3}):
        save(wrong, card_of().model().state_dict(), card_of(front_end=front_end))
        with pytest.raises(WeightsError, match=r"wrong\.safetensors: its header does not describe a slowfast model"):
            Predictor(wrong, "cpu")
    assert predict(trained, tiny.DATA / "rain.wav").code == 0
    done = tiny.slowfast("predict", tiny.DATA / "rain.wav", "-w", "asf-epic", "--offline")
    assert done.code == 4
    assert "--offline forbids the network" in done.err


@pytest.mark.skipif(not DEFAULT.is_file(), reason="the default weights are not built yet")
def test_without_weights_the_bundled_model_answers():
    done = tiny.good("predict", tiny.DATA / "rain.wav", "--json")
    (line,) = done.lines
    assert len(line["top"]) == 5
    assert line["top"][0]["label"] == "rain"


def test_csv_that_cannot_be_written_is_said_before_the_work(weights, tmp_path):
    (tmp_path / "file").touch()
    done = predict(weights, tiny.DATA / "rain.wav", "--csv", tmp_path / "file" / "below.csv")
    assert (done.code, done.out) == (2, "")
    assert "file does not exist: name a file in an existing folder" in done.err


@pytest.mark.thorough
def test_a_reader_that_has_had_enough_is_no_error(weights):
    """`slowfast predict ... | head -1`, with a csv file beside it."""
    files = [tiny.DATA / "rain.wav"] * 10  # more output than a pipe holds
    child = tiny.start("predict", *files, "-w", weights, "--timeline", "0.01", "--csv", os.devnull)
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 1
    assert "error" not in err
    assert "Traceback" not in err


@pytest.mark.thorough
def test_names_that_are_not_utf8(weights, tmp_path):
    folder = tmp_path / os.fsdecode(b"s\xf6unds")
    folder.mkdir()
    shutil.copyfile(tiny.DATA / "rain.wav", folder / os.fsdecode(b"r\xe4in \xff.wav"))
    shutil.copyfile(tiny.DATA / "clock.mp4", folder / os.fsdecode(b"cl\xf6ck.mp4"))
    (folder / os.fsdecode(b"br\xf6ken.wav")).write_bytes(b"no sound")
    done = tiny.process(
        "predict", folder, "-w", weights, env=tiny.environment(PYTHONIOENCODING="utf-8:strict"), errors="replace"
    )
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "defect" not in done.err
    assert done.err.count("error: ") == 2
    assert done.out.count("helicopter") == 2


def test_names_that_are_not_utf8_in_lists(weights, tmp_path):
    path = tmp_path / os.fsdecode(b"r\xe4in.wav")
    shutil.copyfile(tiny.DATA / "rain.wav", path)
    name = os.fsencode(path)
    (tmp_path / "list.txt").write_bytes(name + b"\n")
    for words in (["-"], [tmp_path / "list.txt"]):
        done = predict(weights, *words, "--json", stdin=name + b"\n")
        assert done.code == 0, done.err
        assert [line["path"] for line in done.lines] == [f"{tmp_path}/r?in.wav"]


def test_a_predictor_reads_what_its_card_says(weights, tmp_path):
    """Another rate, hop and clip: nothing of it stands in the program."""
    front_end = FrontEnd(rate=8000, window_ms=25, hop_ms=12.5, mels=20, fft=512)
    card = card_of(front_end=front_end.settings(), clip_seconds=1.5, views=3, classes={"a": ("x", "y"), "b": NAMES})
    save(tmp_path / "other.safetensors", card.model().state_dict(), card)
    predictor = Predictor(tmp_path / "other.safetensors", "cpu")
    shapes = []
    forward = predictor._model.forward
    predictor._model.forward = lambda signals: shapes.append(tuple(signals["logmel"].shape)) or forward(signals)
    (answer,) = predictor.files([tiny.DATA / "rain.wav"])
    assert shapes == [(3, 1, front_end.frames(11999), 20)]
    assert {name: scores.shape for name, scores in answer.scores.items()} == {"a": (2,), "b": (3,)}
    assert set(tops(answer, card, 5)) == {"a", "b"}


def test_an_answer_does_not_depend_on_its_neighbours(predictor):
    files = [tiny.DATA / name for name in EXAMPLES]
    together = {answer.path: answer.scores["label"] for answer in predictor.files(files)}
    for path in files:
        (alone,) = predictor.files([path])
        np.testing.assert_allclose(alone.scores["label"], together[path], atol=1e-5)  # by batches of other sizes


@pytest.mark.parametrize("timeline", [None, Timeline(window=0.5, hop=0.5)], ids=["whole", "timeline"])
def test_a_truncated_file_is_predicted_from_what_decodes(predictor, tmp_path, timeline):
    (whole,) = copies(tmp_path, "rooster.flac")
    assert {answer.note for answer in predictor.files([whole], timeline)} == {""}
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    answers = list(predictor.files([cut], timeline))
    assert all(isinstance(answer, FilePrediction) for answer in answers)
    assert answers[-1].end == pytest.approx(audio.probe(Recording(id="x", path=cut)).seconds, abs=0.01)
    (note,) = {answer.note for answer in answers}
    assert note.startswith(f"{cut}: truncated: ")


def test_answers_that_are_no_numbers_are_refused(weights, tmp_path):
    """Finite weights that overflow."""
    card, state = read(weights)
    name = next(name for name in state if name.endswith("conv.weight"))
    save(tmp_path / "huge.safetensors", {**state, name: torch.full_like(state[name], 1e38)}, card)
    done = predict(tmp_path / "huge.safetensors", tiny.DATA / "rain.wav")
    assert (done.code, "huge.safetensors: no number for " in done.err) == (4, True)


def test_a_closed_standard_input_is_said():
    with pytest.raises(UsageError, match="standard input is closed"):
        sources(["-"], None)
    done = predict("default", "-", stdin=(tiny.DATA / "rain.wav").read_bytes())
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "standard input: contains binary data, expected a path per line" in done.err
