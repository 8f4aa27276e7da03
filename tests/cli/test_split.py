"""The command ``rotated-atss split``: options, presets, summary and errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from rotated_atss.tiling.presets import preset_names


@pytest.fixture
def raw(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "labelTxt").mkdir()
        cv2.imwrite(str(tmp_path / name / "images" / f"{name}.png"), np.full((100, 200, 3), 90, np.uint8))
        (tmp_path / name / "labelTxt" / f"{name}.txt").write_text("gsd:0.1\n10 10 30 10 30 20 10 20 ship 0\n")
    return tmp_path


def arguments(raw, *folders, **options):
    words = ["split", "--out", str(raw / "out"), "--size", "128", "--gap", "32", "--workers", "1"]
    for folder in folders:
        words += ["--images", str(raw / folder / "images"), "--labels", str(raw / folder / "labelTxt")]
    return words


def test_repeated_folders_and_summary(raw, capsys):
    assert main(arguments(raw, "a", "b")) == 0
    plan, *table, line = capsys.readouterr().out.splitlines()
    assert plan == "2 images, 4 windows"
    assert table == ["class  objects  in tiles", "ship         2         2"]
    assert line.startswith(
        "2 images -> 4 tiles (2 without objects); 2 objects -> 2 in tiles (0 truncated), 0 in no tile, 0 without area; "
    )
    assert line.endswith(f"written to {raw / 'out'}")
    assert len(list((raw / "out" / "images").iterdir())) == 4


def test_several_folders_per_option_without_labels(raw, capsys):
    words = ["split", "--images", str(raw / "a" / "images"), str(raw / "b" / "images"), "--out", str(raw / "out")]
    assert main(words) == 0
    plan, line = capsys.readouterr().out.splitlines()
    assert (plan, line.startswith("2 images -> 2 tiles; ")) == ("2 images, 2 windows", True)
    assert not (raw / "out" / "labelTxt").exists()


def test_every_option_is_used(raw, capsys):
    words = [*arguments(raw, "a"), "--rates", "0.5", "1", "--name-style", "devkit", "--padding", "1", "2", "3"]
    words += ["--iof-threshold", "0.5", "--image-ratio", "0.1", "--format", "bmp", "--drop-empty", "--classes", "v1.0"]
    assert main([*words, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert sorted(path.name for path in (raw / "out" / "images").iterdir()) == ["a__0.5__0___0.bmp", "a__1__0___0.bmp"]
    tile = cv2.imread(str(raw / "out" / "images" / "a__0.5__0___0.bmp"))
    assert tile[-1, -1].tolist() == [1, 2, 3]
    assert tile[0, 0].tolist() == [90, 90, 90]
    assert main([*words, "--no-padding", "--overwrite"]) == 0
    assert cv2.imread(str(raw / "out" / "images" / "a__0.5__0___0.bmp")).shape == (50, 100, 3)


def test_classes_of_no_dota_version_are_listed_at_the_end(raw, capsys):
    for name, class_name in (("a", "shp"), ("b", "helipad")):
        path = raw / name / "labelTxt" / f"{name}.txt"
        path.write_text(path.read_text() + f"10 10 30 10 30 20 10 20 {class_name} 0\n10 10 30 10 30 20 10 20 Ship 0\n")
    assert main(arguments(raw, "a", "b")) == 0
    assert capsys.readouterr().out.splitlines()[-1:] == [
        "classes of no DOTA version: Ship, shp (--classes v1.0 would refuse them)"
    ]
    for more in (["--classes", "ship,Ship,shp,helipad"], ["--quiet"]):  # named by the user; no output requested
        assert main([*arguments(raw, "a", "b"), "--overwrite", *more]) == 0
        assert "no DOTA version" not in capsys.readouterr().out


def test_objects_in_no_tile_are_named(raw, capsys):
    path = raw / "a" / "labelTxt" / "a.txt"
    path.write_text("".join(f"{x} 300 {x + 9} 300 {x + 9} 309 {x} 309 plane 0\n" for x in range(7)) + path.read_text())
    assert main(arguments(raw, "a")) == 0
    plan, *table, summary, lost = capsys.readouterr().out.splitlines()
    assert plan == "1 image, 2 windows"
    assert table == ["class  objects  in tiles", "plane        7         0", "ship         1         1"]
    assert summary.startswith("1 image -> 2 tiles (1 without objects); 8 objects -> 1 in tiles (0 truncated), 7 in no")
    assert lost == "in no tile: " + ", ".join(f"{path}:{line} plane" for line in range(1, 6)) + " and 2 more"


def test_skipped_images_are_reported_once(raw, capsys, caplog):
    folder = raw / "a" / "images"
    for name in ("b.gif", "a.webp"):
        (folder / name).touch()
    formats = ".png, .jpg, .jpeg, .bmp, .tif, .tiff, .jp2, .j2k"
    line = f"{folder}: 2 files are not read: a.webp, b.gif (supported formats: {formats})"
    assert main(arguments(raw, "a", "b")) == 0
    assert [record.getMessage() for record in caplog.records] == [line]
    capsys.readouterr()
    words = ["--images", str(folder), "--labels", str(raw / "a" / "labelTxt"), "--out", str(raw / "drawn")]
    assert main(["draw", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [line, f"1 picture written to {raw / 'drawn'}"]


def test_error_is_one_line(raw, capsys):
    (raw / "a" / "labelTxt" / "a.txt").write_text("1 2 3\n")
    assert main(arguments(raw, "a")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{raw / 'a' / 'labelTxt' / 'a.txt'}:1: " in error
    assert not (raw / "out").exists()


def test_error_in_a_worker_is_one_line(raw, tmp_path, repo_root):
    (raw / "b" / "images" / "b.png").write_bytes(b"\x89PNG cut")
    words = [*arguments(raw, "a", "b"), "--workers", "2"]
    done = subprocess.run([sys.executable, "-m", "rotated_atss", *words], cwd=repo_root, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(raw / "b" / "images" / "b.png") in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("SIGINT", 130, "interrupted"),
        ("SIGTERM", 143, "terminated by SIGTERM"),
        ("SIGHUP", 129, "terminated by SIGHUP"),
    ],
)
def test_stopped_split_is_one_line_without_output(raw, repo_root, name, code, line):
    for index in range(4):
        cv2.imwrite(str(raw / "a" / "images" / f"large{index}.png"), np.zeros((2500, 2500, 3), np.uint8))
    command = [sys.executable, "-m", "rotated_atss", "split", "--images", str(raw / "a" / "images"), "--workers", "2"]
    command += ["--out", str(raw / "out"), "--size", "64", "--gap", "32"]
    process = subprocess.Popen(
        command,
        cwd=repo_root,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with interrupts ignored, and children inherit that
        preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL),
    )
    while process.poll() is None and not list((raw / "out").glob("split.partial/images/*.png")):
        pass
    os.killpg(process.pid, getattr(signal, name))  # like Ctrl-C: to the workers too
    _, error = process.communicate()
    assert (process.returncode, error) == (code, f"rotated-atss split: {line}\n")
    assert not (raw / "out").exists()


@pytest.fixture
def data_root(tmp_path):
    """A DOTA folder with one small image per subset."""
    for name in ("train", "val", "test"):
        (tmp_path / "DOTA" / name / "images").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "DOTA" / name / "images" / f"{name}.png"), np.full((100, 200, 3), 90, np.uint8))
        (tmp_path / "DOTA" / name / "labelTxt").mkdir()
        (tmp_path / "DOTA" / name / "labelTxt" / f"{name}.txt").write_text("10 10 30 10 30 20 10 20 ship 0\n")
    return tmp_path / "DOTA"


def split_preset(name, data_root, out, *more):
    words = ["split", "--preset", name, "--data-root", str(data_root), "--out", str(out), "--workers", "1", *more]
    assert main([*words, "--quiet"]) == 0
    return json.loads((out / "manifest.json").read_text())


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("dota_")])
def test_every_preset_splits_its_subsets(name, data_root, tmp_path):
    manifest = split_preset(name, data_root, tmp_path / "out")
    subsets = ["train", "val"] if name.endswith("trainval") else ["test"]
    assert [Path(folder["images"]).parent.name for folder in manifest["folders"]] == subsets
    assert (manifest["totals"]["objects_in_images"] > 0) == name.endswith("trainval")
    multi_scale = "_ms_" in name
    assert manifest["settings"]["gaps"] == ([500] if multi_scale else [200])
    assert manifest["settings"]["rates"] == ([0.5, 1.0, 1.5] if multi_scale else [1.0])


def test_preset_equals_the_same_options(data_root, tmp_path):
    split_preset("dota_v1.0_ss_trainval", data_root, tmp_path / "preset")
    words = ["split", "--out", str(tmp_path / "options"), "--workers", "1", "--quiet", "--classes", "v1.0"]
    for name in ("train", "val"):
        words += ["--images", str(data_root / name / "images"), "--labels", str(data_root / name / "labelTxt")]
    assert main(words) == 0
    assert (tmp_path / "options" / "manifest.json").read_bytes() == (tmp_path / "preset" / "manifest.json").read_bytes()


def test_options_take_precedence_over_the_preset(data_root, tmp_path):
    images, labels = data_root / "val" / "images", data_root / "val" / "labelTxt"
    more = ["--size", "64", "128", "--gap", "32", "--images", str(images), "--labels", str(labels)]
    manifest = split_preset("dota_v1.0_ms_test", data_root, tmp_path / "out", *more)
    assert split_preset("dota_v1.0_ms_test", data_root, tmp_path / "share", "--size", "256")["settings"]["gaps"] == [
        125
    ]
    folders = {"images": images, "labels": labels}
    relative = {name: os.path.relpath(folder, tmp_path / "out") for name, folder in folders.items()}
    assert manifest["folders"] == [relative]
    assert (manifest["settings"]["sizes"], manifest["settings"]["gaps"]) == ([64, 128], [32, 32])
    assert manifest["settings"]["rates"] == [0.5, 1.0, 1.5]


def test_default_output_of_a_preset(data_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["split", "--preset", "dota_v2.0_ms_test", "--data-root", str(data_root), "--workers", "1"]) == 0
    assert (tmp_path / "data" / "dota_v2.0_ms" / "test" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "dota"], "unknown preset 'dota' (choose from codrone_test, codrone_train, "),
        (["--out", "tiles"], "--images is missing (give --images FOLDER, or a --preset)"),
        (["--images", "images"], "--out is missing (give --out FOLDER, or a --preset)"),
        (["--images", "images", "--out", "tiles", "--data-root", "data"], "--data-root needs a --preset"),
    ],
)
def test_missing_folders_and_unknown_presets(words, message, capsys):
    assert main(["split", *words]) == 2
    assert message in capsys.readouterr().err


def test_bits(raw, capsys, caplog):
    path = raw / "a" / "images" / "a.png"
    cv2.imwrite(str(path), np.full((100, 200, 3), 1600, np.uint16))
    assert main([*arguments(raw, "a"), "--bits", "12"]) == 0
    assert "1 of 1 image has 16-bit pixels with 12 used bits: " in caplog.text
    assert cv2.imread(str(raw / "out" / "images" / "a__128__0___0.png"))[0, 0].tolist() == [100, 100, 100]
    assert main([*arguments(raw, "a"), "--bits", "32", "--overwrite"]) == 2
    assert "the used bits of 16-bit images must be 8 to 16, got 32" in capsys.readouterr().err


def test_scaling_and_bands(raw, capsys):
    path = raw / "a" / "images" / "a.png"
    cv2.imwrite(str(path), np.dstack([np.full((100, 200), value, np.uint16) for value in (10, 20, 40)]))
    assert main([*arguments(raw, "a"), "--scaling=-10,41", "--bands", "3,2,1"]) == 0
    assert cv2.imread(str(raw / "out" / "images" / "a__128__0___0.png"))[0, 0].tolist() == [250, 150, 100]
    settings = json.loads((raw / "out" / "manifest.json").read_text())["settings"]
    assert (settings["bits"], settings["scaling"], settings["bands"]) == (None, [-10, 41], [3, 2, 1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scaling", "linear"], "the scaling must be auto, none, percentile or two ascending numbers, got 'linear'"),
        (["--scaling", "5,5"], "two ascending numbers, got '(5.0, 5.0)'"),
        (["--scaling", "1,2,3"], "two ascending numbers, got '(1.0, 2.0, 3.0)'"),
        (["--scaling", "0;3"], "--scaling: the value must be a rule, or MIN,MAX, got '0;3'"),
        (
            ["--scaling", "0,3", "--bits", "11"],
            "--bits and --scaling cannot be combined, got --bits 11 and",
        ),
        (["--bands", "1,2"], "bands must be one or three integers of at least 1, got '(1, 2)'"),
        (["--bands", "r,g,b"], "--bands: the value must be one or three integers of at least 1, got 'r,g,b'"),
    ],
)
def test_bad_scaling_and_bands(raw, capsys, words, message):
    assert main([*arguments(raw, "a"), *words]) == 2
    assert message in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["split", "--help"])
    assert stopped.value.code == 0
    assert "--name-style" in capsys.readouterr().out


def test_preset_with_a_list_of_images_and_renamed_classes(tmp_path, capsys):
    """The layout of HRSC2016: one folder of images, one of XML files, and lists of the parts."""
    root = tmp_path / "HRSC2016"
    for folder in ("FullDataSet/AllImages", "FullDataSet/Annotations", "ImageSets"):
        (root / folder).mkdir(parents=True)
    for name, class_id in (("100000001", "100000002"), ("100000002", "100000024")):
        cv2.imwrite(str(root / "FullDataSet" / "AllImages" / f"{name}.bmp"), np.full((60, 80, 3), 90, np.uint8))
        box = "<mbox_cx>40</mbox_cx><mbox_cy>30</mbox_cy><mbox_w>20</mbox_w><mbox_h>10</mbox_h><mbox_ang>0.5</mbox_ang>"
        text = f"<HRSC_Object><Class_ID>{class_id}</Class_ID>{box}</HRSC_Object>"
        (root / "FullDataSet" / "Annotations" / f"{name}.xml").write_text(
            f"<HRSC_Image><Img_FileName>{name}</Img_FileName><HRSC_Objects>{text}</HRSC_Objects></HRSC_Image>"
        )
    (root / "ImageSets" / "test.txt").write_text("100000002\n")
    words = ["split", "--preset", "hrsc2016_test", "--data-root", str(root), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "1 image -> 1 tile (0 without objects); 1 object -> 1 in tiles" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["100000002.bmp"]
    assert (tmp_path / "out" / "labelTxt" / "100000002.txt").read_text().split()[8:] == ["ship", "0"]
    assert main([*words, "--overwrite", "--class-map", "yacht="]) == 0
    assert (tmp_path / "out" / "labelTxt" / "100000002.txt").read_text() == ""
