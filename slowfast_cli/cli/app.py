"""The program: its commands, and what becomes of an error.

Exit codes: 0 done, 1 failed, 2 wrong words or recipe, 3 data, 4 weights or network, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from slowfast_cli import __version__
from slowfast_cli.cli import ablate, data, doctor, evaluate, extract, finetune, launch, predict, recipes, train, weights
from slowfast_cli.types import SlowFastError

app = typer.Typer(
    name="slowfast",
    help="Audio and video recognition: features, training, scores beside the paper's, predictions.",
    epilog="Start with:  slowfast predict clip.wav",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("extract", epilog=extract.EPILOG)(extract.extract)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("finetune", epilog=finetune.EPILOG)(finetune.finetune)
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """Audio and video recognition: features, training, scores beside the paper's, predictions."""


def main() -> None:
    """Run the command line; errors of the user become one line and an exit code."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(arguments, prog_name="slowfast")
    except SlowFastError as error:
        if launch.should_report(error):
            _tell(str(error), debug)
        launch.stop_all(error)
        sys.exit(error.code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough (``| head``): nothing more to say, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a disk that is full or read-only where nothing closer to it has said so
        _tell(f"{error.filename or 'slowfast'}: {error.strerror or error}; --debug shows where", debug)
        sys.exit(1)
    except Exception as error:  # a defect of ours: the one place that must not let it through as a wall of text
        if _is_lost(error):
            if launch.should_report(error):
                _tell(f"another process of this run is gone: {str(error).splitlines()[0]}", debug)
            sys.exit(1)
        asked = "a defect of slowfast: please report it, with --debug and `slowfast doctor`"
        _tell(f"{type(error).__name__}: {error} ({asked})", debug)
        sys.exit(1)


def _is_lost(error: Exception) -> bool:
    if "WORLD_SIZE" not in os.environ or "torch" not in sys.modules:
        return False
    from slowfast_cli.engine.distributed import is_lost

    return is_lost(error)


def _tell(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"error: {message}", err=True)
