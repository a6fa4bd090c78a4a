"""The catalog of official weights is complete and consistent."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slowfast_cli.corpora import labels
from slowfast_cli.models import count
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.catalog import CATALOG, find
from slowfast_cli.weights.catalog_entry import describe, network

AUDIO = ["asf-vggsound", "asf-slow-vggsound", "asf-fast-vggsound", "asf-epic", "asf-slow-epic", "asf-fast-epic"]
SOUNDS, SOUNDS_1S = "asf-epic-sounds", "asf-epic-sounds-1s"
KITCHENS = "slowfast-8x8-r50-epic"
PANNS = ["panns-cnn14", "panns-cnn14-16k"]
VIDEO = [name for name in CATALOG if name not in [*AUDIO, SOUNDS, SOUNDS_1S, *PANNS, KITCHENS]]
FILES = "https://dl.fbaipublicfiles.com/"


def test_the_catalog_is_complete():
    assert list(CATALOG)[:11] == [*AUDIO, SOUNDS, SOUNDS_1S, *PANNS, KITCHENS]
    assert len(VIDEO) == 28
    for field in ("name", "url", "file"):
        assert len({getattr(entry, field) for entry in CATALOG.values()}) == 39
    two = {name.rpartition("-")[0] for name in VIDEO if name.endswith("-hub")}
    assert two == {name.rpartition("-")[0] for name in VIDEO if name.endswith("-caffe2")}
    assert two == {
        "slow-4x16-r50-kinetics400",
        "slow-8x8-r50-kinetics400",
        "slowfast-4x16-r50-kinetics400",
        "slowfast-8x8-r50-kinetics400",
        "slow-4x16-r50-ava",
    }


@pytest.mark.parametrize("name", AUDIO)
def test_audio_entries_are_consistent(name):
    entry = find(name)
    assert entry.name == name
    assert entry.url.startswith("https://www.dropbox.com/s/")
    assert entry.url.endswith(f"/{entry.file}?dl=1")  # dl=0 is a web page
    assert (entry.licence, entry.paper) == ("CC BY-NC-SA 4.0", "arXiv:2103.03516")
    assert entry.variant in VARIANTS
    front = FrontEnd(**entry.frontend)
    samples = round(entry.clip_seconds * front.rate)
    assert front.frames(samples - 1) == entry.frames  # a crop is one sample short of the clip
    assert not entry.video
    if entry.dataset == "vggsound":
        assert dict(entry.heads) == {"label": 309}
        assert entry.views == 2
    else:
        assert dict(entry.heads) == {"verb": 97, "noun": 300}
        assert entry.views == 10


def test_epic_sounds_is_consistent():
    entry = find(SOUNDS)
    assert entry.url.endswith(f"/{entry.file}?dl=1")
    assert (entry.licence, entry.paper, entry.views) == ("CC BY-NC 4.0", "arXiv:2302.00646", 5)
    assert dict(entry.heads) == {"label": len(labels.names("epic_sounds44"))}
    front = FrontEnd(**entry.frontend)
    assert front.frames(round(entry.clip_seconds * front.rate) - 1) == entry.frames
    with torch.device("meta"):
        model = Recognizer(network(entry), dict(entry.heads))
    assert count.parameters(model) == 26_068_628
    assert entry.published == {"top1": 53.73}


def test_epic_sounds_with_clips_of_1_s_is_consistent():
    entry, longer = find(SOUNDS_1S), find(SOUNDS)
    assert entry.url.endswith(f"/{entry.file}?rlkey=s14j28kz3ovp0fnmcdmjxdqvd&dl=1")
    assert (entry.licence, entry.source) == ("CC BY-NC-SA 4.0", "https://github.com/JacobChalk/TIM")
    assert (entry.frontend, entry.heads, entry.variant) == (longer.frontend, longer.heads, longer.variant)
    front = FrontEnd(**entry.frontend)
    assert front.frames(round(entry.clip_seconds * front.rate) - 1) == entry.frames == 200
    assert (entry.published, entry.table) == ({}, "")


def test_epic_kitchens_is_consistent():
    entry = find(KITCHENS)
    assert entry.url == "https://www.dropbox.com/s/uxb6i2xkn91xqzi/SlowFast.pyth?dl=1"  # dl=0 is a web page
    assert (entry.licence, entry.dataset, entry.views) == ("CC BY-NC-SA 4.0", "epic", 10)
    assert dict(entry.heads) == {"verb": 97, "noun": 300}
    recipe = load("epic-video")
    frames = Frames(**entry.video)
    assert frames == replace(recipe.video, jitter=frames.jitter)
    assert (frames.channels, frames.seconds) == ("bgr", pytest.approx(entry.clip_seconds))
    assert entry.published == recipe.published
    with torch.device("meta"):
        model = Recognizer(network(entry), dict(entry.heads))
    assert count.parameters(model) / 1e6 == pytest.approx(entry.params_m, abs=0.005)


@pytest.mark.parametrize("name", PANNS)
def test_panns_entries_are_consistent(name):
    entry = find(name)
    assert entry.url == f"https://zenodo.org/record/3987831/files/{entry.file.replace('=', '%3D')}?download=1"
    assert f"mAP={entry.published['map']}.pth" in entry.file
    assert (entry.licence, entry.paper, entry.sigmoid) == ("CC BY 4.0", "arXiv:1912.10211", True)
    front = FrontEnd(**entry.frontend)
    assert front.frames(round(entry.clip_seconds * front.rate)) == entry.frames
    assert front.rate == (16000 if "16k" in name else 32000)
    assert front.mels == network(entry).bands
    assert entry.heads["label"] == len(labels.names("audioset527"))
    assert [len(entry.md5), len(entry.sha256)] in ([32, 0], [0, 64])


@pytest.mark.parametrize("name", VIDEO)
def test_video_entries_are_consistent(name):
    entry = find(name)
    assert entry.name == name
    assert entry.url.startswith(FILES)
    assert entry.file == f"{name}.{entry.url.rpartition('.')[2]}"
    assert (entry.licence, entry.paper) == ("Apache-2.0", "arXiv:1812.03982")
    assert "states none for the weights" in entry.note
    assert ("pytorchvideo" in entry.url) == ("pytorchvideo" in entry.source) == ("PyTorchVideo" in entry.table)
    settings = Frames(**{**entry.video, "jitter": tuple(entry.video.get("jitter", (256, 320)))})
    assert (settings.frames, settings.seconds) == (entry.frames, entry.clip_seconds)
    sampling = [int(number) for number in name.split("-")[1].split("x")]  # of the slow stream
    net = network(entry)
    alpha = net.pathways["slow"].stride
    assert sampling == [entry.frames // alpha, entry.video["step"] * alpha]
    known = {"ava": "ava80", "kinetics400": "kinetics400", "kinetics600": "kinetics600"}
    assert entry.heads["label"] == len(labels.names(known.get(entry.dataset, entry.dataset)))
    detects, whole = entry.dataset == "ava", entry.dataset == "ssv2"
    assert (settings.sampling, settings.flip) == (("uniform", False) if whole else ("dense", True))
    crops = 0 if detects else 1 if whole and entry.url.endswith(".pkl") else 3
    assert (net.regions, settings.crops) == ("unaligned" if detects else "none", crops)
    assert entry.views == (1 if detects or whole else 10)
    assert entry.sigmoid == (entry.dataset in ("ava", "charades"))
    assert set(entry.published) == ({"map"} if entry.sigmoid else set() if "600" in name else {"top1", "top5"})
    assert ("never published" in entry.note) == (entry.dataset == "kinetics600")
    attends = any(net.pathways["slow"].attend)
    assert attends == ("-nl-" in name)
    if attends:
        assert net.pathways["slow"].attend_pool == ((2, 2, 2) if detects else (1, 2, 2))


@pytest.mark.thorough
def test_parameters_and_gflops_match_the_published_ones():
    """The multiply-adds that PyTorchVideo publishes include a little more than convolutions: 2 % tolerance."""
    for entry in CATALOG.values():
        net = network(entry)
        with torch.device("meta"):
            model = Recognizer(
                replace(net, **({"pathways": dict(net.pathways)} if entry.video else {})), dict(entry.heads)
            )
        assert count.parameters(model) / 1e6 == pytest.approx(entry.params_m, abs=0.02), entry.name
        if entry.gflops is not None and "r101" not in entry.name:
            gflops = count.gflops(model, {"frames": torch.zeros(1, 3, entry.frames, 256, 256, device="meta")})
            assert gflops == pytest.approx(entry.gflops, rel=0.02), entry.name


def test_published_scores():
    assert find("asf-vggsound").published["top1"] == 52.46
    assert find("asf-fast-vggsound").published["dprime"] == 2.576
    assert find("asf-epic").published["action_top1"] == 15.22
    assert find("asf-slow-epic").published["unseen_noun_top1"] == 14.65
    assert find("slowfast-8x8-r50-kinetics400-caffe2").published == {"top1": 77.0, "top5": 92.6}
    assert find("slowfast-16x8-r101-kinetics400").published["top1"] == 78.70
    assert find("slowfast-8x8-r101-nl-ava").published["map"] == 0.291
    assert find("slowfast-8x8-r50-charades").published["map"] == 0.3724


def test_urls():
    assert (
        find("slowfast-8x8-r50-kinetics400-hub").url == f"{FILES}pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth"
    )
    assert find("slow-4x16-r50-ava-caffe2").url == f"{FILES}pyslowfast/model_zoo/ava/C2D_8x8_R50.pkl"
    name = "slowfast-16x8-r101-nl-kinetics600"
    assert find(name).url == f"{FILES}pyslowfast/model_zoo/ava/pretrain/SLOWFAST_64x2_R101_50_50.pkl"


def test_describe_returns_plain_values():
    plain = describe(find("slowfast-8x8-r101-nl-ava21"))
    assert plain["video"] == {"frames": 32, "step": 2, "crops": 0}
    assert plain["heads"] == {"label": 80}
    assert plain["attend_pool"] == (2, 2, 2)


def test_did_you_mean():
    with pytest.raises(WeightsError, match="did you mean 'asf-vggsound'"):
        find("asf-vgsound")
    both = "'slowfast-8x8-r50-kinetics400-caffe2' or 'slowfast-8x8-r50-kinetics400-hub'"
    with pytest.raises(WeightsError, match=rf"did you mean {both}\?"):
        find("slowfast-8x8-r50-kinetics400")
    with pytest.raises(WeightsError, match="expected one of asf-vggsound, "):
        find("resnet")


def test_the_documentation_counts_the_official_files():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    assert f"lists {len(CATALOG)} official files" in page
