"""AudioSet reader, on rows of the official lists."""

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


def check_segments(corpus, listed):
    """Check that each segment has the labels of its row and covers a whole file."""
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


def test_official_ids_begin_with_a_dash():
    assert len(BALANCED) == 60
    assert any(row[0].startswith("--") for row in BALANCED)
    assert any(float(row[2]) - float(row[1]) < 10 for row in EVAL)


def test_panns_layout(root):
    touch(*(root / "audios" / "balanced_train_segments" / f"Y{row[0]}.wav" for row in BALANCED[:-5]))
    touch(*(root / "audios" / "eval_segments" / f"Y{row[0]}.wav" for row in EVAL[1:]))
    corpus = audioset.read(root, "balanced")
    assert corpus.segments.file_ids is not None
    assert check_segments(corpus, BALANCED)
    assert [segment.id for segment in corpus.segments] == [row[0] for row in BALANCED[:-5]]
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [
        (row[0], "not on disk") for row in BALANCED[-5:]
    ]
    assert corpus.listed == 60
    scored = audioset.read(root, "eval")
    assert check_segments(scored, EVAL)
    assert len(scored.segments) == len(EVAL) - 1


def test_train_combines_the_lists_on_disk(root):
    touch(*(root / "audios" / "balanced_train_segments" / f"Y{row[0]}.wav" for row in BALANCED))
    alone = audioset.read(root, "train")
    assert (len(alone.segments), alone.note) == (60, "train is balanced")
    # The lists are disjoint; these are the rows of eval under another name.
    shutil.copyfile(LISTS / "eval_segments.csv", root / "unbalanced_train_segments.csv")
    parts = [root / "audios" / "unbalanced_train_segments" / f"unbalanced_train_segments_part{n:02d}" for n in (0, 1)]
    touch(*(parts[number % 2] / f"Y{row[0]}.wav" for number, row in enumerate(EVAL)))
    both = audioset.read(root, "train")
    assert (len(both.segments), both.note) == (100, "train is balanced and unbalanced")
    assert check_segments(both, BALANCED + EVAL)
    assert [segment.id for segment in both.segments] == [row[0] for row in BALANCED + EVAL]
    assert len(audioset.read(root, "unbalanced").segments) == 40
    assert audioset.read(root, "unbalanced").note == ""


@pytest.mark.parametrize("place", ["", "wav", "audio/balanced", "videos/train", "clips"])
def test_file_names(root, place):
    forms = ("{}.wav", "{}_{:.0f}.flac", "{}_{:.0f}_{:.0f}.m4a", "{}_{:.3f}_{:.3f}.mp4", "Y{}_{:.0f}.ogg", "Y{}.MP3")
    for number, row in enumerate(BALANCED):
        touch(root / place / forms[number % 6].format(row[0], float(row[1]), float(row[2])))
    touch(root / place / f"{BALANCED[0][0]}.txt", root / place / "notes.wav", root / place / "Y.wav")
    corpus = audioset.read(root, "balanced")
    assert len(corpus.segments) == 60
    assert check_segments(corpus, BALANCED)


def test_ambiguous_ids(tmp_path):
    """An id may begin with Y, and contain or end with an underscore and digits."""
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


def test_audio_and_earlier_folders_are_preferred(root, monkeypatch):
    monkeypatch.setattr(media_files, "CHUNK", 7)
    id, other, third = (row[0] for row in BALANCED[:3])
    touch(root / "audio" / f"{id}.mp4", root / "audio" / f"{id}.wav", root / "audio" / f"a{id}.wav")
    touch(root / "video" / f"{other}.mp4", root / "audios" / f"{other}.mkv", root / "wav" / f"{other}.wav")
    touch(root / "video" / f"{third}.webm")
    touch(*(root / "audio" / f"{row[0]}.mp4" for row in BALANCED[3:]))
    paths = {segment.id: segment.recording.path for segment in audioset.read(root, "balanced").segments}
    assert paths[id] == root / "audio" / f"{id}.wav"
    assert paths[other] == root / "audios" / f"{other}.mkv"
    assert paths[third] == root / "video" / f"{third}.webm"
    assert len(paths) == 60


def test_duplicates_count_once(root):
    path = next(root.rglob("eval_segments.csv"))
    path.write_text(path.read_text() + '--4gqARaEJE, 0.000, 10.000, "/m/068hy"\n')
    touch(*(root / "wav" / f"{row[0]}.wav" for row in EVAL))
    corpus = audioset.read(root, "eval")
    assert check_segments(corpus, EVAL)
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [("--4gqARaEJE", "listed twice")]


def test_a_list_without_blanks_with_bom_and_carriage_returns(root):
    touch(*(root / "wav" / f"{row[0]}.wav" for row in EVAL))
    before = list(audioset.read(root, "eval").segments)
    lines = ["# a comment, with, commas", *(f'{id},{float(a):.0f},{float(b):.0f},"{m}"' for id, a, b, m in EVAL), ""]
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


def test_lists_without_segments(root):
    path = next(root.rglob("eval_segments.csv"))
    path.write_text("# a comment\n")
    with pytest.raises(DataError, match="contains no segment"):
        audioset.read(root, "eval")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        audioset.read(root, "eval")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        audioset.read(tmp_path, "train")
    for split in ("test", "val"):
        with pytest.raises(DataError, match=f"no split '{split}': choose one of train, balanced, unbalanced, eval"):
            audioset.read(tmp_path, split)


def test_many_segments_are_stored_in_columns(tmp_path):
    """Memory grows by tens of bytes per row, where an object would take a thousand; and reading is fast."""
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
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (len(corpus.segments), len(corpus.missing)) == (count - 1000, 1000)
    assert memory < 150 * count
    assert seconds < 20  # 0.2 s without tracing
    assert len(pickle.dumps(corpus.segments)) < 60 * count
    last = corpus.segments[-1]
    assert (last.id, last.targets) == (ids[count - 1001], {"label": ((count - 1001) % 527, (count - 1001) % 101)})
    assert corpus.missing[-1].path == tmp_path / "audios" / f"{ids[-1]}.wav"


def test_one_missing_list(root):
    with pytest.raises(DataError, match=r"unbalanced_train_segments\.csv, the list of unbalanced, not found"):
        audioset.read(root, "unbalanced")
