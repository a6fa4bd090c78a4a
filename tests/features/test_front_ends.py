"""Front ends are looked up by the name in their settings; another one is a class and a registry line."""

import pytest
import tiny
import torch
from torch import nn

from slowfast_cli.features.front_ends import FRONT_ENDS, make_front_end
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import UsageError


class Energy(nn.Module):
    """Log energy of each hop, repeated in all bands."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def forward(self, samples_BN):
        return self.rows(samples_BN)[:, None]

    def stream(self, blocks):
        whole = torch.cat(list(blocks))
        yield self.rows(whole[None])[0]

    def rows(self, samples_BN):
        count, hop = self.settings.frames(samples_BN.shape[1]), self.settings.hop
        padded_BN = nn.functional.pad(samples_BN, (0, max(count * hop - samples_BN.shape[1], 0)))[:, : count * hop]
        energy_BT = padded_BN.unflatten(1, (count, hop)).square().mean(-1)
        return (energy_BT + self.settings.floor).log()[..., None].expand(-1, -1, self.settings.mels)


def test_the_default_is_log_mel():
    assert isinstance(make_front_end(FrontEnd()), LogMel)


def test_an_unknown_front_end_is_refused():
    with pytest.raises(UsageError, match=r"frontend\.kind: 'mfcc': no such front end; choose one of logmel"):
        make_front_end(FrontEnd(kind="mfcc"))


@pytest.mark.thorough
@pytest.mark.parametrize("source", ["shards", "media"])
def test_another_front_end_goes_through_all_commands(tmp_path, monkeypatch, source):
    monkeypatch.setitem(FRONT_ENDS, "energy", Energy)
    monkeypatch.chdir(tmp_path)
    root = tiny.make_folder(tmp_path / "folder")
    shards = tmp_path / "shards"
    settings = ["frontend.kind=energy", *tiny.FRONT]
    tiny.good("extract", "--dataset", "folder", "--root", root, "--out", shards, "-j", 1, *settings)
    words = [f"data.root={root}", f"data.source={source}", f"data.shards={shards}", "frontend.kind=energy", *tiny.WORDS]
    tiny.good("train", "folder", *words, "--run", "run")
    tiny.good("evaluate", "run", "--no-plots")
    done = tiny.good("predict", root / "val" / "rain" / "rain-4.wav", "--weights", "run", "--json")
    assert len(done.lines[0]["top"]) == 3
    if source == "shards":
        done = tiny.slowfast("train", "folder", *words, "frontend.kind=logmel", "--run", "other")
        assert (done.code, "kind" in done.err) == (3, True), done.err
