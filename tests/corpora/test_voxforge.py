"""VoxForge reader, on the folder layout of wget with official archive names."""

import numpy as np
import pytest

from slowfast_cli.corpora import labels, voxforge
from slowfast_cli.types import DataError

MAIN = "Trunk/Audio/Main/16kHz_16bit"
ARCHIVES = {
    "en": ["1028-20100710-hne", "Aaron-20080318-kdl", "Aaron-20080318-lbb", "anonymous-20080425-cvm", "nodate"],
    "de": ["Aaron-20090701-xyz", "guenter-20140214-afp", "manu-20110322-cpk"],
    "it": ["anonymous-20110810-fgh", "bruno-20110810-xyz"],
    "ru": ["yuri-20120101-aaa"],
}
SPEAKERS = {name.split("-")[0] for names in ARCHIVES.values() for name in names}


@pytest.fixture(params=["", "www.repository.voxforge1.org/downloads"])
def top(request, tmp_path):
    top = tmp_path / request.param
    for language, names in ARCHIVES.items():
        for name in names:
            wav = top / language / MAIN / name / "wav"
            wav.mkdir(parents=True)
            (wav.parent / "etc").mkdir()
            for file in ("a0001.wav", "a0002.WAV", "notes.txt", "._a0001.wav"):
                (wav / file).write_bytes(b"RIFF")
            (top / language / MAIN / f"{name}.tgz").touch()  # not removed after unpacking
    return top


def test_speakers_are_split_as_in_tensorflow_datasets():
    """Reference: shuffle the sorted speakers and cut at 70 and 80 percent."""
    everyone = {f"s{number}" for number in range(57)}
    order = sorted(everyone)
    np.random.RandomState(0).shuffle(order)
    parts = voxforge.split_speakers(everyone)
    assert [len(parts[split]) for split in ("train", "val", "test")] == [39, 6, 12]
    assert parts["val"] == set(order[39:45])
    assert parts["test"] == set(order[45:])
    assert voxforge.split_speakers(set("abcdefghij"))["val"] == {
        np.random.RandomState(0).permutation(list("abcdefghij"))[7]
    }


def test_a_speaker_is_in_one_split_in_all_languages(top, tmp_path):
    parts = {split: voxforge.read(tmp_path, split) for split in ("train", "val", "test")}
    assert sum(len(corpus.segments) for corpus in parts.values()) == 2 * 11
    groups = {split: {segment.group for segment in corpus.segments} for split, corpus in parts.items()}
    assert groups == voxforge.split_speakers(SPEAKERS)
    for corpus in parts.values():
        assert corpus.classes["label"] == labels.names("voxforge") == ("de", "en", "es", "fr", "it", "ru")
        for segment in corpus.segments:
            language, archive, name = segment.id.split("/")
            assert corpus.classes["label"][segment.targets["label"]] == language
            assert segment.recording.path.parent == top / language / MAIN / archive / "wav"
            assert name in ("a0001", "a0002")


def test_empty_files_and_archives_without_wav_are_missing(top, tmp_path):
    for language, names in ARCHIVES.items():
        for name in names:
            (top / language / MAIN / name / "wav" / "a0001.wav").write_bytes(b"")
    flac = top / "ru" / MAIN / "yuri-20120101-aaa"
    for path in (flac / "wav").iterdir():
        path.unlink()
    (flac / "wav").rename(flac / "flac")
    missing = [failure for split in ("train", "val", "test") for failure in voxforge.read(tmp_path, split).missing]
    assert len(missing) == 11
    assert {failure.reason for failure in missing} == {"empty file", "no wav/*.wav in the archive"}
    assert [failure.id for failure in missing if "archive" in failure.reason] == ["ru/yuri-20120101-aaa"]


def test_archives_that_are_not_unpacked(top, tmp_path):
    place = top / "fr" / MAIN
    place.mkdir(parents=True)
    for name in ("a-20100101-xyz", "b-20100101-xyz"):
        (place / f"{name}.tgz").touch()
    with pytest.raises(DataError, match=r"a-20100101-xyz\.tgz: not unpacked, and 1 more archives.* tar -xzf"):
        voxforge.read(tmp_path, "train")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        voxforge.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'dev'"):
        voxforge.read(tmp_path, "dev")
