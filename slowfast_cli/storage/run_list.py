"""The run folders below a folder, for listings and for errors about a run that is not there."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slowfast_cli.types import did_you_mean

RUNS = Path("runs")
MARKS = ("metrics.jsonl", "state.pt", "last.safetensors", "best.safetensors", "recipe.yaml")
DEPTH = 4  # runs/<recipe>/<table>/<row>/<fold>
SHOWN = 10


def run_folders(root: Path, depth: int = DEPTH) -> list[Path]:
    """Run folders at or below a folder, newest first; those within a run are part of it."""
    return sorted(_walk(root, depth), key=lambda folder: (-changed_at(folder), folder))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name: entry.is_dir() for entry in entries if not entry.name.startswith(".")}
    except (OSError, ValueError):  # not a folder, not readable, or no name of a file
        return
    if not names.keys().isdisjoint(MARKS):
        yield folder
    elif depth:
        for name in (name for name, is_folder in names.items() if is_folder):
            yield from _walk(folder / name, depth - 1)


def changed_at(folder: Path) -> float:
    """When a run was last written to, in seconds since 1970; 0 if no file of it can be read."""
    times = [0.0]
    for name in MARKS:
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)


def other_runs(word: str, root: Path = RUNS) -> str:
    """End of an error message: the nearest run to a name that is none, and the newest runs; empty without runs."""
    beside = Path(word).parent
    folders = run_folders(root)
    if beside not in (Path(), root, *(folder.parent for folder in folders)):
        folders += run_folders(beside, depth=1)
    if not folders:
        return ""
    names = [str(folder) for folder in folders]
    more = f" and {len(names) - SHOWN} more (`slowfast runs ls`)" if len(names) > SHOWN else ""
    return f"{did_you_mean(word, names)}; runs that are there: {', '.join(names[:SHOWN])}{more}"
