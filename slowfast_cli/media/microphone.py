"""Audio of an input device through PortAudio (package ``sounddevice``, extra ``live``)."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Event
from typing import Any

import numpy as np

from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import to_mono
from slowfast_cli.media.reconnect import reconnecting
from slowfast_cli.types import Seconds, StreamError, UsageError

SILENT: Seconds = 5.0  # without a callback: the device is gone
MOST_BLOCKS = 1000  # waiting, of about 10 ms each


def load_sounddevice() -> Any:
    """Import ``sounddevice``.

    Raises:
        UsageError: It is not installed, or PortAudio is missing.
    """
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise UsageError("mic: needs the package sounddevice: pip install 'slowfast-cli[live]'") from error
    except OSError as error:  # PortAudio is not part of the package on Linux
        raise UsageError(
            f"mic: sounddevice does not load ({error}): install PortAudio (apt install libportaudio2), or pipe raw "
            "samples in: arecord -t raw -f S16_LE -r 16000 | slowfast predict - --pcm s16le@16000"
        ) from error


class Microphone:
    """An input device; see `slowfast_cli.stages.predict.live.LiveSource`.

    Args:
        device: Its index, or a part of its name; empty for the default device.
        say: Prints a remark.

    Raises:
        UsageError: ``sounddevice`` is missing, or there is no such device, or several.
    """

    live: bool | None = True

    def __init__(self, device: str, say: Callable[[str], None]) -> None:
        self.name = f"mic:{device}"
        self._module, self._device, self._say = load_sounddevice(), device, say
        self._closed, self._said = Event(), False
        self._find()

    def _find(self) -> dict[str, Any]:
        """Properties of the device; numbers change when devices are plugged in, so each connection looks again."""
        inputs = [one for one in self._module.query_devices() if one["max_input_channels"] > 0]
        word = self._device
        if not word:
            default = self._module.default.device[0]
            found = [one for one in inputs if one["index"] == default] or inputs[:1]
        elif word.isdigit():
            found = [one for one in inputs if one["index"] == int(word)]
        else:
            found = [one for one in inputs if one["name"] == word]
            found = found or [one for one in inputs if word.lower() in one["name"].lower()]
        if len(found) != 1:
            problem = "several input devices have that name" if found else "no such input device"
            known = "; ".join(f"mic:{one['index']} {one['name']}" for one in inputs)
            raise UsageError(f"{self.name}: {problem}; there are: {known or 'none'}")
        device: dict[str, Any] = found[0]
        return device

    def blocks(self, rate: int) -> Iterator[np.ndarray]:
        """See `slowfast_cli.stages.predict.live.LiveSource`."""
        return reconnecting(lambda: self._connection(rate), self.name, self._say, self._closed)

    def _connection(self, rate: int) -> Iterator[np.ndarray]:
        error_of = self._module.PortAudioError
        try:
            device = self._find()
            native = self._rate(device, rate)
            yield from audio.resample(self._native(device, native), native, rate)
        except (error_of, UsageError) as error:
            raise StreamError(f"{self.name}: {str(error).removeprefix(f'{self.name}: ')}") from error

    def _rate(self, device: dict[str, Any], rate: int) -> int:
        """The rate of the model if the device has it, else its own."""
        try:
            self._module.check_input_settings(device=device["index"], samplerate=rate, dtype="float32")
        except self._module.PortAudioError:
            return int(device["default_samplerate"])
        return rate

    def _native(self, device: dict[str, Any], rate: int) -> Iterator[np.ndarray]:
        waiting, arrived, lost = deque[np.ndarray](maxlen=MOST_BLOCKS), Condition(), Event()

        def receive(block_NC: np.ndarray, _frames: int, _time: Any, status: Any) -> None:
            if status:
                lost.set()
            with arrived:
                waiting.append(block_NC.copy())
                arrived.notify()

        with self._module.InputStream(
            device=device["index"], samplerate=rate, dtype="float32", latency="low", callback=receive
        ):
            while not self._closed.is_set():
                with arrived:
                    if not waiting and not arrived.wait(SILENT) and not self._closed.is_set():
                        raise StreamError(f"{self.name}: no samples for {SILENT:g} s")
                    blocks = list(waiting)
                    waiting.clear()
                for block_NC in blocks:
                    yield np.ascontiguousarray(to_mono(block_NC))
                if lost.is_set() and not self._said:
                    self._said = True
                    self._say(f"note: {self.name}: the system lost samples: the computer is too busy")

    def close(self) -> None:
        """See `slowfast_cli.stages.predict.live.LiveSource`."""
        self._closed.set()
