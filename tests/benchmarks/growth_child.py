"""One stage of the toolkit, run by `growth.py` and `memory.py` in a process of its own.

python tests/benchmarks/growth_child.py extract|train|evaluate FOLDER SHARDS ...
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

import invented

from slowfast_cli.corpora import labels, vggsound
from slowfast_cli.recipe.load import load
from slowfast_cli.types import Corpus

STEPS = 12  # after which a training is left


def say(what: str) -> None:
    """Print it, and what the process has worked so far, in seconds."""
    print(what, f"{time.process_time():.2f}", flush=True)


def extract(corpora: list[Corpus], shards: Path) -> None:
    """Store the log-mels of a corpus."""
    from slowfast_cli.stages.extract import run as stage

    for _ in stage.extract(corpora, shards, front_end=invented.FRONT_END):
        pass


def train(words: list[str], run: Path, steps: int) -> None:
    """Train a few steps, and say when the first one is done."""
    from slowfast_cli.engine.fit import Step
    from slowfast_cli.stages.train import loop as stage
    from slowfast_cli.stages.train.run_folder import Run

    done = 0
    shutil.rmtree(run, ignore_errors=True)
    with closing(stage.train(load("vggsound", words), Run(run))) as events:
        for event in events:
            if isinstance(event, Step):
                if not done:
                    say("first step")
                done += 1
            if done == steps:
                time.sleep(0.5)  # to be looked at with all readers ahead
                return


def evaluate(words: list[str], weights: Path) -> None:
    """Score a network that knows nothing yet."""
    from slowfast_cli.build.network import architecture
    from slowfast_cli.stages.evaluate import run as stage
    from slowfast_cli.storage.atomic import write_atomic
    from slowfast_cli.weights.file import Card, save

    recipe = load("vggsound", words)
    card = Card(
        net=architecture(recipe),
        classes={"label": labels.names("vggsound")},
        front_end=invented.FRONT_END.settings(),
        clip_seconds=recipe.data.clip_seconds,
        views=2,
    )
    write_atomic(weights, lambda part: save(part, card.model().state_dict(), card))
    stage.evaluate(recipe, weights)


def main() -> None:
    """Do what the words say."""
    kind, root, shards, *more = sys.argv[1:]
    words = [*invented.WORDS, f"data.root={root}", f"data.shards={shards}", *more]
    say("imported")
    if kind == "extract":
        extract([vggsound.read(Path(root), split) for split in ("train", "test")], Path(shards))
    elif kind == "train":
        train(words, Path(shards).with_name("run"), STEPS)
    else:
        evaluate(words, Path(shards).with_name("weights.safetensors"))
    say("done")


if __name__ == "__main__":
    main()
