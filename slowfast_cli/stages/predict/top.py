"""The best classes of a prediction. Without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slowfast_cli.stages.predict.results import FilePrediction


class ClassNames(Protocol):
    """The part of a card that names classes."""

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        """By label set, in the order of the outputs."""

    @property
    def unknown(self) -> str:
        """The class for everything else; empty if there is none."""

    @property
    def threshold(self) -> float:
        """Score of the best class below which the answer is none of the classes."""


@dataclass(frozen=True, kw_only=True)
class Top:
    """One line of a top-k: a class, or a verb and a noun together."""

    label: str
    index: int | tuple[int, int]
    score: float


def unknown_sets(prediction: FilePrediction, card: ClassNames) -> frozenset[str]:
    """Label sets of which the answer is none of the classes: the class for everything else wins, or all scores are low.

    Only label sets with a class for everything else (`Card.unknown`) can say so.
    """
    none = set()
    for labels, scores in prediction.scores.items():
        names = card.classes[labels]
        if card.unknown in names:
            rest = names.index(card.unknown)
            if scores.argmax() == rest or np.delete(scores, rest).max() < card.threshold:
                none.add(labels)
    return frozenset(none)


def tops(prediction: FilePrediction, card: ClassNames, k: int) -> dict[str, list[Top]]:
    """The k best classes by label set, without that for everything else; for verb and noun also ``action``."""
    best_of = {}
    for labels, scores in prediction.scores.items():
        known = [index for index in np.argsort(-scores, kind="stable") if card.classes[labels][index] != card.unknown]
        best = known[:k]
        best_of[labels] = [Top(label=card.classes[labels][i], index=int(i), score=float(scores[i])) for i in best]
    if set(best_of) == {"verb", "noun"}:
        joint = np.outer(prediction.scores["verb"], prediction.scores["noun"])
        nouns = joint.shape[1]
        best_of["action"] = [
            Top(
                label=f"{card.classes['verb'][i // nouns]} {card.classes['noun'][i % nouns]}",
                index=(int(i // nouns), int(i % nouns)),
                score=float(joint.flat[i]),
            )
            for i in np.argsort(-joint, axis=None, kind="stable")[:k]
        ]
    return best_of
