"""Damaged inputs of every kind: a command ends in time, names the damaged file, uses the good ones, and changes none.

`SLOWFAST_FUZZ="weights-17 lists-4" pytest tests/fuzz` repeats single cases.
"""

import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tiny
from fuzz.kinds import KINDS, Attempt
from fuzz.kit import Kit, make_kit

SECONDS = 60  # within which every case has to end, on a busy machine too
MEGABYTES = 1500  # by which no case may raise the peak memory of the process
MANY = 2000
CHOSEN = os.environ.get("SLOWFAST_FUZZ", "").split()
CASES = CHOSEN or [
    pytest.param(f"{kind}-{number}", marks=pytest.mark.thorough if number % 2 else [])
    for kind, (_, count) in KINDS.items()
    for number in range(count)
]


class Hang(BaseException):
    """A case takes too long; no handler of errors may catch it."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory, sounds, trained):
    return make_kit(tmp_path_factory.mktemp("kit"), sounds, trained)


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_input_is_one_error(kit, tmp_path, case):
    assert run_case(kit, case, tmp_path)[0] == ""


@pytest.mark.slow
def test_two_thousand_damaged_inputs(kit, tmp_path, capfd):
    """Continues where the numbers of the short test end; prints the counts by kind and exit code."""
    total = sum(count for _, count in KINDS.values())
    codes: dict[str, Counter[int]] = {kind: Counter() for kind in KINDS}
    wrong = []
    for kind, (_, count) in KINDS.items():
        for number in range(count, count + round(MANY * count / total)):
            report, code = run_case(kit, f"{kind}-{number}", tmp_path / f"{kind}-{number}")
            codes[kind][code] += 1
            if report:
                wrong.append(report)
                with capfd.disabled():
                    print(report, flush=True)
    with capfd.disabled():
        for kind, counts in codes.items():
            print(
                f"{kind}: {counts.total()} cases,", ", ".join(f"{n} x exit code {c}" for c, n in sorted(counts.items()))
            )
        print(f"{sum(counts.total() for counts in codes.values())} cases, {len(wrong)} wrong")
    assert not wrong


def run_case(kit: Kit, case: str, folder: Path) -> tuple[str, int]:
    """Run a case in a folder of its own, and remove the folder.

    Returns:
        What went wrong, empty if nothing did, and the exit code of the command, -1 if it hung.
    """
    kind, number = case.rsplit("-", 1)
    (folder / "in").mkdir(parents=True)
    attempt = KINDS[kind][0](kit, random.Random(f"{kind}-{number}"), folder)
    untouched = (folder / "in", *kit.folders)
    before, memory = state_of(untouched), peak_memory()
    start, done = time.monotonic(), tiny.Done(-1, "", "")
    with inside(folder), limited(), suppress(Hang):
        done = tiny.slowfast(*attempt.words)
    faults = faults_of(attempt, done, folder)
    if (seconds := time.monotonic() - start) > SECONDS:
        faults.append(f"took {seconds:.0f} s")
    if (grown := peak_memory() - memory) > MEGABYTES:
        faults.append(f"took {grown:.0f} MB of memory")
    after = state_of(untouched)
    faults += [f"changed {path}" for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    shutil.rmtree(folder)
    if not faults:
        return "", done.code
    command = " ".join(map(str, attempt.words))
    return f"{case}: {'; '.join(faults)}\n  {attempt.what}\n  {command}\n  {done.err[-600:]}", done.code


def faults_of(attempt: Attempt, done: tiny.Done, folder: Path) -> list[str]:
    """Say what is wrong with the end of a command."""
    faults = []
    if not 0 <= done.code <= 4:
        faults.append(f"exit code {done.code}")
    faults += [f"prints {text!r}" for text in ("Traceback", "a defect of slowfast") if text in done.err]
    if attempt.always and done.code:
        faults.append(f"exit code {done.code}, although only one of the files is damaged")
    places = attempt.damaged.relative_to(folder).parents[:-1]  # folders of the damaged file, inside the case's own
    names = {attempt.damaged.name, *(str(folder / place) for place in places), *attempt.named}
    if done.code and not any(name in done.err for name in names):
        faults.append(f"does not name {attempt.damaged.name}")
    if not attempt.answered(done):
        faults.append("does not use the good files")
    return faults


@contextmanager
def limited() -> Iterator[None]:
    """Interrupt what takes longer than `SECONDS`."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder: what a command writes without being asked lands there."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def state_of(folders: tuple[Path, ...]) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of all files below some folders."""
    found = {}
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                status = os.lstat(os.path.join(where, name))  # noqa: PTH118  (names that are no text)
                found[os.path.join(where, name)] = (status.st_size, status.st_mtime_ns)  # noqa: PTH118
    return found


def peak_memory() -> float:
    """Peak of the process's memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
