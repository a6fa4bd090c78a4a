"""The entry point of ``slowfast`` and ``python -m slowfast_cli``: an interrupt while importing is no traceback."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from slowfast_cli.cli.app import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
