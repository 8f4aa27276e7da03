"""Invalid input and interrupted runs of splitting: the error messages, and that the same call continues."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import rotated_atss.tiling.split
import rotated_atss.tiling.split_run
from rotated_atss.cli import main
from rotated_atss.errors import UserError, notes_of
from rotated_atss.tiling.split_run import SplitRun
from rotated_atss.tiling.staging import MOVING
from tests.tiling.dota_folder import ORDINARY

# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(split):
    """Split, expect an error of one line and no output, and return the line."""

    def call(tmp_path, match, images, labels, **options):
        with pytest.raises(UserError, match=match) as caught:
            split(images, labels, tmp_path / "out", **options)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    return call


def test_missing_folders(tmp_path, make_folder, refused):
    images, labels = make_folder(tmp_path, {"P1.png": (50, 50)})
    assert str(tmp_path / "absent") in refused(tmp_path, "no such folder", tmp_path / "absent", labels)
    assert str(tmp_path / "absent") in refused(tmp_path, "no such folder", images, tmp_path / "absent")
    refused(tmp_path, "no images", labels, None)


def test_missing_pairs(tmp_path, make_folder, refused):
    images, labels = make_folder(tmp_path, {"P1.png": (50, 50), "P2.png": (50, 50)})
    (labels / "P2.txt").rename(labels / "P3.txt")
    assert str(labels) in refused(tmp_path, "no label file for the image P2.png", images, labels)
    (images / "P2.png").unlink()
    assert str(images) in refused(tmp_path, "no image for the label file P3.txt", images, labels)


def test_unpaired_folders(tmp_path, make_folder, refused):
    images, labels = make_folder(tmp_path, {"P1.png": (50, 50)})
    refused(tmp_path, "must be paired, got 2 and 1", [images, images], [labels])
    refused(tmp_path, "must be paired, got 1 and 2", images, [labels, labels])
    refused(tmp_path, "no image folder given", [], None)


def test_duplicate_image_id(tmp_path, make_folder, refused):
    first = make_folder(tmp_path / "a", {"P1.png": (50, 50)})
    second = make_folder(tmp_path / "b", {"P1.jpg": (50, 50)})
    line = refused(tmp_path, "P1 occurs twice", [first[0], second[0]], [first[1], second[1]])
    assert str(first[0] / "P1.png") in line
    assert str(second[0] / "P1.jpg") in line


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_image(tmp_path, workers, make_folder, tree, split):
    images, labels = make_folder(tmp_path / "raw", {f"P{index}.png": (200, 200) for index in range(4)})
    split(images, labels, tmp_path / "whole")
    whole = (images / "P2.png").read_bytes()
    (images / "P2.png").write_bytes(whole[:-50])
    with pytest.raises(UserError, match=f"^{images / 'P2.png'}: the image is truncated") as caught:
        split(images, labels, tmp_path / "out", workers=workers)
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name != "split.partial"]
    (images / "P2.png").write_bytes(whole)  # downloaded again, as the message says
    split(images, labels, tmp_path / "out", workers=workers)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_malformed_label_is_reported_before_images_are_read(tmp_path, make_folder, refused):
    images, labels = make_folder(
        tmp_path, {"P1.png": (50, 50)}, {"P1.png": ["gsd:1", ORDINARY, "1 2 3 4 5 6 7 ship 0"]}
    )
    (images / "P1.png").write_bytes(b"not an image")
    refused(tmp_path, f"^{labels / 'P1.txt'}:3: ", images, labels)


def test_unknown_class_is_rejected_only_if_classes_are_given(tmp_path, make_folder, split, refused):
    folders = make_folder(tmp_path, {"P1.png": (50, 50)}, {"P1.png": [ORDINARY.replace("ship", "shipp")]})
    refused(tmp_path, "P1.txt:1: unknown class 'shipp'", *folders, classes="v1.0")
    refused(tmp_path, "for one class, write 'shipp,'", *folders, classes="shipp")
    refused(tmp_path, "empty", *folders, classes=[])
    split(*folders, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sizes": [128], "gaps": [128]}, "gap 128"),
        ({"sizes": [128], "gaps": [-1]}, "gap -1"),
        ({"sizes": [16], "gaps": [0]}, "at least 32 px, got 16 px"),
        ({"rates": [8.0]}, "at least 32 px, got 16 px"),
        ({"sizes": [128, 256], "gaps": [1, 2, 3]}, "2 window sizes and 3 gaps"),
        ({"sizes": []}, "0 window sizes"),
        ({"rates": []}, "rates"),
        ({"rates": [0.0]}, "rates"),
        ({"rates": [float("nan")]}, "rates"),
        ({"iof_threshold": 0.0}, "IoF"),
        ({"iof_threshold": 1.1}, "IoF"),
        ({"image_ratio": 1.0}, "image ratio"),
        ({"padding": [1, 2]}, "padding"),
        ({"padding": [1, 2, 256]}, "padding"),
        ({"name_style": "other"}, "mmrotate, devkit"),
        ({"image_format": "gif"}, "png, jpg"),
        ({"name_style": "devkit", "sizes": [128, 256]}, "one size"),
        ({"name_style": "devkit", "rates": [40.0]}, "must be below 32, got 40.0"),
        ({"workers": 0}, "at least 1 worker"),
    ],
)
def test_settings_out_of_range(tmp_path, options, match, make_folder, refused):
    refused(tmp_path, match, *make_folder(tmp_path, {"P1.png": (50, 50)}), **options)


def test_rate_that_gives_an_empty_image(tmp_path, make_folder, refused):
    folders = make_folder(tmp_path, {"P1.png": (50, 50)})
    refused(tmp_path, "P1.png: .*resampled by rate 0.001", *folders, rates=[0.001], name_style="devkit")


@pytest.mark.parametrize("out", ["raw", "raw/images", "raw/labelTxt/new"])
def test_output_must_not_overlap_an_input(tmp_path, out, make_folder, split, tree):
    folders = make_folder(tmp_path / "raw", {"P1.png": (50, 50)})
    before = tree(tmp_path)
    with pytest.raises(UserError, match="overlaps the input"):
        split(*folders, tmp_path / out, overwrite=True)
    assert tree(tmp_path) == before


# -- interrupted runs --------------------------------------------------------------------------------------------------


def test_full_disk(tmp_path, monkeypatch, make_folder, refused):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)})
    write, written = Path.write_bytes, []

    def write_until_full(self, data):
        written.append(self)
        if len(written) > 3:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    assert "free space" in refused(tmp_path, "No space left on device", *folders)
    assert len(written) == 4


@pytest.fixture
def stop_after(monkeypatch):
    """A context in which a split raises an error after a number of jobs."""

    @contextmanager
    def stop(number, error=KeyboardInterrupt):
        run_jobs = rotated_atss.tiling.split_run.run_jobs

        def stopped(*arguments, **options):
            for done, result in enumerate(run_jobs(*arguments, **options)):
                if done == number:
                    raise error
                yield result

        with monkeypatch.context() as patch:
            patch.setattr(rotated_atss.tiling.split_run, "run_jobs", stopped)
            yield

    return stop


@pytest.fixture
def split_jobs(monkeypatch):
    """The images that were split, in order."""
    images, split_image = [], rotated_atss.tiling.split_run.split_image
    recorded = lambda job: images.append(job.image.name) or split_image(job)  # noqa: E731
    monkeypatch.setattr(rotated_atss.tiling.split_run, "split_image", recorded)
    return images


def test_interrupt_before_the_first_image_is_done_removes_the_output(tmp_path, make_folder, split, stop_after):
    folders = make_folder(tmp_path, {"P1.png": (300, 300), "P2.png": (300, 300)})
    with stop_after(0), pytest.raises(KeyboardInterrupt) as error:
        split(*folders, tmp_path / "out")
    assert notes_of(error.value) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("full", hint="free some space")])
def test_stopped_split_says_what_is_done(tmp_path, make_folder, split, stop_after, error):
    folders = make_folder(tmp_path, {f"P{index}.png": (300, 300) for index in range(4)})
    with stop_after(2, error), pytest.raises(type(error)) as caught:
        split(*folders, tmp_path / "out")
    note = "2 of 4 images finished; the same command continues"
    assert str(caught.value) == f"full (free some space; {note})" if str(error) else notes_of(caught.value) == [note]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["split.partial"]


def test_continued_split_leaves_out_what_is_done(tmp_path, make_folder, split, tree, stop_after, split_jobs):
    folders = make_folder(tmp_path, {f"P{index}.png": (300, 300) for index in range(4)})
    whole = split(*folders, tmp_path / "whole")
    split_jobs.clear()
    with stop_after(2), pytest.raises(KeyboardInterrupt):
        split(*folders, tmp_path / "out")
    (tmp_path / "out" / "split.partial" / "images" / "P3__128__0___0.png").write_bytes(b"half")
    seen = []
    continued = split(*folders, tmp_path / "out", on_continue=lambda *counts: seen.append(counts))
    assert seen == [(2, 4)]
    assert split_jobs == ["P0.png", "P1.png", "P2.png", "P2.png", "P3.png"]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert replace(continued, out=None, seconds=0) == replace(whole, out=None, seconds=0)


def test_changed_images_and_labels_are_split_again(tmp_path, make_folder, split, tree, stop_after, split_jobs):
    images, labels = make_folder(tmp_path, {f"P{index}.png": (300, 300) for index in range(4)})
    with stop_after(3), pytest.raises(KeyboardInterrupt):
        split(images, labels, tmp_path / "out")
    make_folder(tmp_path, {"P0.png": (200, 200)})
    (labels / "P1.txt").write_text("")
    split_jobs.clear()
    split(images, labels, tmp_path / "out")
    assert sorted(split_jobs) == ["P0.png", "P1.png", "P3.png"]
    split(images, labels, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_lock_of_a_run_that_was_killed_at_its_end_is_removed(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path, {"P0.png": (200, 200)})
    split(*folders, tmp_path / "out")
    before = tree(tmp_path / "out")
    (tmp_path / "out" / ".split.lock").write_text("process 4194305 on another-host\n")
    assert split(*folders, tmp_path / "out").was_finished
    assert tree(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize("when", ["first tile", "second record", "manifest"])
def test_killed_run_continues(tmp_path, make_folder, split, tree, when):
    folders = make_folder(tmp_path, {f"P{index}.png": (1200, 1200) for index in range(4)})
    split(*folders, tmp_path / "whole", sizes=[256], gaps=[50])
    command = [sys.executable, "-m", "rotated_atss", "split", "--images", str(folders[0]), "--labels", str(folders[1])]
    command += ["--out", str(tmp_path / "out"), "--size", "256", "--gap", "50", "--workers", "2"]
    root = Path(rotated_atss.tiling.split.__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, start_new_session=True)
    partial = tmp_path / "out" / "split.partial"
    records = partial / "finished.jsonl"

    def reached():
        with contextlib.suppress(FileNotFoundError):  # a complete split removes the folder
            if when == "first tile":
                return any((partial / "images").glob("*.png"))
            if when == "second record":
                return records.read_bytes().count(b"\n") >= 2
            return any(partial.glob("*manifest.json*"))
        return False

    while not (reached() or process.poll() is not None):
        time.sleep(0.0005)
    process.kill()  # its workers end by themselves
    process.wait()
    is_moving = not partial.exists() or (partial / MOVING).exists()  # on a busy machine the kill can come late
    has_record = records.exists() and b"\n" in records.read_bytes()
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_moving or ("continuing: " in done.stdout) == has_record
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


_SLOW_SPLIT = """
import sys
from rotated_atss.tiling.split_run import SplitRun
from rotated_atss.tiling.staging import MOVING
execute = SplitRun.execute
def wait(*arguments):
    execute(*arguments)
    print("writing", flush=True)
    sys.stdin.readline()
SplitRun.execute = wait
from rotated_atss.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_second_split_into_a_folder_is_refused_while_the_first_runs(tmp_path, make_folder, overwrite, capsys):
    images, _ = make_folder(tmp_path, {"P1.png": (300, 300)})
    words = ["split", "--images", str(images), "--out", str(tmp_path / "out"), "--size", "128", "--workers", "1"]
    root = Path(rotated_atss.tiling.split.__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", _SLOW_SPLIT, *words], cwd=root, **pipes) as first:
        assert [first.stdout.readline() for _ in range(2)] == ["1 image, 9 windows\n", "writing\n"]
        assert main([*words, *overwrite]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"out/.split.lock: another run writes into this folder: process {first.pid} on " in line
        out, _ = first.communicate("\n")
    assert first.returncode == 0
    assert "1 image -> 9 tiles" in out
    assert len(list((tmp_path / "out" / "images").iterdir())) == 9
    assert not (tmp_path / "out" / ".split.lock").exists()
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize("damage", ["missing", "foreign"])
def test_tiles_are_counted_before_they_are_moved(tmp_path, monkeypatch, make_folder, split, tree, damage):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)})
    execute = SplitRun.execute

    def damaged(run, *arguments):
        execute(run, *arguments)
        path = tmp_path / "out" / "split.partial" / "images" / "P1__128__0___0.png"
        path.rename(path.with_name("b.png")) if damage == "foreign" else path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(SplitRun, "execute", damaged)
        with pytest.raises(UserError, match=r"images: 1 of 9 expected files is missing and (0 are|1 is) unexpected"):
            split(*folders, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["split.partial"]
    split(*folders, tmp_path / "out")
    split(*folders, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_overwrite_replaces_the_whole_split(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)})
    split(*folders, tmp_path / "out")
    with pytest.raises(UserError, match="finished split of other settings"):
        split(*folders, tmp_path / "out", sizes=[256])
    split(folders[0], None, tmp_path / "out", sizes=[256], overwrite=True)
    split(folders[0], None, tmp_path / "fresh", sizes=[256])
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    shutil.rmtree(tmp_path / "fresh")
