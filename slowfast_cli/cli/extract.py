"""``slowfast extract``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.launch import Launch, is_restart, mark_started
from slowfast_cli.storage.remote import display
from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.extract.progress import Summary

EPILOG = options.examples(
    "slowfast extract --dataset epic",
    "slowfast extract --dataset vggsound --root /data/vggsound -j 8",
    "slowfast extract --recipe vggsound frontend.hop_ms=40",
    "slowfast extract --dataset vggsound --gpus 8",
)


@options.takes(Launch)
def extract(
    overrides: options.Overrides = None,
    dataset: Annotated[str | None, options.optional("The data set; its bundled recipe sets the front end.")] = None,
    recipe: Annotated[str | None, options.optional("A recipe that sets data set and front end.")] = None,
    root: Annotated[
        Path | None,
        options.folder(
            "The data set: a folder, or a URL such as s3://bucket/epic.", "$SLOWFAST_DATA/<dataset>, or data/<dataset>"
        ),
    ] = None,
    out: Annotated[Path | None, options.folder("Folder of the shards, or a URL.", "shards, next to the root")] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, help="Worker processes per process.", show_default="one per core"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of the stored rows: float16 or float32.")] = "float16",
    device: Annotated[
        str | None,
        typer.Option(
            help="Device of the log-mels: auto, cpu or cuda.", show_default="cpu; auto with several processes"
        ),
    ] = None,
    max_missing: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of the listed segments that may be missing or broken.")
    ] = 0.25,
    retry: Annotated[bool, typer.Option("--retry", help="Retry recordings that failed in earlier runs.")] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compute all spectra in float64; by default in float32 where float16 rows allow."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove existing shards and start over.")] = False,
    **given: Any,
) -> None:
    """Store the log-mel of every recording in HDF5 shards. Re-run the command to resume an interrupted extraction."""
    if dtype not in ("float16", "float32"):
        raise UsageError(f"--dtype {dtype}: expected float16 or float32")
    from slowfast_cli.build.clips import cores
    from slowfast_cli.build.corpus import read_all_splits, require_lists, shards_folder
    from slowfast_cli.build.remarks import remarks
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.extract.estimate import Estimate
    from slowfast_cli.stages.extract.progress import Progress
    from slowfast_cli.stages.extract.run import extract as stage

    chosen = _recipe(dataset, recipe, root, out, overrides or [])
    Launch(**given).start()
    share = distributed.join()
    corpora, skipped = read_all_splits(chosen)
    show.corpora(corpora, skipped, remarks(chosen, corpora))
    folder = shards_folder(chosen)
    show.say(f"shards: {display(folder)}")
    bar: show.Bar | None = None
    events = stage(
        corpora, folder, front_end=chosen.frontend, dtype=dtype, jobs=jobs or cores(),
        device=device or ("auto" if share.world > 1 else "cpu"), fresh=fresh and not is_restart(),
        max_missing=max_missing, retry=retry, exact=exact,
    )  # fmt: skip
    try:
        for event in events:
            mark_started()
            if isinstance(event, Estimate):
                show.needs(event, share.world * (jobs or cores()))
            elif isinstance(event, Progress):
                bar = bar or show.Bar(event.total, "rec", "extract")
                bar.to(event.recordings, f"{event.speed:,.0f} s of sound per second, {event.failures} failed")
            else:
                if bar:
                    bar.close()
                _summarize(event)
    except KeyboardInterrupt:
        show.say(f"interrupted; finished shards are in {display(folder)}: re-run the command to resume")
        raise
    finally:
        if bar:
            bar.close()
        distributed.leave()
    require_lists(skipped)


def _recipe(
    dataset: str | None, recipe: str | None, root: Path | None, out: Path | None, overrides: list[str]
) -> Recipe:
    from slowfast_cli.build.corpus import dataset_entry
    from slowfast_cli.recipe.load import load

    if (dataset is None) == (recipe is None):
        raise UsageError("extract: give either --dataset NAME (see `slowfast data ls`) or --recipe RECIPE")
    words = list(overrides)
    if dataset:
        recipe = dataset_entry(dataset).info.recipe
        words.insert(0, f"data.corpus={dataset}")
    words += [f"data.root={display(root)}"] if root else []
    words += [f"data.shards={display(out)}"] if out else []
    return load(str(recipe), words)


def _summarize(done: Summary) -> None:
    from slowfast_cli.cli import show

    show.say(
        f"stored {done.recordings:,} recordings ({done.kept:,} were stored before), {done.seconds:,.0f} s of sound in "
        f"{done.elapsed:,.1f} s: {done.speed:,.0f} s of sound per second"
    )
    if done.changed:
        show.say(f"extracted anew: {done.changed:,} files that have changed since they were extracted")
    if done.soundless:
        show.say(f"without audio: {done.soundless:,} segments, recognized by their frames alone")
    failed = [failure for failure in done.failures if not (done.soundless and failure.soundless)]
    if failed:
        show.say(f"failed: {len(failed)}, such as {failed[0].reason}; see {display(done.folder / 'failures.csv')}")
    spectra = f", spectra in {' and '.join(done.spectra)}" if done.spectra else ""
    show.say(f"done: {display(done.folder.absolute())} ({done.bytes / 1e6:,.1f} MB{spectra})")
