"""Everything that is measured on a GPU, in one unattended run of at most 40 minutes.

    python tests/benchmarks/gpu_all.py OUT [--only NAME,...] [--minutes 40] [--data ESC10_FOLDER]

Parts run in order, each in a process of its own with a time limit, so that a compilation that does not end costs only
its part. Each figure is appended to OUT/figures.jsonl as soon as it is known; OUT/<part>.log has the output. A part
that is done in OUT is not run again. Nothing is installed. Compilations share OUT/inductor as their cache.

With --smoke the same parts run on narrowed networks, on a CPU too: it shows that the script works, not a speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SLOWFAST = [sys.executable, "-m", "slowfast_cli"]
NETWORKS = {"asf": "vggsound", "nfnet": "hares", "avslowfast": "kinetics-av", "slowfast": "kinetics"}
SMALL = {
    "vggsound": ["model.width=8", "data.clip_seconds=0.3"],
    "hares": ["model.width=16", "data.clip_seconds=0.3"],
    "kinetics-av": ["model.width=8", "video.crop=32", "video.jitter=[32,40]", "video.side=32"],
    "kinetics": ["model.width=8", "video.crop=32", "video.jitter=[32,40]", "video.side=32"],
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A command whose lines of JSON are figures."""

    name: str
    minutes: float
    words: list[str]


def step(name: str, minutes: float, recipe: str, batches: str, precision: str, modes: str, *more: str) -> Part:
    """A measurement of the training step."""
    fixed = ["optim.bn_batch_size=null", "optim.grad_accum_steps=1"]
    options = ["--batch", batches, "--precision", precision, "--mode", modes, "--steps", "30", "--json"]
    return Part(name=name, minutes=minutes, words=[*SLOWFAST, "bench", "step", recipe, *fixed, *more, *options])


def parts(data: str | None, *, smoke: bool) -> list[Part]:
    """List all parts in the order of their worth."""

    def small(recipe: str) -> list[str]:
        return SMALL[recipe] if smoke else []

    large, medium, workers = ("2", "2", "0") if smoke else ("32,64,128,256,512", "8,16,32,64", "4,8,16")
    asf, graphs = small("vggsound"), "eager" if smoke else "eager,graphs"
    compiled = "eager" if smoke else "compiled,compiled+graphs"
    listed = [
        Part(name="tests", minutes=4, words=[sys.executable, "-m", "pytest", "-m", "cuda", "-x", "-q"]),
        step("asf-bf16", 5, "vggsound", large, "bf16", graphs, *asf),
        step("asf-fp32", 3, "vggsound", large, "fp32", "eager", *asf),
        step("asf-compiled", 8, "vggsound", "2" if smoke else "128,256", "bf16", compiled, *asf),
        *(
            step(f"{name}-bf16", 3, recipe, medium, "bf16", graphs, *small(recipe))
            for name, recipe in NETWORKS.items()
            if name != "asf"
        ),
        *(
            step(f"{name}-fp32", 2, recipe, "2" if smoke else "8,32", "fp32", "eager", *small(recipe))
            for name, recipe in NETWORKS.items()
            if name != "asf"
        ),
        Part(name="kernels", minutes=2, words=[sys.executable, __file__, "--kernels", *(["--smoke"] if smoke else [])]),
        Part(
            name="predict", minutes=3,
            words=[*SLOWFAST, "bench", "predict", "--engine", "torch", "--precision", "fp32,bf16", "--batch", "1,8,64",
                   "--json"],
        ),
    ]  # fmt: skip
    if data is None:
        return listed
    own = [f"data.root={data}", "data.source=media"]
    reads = [
        *SLOWFAST,
        "bench",
        "data",
        "esc10",
        *own,
        "--workers",
        workers,
        "--batch",
        "2" if smoke else "128",
        "--json",
    ]
    train = [*SLOWFAST, "train", "esc10", *own, "schedule.epochs=1" if smoke else "schedule.epochs=20", "--run", "run"]
    return [
        *listed,
        Part(name="reading", minutes=3, words=reads),
        step("asf-data", 2, "esc10", "2" if smoke else "128", "bf16", graphs, *own, "--data"),
        Part(name="training", minutes=5, words=train),
    ]


def run(part: Part, out: Path, left: float) -> str:
    """Run a part, append its figures, and return its outcome."""
    environment = {
        **os.environ, "TORCHINDUCTOR_CACHE_DIR": str(out / "inductor"), "SLOWFAST_REQUIRE_CUDA": "1",
        "PYTHONPATH": str(ROOT), "SLOWFAST_CACHE": str(out / "cache"),
    }  # fmt: skip
    start = time.monotonic()
    with (out / f"{part.name}.log").open("w") as log, (out / "figures.jsonl").open("a") as figures:
        process = subprocess.Popen(part.words, cwd=out if part.name == "training" else ROOT, env=environment,
                                   stdout=subprocess.PIPE, stderr=log, text=True)  # fmt: skip
        limit = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import time, os; time.sleep({min(60 * part.minutes, left)}); os.kill({process.pid}, 9)",
            ]
        )
        for line in process.stdout or ():
            log.write(line)
            if line.startswith("{"):
                figures.write(json.dumps({"part": part.name, **json.loads(line)}) + "\n")
                figures.flush()
        code = process.wait()
        limit.kill()
        limit.wait()
    seconds = time.monotonic() - start
    return f"{'ok' if code == 0 else 'time limit' if code == -9 else f'exit code {code}'} after {seconds:.0f} s"


def kernels(*, smoke: bool) -> None:
    """Print the ten kernels that take most of a step of the audio network, as one line of JSON."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from slowfast_cli.build.trial_step import TrialStep
    from slowfast_cli.recipe.load import load

    at = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    words = SMALL["vggsound"] if smoke else []
    trial = TrialStep(load("vggsound", ["optim.precision=bf16", *words]), 2 if smoke else 128, at)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if at.type == "cuda" else [])]
    for warm in (True, False):
        with profile(activities=activities) as found:
            trial.backward(trial.forward())
            trial.update()
            if at.type == "cuda":
                torch.cuda.synchronize()
        if warm:
            continue
        events = [event for event in found.key_averages() if event.device_type.name == at.type.upper()]
        time_of = "self_device_time_total" if at.type == "cuda" else "self_cpu_time_total"
        events.sort(key=lambda event: -getattr(event, time_of))
        whole = sum(getattr(event, time_of) for event in events)
        worst = {event.key[:80]: round(getattr(event, time_of) / whole, 4) for event in events[:10]}
        print(json.dumps({"bench": "kernels", "launches": sum(event.count for event in events), "share": worst}))


def main() -> None:
    """Run the parts that are not done, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--data")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--kernels", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kernels:
        kernels(smoke=given.smoke)
        return
    if given.out is None:
        parser.error("OUT: a folder for the figures is required")
    out: Path = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    end, done = time.monotonic() + 60 * given.minutes, out / "done.txt"
    finished = dict(line.split(": ", 1) for line in done.read_text().splitlines()) if done.exists() else {}
    for part in parts(given.data and str(Path(given.data).absolute()), smoke=given.smoke):
        left = end - time.monotonic()
        if part.name in finished or (given.only and part.name not in given.only.split(",")):
            continue
        outcome = run(part, out, left) if left > 10 else "no time left"
        print(f"{part.name}: {outcome}", flush=True)
        if left > 10:
            with done.open("a") as file:
                file.write(f"{part.name}: {outcome}\n")
    lines = (out / "figures.jsonl").read_text().splitlines() if (out / "figures.jsonl").exists() else []
    for figure in map(json.loads, lines):
        settings = [figure.get(key) for key in ("batch", "precision", "mode", "engine", "workers")]
        rate = f"{figure['clips_per_second']:,.1f} clips/s" if "clips_per_second" in figure else figure.get("share")
        print(figure["part"], *(str(value) for value in settings if value), rate, figure.get("problem", ""))


if __name__ == "__main__":
    main()
