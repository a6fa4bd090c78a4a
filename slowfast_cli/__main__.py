"""``python -m slowfast_cli`` is ``slowfast``."""

from slowfast_cli.cli.app import main

main()
