import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"


@pytest.fixture(scope="session")
def golden():
    with np.load(FOLDER / "audio_metrics.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def results():
    return json.loads((FOLDER / "audio_metrics.json").read_text())["results"]
