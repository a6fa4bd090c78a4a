"""Check of commands without executing them: options, recipes with overrides, data sets and weights exist."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import typer
from docs.page import Block

from slowfast_cli.cli.app import ANYWHERE, app
from slowfast_cli.corpora.registry import READERS
from slowfast_cli.recipe.load import bundled, check, override, read
from slowfast_cli.stages.ablate import slug
from slowfast_cli.types import SlowFastError
from slowfast_cli.weights import catalog

TREE = typer.main.get_command(app)
# ClickException, of the click that this version of typer uses.
CLICK_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
MAKES = ("run", "out", "dest", "overlay")  # parameters that name what a command writes
OWN = re.compile(r"(my|mine|own)[\w-]*")  # recipes of the reader, by convention
BREAKS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "(", ")"}
OTHERS = re.compile(r"(git|cd|pip|docker build)\b")  # commands whose arguments may be called slowfast
Made = dict[str, str | None]  # paths that earlier commands of a page write, with the recipe of a run


def check_block(block: Block, made: Made) -> None:
    """Check every `slowfast` command of a shell block, and the names that a Python block imports of the package.

    Raises:
        AssertionError: One of them does not exist.
    """
    if block.language == "python":
        _check_imports(block)
    elif block.language in ("console", "sh") and not block.exit_code:  # a command that fails may be wrong
        for script, _ in block.steps:
            made |= dict.fromkeys(re.findall(r"> *(\S+\.yaml)", script))  # written by the shell
            for words in slowfast_commands(script):
                try:
                    check_command(words, made)
                except (AssertionError, SlowFastError, CLICK_ERROR) as error:
                    message = error.format_message() if isinstance(error, CLICK_ERROR) else error
                    raise AssertionError(f"line {block.line}: {shlex.join(['slowfast', *words])}\n{message}") from error


def slowfast_commands(script: str) -> list[list[str]]:
    """Find the commands of a script that call the program, wherever they stand in a line; without `slowfast`."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        part: list[str] = []
        for word in [*lexer, ";"]:
            if word not in BREAKS:
                part.append(word)
                continue
            if "slowfast" in part and not OTHERS.match(" ".join(part)):
                found.append(part[part.index("slowfast") + 1 :])
            part = []
    return found


def check_command(words: list[str], made: Made | None = None) -> str:
    """Check one command.

    Args:
        words: What follows `slowfast`.
        made: What earlier commands of the page write; this command is added.

    Returns:
        The command's name, such as `slowfast weights ls`.

    Raises:
        AssertionError: A command, recipe, run, data set or catalog name does not exist.
        CLICK_ERROR: An option or argument does not exist.
        SlowFastError: The recipe refuses its overrides.
    """
    made = {} if made is None else made
    command, words, names = TREE, [word for word in words if word not in ANYWHERE], ["slowfast"]
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        names.append(words.pop(0))
        assert names[-1] in command.commands, f"no such command: {' '.join(names)}"
        command = command.commands[names[-1]]
    if command is TREE or {*words} & {"--help", "-h"}:
        known = {name for each in command.params for name in each.opts} | {"--help", "-h"}
        assert {word for word in words if word.startswith("-")} <= known, words
        return " ".join(names)
    values = command.make_context(" ".join(names), words).params
    recipe = _check_recipe(values, made)
    for name in MAKES:
        if values.get(name):
            made[str(values[name])] = recipe if name == "run" else None
    _check_names(names, values, made)
    return " ".join(names)


def _check_recipe(values: dict, made: Made) -> str | None:
    """Load the recipe that a command names with its overrides; of a run, the recipe that trained it."""
    for run in (values.get("compare"), *(values.get("ensemble") or ())):
        _recipe_of_run(str(run), made)
    word = values.get("recipe")
    if not word or (made.get(word, "") is None and not Path(word).is_file()) or OWN.fullmatch(Path(word).stem):
        return None
    recipe = _recipe_of_run(word, made) or word
    name = recipe.removeprefix("recipes/").removesuffix(".yaml")
    assert name in bundled(), f"{recipe}: no such recipe, and no earlier command of the page writes it"
    source = override(read(name), values.get("overrides") or [])
    if "suite" not in source.values:
        check(source)
    if table := values.get("table"):
        assert table in source.values["tables"], table
        assert {*(values["row"] or ())} <= {*source.values["tables"][table]}, values["row"]
    return recipe


def _recipe_of_run(run: str, made: Made) -> str | None:
    """The recipe of a run folder: of an earlier `--run`, or by its place; None if it is no such."""
    if run in made:
        return made[run]
    parts = Path(run).parts
    if parts[0] == "runs" and len(parts) == 4 and parts[2].startswith("table-"):
        rows = read(parts[1]).values["tables"][parts[2].removeprefix("table-")]
        assert parts[3] in map(slug, rows), f"{run}: no row of that name"
        return parts[1]
    if len(parts) >= 3 and parts[-3] == "runs" and (len(parts) == 3 or "://" in run or run.startswith("/")):
        assert parts[-2] in bundled(), f"{run}: no recipe is named {parts[-2]}"
        return parts[-2]
    return None


def _check_names(names: list[str], values: dict, made: Made) -> None:
    """Data sets by --dataset and `data check NAME`, weights by name."""
    dataset = values.get("name") if names[1:] == ["data", "check"] else values.get("dataset")
    if isinstance(dataset, str) and names[1] in ("extract", "data"):
        assert {*dataset.split(",")} <= {*READERS}, f"{dataset}: no such data set"
    weights = values.get("name") if names[1:] == ["weights", "download"] else values.get("weights")
    for word in [weights] if isinstance(weights, str) else weights or ():
        if re.fullmatch(r"[a-z][\w-]*", str(word)) and word not in {*made, "default"}:
            assert word in catalog.CATALOG, f"{word}: no such weights"


def _check_imports(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "slowfast_cli":
            module = importlib.import_module(node.module)
            missing = [each.name for each in node.names if not hasattr(module, each.name)]
            assert not missing, f"line {block.line}: {node.module} has no {missing}"
