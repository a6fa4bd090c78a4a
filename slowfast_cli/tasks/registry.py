"""All tasks, by the name that a recipe gives in `task`."""

from collections.abc import Mapping

from slowfast_cli.tasks import avsync, byol, classify, cpc, masked, multilabel, rotation, simclr
from slowfast_cli.tasks.task import TaskSpec

TASKS: Mapping[str, TaskSpec] = {
    "classify": classify.SPEC,
    "multilabel": multilabel.SPEC,
    "detect": multilabel.DETECT,
    "rotation": rotation.SPEC,
    "sync": avsync.SPEC,
    "simclr": simclr.SPEC,
    "byol": byol.SPEC,
    "cpc": cpc.SPEC,
    "masked": masked.SPEC,
}
