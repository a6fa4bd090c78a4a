"""Speed of prediction: the network alone by batch size, and whole files."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.stages.bench.timing import Timing, peak_memory, repeat, reset_peak_memory, synchronize
from slowfast_cli.stages.predict.noise import noise
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Failed
from slowfast_cli.types import DataError, Seconds


def installed_engines() -> list[str]:
    """Names of the engines that are installed."""
    return [name for name, engine in ENGINES.items() if engine.installed]


def default_threads() -> int:
    """Threads that PyTorch uses by default."""
    return torch.get_num_threads()


def bench_engines(
    weights: Path,
    device: str,
    *,
    engines: Sequence[str],
    precisions: Sequence[str],
    threads: Sequence[int],
    measure: Callable[[Predictor, dict[str, str]], Iterator[Timing]],
) -> Iterator[Timing]:
    """Measure every combination; an engine that does not compute in a precision is reported.

    Raises:
        UsageError: An engine is not installed, or cannot take the network.
        WeightsError: The weights cannot be used.
    """
    for precision, count, name in itertools.product(precisions, threads, engines):
        torch.set_num_threads(count)
        settings = {"engine": name, "precision": precision, "threads": str(count)}
        engine = ENGINES.get(name)  # an unknown one is refused by the predictor
        if engine is not None and engine.installed and precision not in engine.precisions:
            yield Timing(settings=settings, problem=f"{engine.title} does not compute in {precision}")
        else:
            yield from measure(Predictor(weights, device, precision=precision, engine=name), settings)


def bench_network(predictor: Predictor, settings: dict[str, str], *, batch: int, rounds: int) -> Timing:
    """Time the forward pass on a batch of noise.

    Args:
        predictor: Its engine converts the network beforehand.
        settings: That the result names, besides the batch.
        batch: Clips.
        rounds: Repetitions.
    """
    at, network = predictor.device, predictor.network
    signals = {name: value.to(at) for name, value in noise(predictor.card, batch).items()}
    boxes = torch.tensor([[float(row), 8.0, 8.0, 40.0, 40.0] for row in range(batch)]).to(at)
    reset_peak_memory(at)
    with torch.inference_mode():
        seconds = repeat(lambda: network(signals, boxes if predictor.detects else None), at, rounds=rounds)
    return Timing(settings={**settings, "batch": str(batch)}, clips=batch, seconds=seconds, memory=peak_memory(at))


def bench_files(predictor: Predictor, settings: dict[str, str], sources: Sequence[Path | Failed]) -> Iterator[Timing]:
    """Time the prediction of whole files, one by one and concurrently.

    Args:
        predictor: Its engine converts the network with the first file, which does not count.
        settings: That the results name.
        sources: Files; those that cannot be used are counted.

    Raises:
        DataError: No file can be used.
    """
    paths = [path for path in sources if isinstance(path, Path)]
    rejected = [source for source in sources if isinstance(source, Failed)]
    reason = "no files are named"
    for result in itertools.chain.from_iterable(predictor.files([source]) for source in sources):
        if not isinstance(result, Failed):
            break
        reason = result.reason
    else:
        raise DataError(f"no file can be predicted: {reason}")
    yield _one_by_one(predictor, settings, paths)
    reset_peak_memory(predictor.device)
    start = time.perf_counter()
    results = list(predictor.files(paths))
    seconds = time.perf_counter() - start
    yield Timing(
        settings={**settings, "files": "concurrent"},
        clips=len({result.path for result in results if not isinstance(result, Failed)}),
        seconds=(seconds,),
        memory=peak_memory(predictor.device),
        problem=_problem([*results, *rejected]),
    )


def _one_by_one(predictor: Predictor, settings: dict[str, str], paths: Sequence[Path]) -> Timing:
    times: list[Seconds] = []
    started: list[Seconds] = []
    network: Seconds = 0.0

    def begin(*_: object) -> None:
        synchronize(predictor.device)
        started.append(time.perf_counter())

    def end(*_: object) -> None:
        nonlocal network
        synchronize(predictor.device)
        network += time.perf_counter() - started.pop()

    hooks = [
        predictor.network.register_forward_pre_hook(begin),
        predictor.network.register_forward_hook(end),
    ]
    results = []
    for path in paths:
        start = time.perf_counter()
        results += list(predictor.files([path]))
        times.append(time.perf_counter() - start)
    for hook in hooks:
        hook.remove()
    mean = sum(times) / len(times)
    stages = {"reading and features": mean - network / len(times), "network": network / len(times)}
    return Timing(
        settings={**settings, "files": "one by one"},
        clips=1,
        seconds=tuple(times),
        stages=stages,
        problem=_problem(results),
    )


def _problem(results: Sequence[object]) -> str:
    failed = [result for result in results if isinstance(result, Failed)]
    return f"{len(failed)} files failed, such as {failed[0].reason}" if failed else ""
