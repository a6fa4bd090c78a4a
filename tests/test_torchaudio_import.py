"""The guard around torchaudio keeps working with the versions that are installed."""

import subprocess
import sys

import torch


def test_the_parts_that_are_used_work():
    from slowfast_cli.torchaudio_import import functional

    masked = functional.mask_along_axis_iid(torch.ones(2, 1, 8, 4), 3, 0.0, axis=3)
    assert masked.shape == (2, 1, 8, 4)


def test_it_imports_in_a_process_of_its_own():
    code = "from slowfast_cli.torchaudio_import import torchaudio; print(torchaudio.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2.")
