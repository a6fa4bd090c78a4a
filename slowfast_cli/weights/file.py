"""Weight files: safetensors with a JSON `Card` in the header entry ``slowfast``; loading one executes nothing."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from slowfast_cli.models.architecture import Architecture, from_dict
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Net, Stage
from slowfast_cli.settings import FrontEnd
from slowfast_cli.storage.run_list import other_runs
from slowfast_cli.types import Seconds, Settings, SlowFastError, WeightsError, finite, text_of

FORMAT = 1
KEY = "slowfast"
MAX_NUMBER, MAX_BLOCKS = 1_000_000, 1000  # of a header; no network has more channels or blocks
EXPORTED = (".onnx", ".xml", ".pt2")  # suffixes of `slowfast_cli.inference.choose.ENGINES`
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
    unknown: str = ""  # class that means none of the others
    threshold: float = 0.0  # score of the best class below which the answer is none of them
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of events, by label set and class
    silence: bool = False  # pad short clips with silence instead of their last frame
    recipe: str = ""  # name of the training recipe
    trained_on: str = ""  # hash of the training segments, see `slowfast_cli.build.corpus.segments_hash`
    train_split: str = ""  # split of the training segments, as the data set names it
    source: str = ""  # URL or file that the weights come from
    licence: str = ""  # license of the weights; spelled so in files of format 1
    scores: Mapping[str, float] = field(default_factory=dict)  # by metric
    notes: tuple[str, ...] = ()  # remarks for users

    def log_mel(self) -> FrontEnd:
        """Settings of the log-mel, or of the samples that the network reads.

        Raises:
            TypeError: A field is missing or unknown.
            ValueError: The fields are inconsistent.
        """
        return FrontEnd(**self.front_end)  # type: ignore[arg-type]

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
        return parse_card(path, file.metadata() or {})


def read(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Read the metadata and the tensors of a weight file.

    Raises:
        WeightsError: As for `read_card`; or a value is NaN or infinite.
    """
    with _open(path) as file:
        card = parse_card(path, file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    check_finite(path, tensors)
    return card, tensors


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` if a tensor contains NaN or infinity, of which every prediction would be NaN."""
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            count = value.numel() - int(value.isfinite().sum())
            raise WeightsError(
                f"{path}: {count} of {value.numel()} values of {name} are NaN or infinite: the training has diverged; "
                "use an earlier checkpoint"
            )


@contextmanager
def _open(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such weight file; `slowfast weights ls` lists the official weights{other_runs(str(path))}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        if path.suffix in EXPORTED:
            raise WeightsError(
                f"{path}: only `predict` takes a file of `slowfast export`, without --explain: name the weights that "
                "it was made from"
            ) from error
        raise WeightsError(
            f"{path}: not a safetensors file ({error}); `slowfast weights convert {path.name} OUT.safetensors`"
        ) from error


def parse_card(path: Path, header: Mapping[str, str]) -> Card:
    """Read the card in the header of a file; raise `WeightsError` if there is none, or an inconsistent one."""
    try:
        plain = json.loads(header[KEY])
        if (version := plain.pop("format")) != FORMAT:
            raise WeightsError(f"{path}: format {version}, expected {FORMAT}: written by a newer slowfast; upgrade it")
        classes = {labels: tuple(names) for labels, names in plain.pop("classes").items()}
        plain["scores"] = {key: value for key, value in plain["scores"].items() if value is not None}
        notes, sync = tuple(plain.pop("notes")), tuple(plain.pop("sync", ()))
        card = Card(net=from_dict(plain.pop("net")), classes=classes, notes=notes, sync=sync, **plain)
        _check_values(card)
        return card
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "function-after")
        raise WeightsError(
            f"{path}: its header does not describe a slowfast model: {where}: {brief(first['input'])}: {first['msg']}"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RecursionError) as error:
        raise WeightsError(f"{path}: its header does not describe a slowfast model ({error!r})") from error


def _check_values(card: Card) -> None:
    """Check the types of all values, and the sizes that memory is asked for.

    Raises:
        ValidationError: A value is not of its type.
        ValueError: A value is impossible.
    """
    text = json.dumps(asdict(card), allow_nan=False)
    TypeAdapter(Card).validate_json(text, strict=True)
    TypeAdapter(FrontEnd).validate_json(json.dumps(card.front_end), strict=True)
    if not 1e-3 <= card.clip_seconds < MAX_NUMBER or not 0 < card.views < MAX_NUMBER:
        raise ValueError(f"clips of {card.clip_seconds} s and {card.views} views")
    if any(len(set(names)) < len(names) or not names for names in card.classes.values()):
        raise ValueError("a label set without classes, or with a class twice")
    if large := re.search(r"\d{7,}", json.dumps(asdict(card.net))):
        raise ValueError(f"a size of {large[0]}")
    depths = [count for pathway in getattr(card.net, "pathways", {}).values() for count in pathway.depth]
    if sum(depths) > MAX_BLOCKS or not 0 <= card.hidden < MAX_NUMBER:
        raise ValueError(f"{sum(depths)} blocks and {card.hidden} hidden units")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Which tensors `load_matching` copied."""

    loaded: tuple[str, ...]  # names of copied tensors
    fresh: tuple[str, ...]  # tensors of the model left as initialized: missing in the file, or of another shape
    unused: tuple[str, ...]  # tensors of the file that are not in the model, or of another shape
    trained_on: str = ""  # as in the card of the file


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


def _require_match(path: Path, expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` if tensors of a model are not in a file, or not of the same shape, or others are there."""
    own = {name: value.shape for name, value in expected.items() if not name.endswith("num_batches_tracked")}
    shapes = {name: value.shape for name, value in state.items()}
    if own != shapes:
        missing = tuple(name for name, shape in own.items() if shapes.get(name) != shape)
        unexpected = tuple(name for name, shape in shapes.items() if own.get(name) != shape)
        raise WeightsError(
            f"{path}: its tensors do not match its header: missing {missing[:3]}, unexpected {unexpected[:3]}"
        )


def build(path: Path) -> tuple[Card, Recognizer]:
    """Build the model of a weight file, in eval mode.

    Raises:
        WeightsError: The file is not a weight file, or its tensors do not match its card.
        UsageError: Its network is a Python module that the user has not named, see `slowfast_cli.models.external`.
    """
    card, state = read(path)
    try:
        if isinstance(card.net, Net):
            with torch.device("meta"):  # compares shapes before memory is asked for
                _require_match(path, card.model().state_dict(), state)
        model = card.model()
    except SlowFastError:
        raise
    except Exception as error:  # of PyTorch, about sizes that do not go together
        raise WeightsError(f"{path}: its header describes no network ({text_of(error)})") from error
    _require_match(path, model.state_dict(), state)
    load_matching(model, state)
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
    raise WeightsError(
        f"{run}: a folder without best.safetensors or last.safetensors: not a finished run{other_runs(str(run))}"
    )
