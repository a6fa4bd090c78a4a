"""``slowfast data check``: checks every split and prints the counts."""

import csv
import json
import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slowfast_cli.build.corpus import corpus_root, dataset_entry, read_all_splits, require_lists
from slowfast_cli.build.remarks import remarks
from slowfast_cli.cli import show
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.data.check import PICTURES_ONLY, Report, State, check
from slowfast_cli.stages.data.rest_list import require_listable, write_rest
from slowfast_cli.storage.atomic import require_output
from slowfast_cli.storage.remote import display
from slowfast_cli.types import Corpus, DataError, Failure, Seconds, UsageError

SHOWN = 10  # problems of each kind that are printed
COLUMNS = ("id", "path", "reason")
COUNTS = ("split", "listed", "found", "recordings", "good", "flagged", "wrong", "sound")


def run(
    name: str,
    root: Path | None,
    *,
    min_seconds: float,
    jobs: int,
    limit: int | None,
    out: Path | None,
    rest: Path | None,
) -> int:
    """Check every split of a data set; write the good rest to the csv file ``rest``.

    Returns:
        Number of recordings or listed segments with problems, apart from missing ones.
    """
    if out:
        require_output(out, "--out", starts=",".join(COLUMNS) + "\n")
    if out and rest and out.resolve() == rest.resolve():
        raise UsageError(f"--rest {rest}: is also --out: name two files")
    words = [f"data.corpus={name}", *([f"data.root={display(root)}"] if root else [])]
    recipe = load(dataset_entry(name).info.recipe, words)
    corpora, skipped = read_all_splits(recipe)
    if rest:
        require_listable(rest, corpora, corpus_root(recipe))
    show.corpora(corpora, skipped, remarks(recipe, corpora))
    audio_or_video = dataset_entry(name).info.audio_or_video
    reports = [_checked(_limited(corpus, limit), min_seconds, jobs, audio_or_video) for corpus in corpora]
    # test and val may be the same split
    failures = list({(failure.id, failure.path): failure for report in reports for failure in report.failures}.values())
    flagged = list({(failure.id, failure.reason): failure for report in reports for failure in report.flagged}.values())
    wrong = [failure for failure in failures if not failure.soundless]
    has_video = any(report.video_seconds for report in reports) or any(corpus.has_video for corpus in corpora)
    show.table(
        f"{name}: {corpus_root(recipe)}",
        [*COUNTS, *(["frames", "frames only"] * has_video)],
        [_row(corpus.split, report, has_video=has_video) for corpus, report in zip(corpora, reports, strict=True)],
    )
    for failure in (some := (*wrong[:SHOWN], *flagged[:SHOWN])):
        show.say(_line(failure))
    if more := len(wrong) + len(flagged) - len(some):
        show.say(f"and {more:,} more{'' if out else '; --out FILE.csv lists them all'}")
    if mute := len(failures) - len(wrong):
        show.say(f"no audio in {mute:,} {'video' if mute == 1 else 'videos'}: only their frames can be used")
    if out:
        with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([failure.id, str(failure.path), failure.reason] for failure in (*failures, *flagged))
    if rest:
        ends = {id: end for report in reports for id, end in report.ends.items()}
        dropped = {failure.id for failure in wrong if failure.id not in ends} | {failure.id for failure in flagged}
        _write_rest(rest, corpora, dropped, ends, dataset_entry(name).info.recipe)
    require_lists(skipped)
    if not any(report.found for report in reports):
        listed = sum(report.listed for report in reports)
        raise DataError(
            f"{name}: none of the {listed:,} listed segments is in {corpus_root(recipe)}: see what belongs there with "
            "`slowfast data ls --json`, or name another folder with --root"
        )
    missing = {(failure.id, failure.path) for corpus in corpora for failure in corpus.missing}
    return sum((failure.id, failure.path) not in missing for failure in wrong)


def _write_rest(
    path: Path, corpora: Sequence[Corpus], dropped: Collection[str], ends: Mapping[str, Seconds], recipe: str
) -> None:
    """Write the csv file of the rest, and print how to train on it."""
    rest = write_rest(path, corpora, dropped, ends)
    for note in rest.notes:
        show.say(f"note: {note}")
    words = ["slowfast", "train", recipe, "data.corpus=csv", f"data.root={path}"]
    if rest.choose:
        names = (name if re.fullmatch(r"\w+", name) else json.dumps(name, ensure_ascii=False) for name in rest.choose)
        words.append(f"data.labels=[{','.join(names)}]")
    found = len({segment.id for corpus in corpora for segment in corpus.segments})
    show.say(f"{path}: {rest.count:,} of {found:,} segments: {shlex.join(words)}")


def _row(split: str, report: Report, *, has_video: bool) -> list[str]:
    states = {**report.states}
    ok = states.pop("ok", 0)
    only = {state: states.pop(state, 0) for state in PICTURES_ONLY.values()}
    return [
        split, f"{report.listed:,}", f"{report.found:,}", f"{report.recordings:,}", f"{ok:,}",
        f"{len({flag.id for flag in report.flagged}):,}", _counts(states),
        show.duration(report.seconds),
        *([show.duration(report.video_seconds), _counts(only)] if has_video else []),
    ]  # fmt: skip


def _counts(states: Mapping[State, int]) -> str:
    named = {state if count == 1 else state.replace("video", "videos"): count for state, count in states.items()}
    return ", ".join(f"{count:,} {state}" for state, count in sorted(named.items()) if count) or "none"


def _line(failure: Failure) -> str:
    """Path, id if it names a part, and reason, which may contain the path."""
    path = os.fsencode(display(failure.path)).decode("utf-8", "replace")  # as in reasons
    if path in failure.reason:
        return failure.reason
    part = "" if failure.id in path else f"{failure.id}: "
    return f"{path}: {part}{failure.reason}"


def _limited(corpus: Corpus, limit: int | None) -> Corpus:
    return replace(corpus, segments=corpus.segments[:limit]) if limit else corpus


def _checked(corpus: Corpus, min_seconds: float, jobs: int, audio_or_video: bool) -> Report:
    bar = show.Bar(len(corpus.recordings), "rec", f"check {corpus.split}")
    report: Report | None = None
    events = check(corpus, min_seconds=min_seconds, jobs=jobs, audio_or_video=audio_or_video)
    for number, event in enumerate(events, 1):
        if isinstance(event, Report):
            report = event
        else:
            bar.to(number, event.state)
    bar.close()
    if report is None:
        raise RuntimeError("the check ended without a report")
    return report
