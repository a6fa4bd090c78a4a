"""VoxCeleb1 reader, on a synthetic iden_split.txt and the folder layouts of both archives."""

import pytest

from slowfast_cli.corpora import labels, voxceleb1
from slowfast_cli.types import DataError

LINES = (
    "3 id10001/1zcIwhmdeo4/00001.wav",
    "1 id10001/1zcIwhmdeo4/00002.wav",
    "1 id10001/-7J1v9kd_i0/00001.wav",
    "2 id10270/5r0dWxy17C8/00001.wav",
    "1 id10270/5r0dWxy17C8/00002.wav",
    "1 id11251/7_ZlnTh7Sjw/00012.wav",
)


@pytest.fixture(params=[("wav", "wav"), ("dev/wav", "test/wav"), ("vox1_dev_wav/wav", "vox1_test_wav/wav"), ("", "")])
def root(request, tmp_path):
    (tmp_path / "iden_split.txt").write_text("\n".join(LINES) + "\n")
    for line in LINES:
        file = line.split()[1]
        path = tmp_path / request.param["id10270" <= file[:7] <= "id10309"] / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_classes_are_numbered_as_the_speakers():
    names = labels.names("voxceleb1_speakers")
    assert len(names) == 1251
    assert [int(name[2:]) - 10001 for name in names] == list(range(1251))


def test_three_splits(root):
    for split, code in (("train", "1"), ("val", "2"), ("test", "3")):
        corpus = voxceleb1.read(root, split)
        expected = [line.split()[1] for line in LINES if line[0] == code]
        assert [f"{segment.id}.wav" for segment in corpus.segments] == expected
        assert corpus.missing == ()
        for segment, file in zip(corpus.segments, expected, strict=True):
            assert segment.targets == {"label": int(file[2:7]) - 10001}
            assert segment.recording.path.as_posix().endswith(file)
            assert segment.group == file.split("/")[1]


def test_one_missing_archive_and_the_older_suffix(root):
    for path in list(root.rglob("id10270/*/*.wav")):
        path.unlink()
    for path in list(root.rglob("id11251/*/*.wav")):
        path.rename(path.with_suffix(".m4a"))
    assert [failure.id for failure in voxceleb1.read(root, "val").missing] == ["id10270/5r0dWxy17C8/00001"]
    train = voxceleb1.read(root, "train")
    assert [failure.reason for failure in train.missing] == ["not on disk"]
    assert train.segments[-1].recording.path.suffix == ".m4a"


def test_line_endings_bom_and_repeated_blanks(root):
    before = voxceleb1.read(root, "train")
    text = "\ufeff" + "\r\n".join(line.replace(" ", "   ") for line in LINES) + "\r\n\r\n"
    (root / "iden_split.txt").write_text(text, encoding="utf-8", newline="")
    assert voxceleb1.read(root, "train") == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("4 id10001/a/00001.wav", "row 2: '4 id10001/a/00001.wav' is not 1, 2 or 3"),
        ("id10001/a/00001.wav id10002/b/00001.wav", "row 2: .* is not 1, 2 or 3"),
        ("1 id10001/00001.wav", "row 2: .* is not 1, 2 or 3"),
        ("1 id20001/a/00001.wav", "row 2: 'id20001' is not one of the 1251"),
        (LINES[0].replace("3", "1", 1), "listed twice"),
    ],
)
def test_errors_name_the_row(root, line, reason):
    (root / "iden_split.txt").write_text(f"{LINES[0].replace('3', '1', 1)}\n{line}\n")
    with pytest.raises(DataError, match=reason):
        voxceleb1.read(root, "train")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        voxceleb1.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'dev'"):
        voxceleb1.read(tmp_path, "dev")
