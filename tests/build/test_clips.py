"""Which segments of a corpus can be read."""

import pytest

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
