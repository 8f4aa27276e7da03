"""Exported graphs of every kind of head: same outputs and detections as in torch, and the errors of an export."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from rotated_atss.cli import main
from rotated_atss.configs import find_config
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.export import ExportOptions, export
from rotated_atss.detection.engine.inference import load_detector as load_in_torch
from rotated_atss.detection.heads.graph import DetectionGraph
from rotated_atss.geo.writers import FORMATS
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_corners
from rotated_atss.runtime import load_detector
from rotated_atss.runtime.compare import compare_outputs
from tests.references.images import smooth_noise
from tests.test_layout import BLOCK

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[3]
BACKBONE = "depth={depth}, base_channels=16, stem_channels=16, frozen_stages=-1, norm_eval=False, init_cfg=None"
HEAD = "in_channels=16, feat_channels=16, stacked_convs=1"
NORM = 'norm_cfg=dict(type="GN", num_groups=4, requires_grad=True)'
ONE_HEAD = f"bbox_head=dict({HEAD}, {NORM})"
PLAIN_HEAD = f"bbox_head=dict({HEAD})"
R3DET = (
    f"bbox_head_init=dict({HEAD}),"
    'bbox_head_refine=[dict(type="RotatedRefineHead", in_channels=16, feat_channels=16, stacked_convs=1, '
    "num_classes=15, bbox_coder=_base_.head.bbox_coder, loss_cls=_base_.head.loss_cls, loss_bbox=_base_.head.loss_bbox,"
    'frm_cfg=dict(type="FeatureRefinement", feat_channels=16, strides=_base_.strides), '
    'anchor_generator=dict(type="PriorGrid", strides=_base_.strides))]'
)
# base config -> head of the narrow model, size of the tiles
KINDS = {
    "rotated_atss_obb_r18_demo_le90": (ONE_HEAD, 128),
    "rotated_retinanet_obb_r50_fpn_1x_dota_le135": (PLAIN_HEAD, 128),
    "rotated_atss_centerness_hbb_r50_fpn_1x_dota_oc": (ONE_HEAD, 128),
    "rotated_ablation_point_r50_fpn_1x_dota_le90": (ONE_HEAD, 128),
    "r3det_r50_fpn_1x_dota_oc": (R3DET, 128),
    "atss_r50_fpn_1x_coco": (ONE_HEAD, 96),
    "ablation_point_r50_fpn_1x_coco": (ONE_HEAD, 96),
    "atss_official_dcnv2_r50_fpn_1x_coco": (ONE_HEAD, 96),
}


def random_weights(model):
    """Deterministic weights with scores of all sizes."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            scale = 0.03 if "conv_offset" in name else 0.3 if "_reg." in name else 1.4 if "backbone" in name else 0.7
            parameter.data.normal_(0, scale / parameter[0].numel() ** 0.5, generator=generator)
        elif name.endswith("_cls.bias"):
            parameter.data.fill_(-2)
        elif name.endswith(("bn2.weight", "bn3.weight")):  # residual branches that do not amplify
            parameter.data.fill_(0.3)
        elif name.endswith(".bias"):
            parameter.data.zero_()
    return model.state_dict()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Function that writes config and checkpoint of a narrow model of a base config, and returns their paths."""
    root = tmp_path_factory.mktemp("narrow")

    def write(base):
        config, checkpoint = root / f"{base}.py", root / f"{base}.pth"
        head, size = KINDS[base]
        depth, channels = (50, [64, 128, 256, 512]) if "dcnv2" in base else (18, [16, 32, 64, 128])
        if not config.exists():
            coco = "coco" in base
            scale = (144, size) if coco else (size, size)
            config.write_text(
                f"_base_ = ['{find_config(base)}']\n"
                f"model = dict(backbone=dict({BACKBONE.format(depth=depth)}), "
                f"neck=dict(in_channels={channels}, out_channels=16), "
                f"{head}, test_cfg=dict(nms_pre=60, max_per_img=100))\n"
                f"test_dataloader = dict(dataset=dict(pipeline=[dict(type='Load{'CocoImage' if coco else 'Tile'}'), "
                f"dict(type='Resize', scale={scale}, keep_ratio=True), "
                "dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'))]))\n"
            )
            torch.save({"state_dict": random_weights(build_model(load_config(config))), "meta": {}}, checkpoint)
        return str(config), str(checkpoint)

    return write


def corners(boxes):
    boxes = boxes.double()
    return obb_to_corners(hbb_to_obb(boxes) if boxes.shape[1] == 4 else boxes)


@pytest.mark.parametrize("base", KINDS)
def test_detections_are_those_of_torch(base, narrow, tmp_path):
    config, checkpoint = narrow(base)
    lines = list(export(config, checkpoint, ExportOptions(onnx=tmp_path / "a.onnx")))
    assert lines[0].startswith("ONNX Runtime compared with torch in float32 on random images: scores of ")
    in_torch, exported = load_in_torch(config, checkpoint, device="cpu"), load_detector(tmp_path / "a.onnx")
    assert exported.classes == in_torch.classes
    assert (exported.size, exported.pixels) == (in_torch.size, in_torch.pixels)
    assert exported.iou_threshold == in_torch.iou_threshold
    shapes = [(90, 120), (128, 128)] if "coco" in base else [(128, 128)]
    tiles = [smooth_noise(*shapes[number % len(shapes)], number) for number in range(8)]
    for batch in (tiles[:1], tiles):
        for actual, expected in zip(exported(batch), in_torch(batch)):
            assert len(actual[1]) == len(expected[1]) > 0
            assert all_match(actual, expected)


def all_match(actual, expected):
    """Whether each expected detection has one of the same class with its score and corners.

    The tolerances are 1e-3 and 0.1 px, beyond 1000 px 0.1 px per 1000 px.
    """
    boxes, scores, labels = map(torch.as_tensor, actual)
    expected_boxes, expected_scores, expected_labels = map(torch.as_tensor, expected)
    turned = [(corners(boxes).roll(turn, 1)[None] - corners(expected_boxes)[:, None]).abs() for turn in range(4)]
    tolerance = 0.1 * (corners(expected_boxes).abs().amax((1, 2)) / 1000).clamp(min=1)
    near = torch.stack([each.amax((2, 3)) for each in turned]).amin(0) < tolerance[:, None]
    near &= (scores[None] - expected_scores[:, None]).abs() < 1e-3
    near &= labels[None] == expected_labels[:, None]
    return bool(near.any(1).all())


@pytest.fixture(scope="module")
def demo_onnx(narrow, tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "demo.onnx"
    list(export(*narrow("rotated_atss_obb_r18_demo_le90"), ExportOptions(onnx=path)))
    return path


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 64, 192), (3, 256, 96)])
def test_batch_height_and_width_of_the_input_vary(shape, demo_onnx, narrow):
    from rotated_atss.runtime.session import open_session

    config, checkpoint = narrow("rotated_atss_obb_r18_demo_le90")
    graph = DetectionGraph(load_in_torch(config, checkpoint, device="cpu").model)
    images = torch.rand(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        expected = dict(zip(graph.output_names, [output.numpy() for output in graph(images)]))
    assert compare_outputs(open_session(demo_onnx).run(images.numpy()), expected).share == 0
    assert sum(graph.info.level_sizes(*shape[1:])) == expected["scores"].shape[1]


def test_openvino_agrees_and_the_fastest_runtime_is_one_of_both(demo_onnx):
    pytest.importorskip("openvino")
    image = smooth_noise(128, 128)
    ((boxes, scores, labels),) = load_detector(demo_onnx, runtime="openvino")([image])
    assert all_match((boxes, scores, labels), load_detector(demo_onnx)([image])[0])
    assert load_detector(demo_onnx, runtime="fastest").session.runtime in ("onnxruntime", "openvino")


def test_metadata_has_the_entries_of_qgis_deepness(demo_onnx):
    import json

    import onnx

    metadata = {entry.key: entry.value for entry in onnx.load(demo_onnx).metadata_props}
    assert json.loads(metadata["model_type"]) == "Detector"
    assert json.loads(metadata["class_names"])["0"] == "plane"
    assert json.loads(metadata["tile_size"]) == 128
    assert json.loads(metadata["tiles_overlap"]) == 20


def test_prediction_and_test_need_no_openmmlab_package(demo_onnx, tiles, tmp_path):
    cv2.imwrite(str(tmp_path / "P1.png"), smooth_noise(150, 200))
    words = [str(demo_onnx), str(tmp_path / "P1.png"), "--out", str(tmp_path / "out"), "--size", "96", "--gap", "16"]
    test = ["test", str(demo_onnx), "--data", str(tiles), "--out", str(tmp_path / "merged")]
    code = f"from rotated_atss.cli import main\nassert main({['predict', *words]!r}) == 0\nassert main({test!r}) == 0\n"
    done = subprocess.run([sys.executable, "-c", BLOCK + code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    detections = [path.read_text() for path in sorted((tmp_path / "out" / "detections").iterdir())]
    assert sum(text.count("\n") for text in detections) > 50
    assert (tmp_path / "out" / "pictures" / "P1.png").is_file()
    assert (tmp_path / "merged" / "Task1_plane.txt").is_file()


def test_prediction_and_test_need_no_torch(demo_onnx, tiles, tmp_path):
    image, labels = tmp_path / "P1.png", full_image_labels(tiles, tmp_path / "labelTxt")
    cv2.imwrite(str(image), smooth_noise(150, 200))
    formats = list(FORMATS) if all(map(find_spec, ("rasterio", "pyproj", "pyogrio", "pyarrow"))) else []
    windows = [
        "--size",
        "96",
        "--gap",
        "16",
        "--format",
        ",".join(["dota", *formats]),
        "--json",
        tmp_path / "coco.json",
    ]
    predict = ["predict", demo_onnx, image, "--out", tmp_path / "out", *windows]
    test = ["test", demo_onnx, "--data", tiles, "--labels", labels, "--out", tmp_path / "merged"]
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from rotated_atss.cli import main\n"
        f"for words in {[list(map(str, words)) for words in (predict, [*test, '--report', tmp_path / 'report'])]!r}:\n"
        "    assert main(words) == 0, words\n"
        "from rotated_atss.runtime import load_detector\n"
        "from rotated_atss.tiling.predict import predict_image\n"
        f"detections = predict_image(load_detector({str(demo_onnx)!r}), {str(image)!r}, size=96, gap=16)\n"
        "print(len(detections.scores))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [row for path in (tmp_path / "out" / "detections").iterdir() for row in path.read_text().splitlines()]
    assert len(rows) == len(json.loads((tmp_path / "coco.json").read_text())) == int(done.stdout.split()[-1]) > 50
    for name in (*(f"out/detections.{name}" for name in formats), "out/pictures/P1.png", "merged/ap.json", "report"):
        assert (tmp_path / name).exists()


def test_test_of_an_onnx_file_is_that_of_the_checkpoint(narrow, demo_onnx, tiles, tmp_path, capsys):
    from rotated_atss.dota.detections import read_task1_folder

    model = narrow("rotated_atss_obb_r18_demo_le90")
    data = ["--data", str(tiles), "--labels", str(full_image_labels(tiles, tmp_path / "labelTxt"))]
    assert main(["test", *model, *data, "--out", str(tmp_path / "a"), "--workers", "0"]) == 0
    torch_lines = capsys.readouterr().out
    assert main(["test", str(demo_onnx), *data, "--out", str(tmp_path / "b")]) == 0
    lines = capsys.readouterr().out
    assert "on ONNX Runtime, float32" in lines
    result = json.loads(lines.splitlines()[-1])
    torch_result = json.loads(torch_lines.splitlines()[-1])
    assert result["metrics"] == pytest.approx(torch_result["metrics"], abs=1e-3)
    assert list(result) == list(torch_result)
    assert {name: result[name] for name in ("config", "images")} == {
        name: torch_result[name] for name in ("config", "images")
    }
    assert json.loads((demo_onnx.parent / "test_result.json").read_text()) == result
    assert main(["test", str(demo_onnx), *data, "--out", str(tmp_path / "c"), "--quiet"]) == 0
    quiet_result = json.loads(capsys.readouterr().out)
    assert quiet_result == {**result, "out": str(tmp_path / "c"), "seconds": quiet_result["seconds"]}
    assert [line.split() for line in lines.splitlines() if "AP50 " in line][-1:] == [
        line.split() for line in torch_lines.splitlines() if "AP50 " in line
    ][-1:]
    classes = load_detector(demo_onnx).classes
    expected, actual = (read_task1_folder(tmp_path / name, classes) for name in "ab")
    for name in classes:
        assert len(expected[name]) == len(actual[name])
        np.testing.assert_allclose(np.sort(actual[name].scores), np.sort(expected[name].scores), atol=1e-4)


def full_image_labels(tiles, folder):
    """Write a label file for each full image of the tiles."""
    folder.mkdir()
    for name in {path.name.split("__")[0] for path in (tiles / "images").iterdir()}:
        (folder / f"{name}.txt").write_text("20 20 60 20 60 40 20 40 plane 0\n")
    return folder


def test_float16_and_int8(narrow, demo_onnx, tmp_path):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P0.png"), smooth_noise(128, 128, 0))
    model = narrow("rotated_atss_obb_r18_demo_le90")
    reference, image = load_detector(demo_onnx), smooth_noise(128, 128, 7)
    sizes = {"float32": demo_onnx.stat().st_size}
    for precision, more in (("float16", {}), ("int8", {"calibration": tmp_path / "images"})):
        path = tmp_path / f"{precision}.onnx"
        list(export(*model, ExportOptions(onnx=path, precision=precision, **more)))
        detector = load_detector(path)
        assert detector.description == f"ONNX Runtime, {precision}"
        ((boxes, scores, _),) = detector([image])
        ((_, expected, _),) = reference([image])
        assert abs(len(scores) - len(expected)) < 10
        assert abs(float(scores[:50].mean() - expected[:50].mean())) < 0.05
        assert np.isfinite(boxes).all()
        sizes[precision] = path.stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"]


@pytest.mark.slow
def test_package_of_torch_export(narrow, tmp_path):
    config, checkpoint = narrow("rotated_atss_obb_r18_demo_le90")
    list(export(config, checkpoint, ExportOptions(torch_export=tmp_path / "a.pt2")))
    graph = DetectionGraph(load_in_torch(config, checkpoint, device="cpu").model)
    loaded = torch.export.load(tmp_path / "a.pt2").module()
    for shape in [(1, 3, 160, 192), (3, 3, 256, 160)]:
        images = torch.rand(shape) * 255
        with torch.inference_mode():
            torch.testing.assert_close(loaded(images), graph(images), rtol=1e-3, atol=1e-3)


def test_errors_of_export_are_one_line_and_write_nothing(narrow, tmp_path, capsys, monkeypatch):
    config, checkpoint = narrow("rotated_atss_obb_r18_demo_le90")
    out = tmp_path / "a.onnx"

    def error(*words):
        assert main(["export", *map(str, words)]) == 2
        captured = capsys.readouterr()
        assert not out.exists()
        (line,) = captured.err.splitlines()
        return line

    assert "no output: give --onnx FILE or --torch-export FILE" in error(config, checkpoint)
    assert "the file must end in .onnx, got a.pb" in error(config, checkpoint, "--onnx", tmp_path / "a.pb")
    (tmp_path / "empty.pth").touch()
    if Path("/sys/kernel").is_dir():  # no file can be created in sysfs, not even by root
        line = error(config, tmp_path / "empty.pth", "--onnx", "/sys/a.onnx")
        assert "/sys/a.onnx: cannot be written: no " in line  # before the checkpoint is read
    assert "need each other" in error(config, checkpoint, "--onnx", out, "--precision", "int8")
    assert "--precision float16 applies only to the ONNX file: add --onnx FILE" in error(
        config, checkpoint, "--torch-export", tmp_path / "a.pt2", "--precision", "float16"
    )
    assert "no such folder of images" in error(
        config, checkpoint, "--onnx", out, "--precision", "int8", "--calibration", tmp_path / "none"
    )
    assert "no such checkpoint" in error(config, tmp_path / "none.pth", "--onnx", out)
    monkeypatch.setattr("rotated_atss.runtime.compare.MAX_SCORE_DIFFERENCE", -1.0)
    line = error(config, checkpoint, "--onnx", out)
    assert "the outputs of the exported graph differ from the outputs of torch: scores of " in line
    assert "; 100.0% of the boxes differ by more than rounding (report this problem with the config)" in line
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "onnx is not installed (run: " in error(config, checkpoint, "--onnx", out)


def test_model_with_another_head_cannot_be_exported():
    from rotated_atss.errors import UserError

    model = torch.nn.Module()
    model.bbox_head = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="a model with Linear cannot be exported"):
        DetectionGraph(model)


def test_normalization_of_images_in_the_order_of_the_model():
    cfg = load_config("atss_official_r50_fpn_1x_coco", {"model.backbone.init_cfg": None})
    graph = DetectionGraph(build_model(cfg))
    assert not graph.to_rgb
    np.testing.assert_allclose(graph.mean.flatten(), [102.9801, 115.9465, 122.7717])
