"""Checks of the pictures and the video that ``slowfast predict`` writes, before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from slowfast_cli.stages.predict.results import Failed, Timeline

HEAD = 1024  # bytes of a PNG in which it says what drew it


def check_overlay(out: Path | None, paths: Sequence[Path | Failed]) -> None:
    """Refuse what cannot be drawn; raise `UsageError`."""
    if out is None:
        return
    from slowfast_cli.stages.predict.overlay import check

    if len(paths) != 1:
        raise UsageError(f"--overlay {out}: draws over one video, and {len(paths)} files are named: name one")
    if isinstance(paths[0], Path):
        check(paths[0], out)


def check_plot(out: Path | None, paths: Sequence[Path | Failed], windows: Timeline | None) -> None:
    """Refuse what cannot be drawn; raise `UsageError`."""
    if out is None:
        return
    if windows is None:
        raise UsageError(f"--plot {out}: draws windows over time: add --timeline WINDOW/HOP")
    if out.suffix.lower() != ".png" or not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"--plot {out}: expected a file that ends in .png, in a folder that exists")
    _require_own_picture("--plot", out)
    if len(paths) != 1:
        raise UsageError(f"--plot {out}: draws one recording, and {len(paths)} files are named: name one")


def _require_own_picture(option: str, out: Path) -> None:
    """Refuse to replace a picture that this program has not drawn; raise `UsageError`."""
    if out.exists():
        head = out.read_bytes()[:HEAD]
        if b"Software" not in head or b"Matplotlib" not in head:
            raise UsageError(f"{option} {out}: already exists, and {option} did not draw it: name another file")


def check_explain(
    out: Path | None, name: str | None, paths: Sequence[Path | Failed], classes: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse what cannot be drawn; raise `UsageError`."""
    if out is None:
        if name is not None:
            raise UsageError(f"--explain-class {name}: is about --explain OUT.png: add it")
        return
    if out.suffix.lower() != ".png" or not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"--explain {out}: expected a file that ends in .png, in a folder that exists")
    _require_own_picture("--explain", out)
    if len(paths) != 1:
        raise UsageError(f"--explain {out}: draws one file, and {len(paths)} are named: name one")
    if name is not None:
        from slowfast_cli.stages.predict.explain import class_of

        class_of(classes, name)
