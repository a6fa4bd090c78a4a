"""The golden data of the reference implementations: weights by rule, outputs by file."""

import hashlib
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

REFERENCE = Path(__file__).parent / "reference"
ASF = sorted(path.stem for path in (REFERENCE / "models").glob("asf_*.json"))


def tensor(name: str, shape: list[int]) -> np.ndarray:
    """One entry of a state dict, drawn from a generator seeded by its name in the reference."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    n = np.asarray(np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(tuple(shape)))
    leaf = name.rpartition(".")[2]
    if leaf in ("running_mean", "bias"):
        n = 0.1 * n
    elif leaf == "running_var":
        n = 1 + 0.1 * np.abs(n)
    elif n.ndim == 2:
        n = n * 0.5 / math.sqrt(shape[1])
    elif n.ndim > 2:
        n = n * math.sqrt(2 / math.prod(shape[1:])) * (0.25 if name.endswith(".branch2.c.weight") else 1)
    else:
        n = 1 + 0.1 * n
    return n.astype(np.float32)


def model(name: str) -> tuple[dict, dict[str, torch.Tensor], torch.Tensor, dict[str, np.ndarray]]:
    """Description, state dict, input and outputs of one reference model."""
    told = json.loads((REFERENCE / "models" / f"{name}.json").read_text())
    state = {key: tensor(key, shape) for key, shape, _ in told["state_dict"]}
    digest = hashlib.sha256()
    for value in state.values():
        digest.update(np.ascontiguousarray(value).tobytes())
    if digest.hexdigest() != told["weights"]["sha256"]:
        raise RuntimeError(f"{name}: this numpy draws other weights than the golden ones")
    shape, seed = told["input"]["full"]["shape"], told["input"]["full"]["seed"]
    x = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(shape)).astype(np.float32)
    outputs = dict(np.load(REFERENCE / "models" / f"{name}.npz"))
    return told, {key: torch.from_numpy(np.array(value)) for key, value in state.items()}, torch.from_numpy(x), outputs


def asf_name(ours: str) -> str:
    """What the reference calls a tensor of ours."""
    name = ours
    for path, number in (("slow", 0), ("fast", 1)):
        name = name.replace(f"trunk.stages.{path}_stem", f"s1.pathway{number}_stem")
        for stage in range(2, 6):
            name = name.replace(f"trunk.stages.{path}_res{stage}.", f"s{stage}.pathway{number}_res")
    for at, stage in enumerate(("stem", "res2", "res3", "res4"), 1):
        name = name.replace(f"trunk.laterals.f2s_{stage}.conv", f"s{at}_fuse.conv_f2s")
        name = name.replace(f"trunk.laterals.f2s_{stage}.norm", f"s{at}_fuse.bn")
    name = name.replace("shortcut.conv", "branch1").replace("shortcut.norm", "branch1_bn")
    name = name.replace("heads.linears.label.0", "head.projection")
    for labels in ("verb", "noun"):
        name = name.replace(f"heads.linears.{labels}.0", f"head.projection_{labels}")
    if "_stem" in name:
        name = name.replace(".norm", ".bn")
    for letter in "abc":
        name = name.replace(f".{letter}_norm", f".branch2.{letter}_bn")
        name = name.replace(f".{letter}.weight", f".branch2.{letter}.weight")
    return name
