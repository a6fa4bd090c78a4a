"""AudioSet on genuine rows of its lists."""

import csv
import pickle
import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora import audioset, labels, media_files
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "audioset"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def rows(name):
    with (LISTS / f"{name}_segments.csv").open(newline="") as file:
        return [row for row in csv.reader(file, skipinitialspace=True) if not row[0].startswith("#")]


BALANCED, EVAL = rows("balanced_train"), rows("eval")
MIDS = [row["mid"] for row in labels.table("audioset527")]


@pytest.fixture(params=["", "metadata"])
def root(request, tmp_path):
    shutil.copytree(LISTS, tmp_path / request.param, dirs_exist_ok=True)
    return tmp_path


def right(corpus, listed):
    """Whether each segment has the labels of its row, and is the whole of a file of its own."""
    by_id = {row[0]: row[3].split(",") for row in listed}
    for segment in corpus.segments:
        assert [MIDS[index] for index in segment.targets["label"]] == by_id[segment.id]
        assert (segment.start, segment.stop, segment.recording.id) == (0.0, None, segment.id)
        assert segment.recording.path.is_file()
        assert segment.id in segment.recording.path.name
    return True


def test_class_list():
    names = labels.names("audioset527")
    assert (len(names), len(set(names)), len(set(MIDS))) == (527, 527, 527)
    assert sum("," in name for name in names) == 75
    assert (names[0], MIDS[0]) == ("Speech", "/m/09x0r")


def test_genuine_ids_begin_with_a_dash():
    assert len(BALANCED) == 60
    assert any(row[0].startswith("--") for row in BALANCED)
    assert any(float(row[2]) - float(row[1]) < 10 for row in EVAL)


def test_the_layout_of_panns(root):
    touch(*(root / "audios" / "balanced_train_segments" / f"Y{row[0]}.wav" for row in BALANCED[:-5]))
    touch(*(root / "audios" / "eval_segments" / f"Y{row[0]}.wav" for row in EVAL[1:]))
    corpus = audioset.read(root, "balanced")
    assert corpus.segments.file_ids is not None
    assert right(corpus, BALANCED)
    assert [segment.id for segment in corpus.segments] == [row[0] for row in BALANCED[:-5]]
    assert [(each.id, each.reason) for each in corpus.missing] == [(row[0], "not on disk") for row in BALANCED[-5:]]
    assert corpus.listed == 60
    scored = audioset.read(root, "eval")
    assert right(scored, EVAL)
    assert len(scored.segments) == len(EVAL) - 1


def test_train_is_the_lists_that_are_there(root):
    touch(*(root / "audios" / "balanced_train_segments" / f"Y{row[0]}.wav" for row in BALANCED))
    alone = audioset.read(root, "train")
    assert (len(alone.segments), alone.note) == (60, "train is balanced")
    # The lists have nothing in common; these rows are those of eval under another name.
    shutil.copyfile(LISTS / "eval_segments.csv", root / "unbalanced_train_segments.csv")
    parts = [root / "audios" / "unbalanced_train_segments" / f"unbalanced_train_segments_part{n:02d}" for n in (0, 1)]
    touch(*(parts[number % 2] / f"Y{row[0]}.wav" for number, row in enumerate(EVAL)))
    both = audioset.read(root, "train")
    assert (len(both.segments), both.note) == (100, "train is balanced and unbalanced")
    assert right(both, BALANCED + EVAL)
    assert [segment.id for segment in both.segments] == [row[0] for row in BALANCED + EVAL]
    assert len(audioset.read(root, "unbalanced").segments) == 40
    assert audioset.read(root, "unbalanced").note == ""


@pytest.mark.parametrize("place", ["", "wav", "audio/balanced", "videos/train", "clips"])
def test_names_of_files(root, place):
    forms = ("{}.wav", "{}_{:.0f}.flac", "{}_{:.0f}_{:.0f}.m4a", "{}_{:.3f}_{:.3f}.mp4", "Y{}_{:.0f}.ogg", "Y{}.MP3")
    for number, row in enumerate(BALANCED):
        touch(root / place / forms[number % 6].format(row[0], float(row[1]), float(row[2])))
    touch(root / place / f"{BALANCED[0][0]}.txt", root / place / "notes.wav", root / place / "Y.wav")
    corpus = audioset.read(root, "balanced")
    assert len(corpus.segments) == 60
    assert right(corpus, BALANCED)


def test_ids_that_look_like_other_names(tmp_path):
    """An id may begin with Y, and hold or end with a low line and digits."""
    ids = ("Yabcdefghij", "abcdefghij_", "Y1234567_30", "_1234567890", "abcdefghijY")
    text = "".join(f'{id}, 0.000, 10.000, "{MIDS[number]}"\n' for number, id in enumerate(ids))
    (tmp_path / "eval_segments.csv").write_text(text)
    for form in ("{}.wav", "Y{}.wav", "{}_30.wav", "Y{}_30_40.wav"):
        folder = tmp_path / "audio"
        for id in ids:
            touch(folder / form.format(id))
        corpus = audioset.read(tmp_path, "eval")
        assert [segment.recording.path.name for segment in corpus.segments] == [form.format(id) for id in ids]
        assert [segment.targets["label"] for segment in corpus.segments] == [(number,) for number in range(5)]
        shutil.rmtree(folder)


def test_sound_before_video_and_earlier_folders_first(root, monkeypatch):
    monkeypatch.setattr(media_files, "CHUNK", 7)
    id, other, third = (row[0] for row in BALANCED[:3])
    touch(root / "audio" / f"{id}.mp4", root / "audio" / f"{id}.wav", root / "audio" / f"a{id}.wav")
    touch(root / "video" / f"{other}.mp4", root / "audios" / f"{other}.mkv", root / "wav" / f"{other}.wav")
    touch(root / "video" / f"{third}.webm")
    touch(*(root / "audio" / f"{row[0]}.mp4" for row in BALANCED[3:]))
    found = {segment.id: segment.recording.path for segment in audioset.read(root, "balanced").segments}
    assert found[id] == root / "audio" / f"{id}.wav"
    assert found[other] == root / "audios" / f"{other}.mkv"
    assert found[third] == root / "video" / f"{third}.webm"
    assert len(found) == 60


def test_listed_twice_counts_once(root):
    path = next(root.rglob("eval_segments.csv"))
    path.write_text(path.read_text() + '--4gqARaEJE, 0.000, 10.000, "/m/068hy"\n')
    touch(*(root / "wav" / f"{row[0]}.wav" for row in EVAL))
    corpus = audioset.read(root, "eval")
    assert right(corpus, EVAL)
    assert [(each.id, each.reason) for each in corpus.missing] == [("--4gqARaEJE", "listed twice")]


def test_a_list_without_blanks_with_a_mark_and_carriage_returns(root):
    touch(*(root / "wav" / f"{row[0]}.wav" for row in EVAL))
    before = list(audioset.read(root, "eval").segments)
    lines = ["# remark, of, any, kind", *(f'{id},{float(a):.0f},{float(b):.0f},"{m}"' for id, a, b, m in EVAL), ""]
    path = next(root.rglob("eval_segments.csv"))
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    assert list(audioset.read(root, "eval").segments) == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "YTID,start_seconds,end_seconds,positive_labels",
            "row 2: .* is a header; the official list has only comment lines",
        ),
        ('--4gqARaEJE,0,10,"""/m/068hy,/m/0jbk"""', "row 2: .* has the label '\"/m/068hy', not one of the 527"),
        ('--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/0000"', "row 2: .* has the label '/m/0000'"),
        ('--4gqARaEJE, 0.000, 10.000, ""', "row 2: .* has the label ''"),
        ("--4gqARaEJE,0,10,/m/068hy,/m/0jbk", "row 2: .* has 5 columns, expected 4: the labels must be one quot"),
        ("--4gqARaEJE,0,10", "row 2: .* has 3 columns, expected 4"),
        ('#NAME?, 0.000, 10.000, "/m/068hy"', r"row 2: .* has the id '#NAME\?', not a YouTube id of 11 characters"),
        ('1.23E+11, 0.000, 10.000, "/m/068hy"', r"row 2: .* has the id '1\.23E\+11', not a YouTube id"),
        ('--4gqARaEJE, 10.000, 10.000, "/m/068hy"', "row 2: .* has start '10.000' and end '10.000'"),
        ('--4gqARaEJE, 0:30, 0:40, "/m/068hy"', "row 2: .* has start '0:30' and end '0:40'"),
        ('--4gqARaEJE, nan, 10.000, "/m/068hy"', "row 2: .* has start 'nan'"),
    ],
)
def test_errors_name_the_row(root, line, reason):
    path = next(root.rglob("eval_segments.csv"))
    path.write_text(f'--BfvyPmVMo, 20.000, 30.000, "/m/03l9g"\n{line}\n')
    with pytest.raises(DataError, match=reason) as error:
        audioset.read(root, "eval")
    assert str(path) in str(error.value)
    assert audioset.INFO.homepage in str(error.value)


def test_lists_that_hold_nothing(root):
    path = next(root.rglob("eval_segments.csv"))
    path.write_text("# a remark\n")
    with pytest.raises(DataError, match="contains no segment"):
        audioset.read(root, "eval")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        audioset.read(root, "eval")


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        audioset.read(tmp_path, "train")
    for split in ("test", "val"):
        with pytest.raises(DataError, match=f"no split '{split}': choose one of train, balanced, unbalanced, eval"):
            audioset.read(tmp_path, split)


def test_many_segments_are_columns(tmp_path):
    """What is kept grows by tens of bytes a row, where an object would take a thousand; and it is quick."""
    count = 20_000
    letters = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "S1")
    table = letters[np.random.default_rng(0).integers(0, 64, (count, 11))]
    ids = [row.tobytes().decode() for row in table]
    lines = (f'{id}, 30.000, 40.000, "{MIDS[n % 527]},{MIDS[n % 101]}"\n' for n, id in enumerate(ids))
    path = tmp_path / "unbalanced_train_segments.csv"
    path.write_text("".join(lines))
    names = [f"Y{id}.wav".encode() for id in ids[: count - 1000]]
    tracemalloc.start()
    began = time.perf_counter()
    corpus = audioset.build_corpus("train", [path], [(tmp_path / "audios", names)], tmp_path)
    seconds = time.perf_counter() - began
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (len(corpus.segments), len(corpus.missing)) == (count - 1000, 1000)
    assert held < 150 * count
    assert seconds < 20  # a fifth of a second without the tracing
    assert len(pickle.dumps(corpus.segments)) < 60 * count
    last = corpus.segments[-1]
    assert (last.id, last.targets) == (ids[count - 1001], {"label": ((count - 1001) % 527, (count - 1001) % 101)})
    assert corpus.missing[-1].path == tmp_path / "audios" / f"{ids[-1]}.wav"


def test_one_list_is_not_there(root):
    with pytest.raises(DataError, match=r"unbalanced_train_segments\.csv, the list of unbalanced, not found"):
        audioset.read(root, "unbalanced")
