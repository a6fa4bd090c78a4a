"""`slowfast evaluate` of a split: its stages, the network's floor, and the same one clip at a time.

    python tests/benchmarks/evaluate_split.py [--recordings 400]

A test split laid out as VGG-Sound's, of made-up log-mels in shards, two views of each recording, and the network of
the recipe, narrowed to width 16 without a GPU. The other side reads one view after the other in this process, and asks
the network as it was trained. Metrics are those of the recipe: top-1, top-5, mAP, AUC, d'.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import machine
import torch
from training_input import make

from slowfast_cli.build import transforms
from slowfast_cli.build.clips import build_clips, eval_batch, open_store, usable
from slowfast_cli.build.corpus import class_counts, read_corpus
from slowfast_cli.build.network import architecture
from slowfast_cli.build.task import build_task
from slowfast_cli.data import loader
from slowfast_cli.data.clips import Key
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.metrics.scores import score
from slowfast_cli.models import count
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.stages.train import state
from slowfast_cli.weights.file import Card, save


def prepared_split(root: Path, recordings: int):
    """The recipe, the split's corpus and clips, and a network that was not trained."""
    shards = make(root, recordings)
    listed = root / "vggsound.csv"
    listed.write_text(listed.read_text().replace(",train", ",test"))
    small = [] if machine.DEVICE.type == "cuda" else ["model.width=16"]
    recipe = load("vggsound", [f"data.root={root}", f"data.shards={shards}", *small])
    store = open_store(recipe)
    corpus = usable(recipe, read_corpus(recipe, "test"), store)
    model = state.recognizer(recipe, class_counts(corpus)).to(machine.DEVICE).eval()
    card = Card(
        net=architecture(recipe), classes=corpus.classes, front_end=recipe.frontend.settings(),
        clip_seconds=recipe.data.clip_seconds, views=recipe.data.views,
    )  # fmt: skip
    save(root / "w.safetensors", model.state_dict(), card)
    return recipe, corpus, build_clips(recipe, corpus, store), model


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recordings", type=int, default=400)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        recipe, corpus, clips, model = prepared_split(Path(name), given.recordings)
        task, prepared = build_task(recipe, corpus.classes), transforms.testing(recipe, machine.DEVICE)
        keys = [Key(0, segment, view) for segment in range(len(clips)) for view in range(recipe.data.views)]
        size, network = eval_batch(recipe), prepare_for_inference(model, machine.DEVICE)

        def ask(asked, batch):
            return [each for view in prepared(loader.to(batch, machine.DEVICE)) for each in task.predict(asked, view)]

        marks = [time.perf_counter()]
        read = [
            loader.collate([clips[key] for key in keys[first : first + size]]) for first in range(0, len(keys), size)
        ]
        marks.append(time.perf_counter())
        found = [each for batch in read for each in ask(network, batch)]
        marks.append(time.perf_counter())
        merged = merge(iter(found), recipe.data.merge)
        marks.append(time.perf_counter())
        scores = score(merged, corpus)
        marks.append(time.perf_counter())
        evaluate(recipe, Path(name) / "w.safetensors")
        marks.append(time.perf_counter())
        score(merge((each for key in keys for each in ask(model, loader.collate([clips[key]]))), "mean"), corpus)
        marks.append(time.perf_counter())
    with torch.device("meta"):
        silence = {"logmel": torch.zeros(1, *read[0].inputs.logmel.shape[1:])}
        adds = count.gflops(state.recognizer(recipe, class_counts(corpus)), silence)
    *took, whole, alone = [after - before for before, after in pairwise(marks)]
    floor = adds * 1e9 * len(keys) / machine.rate(torch.float32)
    print(f"{len(corpus.segments)} recordings, {len(keys)} views, {recipe.model.variant}, {machine.name()}")
    stages = {
        name: machine.Stage(took=each) for name, each in zip(("read", "network", "merge", "metrics"), took, strict=True)
    }
    stages["network"] = machine.Stage(took=took[1], floor=floor, why="multiply-adds over a matrix product's rate")
    machine.show("stages, one after the other", stages, unit="s", scale=1)
    print(f"slowfast evaluate {whole:.2f} s; one view at a time {alone:.2f} s: {alone / whole:.2f}x as fast")
    print(f"  top1 {scores.values['top1']:.2f} (chance)")


if __name__ == "__main__":
    main()
