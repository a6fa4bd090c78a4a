"""Starting from weights learned elsewhere: what fits is taken, heads of other classes are made anew."""

from __future__ import annotations

from collections.abc import Mapping

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import Loaded, put, read
from slowfast_cli.weights.resolve import weight_file


def start_from(model: Recognizer, weights: str, classes: Mapping[str, tuple[str, ...]]) -> Loaded:
    """Copy weights into a model.

    Args:
        model: Of the recipe.
        weights: A file, a run folder or a catalogue name.
        classes: The model's, by label set: a head is taken over only when its classes are the same, in the same order;
            of none nothing but the trunk is.

    Raises:
        WeightsError: Nothing of the trunk fits: it is another network.
    """
    path = weight_file(weights)
    card, state = read(path)
    other = {labels for labels, names in card.classes.items() if classes.get(labels) != names}
    gone = ("heads.",) if not classes else tuple(f"heads.linears.{labels}." for labels in other)
    taken = {name: value for name, value in state.items() if not name.startswith(gone)}
    told = put(model, taken)
    trunk = [name for name in told.fresh if name.startswith("trunk.") and not _may_be_new(model, name)]
    if trunk:
        raise WeightsError(
            f"{path}: another network: {len(trunk)} tensors of the trunk are missing or of another shape there, "
            f"as {trunk[0]}; "
            f"set model.variant to the network of those weights (recipe {card.recipe or 'unknown'})"
        )
    return Loaded(loaded=told.loaded, fresh=told.fresh, unused=tuple(name for name in state if name not in told.loaded))


def _may_be_new(model: Recognizer, name: str) -> bool:
    """Whether a tensor changes nothing before it has learned: of Non-Local blocks, or of what is only compared."""
    net = model.trunk.net
    if isinstance(net, Baseline):
        return False
    taps = {f"trunk.laterals.{key}_{stage}." for key, lateral in net.laterals.items() for stage in lateral.taps}
    return ".attend" in name or name.startswith(tuple(taps))
