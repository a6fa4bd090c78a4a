"""The weight file format: files round-trip, and other files are refused."""

import json
import pickle

import pytest
import tiny
import torch
from safetensors.torch import save as serialize

from slowfast_cli import load_model
from slowfast_cli.inference.choose import SUFFIXES
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Lateral, Net, Pathway, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import EXPORTED, Card, build, describe, load_matching, read, read_card, run_weights, save

CLASSES = {"verb": ("take", "wash"), "noun": ("plate", "cup", "größe 7 µm")}


def card_of(**more):
    net = with_width(VARIANTS["asf-r50"], 8)
    return Card(**{"net": net, "classes": CLASSES, "front_end": tiny.FRONT_END, "clip_seconds": 0.6, **more})


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return card_of().model().eval()


@pytest.fixture
def path(tmp_path, model):
    save(tmp_path / "w.safetensors", model.state_dict(), card_of())
    return tmp_path / "w.safetensors"


def rewrite(path, header=None, tensors=None):
    """Replace the header or the tensors of a weight file."""
    state = read(path)[1] if tensors is None else tensors
    text = json.dumps(describe(card_of())) if header is None else header
    path.write_bytes(serialize(state, {"slowfast": text}))


def test_a_file_round_trips_model_and_card(tmp_path, model):
    card = card_of(
        views=10, recipe="epic", source="somewhere", licence="CC BY 4.0", scores={"top1": 52.5}, notes=("one", "two")
    )
    save(tmp_path / "w.safetensors", model.state_dict(), card)
    assert read_card(tmp_path / "w.safetensors") == card
    x = {"logmel": torch.randn(2, 1, 60, 32)}
    for given in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        back = load_model(given)
        assert isinstance(back, Recognizer)
        assert not back.training
        assert back.card == card
        with torch.no_grad():
            for labels, logits in model(x).items():
                assert torch.equal(back(x)[labels], logits)
                assert logits.shape == (2, len(CLASSES[labels]))


@pytest.mark.parametrize("variant", ["asf-r50", "asf-late-r50", "asf-two-slow-r50", "resnet50-separable"])
def test_audio_networks_round_trip(tmp_path, variant):
    card = card_of(net=with_width(VARIANTS[variant], 4))
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    assert build(tmp_path / "w.safetensors")[0].net == card.net


VIDEO = {
    "frames": 16, "step": 2, "fps": 24.0, "crop": 64, "jitter": [64, 80], "flip": True, "side": 64, "crops": 3,
    "rows": 64, "mean": 0.45, "std": 0.225,
}  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "more"),
    [
        ("slow-r50", {"sigmoid": True}),
        ("slowfast-8x8-r50-nl", {}),
        ("slowfast-8x8-r101-nl-ava", {"sigmoid": True}),
        ("avslowfast-4x16-r50", {"sync": ("res3", "res4", "res5")}),
        ("avslowfast-16x4-r50-sync", {"sync": ("res4",)}),
    ],
)
def test_video_networks_round_trip(tmp_path, variant, more):
    """Frame settings, RoIAlign, AV-sync stages and output activation are stored in the file."""
    net = with_width(VARIANTS[variant], 8)
    front_end = tiny.FRONT_END if "logmel" in net.signals else {}
    card = card_of(net=net, video=VIDEO, front_end=front_end, clip_seconds=16 * 2 / 24, **more)
    model = card.model().eval()
    save(tmp_path / "w.safetensors", model.state_dict(), card)
    assert read_card(tmp_path / "w.safetensors") == card
    back = load_model(tmp_path / "w.safetensors")
    assert back.card.video == VIDEO
    assert Frames.from_settings(dict(back.card.video)).seconds == pytest.approx(card.clip_seconds)
    signals = {"frames": torch.randn(1, 3, 16, 64, 64), "logmel": torch.randn(1, 1, 64, 32)}
    boxes = torch.tensor([[0, 1.0, 2, 40, 50]]) if net.regions != "none" else None
    with torch.inference_mode():
        for labels, logits in model(signals, boxes).items():
            assert torch.equal(back(signals, boxes=boxes)[labels], logits)


def test_cards_without_video_fields_are_read(path):
    """The bundled model has such a card."""
    old = {key: value for key, value in PLAIN.items() if key not in ("video", "sigmoid", "sync")}
    for pathway in old["net"]["pathways"].values():
        assert set(pathway) >= {"width", "stride"}
    rewrite(path, header=json.dumps(old))
    assert (read_card(path).video, read_card(path).sigmoid, read_card(path).sync) == ({}, False, ())
    assert load_model(path).card.net == card_of().net


def test_networks_outside_the_zoo_round_trip(tmp_path):
    net = Net(
        pathways={"a": Pathway(stride=8, width=4, depth=(1, 1, 2, 1)), "b": Pathway(stride=2, width=2)},
        laterals={"x": Lateral(src="b", dst="a", after=("res3",), kernel=5, ratio=1)},
    )
    card = card_of(net=net)
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    assert read_card(tmp_path / "w.safetensors").net == net


def test_half_precision_is_half_the_size_and_loads_as_float32(tmp_path, path, model):
    save(tmp_path / "half.safetensors", model.state_dict(), card_of(), dtype=torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * path.stat().st_size
    half = load_model(tmp_path / "half.safetensors")
    assert {value.dtype for value in half.state_dict().values() if value.is_floating_point()} == {torch.float32}
    x = {"logmel": torch.randn(2, 1, 60, 32)}
    with torch.no_grad():
        torch.testing.assert_close(half(x)["noun"], model(x)["noun"], atol=1e-2, rtol=1e-2)


def test_run_weights_prefers_best_over_last(tmp_path, path):
    with pytest.raises(WeightsError, match=r"a folder without best\.safetensors or last\.safetensors"):
        run_weights(tmp_path)
    (tmp_path / "last.safetensors").write_bytes(path.read_bytes())
    assert run_weights(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").write_bytes(path.read_bytes())
    assert run_weights(tmp_path).name == "best.safetensors"
    assert load_model(tmp_path).card.classes == CLASSES


def test_load_matching_copies_matching_tensors_and_reports_the_rest(model):
    other = Recognizer(with_width(VARIANTS["asf-r50"], 8), {"verb": 2, "noun": 5})
    state = {**model.state_dict(), "strange": torch.ones(1)}
    result = load_matching(
        other, {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    )
    assert set(result.fresh) == {"heads.linears.noun.0.weight", "heads.linears.noun.0.bias"}
    assert set(result.unused) == {*result.fresh, "strange"}
    assert "trunk.stages.slow_stem.conv.weight" in result.loaded
    assert torch.equal(other.trunk.stages["slow_stem"].conv.weight, model.trunk.stages["slow_stem"].conv.weight)


class Evil:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", b"<!DOCTYPE html><html>sign in</html>", pickle.dumps(Evil()), b"\xff" * 200, None],
    ids=["empty", "a byte", "web page", "pickle", "noise", "truncated"],
)
def test_other_files_are_refused_without_executing_code(path, content, capsys):
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    for use in (read_card, read, build, load_model):
        with pytest.raises(WeightsError, match=r"w\.safetensors: not a safetensors file .*slowfast weights convert"):
            use(path)
    assert capsys.readouterr().out == ""


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such weight file; `slowfast weights ls` lists"):
        load_model(tmp_path / "gone.safetensors")


PLAIN = describe(card_of())


@pytest.mark.parametrize(
    "header",
    [
        "", "{", "[]", '"text"', "3", "null", "{}",
        json.dumps({**PLAIN, "net": None}),
        json.dumps({**PLAIN, "net": {"pathways": [], "laterals": {}, "merge": "concat"}}),
        json.dumps({**PLAIN, "net": {**PLAIN["net"], "pathways": {"slow": 3}}}),
        json.dumps({**PLAIN, "net": {**PLAIN["net"], "pathways": {"slow": {"width": "wide"}}}}),
        json.dumps({**PLAIN, "net": {**PLAIN["net"], "pathways": {"slow": {"speed": 3}}}}),
        json.dumps({**PLAIN, "classes": ["a"]}),
        json.dumps({**PLAIN, "classes": None}),
        json.dumps({**PLAIN, "notes": None}),
        json.dumps({**PLAIN, "colour": "red"}),
        json.dumps({key: value for key, value in PLAIN.items() if key != "front_end"}),
    ],
    ids=range(17),
)  # fmt: skip
def test_invalid_headers_are_refused(path, header):
    rewrite(path, header=header)
    with pytest.raises(WeightsError, match=r"w\.safetensors: its header does not describe a slowfast model"):
        read_card(path)


def changed_net(**fields):
    """A header whose first pathway has other values."""
    name, pathway = next(iter(PLAIN["net"]["pathways"].items()))
    return {"net": {**PLAIN["net"], "pathways": {**PLAIN["net"]["pathways"], name: {**pathway, **fields}}}}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (changed_net(pick="/etc/passwd"), "pick: '/etc/passwd'"),
        (changed_net(attend=[[], [], []]), "attend"),
        (changed_net(width=True), "width"),
        (changed_net(width=10**12), "a size of 1000000000000"),
        (changed_net(depth=[1, 1, 1, 900_000]), r"9000\d\d blocks"),
        ({"clip_seconds": -1}, "clips of -1 s"),
        ({"views": 1.5}, "views: 1.5"),
        ({"views": 10**9}, "1000000000 views"),
        ({"hidden": -1}, "-1 hidden units"),
        ({"classes": {"verb": ["a", "a"], "noun": ["b"]}}, "a class twice"),
        ({"classes": {"verb": []}}, "without classes"),
        ({"classes": {"verb": [1]}}, "verb.0: 1"),
        ({"clip_seconds": float("nan")}, "not JSON compliant"),
        ({"sync": ["res9"]}, "sync.0: 'res9'"),
        ({"front_end": {"mels": [1]}}, "front_end.mels"),
    ],
)
def test_impossible_values_are_refused(path, fields, reason):
    rewrite(path, header=json.dumps({**PLAIN, **fields}))
    with pytest.raises(WeightsError, match=rf"does not describe a slowfast model.*{reason}"):
        read_card(path)


def test_sizes_are_compared_before_memory_is_asked_for(path):
    rewrite(path, header=json.dumps({**PLAIN, **changed_net(width=100_000)}))
    with pytest.raises(WeightsError, match=r"do not match its header|describes no network"):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(path, value):
    state = read(path)[1]
    state["heads.linears.verb.0.bias"][0] = value
    rewrite(path, tensors=state)
    with pytest.raises(WeightsError, match=r"1 of \d+ values of heads.linears.verb.0.bias are NaN or infinite"):
        load_model(path)


def test_other_safetensors_files_are_refused(path):
    path.write_bytes(serialize({"weight": torch.ones(2)}))
    with pytest.raises(WeightsError, match=r"its header does not describe a slowfast model \(KeyError\('slowfast'\)\)"):
        load_model(path)


def test_a_newer_format_is_refused(path):
    rewrite(path, header=json.dumps({**PLAIN, "format": 2}))
    with pytest.raises(WeightsError, match="format 2, expected 1: written by a newer slowfast"):
        load_model(path)


def test_tensors_that_do_not_match_the_header_are_refused(path):
    state = read(path)[1]
    gone = {name: value for name, value in state.items() if name != "heads.linears.verb.0.bias"}
    rewrite(path, tensors=gone)
    with pytest.raises(WeightsError, match=r"do not match its header: missing \('heads.linears.verb.0.bias',\)"):
        load_model(path)
    rewrite(path, tensors={**state, "more": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"do not match its header: missing \(\), unexpected \('more',\)"):
        load_model(path)


def test_an_exported_file_is_not_taken_for_weights_to_convert(tmp_path):
    assert set(EXPORTED) == set(SUFFIXES)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"program " * 10)
    with pytest.raises(WeightsError, match="only `predict` takes a file of `slowfast export`"):
        build(path)
