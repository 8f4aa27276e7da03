"""Invalid input and interrupted runs of splitting: the error messages, and that no output remains."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rotated_atss.tiling.split
from rotated_atss.cli import main
from rotated_atss.errors import UserError
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
def test_unreadable_image(tmp_path, workers, make_folder, tree, refused):
    images, labels = make_folder(tmp_path, {f"P{index}.png": (200, 200) for index in range(4)})
    (images / "P2.png").write_bytes((images / "P2.png").read_bytes()[:-50])
    before = tree(tmp_path)
    refused(tmp_path, f"^{images / 'P2.png'}: the image is truncated", images, labels, workers=workers)
    assert tree(tmp_path) == before


def test_malformed_label_is_reported_before_images_are_read(tmp_path, make_folder, refused):
    images, labels = make_folder(
        tmp_path, {"P1.png": (50, 50)}, {"P1.png": ["gsd:1", ORDINARY, "1 2 3 4 5 6 7 ship 0"]}
    )
    (images / "P1.png").write_bytes(b"not an image")
    refused(tmp_path, f"^{labels / 'P1.txt'}:3: ", images, labels)


def test_unknown_class_is_rejected_only_if_classes_are_given(tmp_path, make_folder, split, refused):
    folders = make_folder(tmp_path, {"P1.png": (50, 50)}, {"P1.png": [ORDINARY.replace("ship", "shipp")]})
    refused(tmp_path, "P1.txt:1: unknown class 'shipp'", *folders, classes="v1.0")
    refused(tmp_path, "write a single class as a tuple", *folders, classes="shipp")
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
    refused(tmp_path, "P1.png: .*got rate 0.001", *folders, rates=[0.001], name_style="devkit")


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


def test_interrupt_removes_the_output(tmp_path, monkeypatch, make_folder, split):
    folders = make_folder(tmp_path, {f"P{index}.png": (300, 300) for index in range(3)})
    run_jobs = rotated_atss.tiling.split.run_jobs

    def interrupted(*arguments, **options):
        yield next(run_jobs(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(rotated_atss.tiling.split, "run_jobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split(*folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_killed_run_leaves_only_the_partial_folder(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {f"P{index}.png": (1500, 1500) for index in range(6)})
    command = [sys.executable, "-m", "rotated_atss", "split", "--images", str(folders[0]), "--labels", str(folders[1])]
    command += ["--out", str(tmp_path / "out"), "--size", "256", "--gap", "50", "--workers", "2"]
    root = Path(rotated_atss.tiling.split.__file__).parents[1]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, start_new_session=True)
    partial = tmp_path / "out" / "split.partial"
    while not (list((partial / "images").glob("*.png")) or process.poll() is not None):
        pass
    os.killpg(process.pid, signal.SIGKILL)  # with its workers
    process.wait()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".split.lock", "split.partial"]
    message, deadline = "another run", time.monotonic() + 30
    while "another run" in message and time.monotonic() < deadline:  # its workers hold the lock until they are gone
        with pytest.raises(UserError) as error:
            split(*folders, tmp_path / "out")
        message = str(error.value)
    assert "unfinished (pass --overwrite" in message
    split(*folders, tmp_path / "out", overwrite=True, sizes=[1024], gaps=[200])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "labelTxt", "manifest.json"]


_SLOW_SPLIT = """
import sys, time
import rotated_atss.tiling.split as module
write = module._split_all
def wait(*arguments):
    stats = write(*arguments)
    print("writing", flush=True)
    sys.stdin.readline()
    return stats
module._split_all = wait
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
def test_tiles_are_counted_before_they_are_moved(tmp_path, monkeypatch, make_folder, split, damage):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)})
    write = rotated_atss.tiling.split._split_all

    def damaged(jobs, *arguments):
        stats = write(jobs, *arguments)
        path = jobs[0].folder / "images" / "P1__128__0___0.png"
        path.rename(path.with_name("b.png")) if damage == "foreign" else path.unlink()
        return stats

    monkeypatch.setattr(rotated_atss.tiling.split, "_split_all", damaged)
    with pytest.raises(UserError, match=r"images: 1 of 9 written files is missing and (0 are|1 is) foreign"):
        split(*folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overwrite_replaces_the_whole_split(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)})
    split(*folders, tmp_path / "out")
    with pytest.raises(UserError, match="finished split"):
        split(*folders, tmp_path / "out")
    split(folders[0], None, tmp_path / "out", sizes=[256], overwrite=True)
    split(folders[0], None, tmp_path / "fresh", sizes=[256])
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    shutil.rmtree(tmp_path / "fresh")
