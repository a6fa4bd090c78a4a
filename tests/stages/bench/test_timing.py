"""What a measurement says of its repetitions."""

import time

import pytest
import torch

from slowfast_cli.stages.bench import timing
from slowfast_cli.stages.bench.timing import Timing, peak_memory, repeat, reset_peak_memory, time_stages

CPU = torch.device("cpu")


def test_rate_and_percentiles_are_those_of_the_repetitions():
    taken = Timing(settings={"batch": "4"}, clips=4, seconds=tuple(n / 100 for n in range(1, 101)))
    assert taken.rate == pytest.approx(400 / 50.5)
    assert [round(taken.percentile(percent), 3) for percent in (50, 90, 99)] == [0.505, 0.901, 0.99]
    assert taken.to_dict() == {
        "batch": "4", "clips_per_second": pytest.approx(7.92, abs=0.01), "p50_ms": pytest.approx(505),
        "p90_ms": pytest.approx(901), "p99_ms": pytest.approx(990, abs=1), "repetitions": 100, "stages_ms": {},
        "data_wait": None, "memory_bytes": None, "problem": "",
    }  # fmt: skip


def test_a_setting_that_failed_has_no_rate():
    assert Timing(settings={}, problem="out of memory").rate == 0
    assert "p50_ms" not in Timing(settings={}, problem="out of memory").to_dict()


def test_the_warm_up_does_not_count():
    pauses = iter([0.05, 0.05, 0.001, 0.001, 0.001])
    assert len(times := repeat(lambda: time.sleep(next(pauses)), CPU, rounds=3)) == 3
    assert max(times) < 0.04


def test_stages_run_in_order_and_take_their_time():
    order = []
    stages = {"slow": lambda: (order.append("slow"), time.sleep(0.01)), "fast": lambda: order.append("fast")}
    times = time_stages(stages, CPU, 2)
    assert order == ["slow", "fast"] * 2
    assert times["slow"] > 0.009 > times["fast"]


@pytest.mark.skipif(not timing.CLEAR_REFS.exists(), reason="needs Linux")
def test_the_peak_starts_anew():
    block = torch.ones(50_000_000)
    reset_peak_memory(CPU)
    high = peak_memory(CPU)
    del block
    reset_peak_memory(CPU)
    assert high - peak_memory(CPU) > 150_000_000
