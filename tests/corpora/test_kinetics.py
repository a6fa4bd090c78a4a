"""Kinetics-400, -600 and -Sounds readers: every list format and every folder layout."""

import csv
import shutil
import time
from pathlib import Path

import pytest

from slowfast_cli.corpora import kinetics, labels
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "kinetics"
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def official(name="kinetics400_val.csv"):
    with (LISTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def stem(row):
    return f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"


def names_of(corpus):
    return [corpus.classes["label"][segment.targets["label"]] for segment in corpus.segments]


@pytest.fixture
def root(tmp_path):
    shutil.copyfile(LISTS / "kinetics400_val.csv", tmp_path / "val.csv")
    return tmp_path


def test_class_counts_and_order():
    for name, count in (("kinetics400", 400), ("kinetics600", 600), ("kinetics700", 700)):
        assert len(labels.names(name)) == count
        assert list(labels.names(name)) == sorted(labels.names(name))
        assert [int(row["index"]) for row in labels.table(name)] == list(range(count))
        spelled = [label.replace(" ", "_") for label in labels.names(name)]
        assert spelled == sorted(spelled)  # the folder names of OpenMMLab have the class order
    assert len(set(labels.names("kinetics400")) & set(labels.names("kinetics600"))) == 368
    assert set(labels.names("kinetics600")) - set(labels.names("kinetics700")) == {
        "bull fighting", "chopping vegetables", "passing american football (not in game)", "picking fruit",
    }  # fmt: skip
    assert labels.names("kinetics400")[308] == "skiing (not slalom or crosscountry)"
    # Capitalized as in the lists.
    six = labels.indices("kinetics600")
    assert "passing American football (in game)" in six
    assert "passing american football (not in game)" in six
    assert "passing American football (not in game)" in labels.indices("kinetics400")


def test_kinetics_sounds_are_32_of_the_400():
    rows = labels.table("kinetics_sounds32")
    assert len(rows) == 32
    for row in rows:
        assert labels.names("kinetics400")[int(row["kinetics400_index"])] == row["name"]


LAYOUTS = {
    "crawler": lambda row: f"val/{row['label']}/{stem(row)}.mp4",
    "cvdf": lambda row: f"val/{stem(row)}.mp4",
    "cvdf below k400": lambda row: f"k400/val/{stem(row)}.mp4",
    "openmmlab": lambda row: f"videos_val/{row['label'].replace(' ', '_')}/{stem(row)}.mp4",
    "resized": lambda row: f"val_256/{row['label']}/{stem(row)}.MP4",
    "validation": lambda row: f"validation/{row['label']}/{stem(row)}.mkv",
    "sound only": lambda row: f"val/{stem(row)}.wav",
    "unpadded": lambda row: f"val/{row['youtube_id']}_{row['time_start']}_{row['time_end']}.mp4",
    "id only": lambda row: f"val/{row['label']}/{row['youtube_id']}.mp4",
    "one folder": lambda row: f"videos/{stem(row)}.mp4",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folder_layouts(root, layout):
    rows = official()
    for row in rows[:-2]:
        touch(root / LAYOUTS[layout](row))
    touch(root / "train" / "abseiling" / f"{stem(rows[-1])}.mp4")  # of another split
    corpus = kinetics.read(root, "val")
    assert [segment.id for segment in corpus.segments] == [stem(row) for row in rows[:-2]]
    assert names_of(corpus) == [row["label"] for row in rows[:-2]]
    assert [failure.id for failure in corpus.missing] == [stem(row) for row in rows[-2:]]
    assert {failure.reason for failure in corpus.missing} == {"not on disk"}
    assert corpus.listed == 23
    for segment, row in zip(corpus.segments, rows, strict=False):
        assert segment.recording.path == root / LAYOUTS[layout](row)
        assert segment.recording.id == segment.id
        assert (segment.start, segment.stop) == (0.0, None)
    assert any(segment.id.startswith("-") for segment in corpus.segments)


def test_replacement_clips_are_preferred(root):
    row = official()[0]
    (root / "train.csv").write_text(HEADER + f"abseiling,{row['youtube_id']},417,427,train,0\n")
    touch(root / "train" / f"{stem(row)}.mp4")
    assert kinetics.read(root, "train").recordings[0].path.parent.name == "train"
    replacement = root / "replacement" / "replacement_for_corrupted_k400" / f"{stem(row)}.mp4"
    touch(replacement)
    assert kinetics.read(root, "train").recordings[0].path == replacement


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val.csv", "label,youtube_id,time_start,time_end,split\nyawning,-08KE5FkRUU,1,11,val\n"),
        ("validate.csv", "label,youtube_id,time_start,time_end,split\r\nyawning,-08KE5FkRUU,1,11,validate\r\n"),
        ("annotations/kinetics-400_val.csv", HEADER + '"yawning",-08KE5FkRUU,1,11,val,0\n'),
        ("kinetics_400_val.csv", HEADER + "yawning,-08KE5FkRUU,1,11,val,0\n"),
        ("annotations/kinetics_val.csv", "yawning,-08KE5FkRUU,1,11,val\n"),
        ("val.csv", "yawning,-08KE5FkRUU,1,11,val,1\n"),
        ("val.csv", "/elsewhere/val/yawning/-08KE5FkRUU_000001_000011.mp4 397\n"),
        ("val.csv", "val/yawning/-08KE5FkRUU_000001_000011.mp4,397\n"),
        ("annotations/kinetics400_val_list_videos.txt", "yawning/-08KE5FkRUU_000001_000011.mp4 397\n\n"),
    ],
)
def test_list_formats(tmp_path, name, text):
    touch(tmp_path / "val" / "yawning" / "-08KE5FkRUU_000001_000011.mp4", tmp_path / name)
    (tmp_path / name).write_text(text, newline="")
    assert labels.indices("kinetics400")["yawning"] == 397
    corpus = kinetics.read(tmp_path, "val")
    assert names_of(corpus) == ["yawning"]
    assert corpus.segments[0].id == "-08KE5FkRUU_000001_000011"
    assert corpus.missing == ()


def test_names_with_blanks_underscores_and_quotes(tmp_path):
    (tmp_path / "val.csv").write_text(
        "massaging person's head,a,1,11,val\nskiing_(not_slalom_or_crosscountry),b,1,11,val\n"
        "skiing crosscountry,c,1,11,val\n"
    )
    touch(*(tmp_path / "val" / f"{id}_000001_000011.mp4" for id in "abc"))
    assert names_of(kinetics.read(tmp_path, "val")) == [
        "massaging person's head",
        "skiing (not slalom or crosscountry)",
        "skiing crosscountry",
    ]


def test_a_path_with_blanks_in_the_list(tmp_path):
    clip = tmp_path / "my clips" / "air drumming" / "x_000001_000011.mp4"
    touch(clip)
    (tmp_path / "train.csv").write_text(f"{clip} 2\nmy clips/air drumming/gone_000001_000011.mp4 2\n")
    corpus = kinetics.read(tmp_path, "train")
    assert corpus.recordings[0].path == clip
    assert corpus.missing[0].path == Path("my clips/air drumming/gone_000001_000011.mp4")


def test_a_clip_listed_twice(tmp_path):
    (tmp_path / "val.csv").write_text("yawning,a,1,11,val\nyawning,a,1,11,val\nsinging,a,1,11,val\n")
    touch(tmp_path / "val" / "a_000001_000011.mp4")
    corpus = kinetics.read(tmp_path, "val")
    assert [segment.id for segment in corpus.segments] == ["a_000001_000011", "a_000001_000011 (singing)"]
    assert len(corpus.recordings) == 1


def test_test_has_no_labels(tmp_path):
    shutil.copyfile(LISTS / "kinetics400_test.csv", tmp_path / "test.csv")
    touch(tmp_path / "test" / "--6bJUbfpnQ_000017_000027.mp4")
    corpus = kinetics.read(tmp_path, "test")
    assert [(segment.id, segment.targets) for segment in corpus.segments] == [("--6bJUbfpnQ_000017_000027", {})]
    assert corpus.listed == 7
    assert len(corpus.classes["label"]) == 400


SOUNDS_LIST = (
    "singing,a,1,11,val\nblowing nose,b,1,11,val\nyawning,c,1,11,val\ntickling,d,1,11,val\nyawning,e,1,11,val\n"
)


@pytest.fixture
def sounds_root(tmp_path):
    """Clips of three classes of Kinetics-Sounds and of another class; one clip of each kind is missing."""
    (tmp_path / "val.csv").write_text(SOUNDS_LIST)
    touch(*(tmp_path / "val" / f"{id}_000001_000011.mp4" for id in "abc"))
    return tmp_path


def test_subset_of_kinetics_sounds(sounds_root):
    sounding = {row["name"] for row in labels.table("kinetics_sounds32")}
    assert {"singing", "blowing nose", "tickling"} <= sounding
    corpus = kinetics.read(sounds_root, "val")
    assert corpus.subsets == {"ks": {"a_000001_000011", "b_000001_000011"}}
    assert corpus.scored == {}
    (sounds_root / "val.csv").rename(sounds_root / "train.csv")
    (sounds_root / "val").rename(sounds_root / "train")
    assert kinetics.read(sounds_root, "train").subsets == {}


def test_val_sounds_scores_32_classes(sounds_root):
    corpus = kinetics.read(sounds_root, "val-sounds")
    assert names_of(corpus) == ["singing", "blowing nose"]
    assert len(corpus.classes["label"]) == 400
    assert len(corpus.scored["label"]) == 32
    assert {segment.targets["label"] for segment in corpus.segments} <= corpus.scored["label"]
    assert [failure.id for failure in corpus.missing] == ["d_000001_000011"]


def test_kinetics_sounds_as_a_data_set(sounds_root):
    corpus = kinetics.read_sounds(sounds_root, "val")
    assert corpus.name == "kinetics-sounds"
    assert names_of(corpus) == ["singing", "blowing nose"]
    assert corpus.classes["label"] == labels.names("kinetics_sounds32")
    assert [failure.id for failure in corpus.missing] == ["d_000001_000011"]
    with pytest.raises(DataError, match="no split 'test': choose one of train, val"):
        kinetics.read_sounds(sounds_root, "test")


def test_kinetics600(tmp_path):
    shutil.copyfile(LISTS / "kinetics600_val.csv", tmp_path / "val.csv")
    rows = official("kinetics600_val.csv")
    touch(*(tmp_path / "k600" / "val" / row["label"] / f"{stem(row)}.mp4" for row in rows))
    corpus = kinetics.read600(tmp_path, "val")
    assert names_of(corpus) == [row["label"] for row in rows]
    assert len(corpus.classes["label"]) == 600
    assert corpus.missing == ()
    assert corpus.subsets == {}
    # CVDF's txt file is the complete list.
    (tmp_path / "val.txt").write_text("".join(f"{','.join(row.values())}\n" for row in rows[:3]))
    assert kinetics.read600(tmp_path, "val").listed == 3


@pytest.mark.parametrize("folder", ["", "k700", "k700-2020", "kinetics700_2020"])
def test_kinetics700(tmp_path, folder):
    """The documented format of CVDF, as of the other editions; no genuine row was at hand."""
    labels_of = ["using megaphone", "passing American football (in game)", "abseiling"]
    rows = [f"{label},id-{number},{number},{number + 10},validate" for number, label in enumerate(labels_of)]
    (tmp_path / "val.csv").write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]))
    for number, label in list(enumerate(labels_of))[:2]:
        touch(tmp_path / folder / "val" / label / f"id-{number}_{number:06d}_{number + 10:06d}.mp4")
    corpus = kinetics.read700(tmp_path, "val")
    assert (corpus.name, len(corpus.classes["label"])) == ("kinetics700", 700)
    assert names_of(corpus) == labels_of[:2]
    assert [failure.id for failure in corpus.missing] == ["id-2_000002_000012"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yawning,a,1,11,val\nno such class,b,1,11,val\n", r"row 2: 'no such class' is not one of the 400"),
        ("Yawning,a,1,11,val\n", "row 1: 'Yawning' is not one"),
        ("yawning,a,1.5,11,val\n", "row 1: 'a' from 1.5 s"),
        (HEADER + ",a,1,11,val,0\n", "row 2: no label"),
        ("yawning,a,1,11,val\nyawning,b,1\n", "row 2: 3 columns, expected 5"),
        ("v/a.mp4 3\nv/b.mp4 400\n", "row 2: '400' is not one of the 400"),
        ("v/a.mp4 3\nv/b.mp4 abseiling\n", "row 2: .* is not a path and class index"),
        ("v/a.mp4 3\nsomething else\n", "row 2: .* is not a path and class index"),
        ("what is this\n", "row 1: 'what is this' is neither"),
        ("", "row 1: '' is neither"),
        ("v/a.mp4\n", "row 1: no label"),
    ],
)
def test_errors_name_the_row(tmp_path, text, words):
    (tmp_path / "val.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        kinetics.read(tmp_path, "val")


@pytest.mark.parametrize(
    ("read", "info"),
    [
        (kinetics.read, kinetics.INFO),
        (kinetics.read600, kinetics.INFO600),
        (kinetics.read_sounds, kinetics.INFO_SOUNDS),
    ],
)
def test_missing_data_set(tmp_path, read, info):
    with pytest.raises(DataError) as error:
        read(tmp_path / "gone", "val")
    assert all(word in str(error.value) for word in (info.name, info.homepage, info.license, "does not exist"))
    with pytest.raises(DataError, match="no split 'nope'"):
        read(tmp_path, "nope")


def test_many_clips_are_found_fast(tmp_path):
    lines = []
    for index in range(20_000):
        lines.append(f"{labels.names('kinetics400')[index % 400]},id{index},1,11,train\n")
    for name in labels.names("kinetics400")[:20]:
        (tmp_path / "train" / name).mkdir(parents=True)
    for index in range(0, 20_000, 20):
        name = labels.names("kinetics400")[index % 400]
        (tmp_path / "train" / name).mkdir(exist_ok=True)
        (tmp_path / "train" / name / f"id{index}_000001_000011.mp4").touch()
    (tmp_path / "train.csv").write_text("".join(lines))
    start = time.perf_counter()
    corpus = kinetics.read(tmp_path, "train")
    assert time.perf_counter() - start < 5
    assert (len(corpus.segments), corpus.listed) == (1000, 20_000)
