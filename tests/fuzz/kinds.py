"""Kinds of input: each function damages one file in a folder of its own, and says which command reads it."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiny
from fuzz.formats import damage
from fuzz.kit import Kit
from fuzz.mutations import damage_bytes

ODD_NAMES = (
    "train", "test", "val", "a.b", "type", " ", "a b", "é", "e\u0301", "日本", "x" * 200, "-", "--help", "%s", "{}",
    "[red]", "'\"", "a,b", "a;b", "a\tb", "a\nb", "\x1b[31m", "nan", "0", "None", "\udcff", ".hidden", "a\\b", "~", "*",
    "?", "label", "train_set", "Training",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A command that reads a damaged file."""

    words: list[object]
    damaged: Path
    what: str  # the damage
    named: tuple[str, ...] = ()  # what an error may name in place of the damaged file or its folder
    answered: Callable[[tiny.Done], bool] = lambda done: True  # whether the good files were used
    always: bool = False  # whether the command has to end with exit code 0


def _damaged_medium(kit: Kit, rng: random.Random, folder: Path) -> tuple[Path, str]:
    source = rng.choice(kit.media)
    data, what = damage_bytes(source.read_bytes(), rng)
    suffix = source.suffix
    if rng.random() < 0.15:
        suffix = rng.choice([other.suffix for other in kit.media])
        what += f", called {suffix}"
    (folder / f"damaged{suffix}").write_bytes(data)
    return folder / f"damaged{suffix}", f"{source.name}: {what}"


def predict_media(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    inputs = folder / "in"
    path, what = _damaged_medium(kit, rng, inputs)
    video = rng.random() < 0.4
    source = kit.medium("a.mp4" if video else "pcm16.wav")
    good = [shutil.copy(source, inputs / f"{name}{source.suffix}") for name in ("one", "two")]
    timeline = ["--timeline", "0.5/0.25"] if rng.random() < 0.3 else []
    weights = kit.video_weights if video else kit.run

    def answered(done: tiny.Done) -> bool:
        return {str(path) for path in good} <= {line["path"] for line in done.lines}

    words = ["predict", good[0], path, good[1], "-w", weights, "--json", *timeline]
    return Attempt(words=words, damaged=path, what=what, answered=answered)


def _with_damaged(kit: Kit, rng: random.Random, folder: Path) -> tuple[Path, Path, str]:
    root = shutil.copytree(kit.few, folder / "in" / "few")
    part = rng.choice(["train", "test"])
    path, what = _damaged_medium(kit, rng, root / part / "rain")
    return root, path, f"{part}: {what}"


def extract_media(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    root, path, what = _with_damaged(kit, rng, folder)

    def answered(done: tiny.Done) -> bool:
        entries = [json.loads(line) for line in (folder / "out" / "manifest.jsonl").read_text().splitlines()]
        return {f"{p}/{label}/{label}{number}.wav" for p in ("train", "test") for label in ("rain", "rooster")
                for number in range(2)} <= {id_ for entry in entries for id_ in entry.get("ids", ())}  # fmt: skip

    words = ["extract", "--dataset", "folder", "--root", root, "--out", folder / "out", "-j", 1, *tiny.FRONT]
    return Attempt(words=[*words, "--max-missing", 1], damaged=path, what=what, answered=answered, always=True)


def check_media(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    root, path, what = _with_damaged(kit, rng, folder)
    return Attempt(words=["data", "check", "folder", "--root", root, "--jobs", 1], damaged=path, what=what)


def evaluate_media(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    root, path, what = _with_damaged(kit, rng, folder)
    for label in tiny.CLASSES:
        (root / "test" / label).mkdir(exist_ok=True)
        for part in ("train", "test"):
            tiny.write(root / part / label / "more.wav", np.linspace(-0.5, 0.5, 9000))
    words = ["evaluate", kit.run, f"data.root={root}", "data.source=media", "--no-plots", "--out", folder / "out"]
    return Attempt(words=words, damaged=path, what=what, always=True)


def evaluate_video(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    root = shutil.copytree(kit.videos, folder / "in" / "videos")
    path, what = _damaged_medium(kit, rng, root / "test" / "rain")
    words = ["evaluate", kit.video_run, f"data.root={root}", "--no-plots", "--out", folder / "out"]
    return Attempt(words=words, damaged=path, what=what, always=True)


def train_media(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    root, path, what = _with_damaged(kit, rng, folder)
    words = ["train", "folder", f"data.root={root}", *tiny.FIXED, "data.source=media", *tiny.MODEL, *tiny.SCHEDULE]
    words += ["schedule.epochs=1", "data.clip_seconds=0.3", "--run", folder / "out"]
    return Attempt(words=words, damaged=path, what=what, always=True)


def lists(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    """A csv table for `data.corpus=csv`, or a list of paths for predict."""
    root = shutil.copytree(kit.few, folder / "in" / "few")
    files = sorted(file.relative_to(root) for file in root.rglob("*.wav"))
    if rng.random() < 0.3:
        path = root / "list.txt"
        path.write_text("".join(f"{file}\n" for file in files[:3]))
        words = ["predict", path, "-w", kit.run, "--json"]
        return Attempt(words=words, damaged=path, what=damage(path, rng), named=("cannot be read",))
    path = root / "list.csv"
    rows = [f"{file},0.0,{0.3 + 0.01 * number},{file.parts[0]},{file.parts[1]}" for number, file in enumerate(files)]
    path.write_text("\n".join(["path,start,stop,split,label", *rows]) + "\n")
    what = damage(path, rng)
    train = ["train", "folder", "data.corpus=csv", f"data.root={path}", *tiny.FIXED, "data.source=media", *tiny.MODEL]
    train += [*tiny.SCHEDULE, "optim.batch=1", "data.clip_seconds=0.3", "--run", folder / "out", "--dry-run"]
    words = rng.choice([["data", "check", "csv", "--root", path, "--jobs", 1], train])
    return Attempt(words=words, damaged=path, what=what)


def folders(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    """Class folders with odd names."""
    root = shutil.copytree(kit.few, folder / "in" / "few")
    part = rng.choice(["train", "test", "."])
    path = root / part / rng.choice(ODD_NAMES)
    what = f"{part}: a folder called {path.name!r}"
    action = rng.choice(["move", "move", "copy", "empty", "file", "link"])
    if path.exists():
        what += ", which is there"
    elif action == "move" and part != ".":
        (root / part / "rain").rename(path)
    elif action == "empty":
        path.mkdir()
    elif action == "file":
        path.write_text("x")
    elif action == "link":
        path.symlink_to(rng.choice([root, root / "train" / "rain", root / "nowhere", path]))
    else:
        shutil.copytree(root / "train" / "rain", path)
    words = rng.choice([
        ["data", "check", "folder", "--root", root, "--jobs", 1],
        ["extract", "--dataset", "folder", "--root", root, "--out", folder / "out", "-j", 1, *tiny.FRONT],
        ["predict", root, "-w", kit.run, "--json"],
    ])  # fmt: skip
    return Attempt(words=words, damaged=path, what=f"{what}, {action}")


def shards(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    copied = shutil.copytree(tiny.shards(kit.sounds), folder / "shards")
    files = [file for file in copied.rglob("*") if file.suffix in {".h5", ".jsonl", ".npy", ".json", ".csv"}]
    path = rng.choice(sorted(files))
    what = f"{path.name}: {damage(path, rng)}"
    evaluate = ["evaluate", kit.run, f"data.shards={copied}", "--no-plots", "--out", folder / "out"]
    extract = ["extract", "--dataset", "folder", "--root", kit.sounds, "--out", copied, "-j", 1, *tiny.FRONT]
    return Attempt(words=rng.choice([evaluate, evaluate, extract]), damaged=path, what=what)


def runs(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    run = shutil.copytree(kit.stopped, folder / "run")
    train = ["train", "folder", f"data.root={kit.sounds}", *tiny.WORDS, "--run", run]
    evaluate = ["evaluate", run, "--no-plots", "--out", folder / "out"]
    predict = ["predict", tiny.DATA / "rain.wav", "-w", run, "--json"]
    name, words = rng.choice([
        ("recipe.yaml", train), ("recipe.yaml", evaluate), ("metrics.jsonl", train), ("metrics.jsonl", train),
        ("state.pt", train), ("state.pt", train), ("command.txt", train), ("environment.json", train),
        ("broken.csv", train), ("best.safetensors", evaluate), ("best.safetensors", predict),
        ("last.safetensors", train),
    ])  # fmt: skip
    return Attempt(words=words, damaged=run / name, what=f"{name}: {damage(run / name, rng)}")


def weights(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    video = rng.random() < 0.3
    path = folder / "in" / "own.safetensors"
    shutil.copy(kit.video_weights if video else kit.run / "best.safetensors", path)
    what = damage(path, rng)
    medium = kit.medium("a.mp4" if video else "pcm16.wav")
    words = rng.choice([["predict", medium, "-w", path, "--json"]] * 3 + [["weights", "show", path]])
    return Attempt(words=words, damaged=path, what=what)


def foreign(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    path = Path(shutil.copy(kit.checkpoint, folder / "in" / "foreign.pyth"))
    what = damage(path, rng)
    return Attempt(words=["weights", "convert", path, folder / "out.safetensors"], damaged=path, what=what)


def recipes(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    path = folder / "in" / "mine.yaml"
    shutil.copy(kit.run / "recipe.yaml", path)
    what = damage(path, rng)
    dry = ["train", path, "--dry-run", "--run", folder / "out"]
    return Attempt(words=rng.choice([["recipes", "validate", path]] * 3 + [dry]), damaged=path, what=what)


def compared(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    other = shutil.copytree(kit.predictions, folder / "in" / "other")
    what = damage(other / "predictions.npz", rng)
    words = ["evaluate", kit.run, "--no-plots", "--out", folder / "out", "--compare", other]
    return Attempt(words=words, damaged=other / "predictions.npz", what=what)


def boxes(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    path = folder / "in" / "boxes.csv"
    path.write_text(
        "time,x1,y1,x2,y2,score,path\n" + "".join(f"0.{n},0.1,0.2,0.{n},0.9,0.9,a.mp4\n" for n in range(3, 7))
    )
    what = damage(path, rng)
    words = ["predict", kit.medium("a.mp4"), "-w", kit.detector, "--boxes", path, "--json"]
    return Attempt(words=words, damaged=path, what=what)


def epic(kit: Kit, rng: random.Random, folder: Path) -> Attempt:
    """EPIC-KITCHENS-100: its lists, and the samples of all videos in one HDF5 file."""
    root = shutil.copytree(kit.epic, folder / "in" / "epic")
    path = rng.choice([root / "EPIC_audio.hdf5"] * 2 + [root / "EPIC_100_train.csv", root / "EPIC_100_validation.csv"])
    what = f"{path.name}: {damage(path, rng)}"
    extract = ["extract", "--dataset", "epic", "--root", root, "--out", folder / "out", "-j", 1, *tiny.FRONT]
    words = rng.choice([[*extract, "--max-missing", 1], ["data", "check", "epic", "--root", root, "--jobs", 1]])
    return Attempt(words=words, damaged=path, what=what)


KINDS: dict[str, tuple[Callable[[Kit, random.Random, Path], Attempt], int]] = {  # with the cases of a short test
    "predict_media": (predict_media, 80),
    "extract_media": (extract_media, 40),
    "check_media": (check_media, 40),
    "evaluate_media": (evaluate_media, 20),
    "evaluate_video": (evaluate_video, 10),
    "train_media": (train_media, 5),
    "lists": (lists, 40),
    "boxes": (boxes, 20),
    "epic": (epic, 20),
    "folders": (folders, 30),
    "shards": (shards, 50),
    "runs": (runs, 18),
    "weights": (weights, 50),
    "foreign": (foreign, 20),
    "recipes": (recipes, 50),
    "compared": (compared, 25),
}
