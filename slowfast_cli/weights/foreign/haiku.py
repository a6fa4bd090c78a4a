"""Conversion of Haiku parameter trees of SlowFast NFNets (github.com/deepmind/slowfast_nfnets).

Names and shapes determine the network except for its strides, which are the published ones: of two pathways, of one
with separable kernels, or of one with square kernels (NFNet).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from slowfast_cli.models.spec import STAGES, Lateral, Net, Pathway
from slowfast_cli.models.zoo import NF_SLOW, NFNET
from slowfast_cli.types import Settings, WeightsError
from slowfast_cli.weights.foreign.pyslowfast import Checkpoint

MODULE = re.compile(r"(?:^|/)((?:NFNet|nf_net)(?:_\d+)?)/")
FUSION = re.compile(r"fuse_fast2_slow(?:_(\d+))?/~/conv_f2s/(\w+)$")
PARTS = {
    "~/conv_shortcut": "shortcut", "~/conv0": "convs.0", "~/conv1": "convs.1", "~/conv1b": "convs.2",
    "~/conv2": "convs.3", "~/squeeze_excite/~/linear": "squeeze_excite.squeeze",
    "~/squeeze_excite/~/linear_1": "squeeze_excite.excite",
}  # fmt: skip
LEAVES = {"w": "weight", "b": "bias", "gain": "gain", "bias": "bias"}
# HARES Sec. 3; the FFT size is our default.
FRONT_END: Settings = {"rate": 16000, "window_ms": 25, "hop_ms": 10, "mels": 80}


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a SlowFast NFNet."""
    return any(re.search(r"(?:NFNet|nf_net)\w*/~/stem_conv0/w$", name) for name in state)


def convert(state: Mapping[str, Tensor]) -> Checkpoint:
    """Convert a parameter tree.

    Args:
        state: Arrays by path: ``slow_fast_nf_net/~/NFNet_1/~/stem_conv0/w`` (time, mel, in, out).

    Raises:
        WeightsError: The network does not have one or two pathways of four stages.
    """
    trees: dict[str, dict[str, Tensor]] = {}  # parameters of each pathway, by their names in it
    for name, value in state.items():
        if match := MODULE.search(name):
            trees.setdefault(match[1], {})[name[match.end() :]] = value
    paths = {module: _pathway(tree) for module, tree in trees.items()}
    names = _pathway_names(paths)
    tensors: dict[str, Tensor] = {}
    for module, tree in trees.items():
        for name, value in tree.items():
            tensors[_own_name(name, names[module], paths[module].depth)] = _transpose(name, value)
    widths: list[int] = []
    for name, value in state.items():
        if match := FUSION.search(name):
            stage = STAGES[int(match[1] or 0)]
            tensors[f"trunk.laterals.f2s_{stage}.conv.{LEAVES[match[2]]}"] = _transpose(name, value)
            if match[2] == "w":
                widths.append(value.shape[3])
    laterals = {"f2s": Lateral(src="fast", dst="slow", kernel=7, widths=tuple(widths))} if widths else {}
    return Checkpoint(
        net=Net(pathways=_assign_strides(paths, names), laterals=laterals, standardise=True), heads={}, state=tensors,
        front_end=FRONT_END, clip_seconds=3.0, views=10,
        unexpected=tuple(name for name in state if not (MODULE.search(name) or FUSION.search(name))),
        notes=("the front end is not in the file: as published (HARES Sec. 3: 80 bands, 25 ms window, 10 ms hop)",),
    )  # fmt: skip


def _pathway(tree: Mapping[str, Tensor]) -> Pathway:
    """Read the sizes of a pathway off its parameters; `_assign_strides` completes it."""
    starts = [block for block in range(_blocks(tree)) if f"{_block(block)}/~/conv_shortcut/w" in tree]
    stem = [tree.get(f"~/stem_conv{number}/w") for number in range(4)]
    if len(starts) != 4 or any(kernel is None for kernel in stem):
        raise WeightsError(
            f"a pathway has stages that start at blocks {starts} and {sum(kernel is not None for kernel in stem)} stem "
            "convolutions, expected 4 of each"
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
    """Map modules to names of our pathways; of two, the wider one is Slow."""
    if len(paths) == 1:
        only = next(iter(paths.values()))
        return dict.fromkeys(paths, "audio" if only.time_in == "middle" else "fast" if only.time[1] > 1 else "slow")
    if len(paths) != 2:
        raise WeightsError(f"found {len(paths)} pathways, expected one, or a fast and a slow one")
    fast, slow = sorted(paths, key=lambda module: paths[module].width)
    return {fast: "fast", slow: "slow"}


def _assign_strides(paths: Mapping[str, Pathway], names: Mapping[str, str]) -> dict[str, Pathway]:
    """Complete the pathways; Fast comes first, as its features do in the published network."""
    named = {names[module]: path for module, path in paths.items()}
    if len(named) == 1:
        return {name: replace(path, final_gain=True) for name, path in named.items()}
    return {"fast": named["fast"], "slow": replace(named["slow"], stride=4, pick="largest")}


def _block(number: int) -> str:
    return f"~/nf_block_{number}" if number else "~/nf_block"


def _blocks(tree: Mapping[str, Tensor]) -> int:
    return sum(name.endswith("/~/conv0/w") for name in tree)


def _own_name(name: str, path: str, depth: Sequence[int]) -> str:
    """Translate the name of a parameter of a pathway to ours."""
    module, leaf = name.rsplit("/", 1)
    if stem := re.fullmatch(r"~/stem_(conv\d)", module):
        return f"trunk.stages.{path}_stem.{stem[1]}.{LEAVES[leaf]}"
    if module == "~/final_conv":
        return f"trunk.stages.{path}_res5.final.{LEAVES[leaf]}"
    block = re.match(r"~/nf_block(?:_(\d+))?(?:/|$)", module)
    part = PARTS.get(module[block.end() :], "") if block else ""
    if not block or not (part or leaf == "skip_gain"):
        return f"unknown.{name}"
    number, stage = int(block[1] or 0), 0
    while stage < 3 and number >= depth[stage]:
        number, stage = number - depth[stage], stage + 1
    prefix = f"trunk.stages.{path}_{STAGES[stage + 1]}.{number}"
    return f"{prefix}.skip_gain" if leaf == "skip_gain" else f"{prefix}.{part}.{LEAVES.get(leaf, leaf)}"


def _transpose(name: str, value: Tensor) -> Tensor:
    """Permute kernels (time, mel, in, out) to (out, in, time, mel), and matrices (in, out) to (out, in)."""
    if not name.endswith("/w"):
        return value
    return value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value.T.contiguous()
