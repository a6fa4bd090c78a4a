"""Output files that a user names: nothing else is overwritten."""

import shutil

import pytest
import tiny

from slowfast_cli.storage.atomic import remove_temporaries, require_new, require_output
from slowfast_cli.types import UsageError


@pytest.fixture
def clip(tmp_path):
    return tiny.write(tmp_path / "a.wav", tiny.sound("rain.wav", 1.0))


def test_only_files_of_the_same_option_are_overwritten(tmp_path):
    mine, empty, shorter = tmp_path / "mine.csv", tmp_path / "empty.csv", tmp_path / "shorter.csv"
    mine.write_text("id,path\n1,2\n")
    empty.touch()
    shorter.write_text("id")
    require_output(mine, "--csv", starts="id,path\n")
    require_output(tmp_path / "new.csv", "--csv", starts="id,path\n")
    require_output(empty, "--csv", starts="id,path\n")  # as of mktemp
    for path, text in (
        (shorter, "already exists"), (tmp_path, "is a folder"),
        (tmp_path / "no" / "x.csv", "folder .*no does not exist"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"--csv .*{text}"):
            require_output(path, "--csv", starts="id,path\n")
    with pytest.raises(UsageError, match="already exists"):
        require_new(mine)


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "{clip}", "--csv", "{victim}"],
        ["data", "check", "folder", "--root", "{folder}", "--out", "{victim}"],
        ["weights", "export", "default", "{victim}", "--to", "pyslowfast"],
        ["weights", "convert", "{clip}", "{victim}"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.parametrize("kind", ["wav", "safetensors"])
def test_no_command_overwrites_a_medium_or_weights(clip, tmp_path, words, kind):
    victim = tmp_path / f"victim.{kind}"
    shutil.copy(clip, victim)
    before = victim.read_bytes()
    done = tiny.slowfast(*(word.format(clip=clip, victim=victim, folder=tmp_path) for word in words))
    assert done.code == 2
    assert "already exists" in done.err
    assert victim.read_bytes() == before


def test_a_csv_of_an_earlier_prediction_is_replaced(clip, tmp_path):
    for _ in range(2):
        tiny.good("predict", clip, "--csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("path,start,end,set,rank,label,index,score\n")


def test_only_leftovers_of_atomic_writes_are_removed(tmp_path):
    for name in (".state.pt.4711.tmp", ".last.safetensors.1.tmp", ".mine.tmp", "state.pt", "a.1.tmp"):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".mine.tmp", "state.pt", "a.1.tmp"}
