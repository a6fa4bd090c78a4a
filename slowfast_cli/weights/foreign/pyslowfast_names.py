"""Tensor names of SlowFast-family checkpoints: from three naming schemes to PySlowFast's, and from there to ours.

The schemes are PySlowFast's, which Auditory SlowFast and AVSlowFast share, PyTorchVideo's (``blocks.0...``) and
Caffe2's (``res2_0_branch2a_w``), each with or without the prefixes of trainers.
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from slowfast_cli.models.spec import STAGES

PREFIXES = ("module.", "model.")  # of DistributedDataParallel, and of a module that wraps the network
OPTIMIZER = re.compile(r".*(_momentum|_grad)|model_iter|lr|.*num_batches_tracked")

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


def to_pyslowfast(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to PySlowFast's names and drop optimizer state; names that no rule matches are kept."""
    return {_translate(_bare(name)): value for name, value in state.items() if not OPTIMIZER.fullmatch(name)}


def own_name(name: str, paths: Sequence[str]) -> str:
    """Translate PySlowFast's name to ours (``paths`` by its pathway number); return it unchanged if no rule matches."""
    for rule, text in OURS:
        if match := re.match(rule, name):
            fields = match.groupdict()
            if "stage" in fields:
                fields["stage"] = STAGES[int(fields["stage"]) - 1]
            if "path" in fields:
                if int(fields["path"]) >= len(paths):
                    return name
                fields["path"] = paths[int(fields["path"])]
            if "conv" in fields and "nonlocal" not in name:
                fields["conv"] = CONVS.get(fields["conv"], fields["conv"])
            return text.format(**fields) + name[match.end() :]
    return name


def is_detector(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a PyTorchVideo detector, the only scheme that names the head differently."""
    return any(_bare(name).startswith("detection_head.") for name in state)


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _translate(name: str) -> str:
    for rule, text in HUB:
        if match := re.match(rule, name):
            stage = str(int(match[1]) + 1) if "{0}" in text else ""
            name = match.expand(text.replace("{0}", stage)) + name[match.end() :]
            for pattern, replacement in HUB_INSIDE:
                name = re.sub(pattern, replacement, name)
            return name
    for rule, text in CAFFE2:
        if match := re.match(rule, name):
            path = "1" if name.startswith("t_") else "0"
            stem = re.sub(rule, text.replace(r"pathway\1", f"pathway{path}"), name[: match.end()])
            return stem + CAFFE2_LEAF.get(name[match.end() :], name[match.end() :])
    return name
