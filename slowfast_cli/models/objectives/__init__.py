"""What pretraining without labels adds to a trunk; the losses are in `slowfast_cli.tasks`."""

from slowfast_cli.models.objectives.byol import Byol as Byol
from slowfast_cli.models.objectives.cpc import Cpc as Cpc
from slowfast_cli.models.objectives.masked import Masked as Masked
