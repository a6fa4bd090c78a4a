"""Readers of user recordings: class folders and csv files."""

import pytest

from slowfast_cli.corpora import csv_table, folder
from slowfast_cli.corpora.lists import held_out, parse_time
from slowfast_cli.types import DataError, UsageError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(corpus):
    return [segment.id for segment in corpus.segments]


def test_class_folders_are_split_deterministically(tmp_path):
    for place in ("a", "b"):
        for index in range(10):
            touch(tmp_path / place / "rain" / f"{index}.wav", tmp_path / place / "dog" / "deep" / f"{index}.MP4")
        touch(
            tmp_path / place / "one" / "1.ogg",
            tmp_path / place / "notes" / "a.txt",
            tmp_path / place / ".git" / "a.wav",
        )
    train, val = folder.read(tmp_path / "a", "train"), folder.read(tmp_path / "a", "val")
    assert train.classes == {"label": ("dog", "one", "rain")}
    assert (len(train.segments), len(val.segments)) == (17, 4)
    assert not set(ids(train)) & set(ids(val))
    assert [sum(id.startswith(name) for id in ids(val)) for name in ("dog", "one", "rain")] == [2, 0, 2]
    assert ids(val) == ids(folder.read(tmp_path / "b", "val")) == ids(folder.read(tmp_path / "a", "test"))
    for segment in train.segments:
        assert segment.recording.path == tmp_path / "a" / segment.id
        assert train.classes["label"][segment.targets["label"]] == segment.id.split("/")[0]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "validation", "testing"), ("Train", "VALID", "eval")]
)
def test_split_folders(tmp_path, names):
    for name in names:
        touch(tmp_path / name / "b" / f"{name}.wav", tmp_path / name / "a" / f"{name}.wav")
    touch(tmp_path / names[2] / "only here" / "x.flac")
    for split, name in zip(("train", "val", "test"), names, strict=True):
        corpus = folder.read(tmp_path, split)
        assert corpus.classes == {"label": ("a", "b", "only here")}
        assert [id.split("/")[0] for id in ids(corpus)] == [name] * len(corpus.segments)


def test_a_missing_split_is_replaced(tmp_path):
    touch(*(tmp_path / "train" / "a" / f"{index}.wav" for index in range(10)))
    parts = [ids(folder.read(tmp_path, split)) for split in ("train", "val", "test")]
    assert list(map(len, parts)) == [6, 2, 2]
    assert len(set().union(*parts)) == 10
    (tmp_path / "train" / "a" / "9.wav").unlink()  # too few for three parts
    parts = [ids(folder.read(tmp_path, split)) for split in ("train", "val", "test")]
    assert (list(map(len, parts)), parts[1]) == ([7, 2, 2], parts[2])
    touch(tmp_path / "train" / "a" / "9.wav")
    touch(tmp_path / "test" / "a" / "t.wav")
    assert len(folder.read(tmp_path, "train").segments) == 10
    assert ids(folder.read(tmp_path, "val")) == ids(folder.read(tmp_path, "test")) == ["test/a/t.wav"]


def test_folders_without_media(tmp_path):
    touch(tmp_path / "notes.txt", tmp_path / ".hidden.wav", tmp_path / "rain" / "notes.txt")
    with pytest.raises(DataError, match="contains no audio or video files"):
        folder.read(tmp_path, "train")
    with pytest.raises(DataError, match="does not exist"):
        folder.read(tmp_path / "gone", "train")
    with pytest.raises(DataError, match="no split 'dev'"):
        folder.read(tmp_path, "dev")


def test_files_without_class_folders_have_no_labels(tmp_path):
    for index in range(10):
        touch(tmp_path / f"{index}.wav", tmp_path / f"._{index}.wav")
    touch(tmp_path / "notes.txt", tmp_path / "empty" / "notes.txt")
    train, val = folder.read(tmp_path, "train"), folder.read(tmp_path, "val")
    assert train.classes == val.classes == {}
    assert (len(train.segments), len(val.segments)) == (6, 2)
    assert all(segment.targets == {} for segment in train.segments)
    assert sorted(ids(train) + ids(val) + ids(folder.read(tmp_path, "test"))) == [f"{index}.wav" for index in range(10)]
    touch(tmp_path / "rain" / "a.wav")  # beside a class folder, files are left out
    assert ids(folder.read(tmp_path, "train")) == ["rain/a.wav"]


def test_split_folders_without_class_folders(tmp_path):
    touch(tmp_path / "train" / "a.wav", tmp_path / "train" / "b.mp4", tmp_path / "val" / "c.flac")
    assert ids(folder.read(tmp_path, "train")) == ["train/a.wav", "train/b.mp4"]
    assert ids(folder.read(tmp_path, "val")) == ["val/c.flac"]
    assert folder.read(tmp_path, "val").classes == {}


def test_a_class_may_be_called_like_a_split(tmp_path):
    touch(*(tmp_path / name / f"{index}.wav" for name in ("train", "rain", "test") for index in range(5)))
    corpus = folder.read(tmp_path, "train")
    assert (corpus.classes, len(corpus.segments)) == ({"label": ("rain", "test", "train")}, 12)
    assert (
        corpus.note
        == "split: none, a fifth is held out for each of val and test; read as classes, beside others: test, train"
    )


@pytest.mark.parametrize("names", [("fold", "unseen"), ("holdout",), ("fold", "unfold")])
def test_classes_whose_names_could_be_splits(tmp_path, names):
    touch(*(tmp_path / name / f"{number}.wav" for name in names for number in range(5)))
    assert folder.read(tmp_path, "train").classes == {"label": names}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("train_set/a/1.wav", "test_set/a/2.wav"), "test_set, train_set: look like splits, not classes"),
        (("Train-Data/1.wav", "val/2.wav"), "Train-Data, val: look like splits"),
        (("audio_train/a/1.wav",), "audio_train: look like splits"),
        (("train/a/1.wav", "holdout/a/1.wav"), "holdout, train: look like splits"),
        (("fold1/a/1.wav", "fold2/a/1.wav"), "fold1, fold2: look like splits, .* in a csv file with a column split"),
        (("test/a/1.wav", "val/a/1.wav"), "test, val: look like splits, .*train is needed"),
        (("train/a/1.wav", "training/a/1.wav"), "train, training: two folders are the same split"),
        (("train/a/1.wav", "test/a/1.wav", "more/a/1.wav"), "test, train look like splits, but beside them is more"),
        (("esc/rain/1.wav", "esc/dog/1.wav"), "esc would be the only class; .* dog, rain: set data.root=.*esc$"),
        (("ra\udcffin/1.wav",), "class folder: 'ra.*in' is not printable text in UTF-8"),
        (("ra\x1b[1min/1.wav",), r"class folder: 'ra.x1b\[1min' is not printable"),
    ],
)
def test_folders_that_are_not_what_they_seem(tmp_path, files, reason):
    touch(*(tmp_path / file for file in files))
    with pytest.raises(DataError, match=reason):
        folder.read(tmp_path, "train")


def test_names_in_two_normal_forms_are_one_class(tmp_path):
    touch(tmp_path / "caf\u00e9" / "1.wav", tmp_path / "cafe\u0301" / "2.wav", tmp_path / "dog" / "3.wav")
    corpora = [folder.read(tmp_path, split) for split in ("train", "val")]
    assert {corpus.classes["label"] for corpus in corpora} == {("caf\u00e9", "dog")}
    assert sorted(id for corpus in corpora for id in ids(corpus)) == sorted(
        ("caf\u00e9/1.wav", "cafe\u0301/2.wav", "dog/3.wav")
    )


def test_links_are_followed_once(tmp_path):
    pool, root = tmp_path / "pool", tmp_path / "root"
    touch(pool / "1.wav", root / "train" / "dog" / "2.wav", root / "val" / "dog" / "3.wav")
    (root / "train" / "dog" / "self").symlink_to(root / "train" / "dog")
    (root / "train" / "dog" / "up").symlink_to("../..")
    (root / "train" / "aaa").symlink_to("dog")
    (root / "train" / "cat").symlink_to(pool)
    (root / "val" / "cat").symlink_to(pool)
    assert ids(folder.read(root, "train")) == ["train/dog/2.wav", "train/cat/1.wav"]
    assert ids(folder.read(root, "val")) == ["val/dog/3.wav"]
    again = {failure.id for failure in folder.read(root, "train").missing}
    assert again == {"train/aaa", "val/cat"}


def test_what_is_not_used_is_counted(tmp_path):
    touch(*(tmp_path / name for name in ("dog/1.wav", "dog/1.lab", "dog/notes.txt", "dog/2.xyz", "dog/3", "top.wav")))
    touch(tmp_path / "cat" / "1.xyz", tmp_path / "readme.md", tmp_path / ".x.xyz")
    missing = {failure.id: failure.reason for failure in folder.read(tmp_path, "train").missing}
    suffix = "its suffix is not one of audio or video"
    assert missing == {
        "cat": "a folder without media, or read under another name",
        "cat/1.xyz": suffix,
        "dog/2.xyz": suffix,
        "dog/3": suffix,
        "top.wav": "not in a class folder",
    }
    assert folder.read(tmp_path, "val").missing == ()


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("name", ["segments.csv", "mine.csv"])
def test_a_csv_of_segments(tmp_path, delimiter, name):
    touch(tmp_path / "x" / "a.wav", tmp_path / "b.mp4")
    rows = [
        "path,start,stop,split,verb,noun",
        "x/a.wav,0.5,1.25,train,cut,bread",
        "x/a.wav,00:01:02.5,,train,wash,knife",
        "b.mp4,,,validation,wash,bread",
        "gone.wav,,,train,cut,knife",
        "b.mp4,1:00,01:01,test,,",
    ]
    text = "\ufeff" + "\r\n".join(rows).replace(",", delimiter)
    (tmp_path / name).write_text(text, newline="", encoding="utf-8")
    root = tmp_path if name == "segments.csv" else tmp_path / name
    train, val, test = (csv_table.read(root, split) for split in ("train", "val", "test"))
    assert train.classes == {"verb": ("cut", "wash"), "noun": ("bread", "knife")}
    assert [(segment.start, segment.stop) for segment in train.segments] == [(0.5, 1.25), (62.5, None)]
    assert train.segments[1].targets == {"verb": 1, "noun": 1}
    assert len(train.recordings) == 1
    assert [failure.id for failure in train.missing] == ["gone.wav"]
    assert ids(val) == ["b.mp4"]
    assert test.segments[0].targets == {}
    assert (test.segments[0].start, test.segments[0].stop) == (60, 61)


def test_classes_from_a_file(tmp_path):
    touch(tmp_path / "a.wav")
    (tmp_path / "segments.csv").write_text("path,split,label\na.wav,train,dog\n")
    (tmp_path / "classes.label.txt").write_text("rain\ndog\n")
    corpus = csv_table.read(tmp_path, "train")
    assert corpus.classes == {"label": ("rain", "dog")}
    assert corpus.segments[0].targets == {"label": 1}
    (tmp_path / "classes.label.txt").write_text("rain\nrain\n")
    with pytest.raises(DataError, match="listed twice"):
        csv_table.read(tmp_path, "train")
    (tmp_path / "classes.label.txt").write_text("rain\n")
    with pytest.raises(DataError, match="row 2: label 'dog' is not one of its 1"):
        csv_table.read(tmp_path, "train")


def test_a_csv_without_splits_keeps_recordings_together(tmp_path):
    lines = ["path,start,stop,label"]
    for index in range(10):
        touch(tmp_path / f"{index}.wav")
        lines += [f"{index}.wav,{start},{start + 1},{'ab'[index % 2]}" for start in range(4)]
    (tmp_path / "segments.csv").write_text("\n".join(lines))
    train, val = csv_table.read(tmp_path, "train"), csv_table.read(tmp_path, "val")
    assert len(train.segments) + len(val.segments) == 40
    assert len(val.segments) == 8
    assert not {item.id for item in train.recordings} & {item.id for item in val.recordings}
    assert ids(val) == ids(csv_table.read(tmp_path, "test"))
    (tmp_path / "one.csv").write_text("\n".join([lines[0], *(f"0.wav,{start},{start + 1},a" for start in range(10))]))
    assert len(csv_table.read(tmp_path / "one.csv", "val").segments) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\na.wav\n", "row 2: 1 columns, expected 2"),
        ("path,label\na.wav,\n", "row 2: label ''"),
        ("path,label\n,x\n", "row 2: empty path"),
        ("path,start,label\na.wav,soon,x\n", "row 2: 'soon' is not a time"),
        ("path,start,stop,label\na.wav,2,1,x\n", "row 2: stop 1.0 s is not after start 2.0 s"),
        ("path,split,label\na.wav,dev2,x\n", "row 2: unknown split 'dev2'"),
        ("path,split,label\na.wav,test,x\n", "no row has split 'train'"),
        ("path,start\na.wav,1\n", "no label column"),
        ("clip,label\na.wav,x\n", "no column 'path'"),
        ("", "no column 'path' or no rows"),
        ("path,label\n\xff", "row 2: 1 columns, expected 2"),
    ],
)
def test_csv_errors_name_the_row(tmp_path, text, reason):
    touch(tmp_path / "a.wav")
    (tmp_path / "segments.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        csv_table.read(tmp_path, "train")


def table(tmp_path, header, *rows):
    """Write a csv file; ``{}`` in a row becomes the name of a new audio file."""
    lines = [row.replace("{}", f"{number}.wav") for number, row in enumerate(rows)]
    touch(*(tmp_path / f"{number}.wav" for number in range(len(rows))))
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "row", "label_sets"),
    [
        ("path,type", "{},L", ("type",)),
        ("path,a.b,train", "{},L,L", ("a.b", "train")),
        ("path,event/type", "{},L", ("event/type",)),
        ("path,label,", "{},L,", ("label",)),
        ("path,label", "{},L,", ("label",)),
        ("path,label,,", "{},L", ("label",)),
        ("PATH,Label", "{},L", ("Label",)),
        ("file,label", "{},L", ("label",)),
        (",filename,label", "N,{},L", ("label",)),
        ("Unnamed: 0,filepath,label", "0,{},L", ("label",)),
        ("path,", "{},L", ("column 2",)),
        ("path,label,duration,id", "{},L,1.5,N", ("label",)),
        ("path,label", "{},C", ("label",)),
        ("path,Cafe\u0301", "{},L", ("Caf\u00e9",)),
    ],
)
def test_columns_of_any_name(tmp_path, header, row, label_sets):
    rows = [row.replace("L", "abc"[n % 3]).replace("N", str(n)).replace("C", str(n % 3)) for n in range(12)]
    corpus = csv_table.read(table(tmp_path, header, *rows), "train")
    assert tuple(corpus.classes) == label_sets
    assert {len(names) for names in corpus.classes.values()} == {3}
    assert (len(corpus.segments), corpus.missing) == (9, ())
    assert corpus.note.startswith(f"labels: {', '.join(label_sets)}; times: none, whole files; split: none, a fifth")


@pytest.mark.parametrize("names", ["start,stop", "start,end", "Begin,End", "onset,offset", "START_TIME,End_Time"])
def test_columns_of_times(tmp_path, names):
    path = table(tmp_path, f"path,{names},split,label", "{},0.5,1,train,a", "{},,2,Train,b")
    corpus = csv_table.read(path, "train")
    assert [(segment.start, segment.stop) for segment in corpus.segments] == [(0.5, 1), (0, 2)]
    assert corpus.note == f"labels: label; times: {names.replace(',', ', ')}; split: split"


def test_chosen_label_columns(tmp_path):
    path = table(tmp_path, "path,end,id,label,note", "{},1,0,a,", "{},2,1,b,x")
    with pytest.raises(DataError, match="row 2: note '' is empty"):
        csv_table.read(table(tmp_path, "path,note", "{},"), "train")
    path = table(tmp_path, "path,end,id,label,note", "{},1,0,a,", "{},2,1,b,x")
    assert csv_table.read(path, "train", ("label",)).classes == {"label": ("a", "b")}
    corpus = csv_table.read(path, "train", ("id", "end"))
    assert corpus.classes == {"id": ("0", "1"), "end": ("1", "2")}
    assert "times: none" in corpus.note
    assert "not used: label, note" in corpus.note
    with pytest.raises(UsageError, match="no column 'lable'; did you mean 'label'"):
        csv_table.read(path, "train", ("lable",))
    with pytest.raises(DataError, match=r"no label column in path, id: .* choose one by data.labels=\[id\]"):
        csv_table.read(table(tmp_path, "path,id", "{},0", "{},1"), "train")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{},1,1,test,a", "stop 1.0 s is not after start 1.0 s"),
        ("{},-1,1,test,a", "'-1' is not a time"),
        ("{},x,1,test,a", "'x' is not a time"),
        (",0,1,test,a", "empty path"),
        ("{},0,1,train,", "label '' is empty"),
        ("{},0,1", "3 columns, expected 5"),
        ("{},0,1,test,a,b,c", "7 columns, expected 5"),
        ("{},0,1,trian,a", "unknown split 'trian'"),
        ("{},0,1,test,a\x07", "label: 'a\\x07' is not printable"),
    ],
)
def test_one_bad_row_is_one_bad_row(tmp_path, row, reason):
    good = [f"{{}},0,1,{split},{label}" for split in ("train", "test") for label in "ab"]
    path = table(tmp_path, "path,start,stop,split,label", *good, row)
    corpora = [csv_table.read(path, split) for split in ("train", "test")]
    assert [len(corpus.segments) for corpus in corpora] == [2, 2]
    missing = [failure for corpus in corpora for failure in corpus.missing]
    assert [(failure.id, failure.path) for failure in missing] == [("row 6", path)]
    assert missing[0].reason.startswith(reason)
    path = table(tmp_path, "path,start,stop,split,label", *good[:2], "{},1,0,test,a")
    with pytest.raises(DataError, match=r"row 4: stop .*; no row of split 'test' can be used"):
        csv_table.read(path, "test")


def test_a_changed_list_is_read_anew(tmp_path):
    path = table(tmp_path, "path,label", *["{},a", "{},b"] * 10)
    assert [len(csv_table.read(path, split).segments) for split in ("train", "val", "test")] == [12, 4, 4]
    (tmp_path / "classes.label.txt").write_text("b\na\nc\n")
    assert csv_table.read(path, "train").classes == {"label": ("b", "a", "c")}
    table(tmp_path, "path,kind", *["{},a", "{},b"] * 10)
    assert csv_table.read(path, "val").classes == {"kind": ("a", "b")}


def test_paths_of_other_systems(tmp_path):
    touch(tmp_path / "s" / "a.wav", tmp_path / "s" / "b\\c.wav", tmp_path / "caf\u00e9.wav")
    rows = ["s\\a.wav,x", "s/b\\c.wav,x", "cafe\u0301.wav,x", f"{'n' * 5000},x"]
    corpus = csv_table.read(
        table(tmp_path, "path,split,label", *(row.replace(",", ",train,") for row in rows)), "train"
    )
    assert ids(corpus) == ["s/a.wav", "s/b\\c.wav", "caf\u00e9.wav"]
    assert [failure.reason for failure in corpus.missing] == ["not on disk"]


def test_columns_of_the_same_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="two columns are called 'label'"):
        csv_table.read(table(tmp_path, "path,label,label", "{},a,b"), "train")


def test_a_missing_csv_and_a_binary_file(tmp_path):
    with pytest.raises(DataError, match=r"segments\.csv with columns"):
        csv_table.read(tmp_path, "train")
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        csv_table.read(tmp_path / "gone.csv", "train")
    (tmp_path / "segments.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="UTF-8"):
        csv_table.read(tmp_path, "train")


def test_times():
    assert [parse_time(text, "x") for text in ("1.5", "00:00:01.50", "1:01.089", "01:00:00.123")] == pytest.approx(
        [1.5, 1.5, 61.089, 3600.123]
    )
    for wrong in ("", "a", "-1", "1:-1", "nan", "inf", "1:2:3:4"):
        with pytest.raises(DataError, match="row 7"):
            parse_time(wrong, "row 7")


def test_held_out_does_not_depend_on_order():
    names = {f"{index}": "a" for index in range(50)}
    assert held_out(names) == held_out(dict(reversed(names.items())))
    assert len(held_out(names)) == 10
    assert held_out({"x": "a", "y": "b"}) == frozenset()


def test_read_unlabeled_uses_all_files(tmp_path):
    for name in ("top.wav", "a/one.wav", "a/deep/er/two.wav", "b/three.wav", "four.flac", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    corpora = {split: folder.read_unlabeled(tmp_path, split) for split in ("train", "val", "test")}
    ids = {split: {segment.id for segment in corpus.segments} for split, corpus in corpora.items()}
    assert ids["train"] | ids["val"] == {"top.wav", "a/one.wav", "a/deep/er/two.wav", "b/three.wav", "four.flac"}
    assert len(ids["val"]) == 1
    assert not ids["train"] & ids["val"]
    assert ids["test"] == ids["val"]
    assert all(not segment.targets for corpus in corpora.values() for segment in corpus.segments)
    labeled = folder.read(tmp_path, "train")  # with labels, files beside class folders are missing
    assert {failure.path.name for failure in labeled.missing} == {"top.wav", "four.flac"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no audio or video files"):
        folder.read_unlabeled(tmp_path / "empty", "train")


def test_links_that_lead_to_themselves_are_no_files(tmp_path):
    touch(tmp_path / "a" / "1.wav", tmp_path / "b" / "1.wav")
    (tmp_path / "c").symlink_to("c")
    (tmp_path / "a" / "self.wav").symlink_to("self.wav")
    corpus = folder.read(tmp_path, "train")
    assert corpus.classes == {"label": ("a", "b")}


def test_a_repeated_row_is_one_bad_row(tmp_path):
    touch(*(tmp_path / f"{number}.wav" for number in range(4)))
    rows = [f"{number}.wav,{'xy'[number % 2]}" for number in range(4)]
    (tmp_path / "segments.csv").write_text("path,label\n" + "\n".join([*rows, "./0.wav,x"]) + "\n")
    corpora = [csv_table.read(tmp_path, split) for split in ("train", "test")]
    assert sum(len(corpus.segments) for corpus in corpora) == 4
    assert [failure.reason for corpus in corpora for failure in corpus.missing] == ["0.wav is listed twice"]


def test_a_duration_beside_a_start_is_a_time(tmp_path):
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    (tmp_path / "segments.csv").write_text("path,start,duration,label\na.wav,1,2,x\nb.wav,3,2,y\n")
    corpora = [csv_table.read(tmp_path, split) for split in ("train", "test")]
    spans = sorted((segment.start, segment.stop) for corpus in corpora for segment in corpus.segments)
    assert spans == [(1, 3), (3, 5)]
    assert set(corpora[0].classes) == {"label"}
