"""The golden data of the reference implementations: weights by rule, outputs by file."""

import hashlib
import json
import math
import re
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

REFERENCE = Path(__file__).parent / "assets" / "reference"
MODELS = REFERENCE / "models"
ASF = sorted(path.stem for path in MODELS.glob("asf_*.json"))
SOUNDS = "avslowfast_4x16_r50"  # keeps the batch of sounds that all three are trained on
VIDEO = [path.stem for kind in ("psf", "avslowfast") for path in sorted(MODELS.glob(f"{kind}_*.json"), reverse=True)]
LAST_OF_A_BRANCH = (".branch2.c.weight", ".conv_out.weight")  # damped, so that no sum over blocks blows up
LOOKED_UP_BY = (".conv_theta.weight", ".conv_phi.weight")


def normal(shape: list[int], seed: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(shape))


def tensor(name: str, shape: list[int], *, attention: float = 0.02) -> np.ndarray:
    """One entry of a state dict, drawn from a generator seeded by its name in the reference."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    n = np.asarray(normal(shape, zlib.crc32(name.encode())))
    leaf = name.rpartition(".")[2]
    if leaf in ("running_mean", "bias"):
        n = 0.1 * n
    elif leaf == "running_var":
        n = 1 + 0.1 * np.abs(n)
    elif n.ndim == 2:
        n = 0.5 / math.sqrt(shape[1]) * n
    elif n.ndim > 2:
        gain = math.sqrt(2 / math.prod(shape[1:]))
        gain *= 0.25 if name.endswith(LAST_OF_A_BRANCH) else 1
        n = gain * (attention if name.endswith(LOOKED_UP_BY) else 1) * n
    else:
        n = 1 + 0.1 * n
    return n.astype(np.float32)


@lru_cache(maxsize=1)  # tests of one model follow each other
def model(name: str) -> tuple[dict, dict[str, torch.Tensor], torch.Tensor, dict[str, np.ndarray]]:
    """Description, state dict, input and outputs of one reference model."""
    reported = json.loads((MODELS / f"{name}.json").read_text())
    attention = reported["weights"]["kwargs"].get("attn_gain", 0.02)
    state = {key: tensor(key, shape, attention=attention) for key, shape, _ in reported["state_dict"]}
    same(f"the weights of {name}", state.values(), reported["weights"]["sha256"])
    full = reported["input"]["full"]
    x = normal(full["shape"], full["seed"]).astype(np.float32)
    same(f"the input of {name}", [x], full["sha256"])
    outputs = dict(np.load(MODELS / f"{name}.npz"))
    return (
        reported,
        {key: torch.from_numpy(np.array(value)) for key, value in state.items()},
        torch.from_numpy(x),
        outputs,
    )


def sounds(reported: dict) -> torch.Tensor:
    """Log-mels (N, 2, T, F) that go with the frames of an audiovisual model: aligned and not, each of its own level."""
    audio = reported["input"]["audio"]
    clips = audio["shape"][0]
    level = np.arange(2 * clips).reshape(clips, 2, 1, 1) / (2 * clips - 1)
    x = normal(audio["shape"], audio["seed"]).astype(np.float32).astype(np.float64)
    x = (x * (0.4 + 1.2 * level) + (level - 0.5)).astype(np.float32)
    same("the sounds", [x], audio["sha256"])
    return torch.from_numpy(x)


def training_batch(reported: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames (4, 3, T, H, W), sounds (4, 2, T, F) and labels that an audiovisual model is trained on for one step."""
    batch = reported["train_mode"]["batch"]
    frames = normal(batch["video"]["shape"], batch["video"]["seed"]).astype(np.float32)
    with np.load(MODELS / f"{SOUNDS}.npz") as stored:
        audio = stored["train_mode/audio"]
    same("the frames", [frames], batch["video"]["sha256"])
    same("the sounds", [audio], batch["audio"]["sha256"])
    return torch.from_numpy(frames), torch.from_numpy(audio), torch.tensor(batch["labels"])


def same(what: str, arrays, sha256: str) -> None:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    if digest.hexdigest() != sha256:
        raise RuntimeError(f"{what}: this numpy draws others than the golden ones")


def spread64(values: np.ndarray) -> np.ndarray:
    """The values that the golden files keep of a large array."""
    return values.reshape(-1)[np.linspace(0, values.size - 1, 64).astype(np.int64)]


PATHWAYS = ("slow", "fast", "audio")
STAGES = ("stem", "res2", "res3", "res4", "res5")
# Ours to PySlowFast's, in this order; what they have in common is not listed.
WORDS = (
    (r"^trunk\.stages\.(slow|fast|audio)_(stem|res\d)\.(\d+)\.", r"\2.\1_res\3."),
    (r"^trunk\.stages\.(slow|fast|audio)_(stem|res\d)\.attend(\d+)\.", r"\2.\1_nonlocal\3."),
    (r"^trunk\.stages\.(slow|fast|audio)_stem\.", r"stem.\1_stem."),
    (r"^trunk\.laterals\.f2s_(stem|res\d)\.conv\.", r"\1_fuse.conv_f2s."),
    (r"^trunk\.laterals\.f2s_(stem|res\d)\.norm\.", r"\1_fuse.bn."),
    (r"^trunk\.laterals\.a2s_(stem|res\d)\.first(_norm)?\.", r"\1_fuse.conv_a2fs_0\2."),
    (r"^trunk\.laterals\.a2s_(stem|res\d)\.second(_norm)?\.", r"\1_fuse.conv_a2fs_1\2."),
    (r"\.conv(_a2fs_\d)_norm\.", r".bn\1."),
    (r"^sync\.see\.(res\d)\.", r"\1_fuse.avs.ref_fc."),
    (r"^sync\.hear\.(res\d)\.", r"\1_fuse.avs.query_fc."),
    (r"^heads\.linears\.label\.0\.", "head.projection."),
    (r"^heads\.linears\.(verb|noun)\.0\.", r"head.projection_\1."),
    (r"\.shortcut\.conv\.", ".branch1."),
    (r"\.shortcut\.norm\.", ".branch1_bn."),
    (r"(_stem|_nonlocal\d+)\.norm\.", r"\1.bn."),
    (r"_stem\.([tf])\.", r"_stem.conv_\1."),
    (r"(_nonlocal\d+)\.(theta|phi|g|out)\.", r"\1.conv_\2."),
    (r"(_res\d+)\.([abctf])_norm\.", r"\1.branch2.\2_bn."),
    (r"(_res\d+)\.([abctf])\.", r"\1.branch2.\2."),
)


def pyslowfast_name(ours: str) -> str:
    """What PySlowFast and Auditory SlowFast call a tensor of ours; not those of split blocks, which AVSlowFast adds."""
    name = ours
    for rule, text in WORDS:
        name = re.sub(rule, text, name)
    for number, stage in enumerate(STAGES, 1):
        name = re.sub(rf"^{stage}(?=[._])", f"s{number}", name)
    for number, path in enumerate(PATHWAYS):
        name = name.replace(f".{path}_", f".pathway{number}_")
    return name


@lru_cache(maxsize=1)
def haiku(name: str) -> tuple[dict, dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Description, parameter tree and outputs of one reference model in Haiku."""
    reported = json.loads((MODELS / f"{name}.json").read_text())
    tree = {key: haiku_tensor(key, shape) for key, shape, _ in reported["params"]}
    same(f"the weights of {name}", tree.values(), reported["weights"]["sha256"])
    return (
        reported,
        {key: torch.from_numpy(value) for key, value in tree.items()},
        dict(np.load(MODELS / f"{name}.npz")),
    )


def haiku_tensor(name: str, shape: list[int]) -> np.ndarray:
    n = np.asarray(normal(shape, zlib.crc32(name.encode())))
    kinds = {
        "skip_gain": lambda: 0.5 + 0.1 * n,
        "gain": lambda: 1 + 0.1 * n,
        "bias": lambda: 0.1 * n,
        "b": lambda: 0.1 * n,
        "w": lambda: n / math.sqrt(math.prod(shape[:-1])),
    }
    return np.array(kinds[name.rpartition("/")[2]]().astype(np.float32))


HAIKU_WORDS = (
    (r"shortcut", "~/conv_shortcut"),
    (r"convs\.0", "~/conv0"),
    (r"convs\.1", "~/conv1"),
    (r"convs\.2", "~/conv1b"),
    (r"convs\.3", "~/conv2"),
    (r"squeeze_excite\.squeeze", "~/squeeze_excite/~/linear"),
    (r"squeeze_excite\.excite", "~/squeeze_excite/~/linear_1"),
)


def haiku_name(net, ours: str) -> str:
    """What the reference calls a parameter of a SlowFast NFNet of ours."""
    linear = "squeeze_excite" in ours
    leaf = {"weight": "w", "bias": "b" if linear else "bias"}.get(ours.rpartition(".")[2], ours.rpartition(".")[2])
    if found := re.match(r"trunk\.laterals\.f2s_(\w+)\.conv", ours):
        number = STAGES.index(found[1])
        return f"slow_fast_nf_net/~/fuse_fast2_slow{f'_{number}' if number else ''}/~/conv_f2s/{leaf}"
    path, stage, rest = re.match(r"trunk\.stages\.(\w+)_(stem|res\d)\.(.*)\.", ours).groups()
    module = (
        "NFNet/" if len(net.pathways) == 1 else f"slow_fast_nf_net/~/{ {'fast': 'NFNet', 'slow': 'NFNet_1'}[path] }/"
    )
    if stage == "stem":
        return f"{module}~/stem_{rest}/{leaf}"
    if rest == "final":
        return f"{module}~/final_conv/{leaf}"
    block, _, part = rest.partition(".")
    number = int(block) + sum(net.pathways[path].depth[: STAGES.index(stage) - 1])
    for rule, text in HAIKU_WORDS:
        part = re.sub(rf"^{rule}$", text, part)
    place = f"{module}~/nf_block{f'_{number}' if number else ''}"
    return f"{place}/{part}/{leaf}" if part else f"{place}/{leaf}"


def unturned(ours: str, value: torch.Tensor) -> torch.Tensor:
    """Kernels as the reference keeps them: (time, mel, in, out), (in, out)."""
    if not ours.endswith(".weight"):
        return value
    return value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T
