"""What is known of one official weight file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from slowfast_cli.models.architecture import Architecture
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import Settings


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One official weight file.

    Attributes:
        name: As in ``--weights``.
        title: What it is, for people.
        url: Direct download.
        file: Name of the file in the cache.
        md5: Of its bytes, where that is published; a download that differs is refused.
        sha256: Likewise.
        dataset: What it was trained on.
        variant: Its network in the zoo.
        regions: How it reads boxes, where not as its network in the zoo.
        attend_pool: Positions under one key of its Non-Local blocks, likewise.
        frontend: Log-mel settings it was trained with; empty for a network that hears nothing.
        video: Settings of its frames, as of `slowfast_cli.settings.Frames`, where they are not the usual
            ones; empty for a network that sees nothing.
        clip_seconds: Length of one clip.
        frames: In one clip, of the pictures or of the spectrogram.
        views: Test views per clip whose scores are averaged.
        heads: Number of classes by label set.
        sigmoid: Whether each class stands for itself.
        published: Scores that its authors print, by metric name; accuracies in percent.
        table: Where they print them.
        params_m: Parameters in millions, heads included.
        gflops: Multiply-adds of one view in 10^9, as printed; None where they are not.
        note: What to know before use.
        paper: What describes it.
        licence: Of the file.
        source: Where it is announced.
    """

    name: str
    title: str
    url: str
    file: str
    md5: str = ""
    sha256: str = ""
    dataset: str
    variant: str
    regions: Literal["", "aligned", "unaligned"] = ""
    attend_pool: tuple[int, int, int] | None = None
    frontend: Settings = field(default_factory=dict)
    video: Mapping[str, Any] = field(default_factory=dict)
    clip_seconds: float
    frames: int
    views: int
    heads: Mapping[str, int]
    sigmoid: bool = False
    published: Mapping[str, float]
    table: str
    params_m: float
    gflops: float | None = None
    note: str = ""
    paper: str
    licence: str
    source: str


def network(entry: Entry) -> Architecture:
    """The network of an entry: that of the zoo, but for what its authors did otherwise."""
    if entry.variant in BASELINES:
        return BASELINES[entry.variant]
    net = VARIANTS[entry.variant]
    if entry.regions:
        net = replace(net, regions=entry.regions)
    if entry.attend_pool:
        slow = replace(net.pathways["slow"], attend_pool=entry.attend_pool)
        net = replace(net, pathways={**net.pathways, "slow": slow})
    return net


def describe(entry: Entry) -> dict[str, object]:
    """An entry as plain values, for JSON."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(entry).items()}
