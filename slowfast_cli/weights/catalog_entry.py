"""Entry of the catalog of official weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from slowfast_cli.models.architecture import Architecture
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import Seconds, Settings


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One official weight file."""

    name: str  # as in --weights
    title: str  # for display
    url: str  # direct download
    file: str  # file name in the cache
    md5: str = ""  # published MD5; a download with another one is refused
    sha256: str = ""  # published SHA-256, checked likewise
    dataset: str  # training data set
    variant: str  # network, a name of the zoo
    regions: Literal["", "aligned", "unaligned"] = ""  # RoIAlign, if different from the zoo's
    attend_pool: tuple[int, int, int] | None = None  # pooling of non-local keys, if different from the zoo's
    frontend: Settings = field(default_factory=dict)  # of the log-mel; empty for a network without audio
    video: Mapping[str, Any] = field(default_factory=dict)  # non-default settings of `Frames`; empty without video
    clip_seconds: Seconds
    frames: int  # frames of a clip, of the video or the spectrogram
    views: int  # test views whose scores are averaged
    heads: Mapping[str, int]  # number of classes by label set
    sigmoid: bool = False  # independent classes (sigmoid) instead of exclusive ones (softmax)
    published: Mapping[str, float]  # published scores by metric; accuracies in percent
    table: str  # where the scores are published
    params_m: float  # parameters in millions, heads included
    gflops: float | None = None  # published multiply-adds of one view in 10^9; None if not published
    note: str = ""  # remark for users
    paper: str
    licence: str
    source: str  # page that publishes the file


def network(entry: CatalogEntry) -> Architecture:
    """Build the spec of an entry's network: the zoo's, with the deviations of the released model."""
    if entry.variant in BASELINES:
        return BASELINES[entry.variant]
    net = VARIANTS[entry.variant]
    if entry.regions:
        net = replace(net, regions=entry.regions)
    if entry.attend_pool:
        slow = replace(net.pathways["slow"], attend_pool=entry.attend_pool)
        net = replace(net, pathways={**net.pathways, "slow": slow})
    return net


def describe(entry: CatalogEntry) -> dict[str, object]:
    """Convert an entry to plain values for JSON."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(entry).items()}
