"""The log-mel front end: spectrogram, mel filters, logarithm (ASF Sec. 4.2, AV Sec. 4, and other papers' settings).

Shapes: B batch, N samples, T frames (time), F mel bands, D samples under the window, K frequency bins.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.features import dft
from slowfast_cli.features.logmel_cpu import FilterGroup, Float32, MelSpectrum
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.settings import FrontEnd

TOLERANCE = 1e-3  # of a log-mel by float32 spectra; storing it as float16 changes it by up to 4e-3


def repeat_last(logmel_B1TF: Tensor, frames_B: Tensor) -> Tensor:
    """Repeat the last of the valid frames (at least 1) of each clip in its padding (ASF Sec. 4.2).

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    steps_BT = torch.arange(logmel_B1TF.shape[2], device=logmel_B1TF.device).minimum(frames_B[:, None] - 1)
    return torch.take_along_dim(logmel_B1TF, steps_BT[:, None, :, None], dim=2)


def _reflect(index: Tensor, samples: int) -> Tensor:
    """Map indices beyond a signal into it by repeated reflection at its first and last sample."""
    period = max(1, 2 * (samples - 1))
    index = index % period
    return torch.where(index < samples, index, period - index)


class LogMel(nn.Module):
    """Batched log-mel spectrograms on any device, in float32 even under autocast.

    ``(ln(mel(|STFT| ** power) + floor) - mean) / std``, or with decibels
    ``(10 log10(max(mel(|STFT| ** power), floor)) - mean) / std``.
    """

    window: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        self.exact = True
        """False: on a CPU, compute spectra in float32 where that changes no log-mel by more than `TOLERANCE`."""
        self._on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}
        window = torch.hann_window(front_end.window, dtype=torch.float64)
        self.register_buffer("window", window, persistent=False)
        # Mel filters are zero outside a narrow range of bins: groups of them are multiplied with that range only.
        self.bands: list[tuple[int, int]] = []
        for number, filters in enumerate(np.array_split(mel_filters(front_end), 8)):
            bins = np.flatnonzero(filters.any(axis=0))
            self.bands.append((int(bins[0]), int(bins[-1]) + 1) if len(bins) else (0, 1))
            filters_KF = torch.from_numpy(filters.T[slice(*self.bands[-1])].astype(np.float32))
            self.register_buffer(f"filters{number}_KF", filters_KF, persistent=False)

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Transform whole clips.

        Args:
            samples_BN: Mono samples at ``front_end.rate``, full scale 1.

        Shape: (B, N) -> (B, 1, front_end.frames(N), F)
        """
        return self._transform(self._pad(samples_BN), self.front_end.frames(samples_BN.shape[1]))[:, None]

    def _pad(self, samples_BN: Tensor) -> Tensor:
        N, after = samples_BN.shape[1], self.front_end.window - self._padding
        if self.front_end.edges == "silent" or N == 0:
            return f.pad(samples_BN, (self._padding, after))
        return samples_BN[:, _reflect(torch.arange(-self._padding, N + after, device=samples_BN.device), N)]

    @property
    def _padding(self) -> int:
        """Samples of padding before the signal."""
        return self.front_end.window // 2 if self.front_end.centred else 0

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Transform one recording block by block, in memory independent of its length.

        Args:
            blocks: Consecutive samples (N,), of any lengths.

        Yields:
            Consecutive rows (T, F), together equal to `forward` of the whole recording.
        """
        window, hop = self.front_end.window, self.front_end.hop
        reflects = self.front_end.edges == "mirrored"
        buffer = torch.zeros(0 if reflects else self._padding, device=self.window.device)
        total = count = 0
        for block in self._reflect_ends(blocks) if reflects else blocks:
            total += len(block)
            buffer = torch.cat([buffer, block.to(buffer)])
            # A frame needs its whole window, and its hop if that is longer; the last frames wait for the end.
            ready = min((len(buffer) - window) // hop + 1, len(buffer) // hop, self.front_end.frames(total) - count)
            if ready > 0:
                yield self._transform(buffer[None], ready)[0]
                buffer, count = buffer[ready * hop :], count + ready
        rest = self.front_end.frames(total - window if reflects else total) - count
        if total and rest > 0:
            yield self._transform(f.pad(buffer, (0, window))[None], rest)[0]

    def _reflect_ends(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the blocks with the reflection padding that `_pad` adds to the whole recording."""
        window, started = self.front_end.window, False
        last = torch.zeros(0, device=self.window.device)
        for block in blocks:
            last = torch.cat([last, block.to(last)])
            if started:
                yield block
            elif len(last) > window:
                yield from (last[1 : self._padding + 1].flip(0), last)
                started = True
            last = last[-window - 1 :] if started else last
        if started:
            yield last[-1 - (window - self._padding) : -1].flip(0)
        elif len(last):
            yield self._pad(last[None])[0]

    def _transform(self, samples_BN: Tensor, frames: int) -> Tensor:
        """Compute the first ``frames`` frames (B, T, F); the window of the first starts at sample 0."""
        window, hop = self.front_end.window, self.front_end.hop
        frames_BTD = samples_BN[:, : (frames - 1) * hop + window].float().unfold(1, window, hop)
        if dft.is_fast(samples_BN.device):
            return self._by_matrix_products(frames_BTD)
        if samples_BN.device.type == "cpu":
            return self._on_cpu(frames_BTD)
        tile = max(1, (1 << 16) // len(samples_BN))  # bounds the memory of the bins
        with torch.autocast(samples_BN.device.type, enabled=False):
            return torch.cat([self._tile(tile_BTD) for tile_BTD in frames_BTD.split(tile, dim=1)], dim=1)

    def _on_cpu(self, frames_BTD: Tensor) -> Tensor:
        groups = [
            FilterGroup(first=first, last=last, filters=self.get_buffer(f"filters{number}_KF").numpy())
            for number, (first, last) in enumerate(self.bands)
        ]
        front_end = self.front_end
        per_ln = front_end.slope / front_end.power
        limits = Float32(tolerance=TOLERANCE / per_ln, floor=front_end.floor, decibels=front_end.decibels)
        to_mel = MelSpectrum(
            window=self.window.numpy(), fft=front_end.fft, power=front_end.power, groups=groups,
            float32=None if self.exact else limits,
        )  # fmt: skip
        with np.errstate(all="ignore"):  # no warnings for infinite or NaN samples, as in torch
            mel_BTF = to_mel(frames_BTD.detach().numpy())
            if front_end.decibels:
                mel_BTF = 10 * np.log10(np.maximum(mel_BTF, np.float32(front_end.floor)))
            else:
                np.log(np.add(mel_BTF, np.float32(front_end.floor), out=mel_BTF), out=mel_BTF)
        mel_BTF -= np.float32(front_end.mean)
        mel_BTF /= np.float32(front_end.std)
        return torch.from_numpy(mel_BTF)

    def _tile(self, frames_BTD: Tensor) -> Tensor:
        # Float64 and padding as in `slowfast_cli.features.logmel_cpu`.
        padded_BTN = self.window.new_zeros(*frames_BTD.shape[:2], self.front_end.fft)
        torch.mul(frames_BTD, self.window, out=padded_BTN[..., : self.front_end.window])
        bins_BTK = torch.fft.rfft(padded_BTN)
        power_BTK2 = torch.view_as_real(bins_BTK.to(torch.complex64)).square_()
        power_BTK = power_BTK2[..., 0] + power_BTK2[..., 1]
        spectrum_BTK = power_BTK.sqrt_() if self.front_end.power == 1 else power_BTK
        mel_BTF = [
            spectrum_BTK[..., first:last] @ self.get_buffer(f"filters{number}_KF")
            for number, (first, last) in enumerate(self.bands)
        ]
        return self._logarithm(torch.cat(mel_BTF, dim=-1))

    def _by_matrix_products(self, frames_BTD: Tensor) -> Tensor:
        """Compute the log-mel by real matrix products, see `slowfast_cli.features.dft`."""
        basis_DK2, filters_KF = self._matrices(frames_BTD.device)
        with torch.autocast(frames_BTD.device.type, enabled=False):
            tiles = []
            for frames_BND in frames_BTD.split(max(1, dft.TILE // len(frames_BTD)), dim=1):
                spectrum_BNK = dft.magnitudes(frames_BND, basis_DK2)
                tiles.append((spectrum_BNK if self.front_end.power == 1 else spectrum_BNK.square_()) @ filters_KF)
            return self._logarithm(torch.cat(tiles, dim=1))

    def _matrices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the DFT basis and the mel filters on a device, cached."""
        if device not in self._on_device:
            basis = torch.from_numpy(dft.basis(self.window.cpu().numpy(), self.front_end.fft))
            filters = torch.from_numpy(mel_filters(self.front_end).T.astype(np.float32))
            self._on_device[device] = basis.to(device), filters.to(device)
        return self._on_device[device]

    def _logarithm(self, mel_BTF: Tensor) -> Tensor:
        floor = self.front_end.floor
        log_BTF = mel_BTF.clamp_(min=floor).log10_().mul_(10) if self.front_end.decibels else mel_BTF.add_(floor).log_()
        return log_BTF.sub_(self.front_end.mean).div_(self.front_end.std)
