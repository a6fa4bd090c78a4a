"""VGGSounder's labels, on rows of the official file."""

from pathlib import Path

import pytest

from slowfast_cli.corpora import labels, lists, vggsounder
from slowfast_cli.types import AbsentError, DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "vggsounder"
OFFICIAL = LISTS / "vggsounder+background-music.160clips.csv"
HEADER = "video_id,label,modality,background_music,static_image,voice_over\n"


def test_rows_of_the_official_file():
    found = vggsounder.read(OFFICIAL)
    names = labels.names("vggsound")
    assert found.modality.shape == (160, 309)
    assert int((found.modality > 0).sum()) == sum(1 for _ in lists.rows(OFFICIAL)) == 377
    assert int(found.music.sum()) == 36
    first = {names[index]: vggsounder.MODALITIES[found.modality[0, index]] for index in found.modality[0].nonzero()[0]}
    assert found.ids[0] == "-Cv3gOXEoxA_000040"
    assert first == {"dog barking": "AV", "dog bow-wow": "AV", "dog baying": "AV"}


def test_the_classes_are_those_of_vggsound():
    assert {row["display_name"] for _, row in lists.rows(LISTS / "classes.csv")} == {*labels.names("vggsound")}


def test_the_file_with_background_music_is_preferred(tmp_path):
    (tmp_path / "annotations").mkdir()
    for path in (tmp_path / "vggsounder.csv", tmp_path / "annotations" / "vggsounder+background-music.csv"):
        path.write_text(HEADER)
    assert vggsounder.find(tmp_path, "vggsounder").name == "vggsounder+background-music.csv"
    assert vggsounder.find(tmp_path, str(tmp_path / "vggsounder.csv")).name == "vggsounder.csv"
    with pytest.raises(AbsentError, match=r"no file .*vggsounder\.csv: take it from"):
        vggsounder.find(tmp_path / "nowhere", "vggsounder")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, "has no rows"),
        ("video_id,label\na,b\n", "no column modality"),
        (HEADER + "a_000001,dog,A,False,False,False\n", "row 2: 'dog' is not one of the 309 classes"),
        (HEADER + "a_000001,dog barking,X,False,False,False\n", "modality 'X'"),
        (HEADER + "a_000001,dog barking,A,no,False,False\n", "background_music 'no'"),
        (HEADER + "a_000001,dog barking,A,False,False,False\n" * 2, "row 3: repeats a label of a_000001"),
        (
            HEADER + "a_000001,dog barking,A,False,False,False\na_000001,dog baying,A,True,False,False\n",
            "contradicts its flag",
        ),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, problem):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=problem):
        vggsounder.read(tmp_path / "a.csv")
