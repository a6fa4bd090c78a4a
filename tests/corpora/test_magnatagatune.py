"""MagnaTagATune reader, on lines of musicnn-training's lists and a synthetic annotations_final.csv."""

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


def test_musicnn_lists(root):
    for split in ("val", "test"):
        truth = table(f"{split}_gt_mtt.tsv")
        corpus = magnatagatune.read(root, split)
        assert {segment.id: segment.targets["label"] for segment in corpus.segments} == {
            id: tags(text) for id, text in truth.items()
        }
        for segment in corpus.segments:
            assert segment.recording.path == root / "mp3" / FILES[segment.id]
            assert magnatagatune.FOLDERS[segment.group] == split
    # Clips without tags are kept.
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
    assert {failure.id: failure.reason for failure in corpus.missing} == dict.fromkeys(
        BROKEN, magnatagatune.BROKEN_REASON
    )
    assert magnatagatune.read(root, "test").missing == ()
    (root / "mp3" / FILES[train[0]]).unlink()
    assert magnatagatune.read(root, "train").missing[0].reason == "not on disk"


def annotations(path, changes=()):
    """Write annotations_final.csv for the clips of the lists above: 188 quoted tags in another order."""
    names = [*reversed(labels.names("mtt_top50")), *(f"tag {number}" for number in range(138))]
    truth = {**table("val_gt_mtt.tsv"), **table("test_gt_mtt.tsv")}
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", *names, "mp3_path"])
        for id, name in {**FILES, **BROKEN, **dict(changes)}.items():
            clip_tags = {labels.names("mtt_top50")[index] for index in tags(truth.get(id, "[]"))}
            writer.writerow([id, *(int(tag in clip_tags) for tag in names), name])


def test_the_official_list_is_equivalent(root, tmp_path):
    official = tmp_path / "own"
    touch(*(official / name for name in (*FILES.values(), *BROKEN.values())))
    annotations(official / "annotations_final.csv")
    for split in ("val", "test"):
        expected = {segment.id: segment.targets for segment in magnatagatune.read(root, split).segments}
        targets = {segment.id: segment.targets for segment in magnatagatune.read(official, split).segments}
        assert expected
        assert {id: targets[id] for id in expected} == expected
    assert {failure.id for failure in magnatagatune.read(official, "train").missing} == set(BROKEN)
    everything = [s.id for split in ("train", "val", "test") for s in magnatagatune.read(official, split).segments]
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


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        magnatagatune.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'valid'"):
        magnatagatune.read(tmp_path, "valid")
