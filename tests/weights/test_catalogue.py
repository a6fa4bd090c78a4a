"""The official weights and their facts."""

import pytest

from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.catalogue import CATALOGUE, find

NAMES = ["asf-vggsound", "asf-slow-vggsound", "asf-fast-vggsound", "asf-epic", "asf-slow-epic", "asf-fast-epic"]


def test_the_six_are_there():
    assert list(CATALOGUE) == NAMES
    assert len({entry.url for entry in CATALOGUE.values()}) == 6
    assert len({entry.file for entry in CATALOGUE.values()}) == 6


@pytest.mark.parametrize("name", NAMES)
def test_facts_hold_together(name):
    entry = find(name)
    assert entry.name == name
    assert entry.url.startswith("https://www.dropbox.com/s/")
    assert entry.url.endswith(f"/{entry.file}?dl=1")  # dl=0 is a web page
    assert entry.licence == "CC BY-NC-SA 4.0"
    assert entry.variant in VARIANTS
    front = FrontEnd(**entry.frontend)
    samples = round(entry.clip_seconds * front.rate)
    assert front.frames(samples - 1) == entry.frames  # a crop is one sample short of the clip
    if entry.dataset == "vggsound":
        assert dict(entry.heads) == {"label": 309}
        assert "unverified" in entry.note
        assert entry.views == 2
    else:
        assert dict(entry.heads) == {"verb": 97, "noun": 300}
        assert entry.views == 10


def test_published_numbers():
    assert find("asf-vggsound").published["top1"] == 52.46
    assert find("asf-fast-vggsound").published["dprime"] == 2.576
    assert find("asf-epic").published["action_top1"] == 15.22
    assert find("asf-slow-epic").published["unseen_noun_top1"] == 14.65


def test_did_you_mean():
    with pytest.raises(WeightsError, match="did you mean 'asf-vggsound'"):
        find("asf-vgsound")
    with pytest.raises(WeightsError, match="there are asf-vggsound, "):
        find("resnet")
