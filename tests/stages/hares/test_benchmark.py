"""The twelve tasks of HARES, each to its end on a few recordings in their own layouts, by trunks of every kind."""

import contextlib
import csv
import json
import shutil
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_tasks
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from slowfast_cli.build.corpus import _read
from slowfast_cli.engine.fit import Step
from slowfast_cli.models import external
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import bundled, load
from slowfast_cli.recipe.schema import Suite
from slowfast_cli.stages.hares import benchmark
from slowfast_cli.stages.hares import probe as probing
from slowfast_cli.stages.hares.benchmark import TaskMissing, TaskScored, TaskStarted
from slowfast_cli.stages.hares.probe import probe
from slowfast_cli.types import UsageError
from slowfast_cli.weights.file import Card, save

HARES = load("hares")
ALL = benchmark.chosen(benchmark.suite_of(HARES), ())
WORDS = [
    "model.width=8", "schedule.steps=20", "schedule.warmup_steps=2", "data.workers=0", "optim.batch=4", "probe.crops=2",
]  # fmt: skip
FEW = [word for word in WORDS if not word.startswith("model")]
RANDOM = "random:sf-nf-r50"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_tasks.make(tmp_path_factory.mktemp("hares") / "data")


@pytest.fixture
def here(data, monkeypatch):
    monkeypatch.setenv("SLOWFAST_DATA", str(data))
    _read.cache_clear()
    return data


def run(folder, tasks=(), *, word=RANDOM, words=WORDS):
    return list(benchmark.evaluate(HARES, benchmark.trunk(word), folder, tasks=tasks, words=words, device="cpu"))


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def scored(events):
    return {event.task: event for event in of(TaskScored, events)}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Every task, once: where, and its events."""
    folder = tmp_path_factory.mktemp("hares") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SLOWFAST_DATA", str(data))
        patched.setattr("slowfast_cli.stages.train.loop.curves_plot", lambda *words, **options: None)
        return folder, run(folder)


def test_the_suite_is_the_papers():
    """Table 1: the tasks and their domains; each has a recipe of that name."""
    domains = benchmark.suite_of(HARES).domains
    assert [len(names) for names in domains.values()] == [4, 5, 3]
    assert len(ALL) == 12
    assert {f"hares/{task}" for task in ALL} == {name for name in bundled() if name.startswith("hares/")}
    assert set(tiny_tasks.MAKERS) == set(ALL)


def test_every_task_runs_to_its_end(whole):
    _, events = whole
    found = scored(events)
    assert of(TaskMissing, events) == []
    assert list(found) == ALL == [event.task for event in of(TaskStarted, events)]
    for task, event in found.items():
        recipe = load(f"hares/{task}")
        assert event.metric == recipe.metric
        factor = 100 if recipe.metric == "map" else 1  # in percent, as the paper prints it
        assert event.score == factor * event.scores[recipe.metric]
        assert 0 <= event.score <= 100
    assert {task: event.metric for task, event in found.items() if event.metric != "top1"} == {
        "audioset": "map", "magnatagatune": "map", "fluent": "all_top1",
    }  # fmt: skip
    assert (found["audioset"].found, found["audioset"].listed) == (8, 40)
    assert (found["magnatagatune"].found, found["magnatagatune"].listed) == (12, 12)
    assert (found["esc50"].found, found["esc50"].listed) == (30, 30)
    assert len(of(Step, events)) == 11 * 20  # a support vector machine takes none


def test_sounds_that_differ_are_distinguished_even_by_a_random_network(whole):
    found = scored(whole[1])
    assert found["esc50"].score > 60  # by chance a third


def test_averages_are_those_of_the_domains(whole):
    scores = {task: event.score for task, event in scored(whole[1]).items()}
    asked = benchmark.suite_of(HARES)
    found = benchmark.averages(asked, scores)
    for domain, names in asked.domains.items():
        assert found[domain] == pytest.approx(np.mean([scores[name] for name in names]))
    assert found["hares"] == pytest.approx(np.mean(list(scores.values())))  # of tasks, not of domains
    scores.pop("tut18")
    found = benchmark.averages(asked, scores)
    assert [name for name, value in found.items() if value is None] == ["environment", "hares"]


def test_what_is_done_is_not_done_again(whole, here, monkeypatch):
    folder, events = whole
    monkeypatch.setattr(benchmark, "probe", lambda *words, **options: pytest.fail("it was done before"))
    again = run(folder)
    assert of(Step, again) == []
    assert all(event.finished for event in of(TaskStarted, again))
    assert scored(again) == scored(events)
    # Nor where the data is gone since, and its score is there.
    monkeypatch.setenv("SLOWFAST_DATA", str(folder / "nowhere"))
    assert scored(run(folder)) == scored(events)


def test_all_slots_have_to_be_right(whole, here, tmp_path):
    event = scored(whole[1])["fluent"]
    slots = ("action", "object", "location")
    assert event.scores["all_top1"] <= min(event.scores[f"{slot}_top1"] for slot in slots)
    (better,) = of(
        TaskScored,
        run(tmp_path, ["fluent"], words=[*WORDS, "schedule.steps=400", "optim.lr=0.01", "optim.lr_batch=null"]),
    )
    assert better.metric == "all_top1"
    assert better.score > 50  # three commands, each of a sound of its own
    run_folder = next(tmp_path.glob("fluent/run-*"))
    tiny.good(
        "evaluate", run_folder, f"data.root={here / 'fluent'}", f"data.shards={tmp_path / 'fluent' / 'features'}",
        "--no-plots", "--out", tmp_path / "pretext_top1",
    )  # fmt: skip
    with np.load(tmp_path / "pretext_top1" / "predictions.npz") as stored:
        right = np.stack([stored[f"scores_{slot}"].argmax(1) == stored[f"targets_{slot}"] for slot in slots])
    assert better.score == pytest.approx(100 * right.all(0).mean())


def test_an_interrupted_suite_goes_on(whole, here, tmp_path):
    tasks = ["tut18", "fluent"]
    words = [*WORDS, "schedule.validate_every=1"]
    events = benchmark.evaluate(HARES, benchmark.trunk(RANDOM), tmp_path, tasks=tasks, words=words, device="cpu")
    with contextlib.closing(events):
        seen = []
        for event in events:
            seen.append(event)
            if len(of(TaskStarted, seen)) == 2 and isinstance(event, Step) and event.number == 7:
                break
    assert list(scored(seen)) == ["tut18"]
    assert len(of(Step, seen)) == 27
    rest = run(tmp_path, tasks, words=words)
    assert [event.finished for event in of(TaskStarted, rest)] == [True, False]
    assert len(of(Step, rest)) == 13
    (one,) = of(TaskScored, run(tmp_path / "other", ["fluent"], words=words))
    assert scored(rest)["fluent"] == one


def test_other_weights_in_the_same_place_are_scored_anew(here, tmp_path):
    """A run that was trained for longer has another trunk in the same file: no feature, no classifier is kept."""
    path = tmp_path / "weights.safetensors"
    found = []
    for seed in (0, 1, 0):
        weights(path, seed=seed)
        events = run(tmp_path / "out", ["tut18"], word=str(path), words=FEW)
        assert len(of(Step, events)) == (20 if len(found) < 2 else 0)
        rows = np.load(tmp_path / "out" / "tut18" / "features" / "train" / "rows.npy")
        found.append((rows.tobytes(), [step.loss for step in of(Step, events)]))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    assert found[2][0] == found[0][0]
    assert [path.name for path in (tmp_path / "out" / "tut18").glob("run-*~*")] == []


def test_other_settings_are_another_score(here, tmp_path):
    one = run(tmp_path, ["tut18"])
    other = run(tmp_path, ["tut18"], words=[*WORDS, "schedule.steps=9"])
    assert (len(of(Step, one)), len(of(Step, other))) == (20, 9)
    wider = run(tmp_path, ["tut18"], words=[*WORDS, "model.width=16"])
    rows = np.load(tmp_path / "tut18" / "features" / "train" / "rows.npy")
    assert rows.shape[-1] == sum(with_width(VARIANTS["sf-nf-r50"], 16).features().values())
    assert of(TaskScored, wider)


def test_data_that_is_not_there_is_reported_and_not_averaged(here, tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_DATA", str(tmp_path / "data"))
    shutil.copytree(here / "tut18", tmp_path / "data" / "tut18")
    (tmp_path / "data" / "fluent").mkdir()  # a folder, and nothing in it
    tasks = ["tut18", "birdsong", "fluent"]
    events = run(tmp_path / "out", tasks)
    assert list(scored(events)) == ["tut18"]
    missing = {event.task: event for event in of(TaskMissing, events)}
    assert {task: event.data_absent for task, event in missing.items()} == {"birdsong": True, "fluent": False}
    assert missing["birdsong"].reason == f"{tmp_path / 'data' / 'birdsong'} does not exist"
    assert "contains none of the expected files" in missing["fluent"].reason
    asked = Suite(domains={"environment": ("birdsong", "tut18"), "speech": ("fluent",)})
    scores = {task: event.score for task, event in scored(events).items()}
    assert benchmark.averages(asked, scores) == {"environment": None, "speech": None, "hares": None}


def test_recordings_that_cannot_be_read_are_missing(here, tmp_path):
    root = tmp_path / "esc50"
    shutil.copytree(here / "esc50", root)
    lost = sorted((root / "audio").glob("2-*"))[0]
    lost.write_bytes(b"no sound")
    sorted((root / "audio").glob("3-*"))[0].unlink()
    (event,) = of(TaskScored, run(tmp_path / "out", ["esc50"], words=[*WORDS, f"esc50.data.root={root}"]))
    assert (event.found, event.listed) == (28, 30)
    root = tmp_path / "fluent"
    shutil.copytree(here / "fluent", root)
    (root / "wavs" / "speakers" / "test" / "1.wav").write_bytes(b"no sound")
    words = [*WORDS, f"fluent.data.root={root}"]
    for kind in ("cached", "live"):
        (event,) = of(TaskScored, run(tmp_path / kind, ["fluent"], words=[*words, f"probe.features={kind}"]))
        assert (event.found, event.listed) == (5, 6)


def esc_rows(folder):
    """Features and classes by fold: of training clips (crops, N), of test clips (N)."""
    ids = []
    with (folder / "meta" / "esc50.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = np.array([(int(row["fold"]), int(row["target"])) for row in rows])
    return ids[:, 0], ids[:, 1]


def test_esc50_is_a_support_vector_machine_of_five_folds(whole, here):
    """A twin, by hand: C by the score on fold 1, then the mean of the folds with it."""
    folder, events = whole
    event = scored(events)["esc50"]
    fold, target = esc_rows(here / "esc50")
    crops = np.load(folder / "esc50" / "features" / "train" / "rows.npy").astype(np.float32)
    tests = np.load(folder / "esc50" / "features" / "test" / "rows.npy").astype(np.float32)
    assert (crops.shape[:2], len(tests)) == ((2, 30), 30)

    def accuracy(held, cost):
        learned, asked = fold != held, fold == held
        x, y = np.concatenate(crops[:, learned]), np.concatenate([target[learned]] * 2)
        scale = StandardScaler().fit(x)
        machine = LinearSVC(C=cost, dual="auto", random_state=0).fit(scale.transform(x), y)
        return 100 * np.mean(machine.predict(scale.transform(tests[asked])) == target[asked])

    costs = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    first = [accuracy(1, cost) for cost in costs]
    best = costs[int(np.argmax(first))]
    folds = [accuracy(held, best) for held in range(1, 6)]
    assert event.scores["c"] == best
    assert [event.scores[f"fold{held}_top1"] for held in range(1, 6)] == pytest.approx(folds)
    assert event.score == pytest.approx(np.mean(folds))


def test_overrides_are_for_all_or_for_one():
    trunk = benchmark.trunk(RANDOM)
    words = ["optim.lr=0.5", "esc50.optim.lr=0.25", "tut18.data.clip_seconds=2", "~esc50.augment.gain_db"]
    made = {task: benchmark.task_recipe(task, trunk, words, ALL) for task in ("esc50", "tut18", "fluent")}
    assert [made[task].optim.lr for task in made] == [0.25, 0.5, 0.5]
    assert [made[task].data.clip_seconds for task in made] == [5, 2, 3]
    assert made["esc50"].augment.gain_db == 0 < load("hares/esc50").augment.gain_db
    assert all(recipe.model.variant == "sf-nf-r50" for recipe in made.values())


@pytest.mark.parametrize(
    ("tasks", "words", "reported"),
    [
        (["esc5O"], [], r"--tasks esc5O: no such task; did you mean 'esc50'\?; expected one of audioset, birdsong"),
        ([], ["esc5O.optim.lr=1"], "esc5O: no such field"),
        ([], ["optim.lrr=1"], "optim.lrr: no such field; did you mean 'lr'"),
        ([], ["esc50.optim.lr"], "esc50.optim.lr|optim.lr: an override is key=value"),
        ([], ["model.variant=byola-cnn"], f"model.variant=byola-cnn: fixed by {RANDOM}: remove the override"),
    ],
)
def test_wrong_words(here, tmp_path, tasks, words, reported):
    with pytest.raises(UsageError, match=reported):
        run(tmp_path, tasks, words=[*WORDS, *words])
    assert not list(tmp_path.iterdir())


def test_a_trunk_says_itself_what_it_reads():
    trunk = benchmark.trunk("random:byola-cnn")
    recipe = benchmark.task_recipe("tut18", trunk, ["frontend.hop_ms=20"], ALL)
    assert (recipe.frontend.mels, recipe.frontend.hop_ms) == (64, 20)
    with pytest.raises(UsageError, match=r"frontend\.mels=80: fixed by random:byola-cnn"):
        benchmark.task_recipe("tut18", trunk, ["frontend.mels=80"], ALL)


def test_a_recipe_without_a_suite():
    with pytest.raises(UsageError, match=r"suite: the recipe has none: use the bundled recipes/hares\.yaml"):
        benchmark.suite_of(load("esc50"))


def weights(path, net=None, seed=0):
    torch.manual_seed(seed)
    net = net or with_width(VARIANTS["sf-nf-r50"], 8)
    front_end = load("hares/tut18", ["frontend.mels=40"]).frontend.settings()
    save(path, Recognizer(net, {}).state_dict(), Card(net=net, classes={}, front_end=front_end, clip_seconds=3.0))
    return path


def test_weights_bring_their_front_end(here, tmp_path):
    path = weights(tmp_path / "weights.safetensors")
    trunk = benchmark.trunk(str(path))
    recipe = benchmark.task_recipe("tut18", trunk, [], ALL)
    assert recipe.frontend.mels == 40
    assert asdict(recipe.frontend) == trunk.front_end
    with pytest.raises(UsageError, match=r"frontend\.hop_ms=20: fixed by .*"):
        benchmark.task_recipe("tut18", trunk, ["frontend.hop_ms=20"], ALL)
    (event,) = of(TaskScored, run(tmp_path / "out", ["tut18"], word=str(path), words=FEW))
    assert 0 <= event.score <= 100
    rows = np.load(tmp_path / "out" / "tut18" / "features" / "train" / "rows.npy")
    model = probing.frozen_model(recipe)
    state = Recognizer(with_width(VARIANTS["sf-nf-r50"], 8), {}).state_dict()
    assert rows.shape[-1] == sum(model.trunk.net.features().values())
    assert model.state_dict().keys() == state.keys()


def test_networks_that_look_at_frames_are_refused(here, tmp_path):
    path = weights(tmp_path / "seeing.safetensors", with_width(VARIANTS["slow-r50"], 8))
    with pytest.raises(UsageError, match="reads frames, but the tasks of the suite are audio"):
        benchmark.trunk(str(path))
    with pytest.raises(UsageError, match="slow-r50 reads frames"):
        run(tmp_path / "out", ["tut18"], word="random:slow-r50", words=FEW)
    with pytest.raises(UsageError, match=r"random:sf-nf-r5O: no such network; did you mean 'sf-nf-r50'"):
        benchmark.trunk("random:sf-nf-r5O")


MODULE = '''
import torch
from torch import nn


class Loud(nn.Module):
    """Loudness in eight stretches of the samples."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor({gain}))

    def describe(self):
        return {{"reads": "samples", "rate": 8000, "length": 8}}

    def embed(self, signal):
        parts = torch.stack(signal.split(-(-signal.shape[1] // 8), dim=1)[:7], dim=0)
        return self.gain * torch.cat([parts.std(2).T, signal.std(1)[:, None]], dim=1)


class Bands(nn.Module):
    """The mean of each band."""

    def describe(self):
        front_end = {{"rate": 16000, "window_ms": 25, "hop_ms": 10, "mels": 24}}
        return {{"reads": "logmel", "front_end": front_end, "length": 24, "standardise": True}}

    def embed(self, signal):
        return signal.mean((1, 2))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a user module into the current folder, and return the names of its classes for --weights."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    count = len(list(tmp_path.parent.iterdir()))

    def write(text, name="", stem=f"own{count}"):
        (folder / f"{stem}.py").write_text(text)
        external.trust(f"{stem}:{name}")
        return f"{stem}:{name}"

    return write


@pytest.mark.parametrize(("name", "length", "rate"), [("Loud", 8, 8000), ("Bands", 24, 16000)])
def test_a_module_of_the_users(here, tmp_path, own, name, length, rate):
    word = own(MODULE.format(gain=2.0), name, stem=f"my_{name.lower()}")
    recipe = benchmark.task_recipe("fluent", benchmark.trunk(word), [], ALL)
    assert recipe.frontend.rate == rate
    found = run(tmp_path / "out", ["fluent", "esc50"], word=word, words=FEW)
    assert set(scored(found)) == {"fluent", "esc50"}
    for task, splits in (("fluent", 2), ("esc50", 2)):
        made = [json.loads(path.read_text()) for path in (tmp_path / "out" / task).glob("features/*/made.json")]
        assert [each["length"] for each in made] == [length] * splits
    if name == "Bands":
        assert scored(found)["esc50"].score > 60
    live = run(tmp_path / "live", ["fluent"], word=word, words=[*FEW, "probe.features=live"])
    assert len(of(Step, live)) == 20


def test_a_module_that_has_changed_is_scored_anew(here, tmp_path, own):
    """Its weights here are read from a file, as most are."""
    text = MODULE.format(gain=2.0).replace("torch.tensor(2.0)", "torch.load('gain.pt')")
    word = own(text, "Loud", stem="changing")
    rows = []
    for gain, steps in ((2.0, 20), (2.0, 0), (3.0, 20)):
        torch.save(torch.tensor(gain), "gain.pt")
        assert len(of(Step, run(tmp_path / "out", ["tut18"], word=word, words=FEW))) == steps
        rows.append(np.load(tmp_path / "out" / "tut18" / "features" / "train" / "rows.npy").astype(np.float32))
    np.testing.assert_allclose(rows[2], 1.5 * rows[1], rtol=2e-3)
    assert np.array_equal(rows[0], rows[1])
    before = external.fingerprint(word)
    with Path("changing.py").open("a") as file:
        file.write("# something else is done\n")
    assert external.fingerprint(word) != before


HALF = "from torch import nn\n\nclass Mine(nn.Module):\n    "
EMBED = "\n    def embed(self, signal):\n        return signal[:, :3]\n"


def saying(said):
    return f"{HALF}def describe(self):\n        return {said}{EMBED}"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", r"cannot be imported \(AttributeError"),
        ("import nothing_of_that_name\n", "cannot be imported .*nothing_of_that_name"),
        ("class Mine\n", r"cannot be imported \(SyntaxError"),
        ("1 / 0\n", "cannot be imported .*division by zero"),
        (f"{HALF}def __init__(self):\n        raise OSError('no weights here')\n", "OSError: no weights here"),
        ("class Mine:\n    pass\n", r"returned a Mine, expected a torch\.nn\.Module with the methods describe"),
        (f"{HALF}pass\n", "returned a Mine, expected a"),
        (saying({"reads": "samples", "length": 3}), "expected a rate in Hz with samples"),
        (saying({"reads": "logmel", "length": 3}), "or a front_end with logmel"),
        (saying({"reads": "samples", "rate": 8000}), "length"),
        (saying({"reads": "samples", "rate": 8000, "lenght": 3}), "lenght"),
        (saying({"reads": "samples", "rate": 8000, "length": "3"}), "length the size of the vectors that"),
        (saying({"reads": "frames", "length": 3}), "expected reads to be samples or logmel"),
        (saying(None), "returned no valid description: TypeError"),
        (saying("self.nothing"), "returned no valid description: AttributeError"),
    ],
)
def test_modules_that_are_no_embedders(own, text, reported):
    word = own(text, "Mine", stem=f"wrong_{sha256(text.encode()).hexdigest()[:8]}")
    with pytest.raises(UsageError, match=reported) as error:
        benchmark.trunk(word)
    assert str(error.value).startswith(word)


def test_what_a_module_gives_is_looked_at(here, tmp_path, own):
    text = HALF + "def describe(self):\n        return {'reads': 'samples', 'rate': 8000, 'length': 4}" + EMBED
    word = own(text, "Mine", stem="gives_three")
    with pytest.raises(UsageError, match=r"embed\(\) returned shape \(4, 3\), expected \(4, 4\)"):
        run(tmp_path / "out", ["tut18"], word=word, words=FEW)
    text = HALF + (
        "def describe(self):\n        front_end = {'rate': 8000, 'hops': 1}\n"
        "        return {'reads': 'logmel', 'length': 3, 'front_end': front_end}"
    )
    word = own(text + EMBED, "Mine", stem="asks_hops")
    with pytest.raises(UsageError, match=r"frontend\.hops: no such field"):
        run(tmp_path / "out", ["tut18"], word=word, words=FEW)


def noises(root, train=24, test=36):
    """Three kinds of noise, through filters that lie near each other."""
    draw = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for number in range(count):
            noise = np.fft.rfft(draw.standard_normal(8000))
            centre = 900 + 450 * (number % 3) + draw.uniform(-260, 260)
            band = np.exp(-(((np.fft.rfftfreq(8000, 1 / 16000) - centre) / 500) ** 2)) + 0.05
            samples = np.fft.irfft(noise * band)
            tiny.write(root / part / "abc"[number % 3] / f"{number}.wav", 0.2 * samples / np.abs(samples).max())
    return root


@pytest.mark.thorough
def test_features_of_before_score_as_those_of_now(tmp_path):
    """Ten crops that are kept, against new ones in every step: the same within 10 of 100 points, of 36 clips."""
    root = noises(tmp_path / "noises")
    words = [
        "data.corpus=folder", f"data.root={root}", "data.clip_seconds=0.3", "data.views=0", "data.workers=0",
        "frontend.mels=40", "model.variant=sf-nf-r50", "model.width=8", "optim.batch=12", "optim.lr=0.01",
        "schedule.steps=150", "schedule.warmup_steps=5",
    ]  # fmt: skip
    top = {}
    for features in ("cached", "live"):
        recipe = load("hares/tut18", [*words, f"probe.features={features}"])
        scores = tiny_tasks.ended(probe(recipe, tmp_path / features, made_by={}, device="cpu"))
        top[features] = scores.values["top1"]
    assert min(top.values()) > 50, top  # by chance a third
    assert abs(top["cached"] - top["live"]) <= 10, top


def test_a_probe_learns_nothing_of_the_trunk(here, tmp_path):
    recipe = benchmark.task_recipe("tut18", benchmark.trunk(RANDOM), [*WORDS, "probe.features=live"], ALL)
    before = {name: value.clone() for name, value in probing.frozen_model(recipe).state_dict().items()}
    tiny_tasks.ended(probe(recipe, tmp_path, made_by={}, device="cpu"))
    from slowfast_cli.weights.file import read

    _, after = read(next(tmp_path.glob("run-*")) / "last.safetensors")
    trunk = {name: value for name, value in after.items() if name.startswith("trunk.")}
    assert len(trunk) == sum(name.startswith("trunk.") for name in before)
    assert all(torch.equal(value, before[name]) for name, value in trunk.items())
    assert any(name.startswith("heads.") for name in after)
    with pytest.raises(UsageError, match="probe: the recipe has no such section"):
        tiny_tasks.ended(probe(recipe.model_copy(update={"probe": None}), tmp_path, made_by={}, device="cpu"))


def test_results_are_written_whole(whole):
    folder, events = whole
    for task, event in scored(events).items():
        reported = json.loads((folder / task / "result.json").read_text())
        assert {name: reported[name] for name in asdict(event)} == asdict(event)
        assert reported["recipe"]["metric"] == event.metric
        assert (folder / "data").is_dir() == reported["recipe"]["data"]["root"].startswith(str(folder))
    assert replace(event) == event
