"""The program: its commands, and the handling of errors.

Exit codes: 0 ok, 1 failure, 2 usage or recipe, 3 data, 4 weights or network, 130 interrupted.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from slowfast_cli import __version__
from slowfast_cli.cli import (
    ablate,
    bench,
    data,
    doctor,
    embed,
    evaluate,
    export,
    extract,
    launch,
    options,
    predict,
    recipes,
    run_log,
    runs,
    search,
    segments,
    serve,
    train,
    weights_publish,
)
from slowfast_cli.types import SlowFastError, UsageError, text_of

ANYWHERE = ("--debug", "--trust")  # options that may stand anywhere; `slowfast_cli.models.external` reads --trust
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")
TRAINING_ADVICE = (
    "lower optim.batch (--batch auto: the largest that fits), data.clip_seconds or frontend.mels, raise "
    "optim.grad_accum_steps, set optim.activation_checkpointing=true, or choose a smaller network (model.variant, "
    "model.width)"
)
MEMORY_ADVICE = {
    "": "close other programs, or use a machine with more memory",
    **dict.fromkeys(("train", "finetune", "ablate"), TRAINING_ADVICE),
    "evaluate": "lower optim.batch or raise optim.grad_accum_steps, which set the size of test batches too",
    "extract": "use fewer --jobs",
    "embed": "use a shorter --window, or --precision bf16",
    "serve": "close other programs, or choose smaller weights",
    "predict": "pass fewer or shorter files at a time",
}

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
app.command("embed", epilog=embed.EPILOG)(embed.embed)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("search", epilog=search.EPILOG)(search.search)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("ablate", epilog=ablate.EPILOG)(ablate.ablate)
app.add_typer(runs.app, name="runs")
app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(segments.app, name="segments")
app.add_typer(weights_publish.app, name="weights")
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
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Import Python modules that a recipe or weight file names; allowed anywhere."),
    ] = False,
) -> None:
    """Audio and video recognition: features, training, scores next to the paper's, predictions."""


def main() -> None:
    """Run the command line; a user's mistake becomes one message and an exit code."""
    debug = "--debug" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    arguments = [word for word in sys.argv[1:] if word not in ANYWHERE]
    run_log.LOG.close()  # of a command before this one in the same process
    try:
        _refuse_renamed(arguments)
        app(arguments, prog_name="slowfast")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has left (``| head``): there is nothing to print, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the one place that must not let a traceback through
        message, code = describe(error, arguments)
        launch.report(error, code, lambda: _show(message, debug))
        sys.exit(code)
    finally:
        _kill_workers()


def describe(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    """Return the message and the exit code of an error that ended a command."""
    text = text_of(error)
    if isinstance(error, SlowFastError):
        return str(error), error.code
    if is_out_of_memory(error):
        command = next((word for word in arguments if word in MEMORY_ADVICE), "")
        return f"out of memory ({text[:120]}): {MEMORY_ADVICE[command]}", 1
    if isinstance(error, OSError):  # such as a full disk, where no code closer to it has said so
        where = error.filename if isinstance(error.filename, str) else "slowfast"
        return f"{where}: {error.strerror or text}; --debug shows where", 1
    if _is_lost(error):
        return f"another process of this run is gone: {text}", 1
    hint = "a defect of slowfast: please report it, with --debug and `slowfast doctor`"
    return f"{type(error).__name__}: {text} ({hint})", 1


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: of Python, NumPy, torch on a CPU or a GPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(part in text_of(error).lower() for part in OUT_OF_MEMORY))
    )


def _kill_workers() -> None:
    """End worker processes that have not ended by themselves: Python would wait for them at exit."""
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for process in active_children():
            if process.daemon:
                process.kill()


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
    from slowfast_cli.cli.show import printable

    run_log.LOG.error(f"error: {printable(message)}")
    typer.echo(f"error: {printable(message)}", err=True)
