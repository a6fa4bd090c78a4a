"""What can be typed: every command, option and example.

`surface.txt` is the promise to users. After a change that is meant, write it anew and look at the difference:

    python tests/cli/test_surface.py
"""

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
from docs.commands import check_command

from slowfast_cli.cli.app import app
from slowfast_cli.recipe.load import bundled

SURFACE = Path(__file__).with_name("surface.txt")
TREE = typer.main.get_command(app)


def commands(command=TREE, words=("slowfast",)):
    """Every command, groups included, by the words that name it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


def shown(parameter):
    """One argument or option: its names, its default, and whether there may be many of it."""
    many = " ..." if parameter.nargs == -1 or getattr(parameter, "multiple", False) else ""
    if parameter.param_type_name == "argument":
        need = "" if parameter.required else " (may be left out)"
        return f"  {(parameter.metavar or parameter.name.upper()).removesuffix('...')}{many}{need}"
    names = " / ".join([", ".join(parameter.opts), *parameter.secondary_opts])
    if parameter.is_flag:
        return f"  {names}"
    default = "" if parameter.default in (None, "") else f" = {parameter.default}"
    if parameter.name == "jobs":
        default = " = one a core"
    return f"  {names} {parameter.metavar or 'VALUE'}{many}{default}{' (needed)' if parameter.required else ''}"


def surface():
    lines = []
    for words, command in commands():
        if getattr(command, "commands", None):
            continue
        lines.append(" ".join(words))
        lines += [shown(each) for each in command.params if each.param_type_name == "argument"]
        lines += sorted(shown(each) for each in command.params if each.param_type_name == "option")
        lines.append("")
    lines.append("slowfast, before any command")
    lines += sorted(shown(each) for each in TREE.params)
    return "\n".join(lines) + "\n"


def test_the_surface_is_the_golden_one():
    assert surface() == SURFACE.read_text(encoding="utf-8"), "meant? then: python tests/cli/test_surface.py"


def test_the_commands_are_those_of_the_issue():
    names = {" ".join(words[1:]) for words, _ in commands()}
    assert {"extract", "train", "finetune", "evaluate", "predict", "ablate", "doctor"} <= names
    assert {"recipes ls", "recipes show", "recipes cp", "recipes validate", "data ls", "data check"} <= names
    assert {"weights ls", "weights download", "weights convert"} <= names


def examples():
    for words, command in commands():
        for line in (command.epilog or "").split("\n\n")[1:]:
            yield " ".join(words), line.rpartition(" | ")[2]


def heads_of_recipes():
    """The commands in the comment at the head of each recipe."""
    for name, path in bundled().items():
        lines = [line for line in path.read_text().splitlines() if line.startswith("#   slowfast ")]
        if lines:
            yield name, [re.split(r"\s{2,}\(", line.removeprefix("#").strip())[0] for line in lines]


EXAMPLES = list(examples())


@pytest.mark.parametrize(("owner", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_is_a_command_that_exists(owner, line):
    assert owner in ("slowfast", check_command(shlex.split(line)[1:]))


@pytest.mark.parametrize(("recipe", "lines"), list(heads_of_recipes()))
def test_what_recipes_tell_to_type_exists(recipe, lines):
    made = {}
    for line in lines:
        check_command(shlex.split(line)[1:], made)


def test_every_command_has_an_example_of_itself():
    owners = {owner for owner, _ in EXAMPLES}
    assert owners >= {" ".join(words) for words, command in commands() if not getattr(command, "commands", None)}
    assert len(EXAMPLES) >= 30


def test_every_command_and_option_says_what_it_is():
    for words, command in commands():
        assert command.help, words
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", ""), (words, parameter.name)


if __name__ == "__main__":
    SURFACE.write_text(surface(), encoding="utf-8")
    sys.stdout.write(f"wrote {SURFACE}\n")
