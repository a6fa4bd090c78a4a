"""A program does not wait for work in the background when it ends."""

import subprocess
import sys

SOURCE = """
import sys, time
from slowfast_cli.inference.background import in_background

def work():
    try:
        for _ in range(600):
            time.sleep(0.1)
    finally:
        print("cleaned up", flush=True)

assert in_background(lambda: 3).result() == 3
in_background(work)
"""


def test_a_program_ends_before_its_background_work_which_cleans_up():
    done = subprocess.run([sys.executable, "-c", SOURCE], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("cleaned up\n", "")
