"""Haiku parameter trees of SlowFast NFNets (github.com/deepmind/slowfast_nfnets) to ours.

The network follows from names and shapes, but for strides: those are as published, for two pathways, for one whose
kernels part time and frequency, and for one whose kernels are square (NFNet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from slowfast_cli.models.spec import STAGES, Lateral, Net, Pathway
from slowfast_cli.models.zoo import NF_SLOW, NFNET
from slowfast_cli.types import Settings, WeightsError
from slowfast_cli.weights.foreign.pyslowfast import Converted

MODULE = re.compile(r"(?:^|/)((?:NFNet|nf_net)(?:_\d+)?)/")
FUSION = re.compile(r"fuse_fast2_slow(?:_(\d+))?/~/conv_f2s/(\w+)$")
PARTS = {
    "~/conv_shortcut": "shortcut",
    "~/conv0": "convs.0",
    "~/conv1": "convs.1",
    "~/conv1b": "convs.2",
    "~/conv2": "convs.3",
    "~/squeeze_excite/~/linear": "squeeze_excite.squeeze",
    "~/squeeze_excite/~/linear_1": "squeeze_excite.excite",
}
LEAVES = {"w": "weight", "b": "bias", "gain": "gain", "bias": "bias"}
# HARES Sec. 3; the window of the Fourier transform is ours.
FRONT_END: Settings = {"rate": 16000, "window_ms": 25, "hop_ms": 10, "mels": 80}


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of such a tree."""
    return any(re.search(r"(?:NFNet|nf_net)\w*/~/stem_conv0/w$", name) for name in state)


def convert(state: Mapping[str, Tensor]) -> Converted:
    """Translate a parameter tree.

    Args:
        state: Arrays by their path: ``slow_fast_nf_net/~/NFNet_1/~/stem_conv0/w`` (time, mel, in, out).

    Raises:
        WeightsError: It is no network of one or two pathways.
    """
    modules = list(dict.fromkeys(found[1] for name in state if (found := MODULE.search(name))))
    inside = {module: _inside(state, module) for module in modules}
    paths = {module: _pathway(tree) for module, tree in inside.items()}
    names = _pathway_names(paths)
    tensors: dict[str, Tensor] = {}
    for module, tree in inside.items():
        for theirs, value in tree.items():
            tensors[_ours(theirs, names[module], paths[module].depth)] = _turned(theirs, value)
    laterals = {}
    widths = list[int]()
    for theirs, value in state.items():
        if found := FUSION.search(theirs):
            stage = STAGES[int(found[1] or 0)]
            tensors[f"trunk.laterals.f2s_{stage}.conv.{LEAVES[found[2]]}"] = _turned(theirs, value)
            if found[2] == "w":
                widths.append(value.shape[3])
    if widths:
        laterals = {"f2s": Lateral(src="fast", dst="slow", kernel=7, widths=tuple(widths))}
    known = {theirs for theirs in state if MODULE.search(theirs) or FUSION.search(theirs)}
    return Converted(
        net=Net(pathways=_ordered(paths, names), laterals=laterals, standardise=True),
        heads={},
        state=tensors,
        front_end=FRONT_END,
        clip_seconds=3.0,
        views=10,
        unexpected=tuple(name for name in state if name not in known),
        notes=("the front end is not in the file: that of the paper is taken (HARES Sec. 3: 80 bands, 25 / 10 ms)",),
    )


def _inside(state: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    """The parameters of one pathway, by their names in it."""
    return {
        name[found.end() :]: value
        for name, value in state.items()
        if (found := MODULE.search(name)) and found[1] == module
    }


def _pathway(tree: Mapping[str, Tensor]) -> Pathway:
    """A pathway's sizes; how it strides is added once its neighbours are known."""
    starts = [block for block in range(_blocks(tree)) if f"{_block(block)}/~/conv_shortcut/w" in tree]
    stem = [tree.get(f"~/stem_conv{number}/w") for number in range(4)]
    if len(starts) != 4 or any(kernel is None for kernel in stem):
        raise WeightsError(
            f"a pathway with stages at blocks {starts} and {len(stem)} stem convolutions: want 4 of each"
        )
    last = [end - 1 for end in (*starts[1:], _blocks(tree))]
    kernels = [tree[f"{_block(start)}/~/conv1/w"] for start in starts]
    times = tuple(kernel.shape[0] for kernel in kernels)
    square = tree[f"{_block(0)}/~/conv1/w"].shape[1] > 1
    final = tree.get("~/final_conv/w")
    like = NFNET if square else NF_SLOW
    return replace(
        like,
        width=tree["~/stem_conv3/w"].shape[3],
        depth=tuple(  # type: ignore[arg-type]
            end - start + 1 for start, end in zip(starts, last, strict=True)
        ),
        widths=tuple(  # type: ignore[arg-type]
            tree[f"{_block(block)}/~/conv2/w"].shape[3] for block in last
        ),
        stem_time=tuple(  # type: ignore[arg-type]
            kernel.shape[0] for kernel in stem if kernel is not None
        ),
        time=(like.time[0], *times),  # type: ignore[arg-type]
        group=kernels[0].shape[2],
        final=final.shape[3] // final.shape[2] if final is not None else None,
        final_gain=False,
    )


def _pathway_names(paths: Mapping[str, Pathway]) -> dict[str, str]:
    """Ours by theirs: of two, the wider one is the slow one."""
    if len(paths) == 1:
        only = next(iter(paths.values()))
        return dict.fromkeys(paths, "audio" if only.time_in == "middle" else "fast" if only.time[1] > 1 else "slow")
    if len(paths) != 2:
        raise WeightsError(f"{len(paths)} pathways: right is one, or a fast and a slow one")
    fast, slow = sorted(paths, key=lambda module: paths[module].width)
    return {fast: "fast", slow: "slow"}


def _ordered(paths: Mapping[str, Pathway], names: Mapping[str, str]) -> dict[str, Pathway]:
    """Fast first, as their features are."""
    found = {names[module]: path for module, path in paths.items()}
    if len(found) == 1:
        return {name: replace(path, final_gain=True) for name, path in found.items()}
    return {"fast": found["fast"], "slow": replace(found["slow"], stride=4, pick="largest")}


def _block(number: int) -> str:
    return f"~/nf_block_{number}" if number else "~/nf_block"


def _blocks(tree: Mapping[str, Tensor]) -> int:
    return sum(name.endswith("/~/conv0/w") for name in tree)


def _ours(theirs: str, path: str, depth: Sequence[int]) -> str:
    """Our name of one parameter of a pathway."""
    module, leaf = theirs.rsplit("/", 1)
    if stem := re.fullmatch(r"~/stem_(conv\d)", module):
        return f"trunk.stages.{path}_stem.{stem[1]}.{LEAVES[leaf]}"
    if module == "~/final_conv":
        return f"trunk.stages.{path}_res5.final.{LEAVES[leaf]}"
    block = re.match(r"~/nf_block(?:_(\d+))?(?:/|$)", module)
    part = PARTS.get(module[block.end() :], "") if block else ""
    if not block or not (part or leaf == "skip_gain"):
        return f"unknown.{theirs}"
    number, stage = int(block[1] or 0), 0
    while stage < 3 and number >= depth[stage]:
        number, stage = number - depth[stage], stage + 1
    place = f"trunk.stages.{path}_{STAGES[stage + 1]}.{number}"
    return f"{place}.skip_gain" if leaf == "skip_gain" else f"{place}.{part}.{LEAVES.get(leaf, leaf)}"


def _turned(theirs: str, value: Tensor) -> Tensor:
    """(time, mel, in, out) to (out, in, time, mel), and (in, out) to (out, in)."""
    if not theirs.endswith("/w"):
        return value
    return value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value.T.contiguous()
