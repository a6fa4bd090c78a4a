"""Tensor names of public checkpoints of the SlowFast family: into PySlowFast's, and from those into ours.

PySlowFast's own, which Auditory SlowFast and AVSlowFast share; PyTorchVideo's, of the hub (``blocks.0...``) and with
the prefixes that trainers put before them; Caffe2's blobs (``res2_0_branch2a_w``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from slowfast_cli.models.spec import STAGES

PREFIXES = ("module.", "model.")  # of DistributedDataParallel, and of a module that holds the network
OPTIMISER = re.compile(r".*(_momentum|_grad)|model_iter|lr|.*num_batches_tracked")

_STAGE, _PATH = r"^s(?P<stage>[1-5])", r"\.pathway(?P<path>[0-2])"
_BLOCK = _STAGE + _PATH + r"_res(?P<block>\d+)\."
_FUSE, _ATTEND = _STAGE + r"_fuse\.", _STAGE + _PATH + r"_nonlocal(?P<block>\d+)\."
_IN_BLOCK, _IN_LATERAL = "trunk.stages.{path}_{stage}.{block}.", "trunk.laterals.{lateral}_{stage}."
OURS = (
    (_STAGE + _PATH + r"_stem\.bn\.", "trunk.stages.{path}_{stage}.norm."),
    (_STAGE + _PATH + r"_stem\.conv_(?P<axis>[tf])\.", "trunk.stages.{path}_{stage}.{axis}."),
    (_STAGE + _PATH + r"_stem\.", "trunk.stages.{path}_{stage}."),
    (_BLOCK + r"branch1_bn\.", _IN_BLOCK + "shortcut.norm."),
    (_BLOCK + r"branch1\.", _IN_BLOCK + "shortcut.conv."),
    (_BLOCK + r"branch2\.(?P<conv>out|b_t|b_f|[abctf])_bn\.", _IN_BLOCK + "{conv}_norm."),
    (_BLOCK + r"branch2\.(?P<conv>out|b_t|b_f|[abctf])\.", _IN_BLOCK + "{conv}."),
    (_ATTEND + r"conv_(?P<conv>theta|phi|g|out)\.", "trunk.stages.{path}_{stage}.attend{block}.{conv}."),
    (_ATTEND + r"bn\.", "trunk.stages.{path}_{stage}.attend{block}.norm."),
    (_FUSE + r"conv_f2s\.", "trunk.laterals.f2s_{stage}.conv."),
    (_FUSE + r"bn(_f2s)?\.", "trunk.laterals.f2s_{stage}.norm."),
    (_FUSE + r"conv_a2fs_0\.", "trunk.laterals.a2s_{stage}.first."),
    (_FUSE + r"bn_a2fs_0\.", "trunk.laterals.a2s_{stage}.first_norm."),
    (_FUSE + r"conv_a2fs_1\.", "trunk.laterals.a2s_{stage}.second."),
    (_FUSE + r"bn_a2fs_1\.", "trunk.laterals.a2s_{stage}.second_norm."),
    (_FUSE + r"avs\.ref_fc\.", "sync.see.{stage}."),
    (_FUSE + r"avs\.query_fc\.", "sync.hear.{stage}."),
    (r"^head\.projection_(?P<head>verb|noun)\.", "heads.linears.{head}.0."),
    (r"^head\.projection\.", "heads.linears.label.0."),
)
CONVS = {"b_t": "t", "b_f": "f", "out": "c"}  # of split blocks, in ours

HUB = (
    (r"^blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)\.", r"s{0}.pathway\2_res\3."),
    (r"^blocks\.(\d)\.res_blocks\.(\d+)\.", r"s{0}.pathway0_res\2."),
    (r"^blocks\.0\.multipathway_blocks\.(\d)\.norm\.", r"s1.pathway\1_stem.bn."),
    (r"^blocks\.0\.multipathway_blocks\.(\d)\.conv\.", r"s1.pathway\1_stem.conv."),
    (r"^blocks\.0\.norm\.", "s1.pathway0_stem.bn."),
    (r"^blocks\.0\.conv\.", "s1.pathway0_stem.conv."),
    (r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.", r"s{0}_fuse.conv_f2s."),
    (r"^blocks\.(\d)\.multipathway_fusion\.norm\.", r"s{0}_fuse.bn."),
    (r"^(blocks\.\d+|detection_head)\.proj\.", "head.projection."),
)
HUB_INSIDE = (
    (r"\.branch1_conv\.", ".branch1."),
    (r"\.branch1_norm\.", ".branch1_bn."),
    (r"\.branch2\.conv_([abc])\.", r".branch2.\1."),
    (r"\.branch2\.norm_([abc])\.", r".branch2.\1_bn."),
)
CAFFE2 = (
    (r"^nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)_", r"s\1.pathway0_nonlocal\2.conv_\3."),
    (r"^nonlocal_conv(\d)_(\d+)_bn_", r"s\1.pathway0_nonlocal\2.bn."),
    (r"^t_pool1_subsample_bn_", "s1_fuse.bn."),
    (r"^t_pool1_subsample_", "s1_fuse.conv_f2s."),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_bn_", r"s\1_fuse.bn."),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_", r"s\1_fuse.conv_f2s."),
    (r"^(t_)?res_conv1_bn_", r"s1.pathway\1_stem.bn."),
    (r"^(t_)?(res_)?conv1_", r"s1.pathway\1_stem.conv."),
    (r"^(t_)?res(\d)_(\d+)_branch1_bn_", r"s\2.pathway\1_res\3.branch1_bn."),
    (r"^(t_)?res(\d)_(\d+)_branch1_", r"s\2.pathway\1_res\3.branch1."),
    (r"^(t_)?res(\d)_(\d+)_branch2([abc])_bn_", r"s\2.pathway\1_res\3.branch2.\4_bn."),
    (r"^(t_)?res(\d)_(\d+)_branch2([abc])_", r"s\2.pathway\1_res\3.branch2.\4."),
    (r"^pred_", "head.projection."),
)
CAFFE2_LEAF = {"w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var"}


def pyslowfast(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under PySlowFast's names, whichever of the three it uses; others keep theirs."""
    found = {}
    for name, value in state.items():
        if not OPTIMISER.fullmatch(name):
            found[_translated(_bare(name))] = value
    return found


def ours(name: str, paths: Sequence[str]) -> str:
    """Our name for one of PySlowFast's; the same name where no rule knows it.

    Args:
        name: As PySlowFast has it.
        paths: Our pathways in the order of its numbers.
    """
    for rule, text in OURS:
        if match := re.match(rule, name):
            found = match.groupdict()
            if "stage" in found:
                found["stage"] = STAGES[int(found["stage"]) - 1]
            if "path" in found:
                if int(found["path"]) >= len(paths):
                    return name
                found["path"] = paths[int(found["path"])]
            if "conv" in found and "nonlocal" not in name:
                found["conv"] = CONVS.get(found["conv"], found["conv"])
            return text.format(**found) + name[match.end() :]
    return name


def detects(state: Mapping[str, Tensor]) -> bool:
    """Whether the names alone show that boxes are classified, as those of the hub's detectors do."""
    return any(_bare(name).startswith("detection_head.") for name in state)


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _translated(name: str) -> str:
    for rule, text in HUB:
        if match := re.match(rule, name):
            stage = str(int(match[1]) + 1) if "{0}" in text else ""
            name = match.expand(text.replace("{0}", stage)) + name[match.end() :]
            for inside, instead in HUB_INSIDE:
                name = re.sub(inside, instead, name)
            return name
    for rule, text in CAFFE2:
        if match := re.match(rule, name):
            path = "1" if name.startswith("t_") else "0"
            stem = re.sub(rule, text.replace(r"pathway\1", f"pathway{path}"), name[: match.end()])
            return stem + CAFFE2_LEAF.get(name[match.end() :], name[match.end() :])
    return name
