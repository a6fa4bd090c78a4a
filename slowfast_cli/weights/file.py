"""Weight files: safetensors with a JSON `Card` in the header entry ``slowfast``; loading one executes nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from slowfast_cli.models.architecture import Architecture, from_dict
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Stage
from slowfast_cli.types import Seconds, Settings, WeightsError, finite

FORMAT = 1
KEY = "slowfast"
DEFAULT = Path(__file__).parent / "default.safetensors"


@dataclass(frozen=True, kw_only=True)
class Card:
    """Metadata of a weight file: all that is needed to build the model and prepare its inputs."""

    net: Architecture
    classes: Mapping[str, tuple[str, ...]]  # class names by label set, in the order of the outputs
    front_end: Settings  # of the log-mel; empty for a network without audio
    clip_seconds: Seconds  # length of the training clips
    views: int = 1  # test views whose predictions are averaged
    video: Mapping[str, Any] = field(default_factory=dict)  # settings of the frames; empty for a network without video
    sigmoid: bool = False  # independent classes (sigmoid) instead of exclusive ones (softmax)
    sync: tuple[Stage, ...] = ()  # stages with AV-sync projections
    hidden: int = 0  # units of the hidden layer before the classifiers; 0: none
    silence: bool = False  # pad short clips with silence instead of their last frame
    recipe: str = ""  # name of the training recipe
    source: str = ""  # URL or file that the weights come from
    licence: str = ""  # license of the weights; spelled so in files of format 1
    scores: Mapping[str, float] = field(default_factory=dict)  # by metric
    notes: tuple[str, ...] = ()  # remarks for users

    def model(self, *, dropout: float = 0.0, freeze_bn: str = "none") -> Recognizer:
        """Build the network, with freshly initialized weights."""
        sizes = {labels: len(names) for labels, names in self.classes.items()}
        return Recognizer(self.net, sizes, dropout=dropout, freeze_bn=freeze_bn, sync=self.sync, hidden=self.hidden)


def save(path: Path, state: Mapping[str, Tensor], card: Card, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a weight file with float tensors as ``dtype``; batch counters of BatchNorm are dropped."""
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    path.write_bytes(serialize(tensors, {KEY: json.dumps(describe(card), ensure_ascii=False)}))


def describe(card: Card) -> dict[str, Any]:
    """Convert a card to plain values for JSON."""
    plain: dict[str, Any] = finite({**asdict(card), "format": FORMAT})
    return plain


def read_card(path: Path) -> Card:
    """Read the metadata; raise `WeightsError` if the file is missing, not safetensors, or without a valid card."""
    with _open(path) as file:
        return _parse_card(path, file.metadata() or {})


def read(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Read the metadata and the tensors of a weight file; raise `WeightsError` as `read_card` does."""
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _parse_card(path, file.metadata() or {}), tensors


@contextmanager
def _open(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file; `slowfast weights ls` lists the official weights")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file ({error}); `slowfast weights convert {path.name} OUT.safetensors`"
        ) from error


def _parse_card(path: Path, header: Mapping[str, str]) -> Card:
    try:
        plain = json.loads(header[KEY])
        if (version := plain.pop("format")) != FORMAT:
            raise WeightsError(f"{path}: format {version}, expected {FORMAT}: written by a newer slowfast; upgrade it")
        classes = {labels: tuple(names) for labels, names in plain.pop("classes").items()}
        plain["scores"] = {key: value for key, value in plain["scores"].items() if value is not None}
        notes, sync = tuple(plain.pop("notes")), tuple(plain.pop("sync", ()))
        return Card(net=from_dict(plain.pop("net")), classes=classes, notes=notes, sync=sync, **plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: its header does not describe a slowfast model ({error!r})") from error


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Which tensors `load_matching` copied."""

    loaded: tuple[str, ...]  # names of copied tensors
    fresh: tuple[str, ...]  # tensors of the model left as initialized: missing in the file, or of another shape
    unused: tuple[str, ...]  # tensors of the file that are not in the model, or of another shape


def load_matching(model: torch.nn.Module, state: Mapping[str, Tensor]) -> Loaded:
    """Copy every tensor whose name and shape match into a model."""
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    matching = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    model.load_state_dict(matching, strict=False)
    return Loaded(
        loaded=tuple(matching),
        fresh=tuple(name for name in own if name not in matching),
        unused=tuple(name for name in state if name not in matching),
    )


def build(path: Path) -> tuple[Card, Recognizer]:
    """Build the model of a weight file, in eval mode.

    Raises:
        WeightsError: The file is not a weight file, or its tensors do not match its card.
        UsageError: Its network is a Python module that the user has not named, see `slowfast_cli.models.external`.
    """
    card, state = read(path)
    model = card.model()
    result = load_matching(model, state)
    if result.fresh or result.unused:
        raise WeightsError(
            f"{path}: its tensors do not match its header: missing {result.fresh[:3]}, unexpected {result.unused[:3]}"
        )
    return card, model.eval()


def load_model(path: str | Path) -> Recognizer:
    """Load a trained model, in eval mode, on the CPU.

    Args:
        path: A ``.safetensors`` file written by slowfast, or a run folder.

    Returns:
        The model, with its metadata as ``model.card``. ``model({"logmel": (B, 1, T, F), "frames": (B, 3, T, H, W)})``,
        with the signals that the network reads, returns logits by label set, ``{"label": (B, classes)}`` or
        ``{"verb": ..., "noun": ...}``. A detector takes ``model(signals, boxes=(N, 5))``, with batch row, x1, y1, x2,
        y2 in pixels, and returns (N, classes).

    Raises:
        WeightsError: The file is not a weight file.
    """
    file = Path(path)
    card, model = build(run_weights(file) if file.is_dir() else file)
    model.card = card  # type: ignore[assignment]
    return model


def run_weights(run: Path) -> Path:
    """Find the best weights of a run folder, or else the last ones; raise `WeightsError` without either."""
    for name in ("best.safetensors", "last.safetensors"):
        if (run / name).is_file():
            return run / name
    raise WeightsError(f"{run}: a folder without best.safetensors or last.safetensors: not a finished run")
