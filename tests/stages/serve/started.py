"""The command `slowfast serve` as a process."""

import json
from contextlib import contextmanager

import tiny


@contextmanager
def started(*words, folder):
    """The command, and the line that it prints when it is ready; its temporary files are in the folder."""
    environment = tiny.environment(TMPDIR=str(folder))
    with tiny.start("serve", "--port", 0, "--device", "cpu", "--json", *words, env=environment) as child:
        try:
            yield child, json.loads(child.stdout.readline())
        finally:
            child.kill()
