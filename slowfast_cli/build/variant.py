"""Whether a network goes with the task of a recipe."""

from __future__ import annotations

from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.spec import Net
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import UsageError


def require_baseline(recipe: Recipe, found: Baseline) -> None:
    """Refuse a network of the literature, or of the user's, that cannot read what the recipe makes.

    Raises:
        UsageError: It cannot; the text says what would.
    """
    name, made = recipe.model.variant or recipe.model.init, recipe.frontend
    if recipe.video or recipe.task in ("detect", "rotation", "sync"):
        raise UsageError(
            f"model.variant: {name} listens only: it goes with no `video`, and not with task: {recipe.task}"
        )
    if recipe.model.width:
        raise UsageError(f"model.width: {name} has its own: set it to null")
    wrong = []
    if found.rate is not None and found.rate != made.rate:
        wrong.append(f"frontend.rate={found.rate}")
    if found.bands is not None and found.bands != made.mels:
        wrong.append(f"frontend.mels={found.bands}")
    wrong += [f"frontend.{key}={value}" for key, value in found.front_end.items() if getattr(made, key) != value]
    if wrong:
        raise UsageError(f"model.variant: {name} reads other sounds: set {' '.join(wrong)}")
    samples = round((recipe.data.clip_seconds or 0) * made.rate) - 1
    steps = samples if found.reads == "samples" else 1 + samples // max(round(made.hop_ms * made.rate / 1000), 1)
    if found.reads != "features" and steps < found.least:
        raise UsageError(
            f"data.clip_seconds: {recipe.data.clip_seconds} s are {steps} {'samples' if found.rate else 'frames'}, and "
            f"{name} wants at least {found.least}"
        )


def require_waveform(recipe: Recipe, found: Architecture) -> None:
    """Refuse a network that the objectives on waveforms cannot train.

    Raises:
        UsageError: It is another one.
    """
    wanted = {"cpc": "bidir-cpc", "masked": "wav2vec2"}[recipe.task]
    if not isinstance(found, Baseline) or found.kind != wanted:
        raise UsageError(
            f"task: {recipe.task} trains {wanted}, and model.variant is {recipe.model.variant}: set it to "
            f"{'bidir-cpc' if recipe.task == 'cpc' else 'wav2vec2-base'}, or take task: simclr"
        )


def require_variant(recipe: Recipe, found: Net) -> None:
    """Refuse a network that cannot do what the recipe asks.

    Raises:
        UsageError: It cannot; the text says what would.
    """
    variant = recipe.model.variant
    if "frames" in found.signals and not recipe.video:
        raise UsageError(f"model.variant: {variant} looks at frames: add a `video` section, or take one that listens")
    if (found.regions != "none") != (recipe.task == "detect"):
        wanted = (
            "classifies boxes: set task: detect" if found.regions != "none" else "classifies whole clips, not boxes"
        )
        raise UsageError(f"model.variant: {variant} {wanted}; networks for boxes end in -ava")
    both = {"frames", "logmel"} <= found.signals
    if not both and recipe.model.drop_pathway:
        raise UsageError(f"model.drop_pathway: {variant} has not both frames and sound, so there is nothing to drop")
    if recipe.task == "rotation" and "frames" not in found.signals:
        raise UsageError(f"task: rotation turns frames, and {variant} looks at none")
    if recipe.sync and (unknown := set(recipe.sync.stages) - set(found.sync_laterals())):
        raise UsageError(
            f"sync.stages: {', '.join(sorted(unknown))}: {variant} brings sound to pictures after "
            f"{', '.join(found.sync_laterals()) or 'no stage'}"
        )
