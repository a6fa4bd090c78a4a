"""What ``slowfast data check`` does and shows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from slowfast_cli.cli import show
from slowfast_cli.recipe.load import load
from slowfast_cli.stages import assemble
from slowfast_cli.stages.check import Report, check
from slowfast_cli.types import Corpus, Failure


def run(name: str, root: Path | None, *, min_seconds: float, jobs: int, limit: int | None, out: Path | None) -> int:
    """Check every split of a data set.

    Returns:
        How many recordings or listed segments have something wrong with them beyond not being there.
    """
    words = [f"data.corpus={name}", *([f"data.root={root}"] if root else [])]
    recipe = load(assemble.known(name).recipe, words)
    corpora, skipped = assemble.everything(recipe)
    for reason in skipped:
        show.say(f"skipped: {reason}")
    rows: list[list[str]] = []
    failures: list[Failure] = []
    for corpus in corpora:
        report = _checked(_limited(corpus, limit), recipe.frontend.rate, min_seconds, jobs)
        states = {**report.states}
        ok = states.pop("ok", 0)
        wrong = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"
        rows.append(
            [
                corpus.split,
                f"{report.listed:,}",
                f"{report.found:,}",
                f"{report.recordings:,}",
                f"{ok:,}",
                wrong,
                f"{report.seconds / 3600:.2f} h",
            ]
        )
        failures += report.failures
    failures = list({(each.id, each.path): each for each in failures}.values())  # test may be val once more
    show.table(
        f"{name}: {assemble.root(recipe)}", ["split", "listed", "found", "recordings", "good", "wrong", "sound"], rows
    )
    for failure in failures[:10]:
        show.say(f"{failure.path}: {failure.reason}" if str(failure.path) not in failure.reason else failure.reason)
    if len(failures) > 10:
        show.say(f"and {len(failures) - 10:,} more{'' if out else '; --out FILE.csv lists them all'}")
    if out:
        with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([["id", "path", "reason"], *([each.id, str(each.path), each.reason] for each in failures)])
    missing = {(each.id, each.path) for corpus in corpora for each in corpus.missing}
    return sum((each.id, each.path) not in missing for each in failures)


def _limited(corpus: Corpus, limit: int | None) -> Corpus:
    return replace(corpus, segments=corpus.segments[:limit]) if limit else corpus


def _checked(corpus: Corpus, rate: int, min_seconds: float, jobs: int) -> Report:
    bar = show.Bar(len(corpus.recordings), "rec", f"check {corpus.split}")
    report: Report | None = None
    for number, event in enumerate(check(corpus, rate=rate, min_seconds=min_seconds, jobs=jobs), 1):
        if isinstance(event, Report):
            report = event
        else:
            bar.to(number, event.state)
    bar.close()
    if report is None:
        raise RuntimeError("the check ended without a report")
    return report
