"""Which segments of a corpus can be read."""

import shutil

import h5py
import numpy as np
import pytest
import tiny

from slowfast_cli.build.clips import open_store, usable
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.recipe.load import load
from slowfast_cli.types import DataError


def test_a_split_without_any_file_names_its_list_and_the_reason(tmp_path):
    (tmp_path / "own.csv").write_text("path,split,label\na.wav,train,x\nb.wav,train,y\n")
    recipe = load("folder", ["data.corpus=csv", f"data.root={tmp_path / 'own.csv'}", "data.source=media"])
    with pytest.raises(DataError) as caught:
        usable(recipe, read_corpus(recipe, "train"), open_store(recipe))
    where, advice = tmp_path / "own.csv", f"run `slowfast data check csv --root {tmp_path / 'own.csv'}`"
    assert str(caught.value) == f"{where}: contains none of the 2 segments of csv train (not on disk): {advice}"


def test_recordings_without_frames_are_missing_for_a_network_of_frames(tmp_path):
    """EPIC-KITCHENS-100 of which one video has its sound only."""
    lists = tiny.DATA / "annotations"
    shutil.copyfile(lists / "EPIC_100_validation.csv", tmp_path / "EPIC_100_validation.csv")
    for path in ("P01/videos/P01_11.MP4", "audio/P01_11.wav", "audio/P18_02.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with h5py.File(tmp_path / "EPIC_audio.hdf5", "w") as file:
        file["P29_05"] = np.zeros(9, np.int16)
    recipe = load("epic-video", [f"data.root={tmp_path}"])
    corpus = usable(recipe, read_corpus(recipe, "test"), open_store(recipe))
    assert {segment.recording.id for segment in corpus.segments} == {"P01_11"}
    reasons = {failure.id.rpartition("_")[0]: failure.reason for failure in corpus.missing}
    sound = "no frames: only its audio is there"
    assert reasons == {"P18_02": sound, "P29_05": sound, "P32_01": "not on disk"}
    assert corpus.listed == 51
