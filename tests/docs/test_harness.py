"""The test of the pages finds what is wrong on a page."""

import pytest
from docs.commands import check_block, slowfast_commands
from docs.compare import difference, normalize
from docs.page import read
from docs.run import run_page


def page(*lines, language="console", before=""):
    return "\n".join([before, f"```{language}", *lines, "```", ""])


def checked(*lines, **how):
    made = {}
    for block in read(page(*lines, **how)).blocks:
        check_block(block, made)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("dog 85.0%", "dog  84.3%"),
        ("first\n...\nlast", "first\nlast"),
        ("first\n...\nlast", "first\n1\n2\nlast"),
        ("│ dog  │ 85.0% │\n└──────┴───────┘", "│ dog  │ 100.0% │\n└──────┴────────┘"),
        ("stored 2,003 s in 11.1 s", "stored 17 s in 0 s"),
        ("0.00-5.00 s, -3 dB, d' 2.1", "2.50-7.50 s, +4 dB, d' inf"),
        ("epoch 4: loss 1.1 (best)...", "epoch 4: loss 0.9 (best); data wait 8%"),
        ("time    about 67 s", "time    about 2 min"),
        ("took 1e-05 s", "took 3.2e-06 s"),
    ],
)
def test_numbers_and_left_out_lines_may_differ(shown, output):
    assert difference(shown, output) == ""


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("dog 85.0%", "cat 85.0%"),
        ("dog 85.0%", "dog 85.0 s"),
        ("about 67 s", "about 67 steps"),
        ("first\nlast", "first\nmiddle\nlast"),
        ("first\n...\nlast", "first"),
        ("audio res3", "audio res5"),
        ("epoch 4: loss 1.1 (best)...", "epoch 4: loss 0.9; data wait 8%"),
        ("runs/folder/my_sounds-1", "runs/folder/my_sounds-2"),
        ("dog", ""),
    ],
)
def test_a_wrong_output_is_found(shown, output):
    assert difference(shown, output)


def test_digits_of_names_are_words():
    assert normalize("asf-r50 16k.wav clip.mp3 5 of 10") == "asf-r50 Nk.wav clip.mp3 N of N"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("slowfast pridict clip.wav", "no such command"),
        ("slowfast predict clip.wav --tpo 3", "No such option"),
        ("slowfast predict", "Missing argument"),
        ("slowfast train vgsound", "no such recipe"),
        ("slowfast train vggsound optim.lrr=0.1", "no such field"),
        ("slowfast train vggsound optim.lr=fast", "optim.lr"),
        ("slowfast evaluate runs/vgsound/default", "no recipe is named vgsound"),
        ("slowfast extract --dataset vgsound", "no such data set"),
        ("slowfast predict clip.wav --weights asf-vgsound", "no such weights"),
        ("cat list.txt | srun --ntasks=2 slowfast predict - --nosuch", "No such option"),
        ("slowfast predict a.wav && slowfast nosuch", "no such command"),
    ],
)
def test_a_wrong_name_is_found_without_running(line, message):
    with pytest.raises(AssertionError, match=message):
        checked(f"$ {line}", before="<!-- not run here: needs data -->")


def test_runs_and_recipes_of_earlier_commands_are_known():
    checked(
        "$ slowfast train recipes/folder.yaml data.root=my_sounds --run runs/sounds",
        "$ slowfast evaluate runs/sounds data.views=1",
        "$ slowfast recipes cp vggsound theirs.yaml",
        "$ slowfast train theirs.yaml",
        "$ slowfast evaluate s3://bucket/runs/vggsound/one",
    )
    with pytest.raises(AssertionError, match="no such field"):
        checked("$ slowfast train folder --run runs/a", "$ slowfast evaluate runs/a data.viiews=1")


def test_a_name_that_is_gone_from_the_package_is_found():
    checked("from slowfast_cli import Predictor, log_mel", language="python")
    with pytest.raises(AssertionError, match="Predicter"):
        checked("from slowfast_cli import Predicter", language="python")


def test_commands_are_found_in_scripts():
    script = (
        "export A=1  # slowfast train no\nslowfast predict 'a b.wav' \\\n  --json | head -1; srun slowfast doctor > log"
    )
    script += "\ndocker build -t slowfast . && docker run slowfast weights ls"
    assert slowfast_commands(script) == [["predict", "a b.wav", "--json"], ["doctor"], ["weights", "ls"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (page("ls", language="sh", before="<!-- not runs here: a typing error -->"), "unknown mark"),
        (page("an output without its command"), "begins with"),
        ("```sh\nls\n", "not closed"),
    ],
)
def test_a_malformed_page_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_a_page_runs_in_its_folder_and_in_order(tmp_path):
    run_page(
        page("echo 3 > made.txt", "ls recipes/folder.yaml tests/assets/dog.ogg", language="sh")
        + page("$ cat made.txt", "5", "$ pwd; echo $COLUMNS $HOME", "/home/me", "100 /home/me")
        + page("$ echo 1; \\", "  echo two", "1", "two")
        + page("$ ls nowhere", before="<!-- output varies -->\n<!-- exit 2 -->")
        + page("exit 1", language="sh", before="<!-- not run here: it fails -->")
        + page("from pathlib import Path", "Path('by_python').touch()", language="python")
        + page("any: text", language="yaml"),
        tmp_path,
    )
    assert (tmp_path / "by_python").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (page("$ echo two", "three"), "-three"),
        (page("$ true", before="<!-- exit 2 -->"), "exit code 0, expected 2"),
        (page("false", "true", language="sh"), "exit code 1, expected 0"),
        (page("raise SystemExit(3)", language="python"), "exit code 3"),
        (page("$ slowfast --nosuch"), "No such option"),
    ],
)
def test_a_page_that_is_wrong_fails(text, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        run_page(text, tmp_path)


def test_the_network_is_out_of_reach(tmp_path):
    code = ["import urllib.request as u", "u.urlopen('http://example.com', timeout=5)"]
    with pytest.raises(AssertionError, match="Connection refused"):
        run_page(page(*code, language="python"), tmp_path)


def test_a_training_is_shortened_by_the_words_of_its_mark():
    (block,) = read(
        page("slowfast train folder a=1; slowfast predict x", language="sh", before="<!-- tested with: b=2 -->")
    ).blocks
    assert block.shortened(block.text).strip() == "slowfast train folder b=2 a=1; slowfast predict x"
