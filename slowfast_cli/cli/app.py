"""The program: its commands, and the handling of errors.

Exit codes: 0 ok, 1 failure, 2 usage or recipe, 3 data, 4 weights or network, 130 interrupted.
"""

import os
import sys
import traceback
from typing import Annotated

import typer

from slowfast_cli import __version__
from slowfast_cli.cli import ablate, data, doctor, evaluate, extract, launch, options, predict, recipes, train, weights
from slowfast_cli.types import SlowFastError, UsageError

app = typer.Typer(
    name="slowfast", help="Audio and video recognition: features, training, scores next to the paper's, predictions.",
    epilog="Start with:  slowfast predict clip.wav", no_args_is_help=True, rich_markup_mode="rich",
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.command("extract", epilog=extract.EPILOG)(extract.extract)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("finetune", epilog=train.FINETUNE_EPILOG)(train.finetune)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("ablate", epilog=ablate.EPILOG)(ablate.ablate)
app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"slowfast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; allowed anywhere.")] = False,
) -> None:
    """Audio and video recognition: features, training, scores next to the paper's, predictions."""


def main() -> None:
    """Run the command line; a user's mistake becomes one message and an exit code."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        _refuse_renamed(arguments)
        app(arguments, prog_name="slowfast")
    except SlowFastError as error:
        message = str(error)
        launch.report(error, error.code, lambda: _show(message, debug))
        sys.exit(error.code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has left (``| head``): there is nothing to print, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # such as a full disk, where no code closer to it has said so
        _show(f"{error.filename or 'slowfast'}: {error.strerror or error}; --debug shows where", debug)
        sys.exit(1)
    except Exception as error:  # a bug: the one place that must not let a traceback through
        if _is_lost(error):
            message = f"another process of this run is gone: {str(error).splitlines()[0]}"
            launch.report(error, 1, lambda: _show(message, debug))
            sys.exit(1)
        hint = "a defect of slowfast: please report it, with --debug and `slowfast doctor`"
        _show(f"{type(error).__name__}: {error} ({hint})", debug)
        sys.exit(1)


def _refuse_renamed(arguments: list[str]) -> None:
    for word in arguments[: arguments.index("--")] if "--" in arguments else arguments:
        name = word.partition("=")[0]
        if name in options.RENAMED:
            raise UsageError(f"{name}: was renamed to {options.RENAMED[name]}")


def _is_lost(error: Exception) -> bool:
    if "WORLD_SIZE" not in os.environ or "torch" not in sys.modules:
        return False
    from slowfast_cli.engine.distributed import is_lost

    return is_lost(error)


def _show(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"error: {message}", err=True)
