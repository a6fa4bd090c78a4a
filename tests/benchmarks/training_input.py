"""Shards to the device: layouts of chunks, stages of a batch, workers and prefetch, and training beside made-up data.

    python tests/benchmarks/training_input.py [--recordings 4000] [--batch 32] [--steps 200] [--parts ...] [WORD ...]

A corpus laid out as VGG-Sound, of made-up 10 s recordings, is written to a temporary folder: 256 KB each as float16.
The last part trains on it by the real stage, and on one batch that never leaves the device, in turns: what is between
the two is what reading costs. Words are overrides of the recipe: `optim.precision=bf16 optim.cuda_graphs=true`.

Without a GPU a narrowed network is trained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import h5py
import machine
import numpy as np

from slowfast_cli.build import transforms
from slowfast_cli.build.clips import build_clips, cores, open_store, usable
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.corpora import labels
from slowfast_cli.data import loader
from slowfast_cli.data.clips import Key
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards import writer as writer_module
from slowfast_cli.shards.writer import ShardSpec, ShardWriter, publish
from slowfast_cli.stages.train import loop, state
from slowfast_cli.types import Share

ROWS, PER_SHARD = 1001, 250
SMALL = ["model.width=8", "augment.warp=0"]


def make(root: Path, recordings: int) -> Path:
    """Write the corpus and its shards; returns the folder of the shards."""
    names = labels.names("vggsound")
    (root / "vggsound.csv").write_text(
        "".join(f'r{n},0,"{names[n % 309]}",{"test" if n % 50 == 0 else "train"}\n' for n in range(recordings))
    )
    for number in range(recordings):
        (root / f"r{number}_000000.wav").touch()
    folder = root / "stored"
    folder.mkdir()
    making = ShardSpec(front_end=FrontEnd().settings(), mels=128, dtype="float16", source="made up", version="0")
    draw = np.random.default_rng(0)
    for shard in range(0, recordings, PER_SHARD):
        with ShardWriter(folder / "part.tmp", making) as writer:
            for number in range(shard, min(shard + PER_SHARD, recordings)):
                writer.append(draw.normal(-6, 2, (ROWS, 128)).astype(np.float16))
                writer.keep(f"r{number}_000000", 10.0)
            entry = writer.finish(f"shard-{shard // PER_SHARD:05d}.h5", [])
        publish(folder, folder / "part.tmp", entry)
    return folder


def layouts(root: Path) -> None:
    """Time of a random clip of 512 rows out of shards of several chunk sizes, with checksums and without."""
    draw = np.random.default_rng(0)
    rows = draw.normal(-6, 2, (100 * ROWS, 128)).astype(np.float16)
    starts = draw.integers(0, len(rows) - 512, 400)
    print("a clip of 512 rows, read from one shard in memory:")
    for chunk, checked in [*itertools.product((64, 128, 256, 512, 1001), (True, False)), (0, False)]:
        path = root / "layout.h5"
        with h5py.File(path, "w") as file:
            options = {"chunks": (chunk, 128), "fletcher32": checked} if chunk else {}
            file.create_dataset("logmel", data=rows, **options)
        with h5py.File(path, "r", locking=False) as file:
            stored = file["logmel"]
            times = []
            for start in starts:
                began = time.perf_counter()
                stored[start : start + 512]
                times.append(time.perf_counter() - began)
        kept = {writer_module.CHUNK_ROWS: "  as shards are"}.get(chunk if checked else -1, "")
        named = f"chunks of {chunk:4} rows, {'checked' if checked else 'not checked'}" if chunk else "one piece"
        print(f"  {named:34}{1e3 * median(times):7.3f} ms{kept}")


def stages(recipe, clips, batch: int) -> None:
    """What a batch costs on its way, one after the other, without workers."""
    memory, up = machine.bandwidth(machine.torch.device("cpu")), machine.uplink()
    keys = [Key(0, int(place), -1) for place in np.random.default_rng(0).permutation(len(clips))[:batch]]
    read = [clips[key] for key in keys]
    whole = loader.collate(read, clips.sizes)
    size = sum(value.numel() * value.element_size() for value in whole.signals.values())
    copied, cuda = loader.DeviceCopier(machine.DEVICE), machine.DEVICE.type == "cuda"
    there = copied(whole.pin_memory() if cuda else whole)
    prepared = transforms.training(recipe, machine.DEVICE)
    found = {
        "read and cut": machine.Stage(
            took=machine.seconds(lambda: [clips[key] for key in keys]), floor=2 * size / memory, why="bytes copied once"
        ),
        "collate": machine.Stage(
            took=machine.seconds(lambda: loader.collate(read, clips.sizes)), floor=2 * size / memory, why="the same"
        ),
    }
    if cuda:
        held = whole.pin_memory()
        found["pin"] = machine.Stage(took=machine.seconds(whole.pin_memory), floor=2 * size / memory, why="the same")
        found["transfer"] = machine.Stage(
            took=machine.seconds(lambda: copied(held)), floor=size / up, why="bytes over the link"
        )
    found["augment"] = machine.Stage(
        took=machine.seconds(lambda: prepared(there, 0, 0.0)),
        floor=8 * size / machine.bandwidth(),
        why="read and write float32 once",
    )
    machine.show(f"a batch of {batch} clips, {size / 1e6:.1f} MB", found)


def sweep(clips, batch: int, seconds: float) -> None:
    """Clips a second that arrive on the device, by workers and prefetch."""
    available = cores()
    print("clips/s on the device, nothing else going on (workers x batches that each is ahead):")
    for workers in [count for count in (1, 2, 4, 8) if count <= max(2, available)]:
        reported = []
        for ahead in (2, 4, 8):
            loader.PREFETCH = ahead
            keys = loader.training_keys(
                len(clips), batch=batch, micro_batches=1, epochs=10**6, first_step=0, seed=0, share=Share()
            )
            found = loader.batches(clips, keys, workers=workers, device=machine.DEVICE)
            for _ in range(2 * workers):
                next(found)
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                next(found)
                count += 1
            machine.synchronise()
            reported.append(f"{ahead}: {count * batch / (time.perf_counter() - began):7.0f}")
            found.close()
        print(f"  {workers} workers   {'   '.join(reported)}", flush=True)
    loader.PREFETCH = 4


def trained(recipe, steps: int, rounds: int) -> dict[str, float]:
    """Clips a second of the stage on shards, and on one batch that stays where it is."""
    made = state.build_training(recipe, Share(), machine.DEVICE, smoke=False)
    real, epoch = loop.training_batches, len(made.train_clips) // recipe.optim.batch
    one = replace(next(real(made, range(1))), data_wait=0.0)
    sides = {"made up": lambda *words: itertools.repeat(one), "shards": real}
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for turn, side in itertools.product(range(rounds + 1), sides):
        loop.training_batches = sides[side]
        data_wait, began, skipped = 0.0, 0.0, 160 if machine.DEVICE.type == "cuda" else 10
        for step in loop._steps(made, range(skipped + steps), epoch):
            if step.number == skipped:
                machine.synchronise()
                began = time.perf_counter()
            data_wait += step.data_wait if step.number > skipped else 0.0
        machine.synchronise()
        spent = time.perf_counter() - began
        if turn:
            found[side].append((steps * recipe.optim.batch / spent, data_wait / spent))
    loop.training_batches = real
    speeds = {side: median(each[0] for each in turns) for side, turns in found.items()}
    for side, turns in found.items():
        print(f"  {side:10}{speeds[side]:8.0f} clips/s, data wait {median(each[1] for each in turns):.1%}")
    share = median(a[0] / b[0] for a, b in zip(found["shards"], found["made up"], strict=True))
    print(f"  reading shards keeps {share:.1%} of the speed of made-up data")
    return {**speeds, "share": share}


def main() -> None:
    """Print all of it."""
    cuda = machine.DEVICE.type == "cuda"
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recordings", type=int, default=4000 if cuda else 1000)
    words.add_argument("--batch", type=int, default=32 if cuda else 8)
    words.add_argument("--steps", type=int, default=200 if cuda else 20)
    words.add_argument("--rounds", type=int, default=3 if cuda else 1)
    words.add_argument("--seconds", type=float, default=1.5, help="of each cell of the sweep")
    words.add_argument("--parts", default="layouts,stages,sweep,training", help="which to measure")
    words.add_argument("--json", help="write the figures here")
    words.add_argument("words", nargs="*", help="overrides of the recipe")
    given = words.parse_args()
    print(machine.name())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        began = time.perf_counter()
        shards = make(root, given.recordings)
        print(f"{given.recordings} recordings written in {time.perf_counter() - began:.0f} s", flush=True)
        if "layouts" in given.parts:
            layouts(root)
        small = [] if cuda else SMALL
        overrides = [f"data.root={root}", f"data.shards={shards}", f"optim.batch={given.batch}", *small, *given.words]
        recipe = load("vggsound", overrides)
        store = open_store(recipe)
        clips = build_clips(recipe, usable(recipe, read_corpus(recipe, "train"), store), store)
        if "stages" in given.parts:
            stages(recipe, clips, given.batch)
        if "sweep" in given.parts:
            sweep(clips, given.batch, given.seconds)
        if "training" not in given.parts:
            return
        print(f"training, {given.batch} clips a step, {' '.join(given.words) or 'as the recipe says'}:", flush=True)
        found = trained(recipe, given.steps, given.rounds)
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": machine.name(), **found}))


if __name__ == "__main__":
    main()
