"""The log-mel front end: spectrogram, mel filters, logarithm (ASF Sec. 4.2, AV Sec. 4; and as others have it).

Shapes: B batch, N samples, T frames (time), F mel bands, D samples under the window, K frequency bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.features import dft
from slowfast_cli.features.logmel_cpu import Band, Spectrum
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.settings import FrontEnd


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


def _mirrored(places: Tensor, samples: int) -> Tensor:
    """The places inside a sound that are seen in mirrors at its first and its last sample."""
    period = max(1, 2 * (samples - 1))
    places = places % period
    return torch.where(places < samples, places, period - places)


class LogMel(nn.Module):
    """Samples to log-mel spectrograms, batched, on any device.

    The same float32 result whatever the autocast: ``(ln(mel(|STFT| ** power) + floor) - mean) / std``, or of decibels
    ``(10 log10(max(mel(|STFT| ** power), floor)) - mean) / std``.
    """

    window: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        self._on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}
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
        return self._frames(self._padded(samples_BN), self.front_end.frames(samples_BN.shape[1]))[:, None]

    def _padded(self, samples_BN: Tensor) -> Tensor:
        N, after = samples_BN.shape[1], self.front_end.window - self._before
        if self.front_end.edges == "silent" or N == 0:
            return f.pad(samples_BN, (self._before, after))
        return samples_BN[:, _mirrored(torch.arange(-self._before, N + after, device=samples_BN.device), N)]

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
        mirrors = self.front_end.edges == "mirrored"
        held = torch.zeros(0 if mirrors else self._before, device=self.window.device)
        total = done = 0
        for block in self._between_mirrors(blocks) if mirrors else blocks:
            total += len(block)
            held = torch.cat([held, block.to(held)])
            # A frame needs its whole window, and its hop where that is longer; the last ones wait for the end.
            ready = min((len(held) - window) // hop + 1, len(held) // hop, self.front_end.frames(total) - done)
            if ready > 0:
                yield self._frames(held[None], ready)[0]
                held, done = held[ready * hop :], done + ready
        rest = self.front_end.frames(total - window if mirrors else total) - done
        if total and rest > 0:
            yield self._frames(f.pad(held, (0, window))[None], rest)[0]

    def _between_mirrors(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """The blocks with the window's worth of samples that `_padded` puts around the whole recording."""
        window, started = self.front_end.window, False
        last = torch.zeros(0, device=self.window.device)
        for block in blocks:
            last = torch.cat([last, block.to(last)])
            if started:
                yield block
            elif len(last) > window:
                yield from (last[1 : self._before + 1].flip(0), last)
                started = True
            last = last[-window - 1 :] if started else last
        if started:
            yield last[-1 - (window - self._before) : -1].flip(0)
        elif len(last):
            yield self._padded(last[None])[0]

    def _frames(self, samples_BN: Tensor, frames: int) -> Tensor:
        """The first ``frames`` frames (B, T, F), the first one's window starting at sample 0."""
        window, hop = self.front_end.window, self.front_end.hop
        pieces_BTD = samples_BN[:, : (frames - 1) * hop + window].float().unfold(1, window, hop)
        if dft.pays(samples_BN.device):
            return self._by_matrices(pieces_BTD)
        if samples_BN.device.type == "cpu":
            return self._on_cpu(pieces_BTD)
        tile = max(1, (1 << 16) // len(samples_BN))  # bins of bounded memory
        with torch.autocast(samples_BN.device.type, enabled=False):
            return torch.cat([self._tile(piece_BTD) for piece_BTD in pieces_BTD.split(tile, dim=1)], dim=1)

    def _on_cpu(self, pieces_BTD: Tensor) -> Tensor:
        bands = [
            Band(first=first, last=last, filters=self.get_buffer(f"filters{number}_KF").numpy())
            for number, (first, last) in enumerate(self.bands)
        ]
        it = self.front_end
        spectrum = Spectrum(window=self.window.numpy(), fft=it.fft, power=it.power, bands=bands)
        with np.errstate(all="ignore"):  # as torch, which does not warn of infinite or missing samples
            rows_BTF = spectrum.mels(pieces_BTD.detach().numpy())
            if it.decibels:
                rows_BTF = 10 * np.log10(np.maximum(rows_BTF, np.float32(it.floor)))
            else:
                np.log(np.add(rows_BTF, np.float32(it.floor), out=rows_BTF), out=rows_BTF)
        rows_BTF -= np.float32(it.mean)
        rows_BTF /= np.float32(it.std)
        return torch.from_numpy(rows_BTF)

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
        return self._logarithm(torch.cat(mel_BTF, dim=-1))

    def _by_matrices(self, pieces_BTD: Tensor) -> Tensor:
        """The same without complex numbers, see `slowfast_cli.features.dft`."""
        waves_DK2, filters_KF = self._matrices(pieces_BTD.device)
        with torch.autocast(pieces_BTD.device.type, enabled=False):
            tiles = []
            for pieces_BND in pieces_BTD.split(max(1, dft.TILE // len(pieces_BTD)), dim=1):
                spectrum_BNK = dft.magnitudes(pieces_BND, waves_DK2)
                tiles.append((spectrum_BNK if self.front_end.power == 1 else spectrum_BNK.square_()) @ filters_KF)
            return self._logarithm(torch.cat(tiles, dim=1))

    def _matrices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The waves under the window and the mel filters, made where and when they are first wanted."""
        if device not in self._on_device:
            waves = torch.from_numpy(dft.waves(self.window.cpu().numpy(), self.front_end.fft))
            filters = torch.from_numpy(mel_filters(self.front_end).T.astype(np.float32))
            self._on_device[device] = waves.to(device), filters.to(device)
        return self._on_device[device]

    def _logarithm(self, mel_BTF: Tensor) -> Tensor:
        floor = self.front_end.floor
        log_BTF = mel_BTF.clamp_(min=floor).log10_().mul_(10) if self.front_end.decibels else mel_BTF.add_(floor).log_()
        return log_BTF.sub_(self.front_end.mean).div_(self.front_end.std)
