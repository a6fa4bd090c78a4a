"""Tensor names of our networks in PySlowFast and PyTorchVideo: the inverse of `pyslowfast_names`.

PySlowFast's are those of Auditory SlowFast and AVSlowFast as well.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from slowfast_cli.models.architecture import Architecture
from slowfast_cli.models.spec import STAGES, Net
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.foreign.pyslowfast_names import own_name

_STAGE = r"^trunk\.stages\.(?P<path>\w+)_(?P<stage>stem|res\d)\."
_BLOCK = _STAGE + r"(?P<block>\d+)\."
THEIRS = (
    (_STAGE + r"norm\.", "{s}.pathway{p}_stem.bn."),
    (_STAGE + r"(?P<axis>[tf])\.", "{s}.pathway{p}_stem.conv_{axis}."),
    (_BLOCK + r"shortcut\.norm\.", "{s}.pathway{p}_res{block}.branch1_bn."),
    (_BLOCK + r"shortcut\.conv\.", "{s}.pathway{p}_res{block}.branch1."),
    (_STAGE + r"attend(?P<block>\d+)\.norm\.", "{s}.pathway{p}_nonlocal{block}.bn."),
    (_STAGE + r"attend(?P<block>\d+)\.(?P<conv>theta|phi|g|out)\.", "{s}.pathway{p}_nonlocal{block}.conv_{conv}."),
    (_BLOCK + r"(?P<conv>[abctf])_norm\.", "{s}.pathway{p}_res{block}.branch2.{conv}_bn."),
    (_BLOCK + r"(?P<conv>[abctf])\.", "{s}.pathway{p}_res{block}.branch2.{conv}."),
    (r"^trunk\.stages\.(?P<path>\w+)_(?P<stage>stem)\.", "{s}.pathway{p}_stem."),
    (r"^trunk\.laterals\.f2s_(?P<stage>stem|res\d)\.conv\.", "{s}_fuse.conv_f2s."),
    (r"^trunk\.laterals\.f2s_(?P<stage>stem|res\d)\.norm\.", "{s}_fuse.{bn}."),
    (r"^trunk\.laterals\.a2s_(?P<stage>stem|res\d)\.first\.", "{s}_fuse.conv_a2fs_0."),
    (r"^trunk\.laterals\.a2s_(?P<stage>stem|res\d)\.first_norm\.", "{s}_fuse.bn_a2fs_0."),
    (r"^trunk\.laterals\.a2s_(?P<stage>stem|res\d)\.second\.", "{s}_fuse.conv_a2fs_1."),
    (r"^trunk\.laterals\.a2s_(?P<stage>stem|res\d)\.second_norm\.", "{s}_fuse.bn_a2fs_1."),
    (r"^sync\.see\.(?P<stage>res\d)\.", "{s}_fuse.avs.ref_fc."),
    (r"^sync\.hear\.(?P<stage>res\d)\.", "{s}_fuse.avs.query_fc."),
    (r"^heads\.linears\.(?P<head>verb|noun)\.0\.", "head.projection_{head}."),
    (r"^heads\.linears\.label\.0\.", "head.projection."),
)
SPLIT = {"t": "b_t", "f": "b_f", "c": "c"}  # of blocks that sum their split convolutions
SPLIT_CONCAT = {"t": "t", "f": "f", "c": "out"}  # of blocks that concatenate them
HUB = (
    (r"^s1\.pathway(\d)_stem\.bn\.", "blocks.0.{multi}norm."),
    (r"^s1\.pathway(\d)_stem\.conv\.", "blocks.0.{multi}conv."),
    (r"^s(?P<n>[2-5])\.pathway(\d)_res(?P<block>\d+)\.", "blocks.{stage}.{multi}res_blocks.{block}."),
    (r"^s(?P<n>[1-5])_fuse\.conv_f2s\.", "blocks.{stage}.multipathway_fusion.conv_fast_to_slow."),
    (r"^s(?P<n>[1-5])_fuse\.bn\.", "blocks.{stage}.multipathway_fusion.norm."),
)
HUB_INSIDE = (
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
)


def to_pyslowfast(net: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of one of our networks as PySlowFast, Auditory SlowFast or AVSlowFast do.

    Args:
        net: The network.
        state: Its tensors.

    Returns:
        The tensors, audio kernels of audiovisual networks with their third axis, and BatchNorm's counters.

    Raises:
        WeightsError: The network, or a tensor of it, has no name there.
    """
    if not isinstance(net, Net) or any(
        (path.norm, path.block) != ("batch", "residual") for path in net.pathways.values()
    ):
        raise WeightsError("these weights are of a network that PySlowFast does not have")
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        theirs = _their_name(name, net, state)
        if own_name(theirs, list(net.pathways)) != name:
            raise WeightsError(f"{name}: has no name in PySlowFast")
        audio = len(net.signals) > 1 and (".audio_" in name or ".a2s_" in name)
        renamed[theirs] = value.unsqueeze(2) if audio and value.ndim == 4 else value
        if name.endswith("running_var"):
            renamed[theirs.replace("running_var", "num_batches_tracked")] = value.new_zeros((), dtype=torch.long)
    return renamed


def to_pytorchvideo(net: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a network for frames as PyTorchVideo's hub models do.

    Raises:
        WeightsError: PyTorchVideo has no such network.
    """
    several = isinstance(net, Net) and len(net.pathways) > 1
    renamed = {}
    for name, value in to_pyslowfast(net, state).items():
        theirs = _hub_name(name, several=several)
        if theirs is None or not isinstance(net, Net) or net.signals != {"frames"} or net.regions != "none":
            raise WeightsError(f"{name}: these weights are of a network that PyTorchVideo's hub does not have")
        renamed[theirs] = value
    return renamed


def _their_name(name: str, net: Net, state: Mapping[str, Tensor]) -> str:
    for rule, text in THEIRS:
        if match := re.match(rule, name):
            found = match.groupdict()
            stage = found.get("stage")
            if found.get("path") is not None and found["path"] not in net.pathways:
                continue
            conv = found.get("conv")
            if conv and "block" in found and "attend" not in name:
                stem = name[: match.start("conv")]
                if f"{stem}t.weight" in state:
                    found["conv"] = (SPLIT if f"{stem}a.weight" in state else SPLIT_CONCAT).get(conv, conv)
            number = f"s{STAGES.index(stage) + 1}" if stage else ""
            place = str(list(net.pathways).index(found["path"])) if found.get("path") else ""
            bn = "bn_f2s" if any("a2s" in lateral for lateral in net.laterals) else "bn"
            return text.format(**{**found, "s": number, "p": place, "bn": bn}) + name[match.end() :]
    return name


def _hub_name(name: str, *, several: bool) -> str | None:
    if name.startswith("head.projection."):
        return f"blocks.{6 if several else 5}.proj.{name.removeprefix('head.projection.')}"
    for rule, text in HUB:
        if match := re.match(rule, name):
            found = match.groupdict()
            multi = f"multipathway_blocks.{name.partition('.pathway')[2][:1]}." if several else ""
            stage = int(found["n"]) - 1 if found.get("n") else 0
            theirs = text.format(multi=multi, stage=stage, block=found.get("block", "")) + name[match.end() :]
            for pattern, replacement in HUB_INSIDE:
                theirs = re.sub(pattern, replacement, theirs)
            return theirs
    return None
