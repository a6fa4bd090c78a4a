"""Score predictions for VGG-Sound by VGGSounder's labels, beside the original label."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.build.corpus import corpus_root
from slowfast_cli.corpora import vggsounder
from slowfast_cli.corpora.vggsounder import MODALITIES, Annotations
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.metrics.vggsounder import SUBSETS, SubsetScores, modality_confusion, subset_scores, top_k
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_text
from slowfast_cli.types import DataError, UsageError, finite

ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True)
class Relabeled:
    """Scores by the original label and by the second annotation, for the same clips; shares from 0 to 1."""

    file: str  # the annotations
    clips: int  # annotated and predicted; only these are scored
    missing: int  # annotated, not predicted
    not_annotated: int  # predicted, not annotated
    all_clips: Mapping[str, SubsetScores]  # by subset; `ORIGINAL` is the label of VGG-Sound
    without_music: Mapping[str, SubsetScores]  # the same without clips that have background music
    confusion: Mapping[str, float]  # see `modality_confusion`; empty without a network of sound and one of frames

    def plain(self) -> dict[str, object]:
        """Values for JSON."""
        return asdict(self)


def annotations_for(recipe: Recipe, split: str, labels: str) -> Annotations:
    """Read the annotations that ``--labels`` names.

    Raises:
        UsageError: They are not about the corpus or the split.
        DataError: There is no such file, or it is not valid.
    """
    if recipe.data.corpus != "vggsound" or split != "test":
        raise UsageError(
            f"--labels {labels}: VGGSounder labels the test split of vggsound, and this is {split} of "
            f"{recipe.data.corpus}"
        )
    return vggsounder.read(vggsounder.find(corpus_root(recipe), labels))


def relabel(evaluated: Evaluated, annotations: Annotations) -> Relabeled:
    """Score the predictions of an evaluation again.

    Raises:
        DataError: No annotated clip has been predicted.
    """
    row_of = {id_: row for row, id_ in enumerate(evaluated.rows.ids)}
    places = [place for place, id_ in enumerate(annotations.ids) if id_ in row_of]
    if not places:
        raise DataError(f"{annotations.path}: none of its {len(annotations.ids):,} clips is among those predicted")
    ids = [annotations.ids[place] for place in places]
    modality_NC, quiet_N = annotations.modality[places], ~annotations.music[places]
    scores_NC = _scores(evaluated.rows, ids)
    originals_N = evaluated.rows.targets["label"][[row_of[id_] for id_ in ids]]
    return Relabeled(
        file=annotations.path.name,
        clips=len(ids),
        missing=len(annotations.ids) - len(ids),
        not_annotated=len(row_of) - len(ids),
        all_clips=_subsets(scores_NC, modality_NC, originals_N),
        without_music=_subsets(scores_NC[quiet_N], modality_NC[quiet_N], originals_N[quiet_N]),
        confusion=_confusion(evaluated.modalities, ids, scores_NC, modality_NC),
    )


def _scores(rows: Rows, ids: list[str]) -> np.ndarray:
    row_of = {id_: row for row, id_ in enumerate(rows.ids)}
    scores: np.ndarray = rows.scores["label"][[row_of[id_] for id_ in ids]]
    return scores


def _subsets(scores_NC: np.ndarray, modality_NC: np.ndarray, originals_N: np.ndarray) -> dict[str, SubsetScores]:
    truths = {ORIGINAL: originals_N[:, None] == np.arange(scores_NC.shape[1])}
    for subset, modalities in SUBSETS.items():
        truths[subset] = np.isin(modality_NC, [MODALITIES.index(modality) for modality in modalities])
    return {name: subset_scores(scores_NC, truth_NC) for name, truth_NC in truths.items()}


def _confusion(
    modalities: Mapping[str, Rows], ids: list[str], scores_NC: np.ndarray, modality_NC: np.ndarray
) -> dict[str, float]:
    if not modalities:
        return {}
    audio_NC, video_NC = (top_k(_scores(modalities[name], ids), 1) for name in ("a", "v"))
    return modality_confusion(modality_NC > 0, audio_NC, video_NC, top_k(scores_NC, 1))


def write(relabeled: Relabeled, folder: Path) -> Path:
    """Write ``vggsounder.json``."""
    path = folder / "vggsounder.json"
    write_text(path, json.dumps(finite(relabeled.plain()), indent=1, allow_nan=False) + "\n")
    return path
