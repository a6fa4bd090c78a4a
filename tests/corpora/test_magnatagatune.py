"""MagnaTagATune on genuine lines of musicnn-training's lists; annotations_final.csv is invented in its form."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import labels, magnatagatune
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "magnatagatune"
BROKEN = {
    "35644": "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "55753": "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "57881": "9/american_baroque-dances_and_suites-25-le_petit_rien-88-117.mp3",
}


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def table(name):
    with (LISTS / name).open(newline="") as file:
        return dict(csv.reader(file, delimiter="\t"))


FILES = table("index_mtt.tsv")


@pytest.fixture(params=["", "data/index/mtt"])
def root(request, tmp_path):
    shutil.copytree(LISTS, tmp_path / request.param, dirs_exist_ok=True)
    with (tmp_path / request.param / "index_mtt.tsv").open("a") as file:
        file.writelines(f"{id}\t{name}\n" for id, name in BROKEN.items())
    touch(*(tmp_path / "mp3" / name for name in (*FILES.values(), *BROKEN.values())))
    return tmp_path


def tags(text):
    return tuple(index for index, value in enumerate(json.loads(text)) if value)


def test_tags_are_in_the_order_of_the_lists():
    assert len(labels.names("mtt_top50")) == 50
    assert labels.names("mtt_top50")[:6] == ("guitar", "classical", "slow", "techno", "strings", "drums")


def test_lists_of_musicnn(root):
    for split in ("val", "test"):
        truth = table(f"{split}_gt_mtt.tsv")
        corpus = magnatagatune.read(root, split)
        assert {segment.id: segment.targets["label"] for segment in corpus.segments} == {
            id: tags(text) for id, text in truth.items()
        }
        for segment in corpus.segments:
            assert segment.recording.path == root / "mp3" / FILES[segment.id]
            assert magnatagatune.FOLDERS[segment.group] == split
    # Those without a tag are kept.
    assert () in {segment.targets["label"] for segment in magnatagatune.read(root, "val").segments}
    first = magnatagatune.read(root, "test").segments[0]
    assert [corpus.classes["label"][index] for index in first.targets["label"]] == [
        "classical", "strings", "violin", "opera",
    ]  # fmt: skip


def test_broken_files_of_train_are_missing(root):
    index = next(root.rglob("index_mtt.tsv"))
    train = [id for id, name in FILES.items() if name[0] in "0123456789ab"]
    (index.parent / "train_gt_mtt.tsv").write_text("".join(f"{id}\t{[0.0] * 50}\n" for id in train))
    corpus = magnatagatune.read(root, "train")
    assert [segment.id for segment in corpus.segments] == train
    assert {each.id: each.reason for each in corpus.missing} == dict.fromkeys(BROKEN, magnatagatune.BROKEN_REASON)
    assert magnatagatune.read(root, "test").missing == ()
    (root / "mp3" / FILES[train[0]]).unlink()
    assert magnatagatune.read(root, "train").missing[0].reason == "not on disk"


def annotations(path, changes=()):
    """The data set's own list, for the genuine clips of the lists above: 188 tags in another order, and marks."""
    names = [*reversed(labels.names("mtt_top50")), *(f"tag {number}" for number in range(138))]
    truth = {**table("val_gt_mtt.tsv"), **table("test_gt_mtt.tsv")}
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", *names, "mp3_path"])
        for id, name in {**FILES, **BROKEN, **dict(changes)}.items():
            held = {labels.names("mtt_top50")[index] for index in tags(truth.get(id, "[]"))}
            writer.writerow([id, *(int(each in held) for each in names), name])


def test_the_own_list_says_the_same(root, tmp_path):
    own = tmp_path / "own"
    touch(*(own / name for name in (*FILES.values(), *BROKEN.values())))
    annotations(own / "annotations_final.csv")
    for split in ("val", "test"):
        wanted = {segment.id: segment.targets for segment in magnatagatune.read(root, split).segments}
        found = {segment.id: segment.targets for segment in magnatagatune.read(own, split).segments}
        assert wanted
        assert {id: found[id] for id in wanted} == wanted
    assert {each.id for each in magnatagatune.read(own, "train").missing} == set(BROKEN)
    everything = [s.id for split in ("train", "val", "test") for s in magnatagatune.read(own, split).segments]
    assert sorted(everything) == sorted(FILES)


def test_errors_name_the_row(root, tmp_path):
    truth = next(root.rglob("test_gt_mtt.tsv"))
    for text, reason in (
        (f"2\t{[0.0] * 49}\n", "row 1: .* is not a list of 50"),
        (f"2\t{[0.0] * 49 + [2.0]}\n", "row 1: .* is not a list of 50"),
        ("2\t[0.0, x]\n", "row 1: .* is not a list of 50"),
        (f"99999\t{[0.0] * 50}\n", "row 1: clip 99999 is not in"),
        (f"2\t{[0.0] * 50}\n2\t{[0.0] * 50}\n", "2 is listed twice"),
    ):
        truth.write_text(text)
        with pytest.raises(DataError, match=reason):
            magnatagatune.read(root, "test")
    own = tmp_path / "own"
    own.mkdir()
    annotations(own / "annotations_final.csv", {"1": "g/x.mp3"}.items())
    with pytest.raises(DataError, match="unknown folder 'g'"):
        magnatagatune.read(own, "test")
    (own / "annotations_final.csv").write_text("clip_id,guitar,mp3_path\n2,1,f/x.mp3\n")
    with pytest.raises(DataError, match="52 columns are missing, such as 'clip_id'"):
        magnatagatune.read(own, "test")


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        magnatagatune.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'valid'"):
        magnatagatune.read(tmp_path, "valid")
