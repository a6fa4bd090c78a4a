"""Our weight file: safetensors whose header says all that is needed to use it.

The tensors are the model's; the header entry ``slowfast`` is the JSON of a `Card`. Nothing in such a file can run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from slowfast_cli.models.architecture import Architecture, Baseline, from_dict
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Stage
from slowfast_cli.types import Seconds, Settings, WeightsError, finite

FORMAT = 1
KEY = "slowfast"
DEFAULT = Path(__file__).parent / "default.safetensors"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a weight file says of itself.

    Attributes:
        net: The network.
        classes: Class names by label set, in the order of the outputs.
        front_end: Settings of the log-mel it reads; empty for a network that hears nothing.
        clip_seconds: Length of the clips it was trained on.
        views: Clips over which a segment's prediction is averaged.
        video: Settings of the frames it looks at; empty for a network that sees nothing.
        sigmoid: Whether each class stands for itself, or one of a label set is chosen.
        sync: Stages at which it compares sound and pictures.
        hidden: Units of a hidden layer before its classifiers; 0: none.
        silence: Whether clips that are too short are filled up by silence, rather than by their last frame.
        recipe: What it was trained by.
        source: Where the weights come from.
        licence: Of the weights.
        scores: What it scored, by metric.
        notes: What a user should know.
    """

    net: Architecture
    classes: Mapping[str, tuple[str, ...]]
    front_end: Settings
    clip_seconds: Seconds
    views: int = 1
    video: Mapping[str, Any] = field(default_factory=dict)
    sigmoid: bool = False
    sync: tuple[Stage, ...] = ()
    hidden: int = 0
    silence: bool = False
    recipe: str = ""
    source: str = ""
    licence: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def model(self, *, dropout: float = 0.0, freeze_bn: str = "none") -> Recognizer:
        """A network of this kind, freshly initialised."""
        sizes = {labels: len(names) for labels, names in self.classes.items()}
        return Recognizer(self.net, sizes, dropout=dropout, freeze_bn=freeze_bn, sync=self.sync, hidden=self.hidden)


def save(path: Path, state: Mapping[str, Tensor], card: Card, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a weight file.

    Args:
        path: Its folder exists.
        state: The model's state dict.
        card: What it is.
        dtype: Of the stored floats.
    """
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    path.write_bytes(serialise(tensors, {KEY: json.dumps(describe(card), ensure_ascii=False)}))


def describe(card: Card) -> dict[str, Any]:
    """A card as plain values, for JSON."""
    plain: dict[str, Any] = finite({**asdict(card), "format": FORMAT})
    return plain


def read_card(path: Path) -> Card:
    """The header of a weight file.

    Raises:
        WeightsError: Not such a file.
    """
    with _opened(path) as file:
        return _card(path, file.metadata() or {})


def read(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Header and tensors of a weight file.

    Raises:
        WeightsError: Not such a file.
    """
    with _opened(path) as file:
        return _card(path, file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file; `slowfast weights ls` lists those that can be had by name")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file ({error}); convert foreign checkpoints with "
            f"`slowfast weights convert {path.name} OUT.safetensors`"
        ) from error


def _card(path: Path, header: Mapping[str, str]) -> Card:
    try:
        plain = json.loads(header[KEY])
        if plain.pop("format") != FORMAT:
            raise WeightsError(f"{path}: made by a newer slowfast; upgrade to use it")
        classes = {labels: tuple(names) for labels, names in plain.pop("classes").items()}
        plain["scores"] = {key: value for key, value in plain["scores"].items() if value is not None}
        notes, sync = tuple(plain.pop("notes")), tuple(plain.pop("sync", ()))
        return Card(net=from_dict(plain.pop("net")), classes=classes, notes=notes, sync=sync, **plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: its header does not describe a slowfast model ({error!r})") from error


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What came over when weights were put into a model.

    Attributes:
        loaded: Names of tensors that were.
        fresh: The model's, kept as initialised: not in the file, or of another shape there.
        unused: The file's, without a place in the model.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def put(model: torch.nn.Module, state: Mapping[str, Tensor]) -> Loaded:
    """Copy every tensor whose name and shape fit; say which did."""
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    fits = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    model.load_state_dict(fits, strict=False)
    return Loaded(
        loaded=tuple(fits),
        fresh=tuple(name for name in own if name not in fits),
        unused=tuple(name for name in state if name not in fits),
    )


def require_own(path: Path, card: Card, trusted: str | None = None) -> None:
    """Refuse weights whose network is code of somebody's: nothing in a weight file may run.

    Args:
        path: The file.
        card: What it says of itself.
        trusted: The module that the user has named, which may.

    Raises:
        WeightsError: They are, and the user has not named it.
    """
    kind = card.net.kind if isinstance(card.net, Baseline) else ""
    if ":" in kind and kind != trusted:
        raise WeightsError(
            f"{path}: its network is the module {kind}, which a weight file may not run: where you trust it, name it "
            f"yourself, as model.variant={kind}"
        )


def build(path: Path, *, trusted: str | None = None) -> tuple[Card, Recognizer]:
    """The model of a weight file, in eval mode.

    Args:
        path: The file.
        trusted: A module of the user's that may be its network.

    Raises:
        WeightsError: Not such a file, or tensors that do not fit its own header.
    """
    card, state = read(path)
    require_own(path, card, trusted)
    model = card.model()
    told = put(model, state)
    if told.fresh or told.unused:
        raise WeightsError(
            f"{path}: its tensors do not fit its header: missing {told.fresh[:3]}, unexpected {told.unused[:3]}"
        )
    return card, model.eval()


def load_model(path: str | Path) -> Recognizer:
    """A trained model, in eval mode, on the CPU.

    Args:
        path: A ``.safetensors`` file written by slowfast, or a run folder.

    Returns:
        ``model({"logmel": (B, 1, T, F), "frames": (B, 3, T, H, W)})``, whichever the network reads, gives logits by
        label set, ``{"label": (B, classes)}`` or ``{"verb": ..., "noun": ...}``; a detector takes
        ``model(signals, boxes=(N, 5))`` (row of the batch, x1, y1, x2, y2 in pixels) and gives (N, classes).
        ``model.card`` says classes, front end and frames.

    Raises:
        WeightsError: Not such a file.
    """
    found = Path(path)
    card, model = build(newest(found) if found.is_dir() else found)
    model.card = card  # type: ignore[assignment]
    return model


def newest(run: Path) -> Path:
    """The best weights of a run folder, or its last ones.

    Raises:
        WeightsError: It holds none.
    """
    for name in ("best.safetensors", "last.safetensors"):
        if (run / name).is_file():
            return run / name
    raise WeightsError(f"{run}: a folder without best.safetensors or last.safetensors: not a finished run")
