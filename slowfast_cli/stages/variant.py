"""Whether a network goes with the task of a recipe."""

from __future__ import annotations

from slowfast_cli.models.spec import Net
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import UsageError


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
    if recipe.sync and (unknown := set(recipe.sync.stages) - set(found.sync())):
        raise UsageError(
            f"sync.stages: {', '.join(sorted(unknown))}: {variant} brings sound to pictures after "
            f"{', '.join(found.sync()) or 'no stage'}"
        )
