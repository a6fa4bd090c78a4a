"""Options and arguments that several commands share."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from slowfast_cli.storage.remote import local_path

Command = TypeVar("Command", bound=Callable[..., Any])

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A bundled recipe's name, or a YAML file.", show_default=False)
]
RecipeOrRun = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|RUN",
        help="A bundled recipe's name, a YAML file, or a run folder, which has its recipe and weights.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Fields to change, such as optim.lr=0.02; ~KEY resets one to its default.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Engine = Annotated[
    str, typer.Option(help="auto, torch, onnx or openvino; auto: the fastest that is installed, on a CPU.")
]


def examples(*lines: str) -> str:
    """The examples below a help page, one per line."""
    return "\n\n".join(["Examples:", *lines])


def folder(help: str, default: str | bool = False, *names: str) -> Any:
    """Option that takes a folder or its URL; ``default`` describes the default in the help."""
    return typer.Option(*names, parser=local_path, metavar="PATH", help=help, show_default=default)


def optional(help: str, *names: str) -> Any:
    """Option without a default to show."""
    return typer.Option(*names, help=help, show_default=False)


RunFolder = Annotated[
    Path | None,
    folder("The run folder; by default the one below runs/<recipe> with this recipe, or a new one.", False, "--run"),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Move an existing run aside and start over.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not use the network.")]
Open = Annotated[bool, typer.Option("--open", help="Open report.html in the browser at the end.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Weights = Annotated[
    str | None, optional("A weight file, a run folder, a catalog name, or hf://OWNER/NAME.", "--weights", "-w")
]

# Options of earlier versions, refused with their new name.
RENAMED = {
    "--above": "--min-gain", "--by": "--gain-unit", "--draw": "--overlay", "--licence": "--license",
    "--meet": "--rdzv-endpoint", "--with": "--ensemble",
}  # fmt: skip


Options = TypeVar("Options")


def pick(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Make a dataclass of options from the keyword arguments that a command with `takes` received."""
    return kind(**{field.name: given[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def takes(*sources: Callable[..., Any]) -> Callable[[Command], Command]:
    """Add the parameters of functions or dataclasses to a Typer command, which receives them as keyword arguments."""

    def add(command: Command) -> Command:
        parameters: dict[str, inspect.Parameter] = {}
        callables: tuple[Callable[..., Any], ...] = (command, *sources)
        for source in callables:
            hints = inspect.get_annotations(source, eval_str=True)  # before 3.11, get_type_hints adds Optional
            for name, parameter in inspect.signature(source).parameters.items():
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD and name not in parameters:
                    parameters[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
        return command

    return add
