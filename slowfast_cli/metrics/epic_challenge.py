"""The challenges of EPIC-KITCHENS-100 and EPIC-SOUNDS, and the header of their result files."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slowfast_cli.types import DataError

SOUND_SIGNALS = frozenset({"logmel", "samples"})
HIGHEST_LEVEL = 5
NAMED = 3  # items named in a message


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What the result files of a challenge have in common."""

    name: str
    version: str
    items: str
    """What needs a result: segments or videos."""
    dataset: str
    states_modality: bool
    """Whether the file has the field ``t_mod``."""


ACTION_RECOGNITION = Challenge(
    name="action_recognition", version="0.2", items="segments", dataset="epic", states_modality=False
)
INTERACTION_RECOGNITION = Challenge(
    name="audio_based_interaction_recognition", version="0.1", items="segments", dataset="epic-sounds",
    states_modality=True,
)  # fmt: skip
INTERACTION_DETECTION = Challenge(
    name="audio_based_interaction_detection", version="0.1", items="videos", dataset="epic-sounds",
    states_modality=True,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Supervision Levels Scale of a submission, 0 to 5 each (Damen and Wray, arXiv:2008.09890); ASF's by default."""

    pt: int = 2  # pretraining: 0 none, 1 images, 2 images and video, 3-4 self-supervised, 5 private data
    tl: int = 3  # training labels: 3 start and stop times with classes
    td: int = 3  # training data: 3 the train split, 4 train and validation

    def __post_init__(self) -> None:
        if not all(0 <= level <= HIGHEST_LEVEL for level in (self.pt, self.tl, self.td)):
            raise ValueError(f"supervision levels are {self.pt}-{self.tl}-{self.td}, expected 0 to 5 each")


def highest(levels: Sequence[Supervision]) -> Supervision:
    """The highest level of each kind among the members of an ensemble."""
    return Supervision(
        pt=max(level.pt for level in levels), tl=max(level.tl for level in levels), td=max(level.td for level in levels)
    )


def modality(signals: Collection[str]) -> int:
    """What networks read, as ``t_mod`` says it: 0 sound, 1 frames, 2 both.

    >>> modality({"logmel"}), modality({"frames"}), modality({"frames", "samples"})
    (0, 1, 2)
    """
    frames, sound = "frames" in signals, bool(SOUND_SIGNALS & set(signals))
    return frames + (frames and sound)


def document(
    challenge: Challenge, results: Mapping[str, Any], supervision: Supervision | None, t_mod: int = 0
) -> dict[str, Any]:
    """Build a result file: header and results, in the official order.

    Args:
        challenge: Of the file.
        results: By id.
        supervision: Supervision levels; the baseline's, trained on train, if None.
        t_mod: What the networks read, see `modality`; left out where the challenge does not ask for it.
    """
    level = supervision or Supervision()
    plain: dict[str, Any] = {"version": challenge.version, "challenge": challenge.name}
    plain |= {"sls_pt": level.pt, "sls_tl": level.tl, "sls_td": level.td}
    return {**plain, **({"t_mod": t_mod} if challenge.states_modality else {}), "results": results}


def check_complete(challenge: Challenge, ids: Sequence[str], expected: Collection[str]) -> None:
    """Check that each item of a split has exactly one result.

    Args:
        challenge: That wants them.
        ids: Of the items with a result.
        expected: Of the items of the split.

    Raises:
        DataError: An item has no result or several, or is not in the split.
    """
    listed, counts = dict.fromkeys(expected), Counter(ids)
    missing = [id_ for id_ in listed if id_ not in counts]
    unknown = sorted(counts.keys() - listed.keys())
    repeated = [id_ for id_, count in counts.items() if count > 1]
    for names, problem in (
        (missing, "have no result"),
        (unknown, "with a result are not in the split"),
        (repeated, "have several results"),
    ):
        if names:
            total = f" of {len(listed)}" if names is missing else ""
            raise DataError(
                f"submission: {len(names)}{total} {challenge.items} {problem}, such as {', '.join(names[:NAMED])}; the "
                f"challenge accepts complete files only: `slowfast data check {challenge.dataset}` names what is "
                "missing or cannot be read"
            )
