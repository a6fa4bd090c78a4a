"""The log-mel front end: spectrogram, HTK mel filters, natural logarithm (ASF Sec. 4.2, AV Sec. 4).

Shapes: B batch, N samples, T frames (time), F mel bands, D samples under the window, K frequency bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.types import Settings


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """The settings of a log-mel spectrogram, as shards, recipes and weight files keep them.

    Attributes:
        rate: Samples a second, Hz.
        window_ms: Length of the periodic Hann window.
        hop_ms: Time from one frame to the next.
        mels: Number of HTK mel bands from 0 to half the rate.
        fft: Points of the Fourier transform; the window stands in its middle.
        floor: Added to the mel bands before the logarithm, where full scale is 1.
        power: Exponent of the spectrum's magnitude: 1, or 2 for its power.
        area_norm: Whether each mel filter has the same area (Slaney) rather than the same height.
        centred: Whether frames are centred on their time, with silence beyond both ends, or start at it.
        mean: Subtracted from the logarithm.
        std: What it is divided by then.
    """

    rate: int = 16000
    window_ms: float = 20
    hop_ms: float = 10
    mels: int = 128
    fft: int = 2048
    floor: float = 1e-6
    power: int = 1
    area_norm: bool = False
    centred: bool = True
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.hop < 1 or not 0 < self.window <= self.fft:
            raise ValueError(
                f"front end: at {self.rate} Hz hop_ms {self.hop_ms} is {self.hop} samples, window_ms {self.window_ms} "
                f"is {self.window}: a hop has at least 1, a window from 1 to fft ({self.fft})"
            )

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.window_ms * self.rate / 1000)

    @property
    def hop(self) -> int:
        """Hop in samples."""
        return round(self.hop_ms * self.rate / 1000)

    def frames(self, samples: int) -> int:
        """How many frames the log-mel of that many samples has, at least one; the first is on, or at, sample 0."""
        return 1 + max(0, samples if self.centred else samples - self.window) // self.hop

    def settings(self) -> Settings:
        """The fields as plain values, for JSON; those that older files do not know, where they are not as there."""
        plain: Settings = asdict(self)
        later = ("power", "area_norm", "centred", "mean", "std")
        return {name: value for name, value in plain.items() if name not in later or value != getattr(FrontEnd, name)}


def repeat_last(logmel_B1TF: Tensor, frames_B: Tensor) -> Tensor:
    """Put the last true frame of each clip in place of what follows it (ASF Sec. 4.2).

    Args:
        logmel_B1TF: Of clips that were padded with zeros.
        frames_B: How many frames of each are true, at least 1.

    Shape:
        (B, 1, T, F) -> (B, 1, T, F)
    """
    steps_BT = torch.arange(logmel_B1TF.shape[2], device=logmel_B1TF.device).minimum(frames_B[:, None] - 1)
    return torch.take_along_dim(logmel_B1TF, steps_BT[:, None, :, None], dim=2)


def mel_filters(front_end: FrontEnd) -> np.ndarray:
    """Triangular HTK mel filters.

    Computed in float64: float32 corners, as torchaudio has them, are off by 1e-5.

    Shape:
        (F, K), K = fft // 2 + 1
    """
    top_mel = 2595 * np.log10(1 + front_end.rate / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, front_end.mels + 2) / 2595) - 1)
    bins_hz = np.linspace(0, front_end.rate / 2, front_end.fft // 2 + 1)
    low, centre, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    height = 2 / (high - low) if front_end.area_norm else 1
    return height * np.maximum(0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)))


class LogMel(nn.Module):
    """Samples to log-mel spectrograms, batched, on any device.

    The same float32 result whatever the autocast: ``(ln(mel(|STFT| ** power) + floor) - mean) / std``, zeros beyond
    both ends.
    """

    window: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        window = torch.hann_window(front_end.window, dtype=torch.float64)
        self.register_buffer("window", window, persistent=False)
        # A mel filter is zero outside a narrow band of bins: neighbours are multiplied with the bins they reach only.
        self.bands: list[tuple[int, int]] = []
        for number, filters in enumerate(np.array_split(mel_filters(front_end), 8)):
            reached = np.flatnonzero(filters.any(axis=0))
            self.bands.append((int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1))
            filters_KF = torch.from_numpy(filters.T[slice(*self.bands[-1])].astype(np.float32))
            self.register_buffer(f"filters{number}_KF", filters_KF, persistent=False)

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Transform whole clips.

        Args:
            samples_BN: Mono samples at ``front_end.rate``, full scale 1.

        Shape:
            (B, N) -> (B, 1, front_end.frames(N), F)
        """
        padded_BN = f.pad(samples_BN, (self._before, self.front_end.window - self._before))
        return self._frames(padded_BN, self.front_end.frames(samples_BN.shape[1]))[:, None]

    @property
    def _before(self) -> int:
        return self.front_end.window // 2 if self.front_end.centred else 0

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Transform one recording that arrives in blocks, in memory that does not grow with its length.

        Args:
            blocks: Consecutive samples (N,), of any lengths.

        Yields:
            Consecutive rows (T, F), together exactly the `forward` of the whole recording.
        """
        window, hop = self.front_end.window, self.front_end.hop
        held = torch.zeros(self._before, device=self.window.device)
        total = done = 0
        for block in blocks:
            total += len(block)
            held = torch.cat([held, block.to(held)])
            # A frame needs its whole window, and its hop where that is longer; the last ones wait for the end.
            ready = min((len(held) - window) // hop + 1, len(held) // hop, self.front_end.frames(total) - done)
            if ready > 0:
                yield self._frames(held[None], ready)[0]
                held, done = held[ready * hop :], done + ready
        rest = self.front_end.frames(total) - done
        if total and rest > 0:
            yield self._frames(f.pad(held, (0, window))[None], rest)[0]

    def _frames(self, samples_BN: Tensor, frames: int) -> Tensor:
        """The first ``frames`` frames (B, T, F), the first one's window starting at sample 0."""
        window, hop = self.front_end.window, self.front_end.hop
        pieces_BTD = samples_BN[:, : (frames - 1) * hop + window].float().unfold(1, window, hop)
        # On a CPU, tiles that stay in its cache; on a device, bins of bounded memory.
        tile = max(1, (128 if samples_BN.device.type == "cpu" else 1 << 16) // len(samples_BN))
        with torch.autocast(samples_BN.device.type, enabled=False):
            return torch.cat([self._tile(piece_BTD) for piece_BTD in pieces_BTD.split(tile, dim=1)], dim=1)

    def _tile(self, pieces_BTD: Tensor) -> Tensor:
        # Float64 up to the bins: in float32 a loud low tone would cost quiet bins beside it 2e-3 of log-mel.
        # Where the window stands inside the FFT changes the phase only, so it stands at the start.
        padded_BTN = self.window.new_zeros(*pieces_BTD.shape[:2], self.front_end.fft)
        torch.mul(pieces_BTD, self.window, out=padded_BTN[..., : self.front_end.window])
        bins_BTK = torch.fft.rfft(padded_BTN)
        power_BTK2 = torch.view_as_real(bins_BTK.to(torch.complex64)).square_()
        power_BTK = power_BTK2[..., 0] + power_BTK2[..., 1]
        spectrum_BTK = power_BTK.sqrt_() if self.front_end.power == 1 else power_BTK
        mel_BTF = [
            spectrum_BTK[..., first:last] @ self.get_buffer(f"filters{number}_KF")
            for number, (first, last) in enumerate(self.bands)
        ]
        log_BTF = torch.cat(mel_BTF, dim=-1).add_(self.front_end.floor).log_()
        return log_BTF.sub_(self.front_end.mean).div_(self.front_end.std)
