"""VGGSounder: a second annotation of VGG-Sound's test clips, with several labels per clip and their modality."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import AbsentError, DataError

HOMEPAGE = "https://pypi.org/project/vggsounder/"
FILES = ("vggsounder+background-music.csv", "vggsounder.csv")
PLACES = ("", "vggsounder", "annotations", "data", "vggsounder/data")
COLUMNS = ("video_id", "label", "modality", "background_music")
MODALITIES = ("", "A", "V", "AV")
"""Of a label: absent, heard, seen, or both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """Labels of N clips, of VGG-Sound's C classes."""

    path: Path
    ids: tuple[str, ...]  # segment ids of VGG-Sound
    modality: np.ndarray  # (N, C), index into `MODALITIES`
    music: np.ndarray  # (N,), whether the clip has background music


def find(root: Path, labels_: str) -> Path:
    """Return the csv file for ``vggsounder``, which is looked for below the folder of VGG-Sound, or for a path.

    Of the two files of the package, the one with the clips that have background music is preferred.

    Raises:
        AbsentError: There is no such file.
    """
    named = labels_ != "vggsounder"
    candidates = [Path(labels_)] if named else [root / place / name for name in FILES for place in PLACES]
    path = first_file(candidates)
    if path is None:
        expected = labels_ if named else f"{root / FILES[0]} or {FILES[1]}"
        raise AbsentError(
            f"--labels {labels_}: no file {expected}: take it from vggsounder/data/ of the package at {HOMEPAGE}, or "
            "name it: --labels FILE.csv"
        )
    return path


def read(path: Path) -> Annotations:
    """Read a csv file with a row per label: ``video_id,label,modality,background_music,...``.

    Raises:
        DataError: A column is missing, or a row has an unknown class, modality or flag, or repeats or contradicts one.
    """
    class_index = labels.indices("vggsound")
    of_clip: dict[str, dict[int, int]] = {}
    music: dict[str, bool] = {}
    for number, row in rows(path):
        where = f"{path}: row {number}"
        if lacking := [name for name in COLUMNS if name not in row]:
            raise DataError(f"{where}: no column {lacking[0]}, expected {', '.join(COLUMNS)}: take it from {HOMEPAGE}")
        id_, name, modality, flag = (row[column] for column in COLUMNS)
        if name not in class_index:
            raise DataError(f"{where}: '{name}' is not one of the 309 classes: take the list from {HOMEPAGE}")
        if modality not in MODALITIES[1:] or flag not in ("True", "False"):
            raise DataError(
                f"{where}: modality '{modality}' and background_music '{flag}', expected A, V or AV and True or False: "
                f"take the list from {HOMEPAGE}"
            )
        id_ = id_.removesuffix(".mp4")
        clip = of_clip.setdefault(id_, {})
        if class_index[name] in clip or music.setdefault(id_, flag == "True") != (flag == "True"):
            raise DataError(f"{where}: repeats a label of {id_} or contradicts its flag: take the list from {HOMEPAGE}")
        clip[class_index[name]] = MODALITIES.index(modality)
    if not of_clip:
        raise DataError(f"{path}: has no rows: take the list from {HOMEPAGE}")
    modality_NC = np.zeros((len(of_clip), len(class_index)), np.uint8)
    for place, clip in enumerate(of_clip.values()):
        modality_NC[place, list(clip)] = list(clip.values())
    return Annotations(
        path=path, ids=tuple(of_clip), modality=modality_NC, music=np.array([music[id_] for id_ in of_clip])
    )
