"""The registry of tasks."""

from typing import get_args

import pytest

from slowfast_cli.recipe.load import load
from slowfast_cli.settings import Task
from slowfast_cli.tasks.registry import TASKS
from slowfast_cli.types import UsageError


def test_recipes_accept_exactly_the_registered_tasks():
    assert set(get_args(Task)) == set(TASKS)


def test_an_unknown_task_is_reported_with_the_other_mistakes():
    with pytest.raises(UsageError, match="'clasify' should be 'classify'") as caught:
        load("folder", ["task=clasify", "optim.lrr=3"])
    assert "lrr: no such field" in str(caught.value)
