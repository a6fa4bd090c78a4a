"""The weights that predictions use if none are named: what `slowfast weights use` chose, or the bundled model."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import VIDEO_SUFFIXES, WeightsError

Kind = Literal["sound", "video"]
BUNDLED = "default"


def choices_file() -> Path:
    """``weights.json`` in ``$SLOWFAST_CONFIG``, else ``$XDG_CONFIG_HOME/slowfast``, else ``~/.config/slowfast``."""
    own, xdg = os.environ.get("SLOWFAST_CONFIG"), os.environ.get("XDG_CONFIG_HOME")
    folder = Path(own) if own else (Path(xdg) if xdg else Path.home() / ".config") / "slowfast"
    return folder.expanduser() / "weights.json"


def choices() -> dict[str, str]:
    """The chosen weights by kind of file.

    Raises:
        WeightsError: The file of the choices is damaged.
    """
    path = choices_file()
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(chosen, dict) or not all(isinstance(name, str) for name in chosen.values()):
            raise ValueError("expected names by kind")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: not the choices of `slowfast weights use` ({error}): remove it") from error
    return chosen


def choose(kind: Kind, weights: str) -> None:
    """Make weights the default for a kind of file; ``default`` is the bundled model again."""
    chosen = {**choices(), kind: weights}
    if weights == BUNDLED:
        del chosen[kind]
    make_folder(choices_file().parent)
    write_text(choices_file(), json.dumps(chosen, indent=1))


def chosen_for(sources: Iterable[str]) -> str:
    """The default weights for files: those for video if all have a suffix of video and such weights are chosen."""
    chosen = choices()
    videos = all(Path(source).suffix.lower() in VIDEO_SUFFIXES for source in sources)
    kind: Kind = "video" if videos and "video" in chosen else "sound"
    return chosen.get(kind, BUNDLED)
