"""Detectors loaded from config and checkpoint: same boxes as the test loop on tiles and on whole images."""

import textwrap

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

from rotated_atss.configs import find_config
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.runner import test as run_test
from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.tiling.merge_boxes import to_task1
from rotated_atss.tiling.predict import WHOLE_IMAGE, predict_image
from tests.references.images import smooth_noise

pytestmark = pytest.mark.usefixtures("one_thread")

DEMO = "rotated_atss_obb_r18_demo_le90"
NARROW = """
model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),
    bbox_head=dict(
        in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=dict(type="GN", num_groups=4, requires_grad=True)
    ),
    test_cfg=dict(nms_pre=60, max_per_img=100),
)
"""


def eager_weights(model, layer):
    """Deterministic weights that detect something everywhere."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 1.4 / parameter[0].numel() ** 0.5, generator=generator)
    getattr(model.bbox_head, layer).bias.data.fill_(-2)
    return model.state_dict()


@pytest.fixture(scope="module")
def oriented(tmp_path_factory):
    """Config and checkpoint of a narrow Rotated ATSS."""
    root = tmp_path_factory.mktemp("oriented")
    config = root / "tiny.py"
    config.write_text(f"_base_ = ['{find_config(DEMO)}']\n" + NARROW)
    torch.save(
        {"state_dict": eager_weights(build_model(load_config(config)), "retina_cls"), "meta": {}}, root / "a.pth"
    )
    return config, root / "a.pth"


@pytest.fixture(scope="module", params=["rotated_atss", pytest.param("mmdet", marks=pytest.mark.baseline)])
def horizontal(request, tmp_path_factory):
    """Config and checkpoint of a narrow ATSS on COCO: this package's config, and MMDetection's."""
    root = tmp_path_factory.mktemp("horizontal")
    own = request.param == "rotated_atss"
    base = find_config("atss_r50_fpn_1x_coco") if own else "mmdet::atss/atss_r50_fpn_1x_coco.py"
    (root / "tiny_coco.py").write_text(f"_base_ = ['{base}']\n" + NARROW)
    torch.save(
        {"state_dict": eager_weights(build_model(load_config(root / "tiny_coco.py")), "atss_cls")}, root / "a.pth"
    )
    return root / "tiny_coco.py", root / "a.pth"


SMALL = {"test_dataloader.dataset.pipeline.1.scale": (160, 96)}


@pytest.fixture
def images(tmp_path):
    """Three noisy images, one of them smaller than a tile."""
    (tmp_path / "images").mkdir()
    for number, (height, width) in enumerate([(150, 200), (60, 90), (128, 128)]):
        cv2.imwrite(str(tmp_path / "images" / f"P{number}.png"), smooth_noise(height, width, number))
    return tmp_path / "images"


def test_detections_equal_those_of_split_and_test(oriented, images, tmp_path):
    from rotated_atss.dota.detections import read_task1_folder
    from rotated_atss.tiling.split import split_dota
    from rotated_atss.tiling.split_settings import SplitSettings

    config, checkpoint = oriented
    split_dota(images, None, tmp_path / "tiles", SplitSettings(sizes=(128,), gaps=(32,)), workers=1)
    loader = {"test_dataloader.batch_size": 1, "test_dataloader.num_workers": 0}
    loader |= {"test_dataloader.persistent_workers": False, "visualizer.vis_backends": []}
    folders = dict(data=str(tmp_path / "tiles"), out=str(tmp_path / "merged"), work_dir=str(tmp_path / "work"))
    run_test(config, checkpoint, TestOptions(**folders, cfg_options=loader))
    detector = load_detector(config, checkpoint, device="cpu")
    detections = [predict_image(detector, path, size=128, gap=32, batch_size=1) for path in sorted(images.iterdir())]
    expected = read_task1_folder(tmp_path / "merged", CLASSES["v1.0"])
    assert sum(map(len, expected.values())) > 100
    for name, actual in to_task1(detections, detector.classes).items():
        assert actual.image_ids.tolist() == expected[name].image_ids.tolist()
        np.testing.assert_array_equal(actual.scores, expected[name].scores)
        np.testing.assert_array_equal(actual.polygons, expected[name].polygons)


def test_batched_tiles_give_the_detections_of_single_tiles(oriented):
    detector, image = load_detector(*oriented, device="cpu"), smooth_noise(200, 300)
    one, four = (predict_image(detector, image, size=96, gap=16, batch_size=batch_size) for batch_size in (1, 4))
    assert len(one.scores) == len(four.scores) > 50
    np.testing.assert_allclose(one.scores, four.scores, rtol=0, atol=1e-4)


def test_docstring_example_runs(oriented, images, monkeypatch, capsys):
    example = load_detector.__doc__.partition("Example::\n")[2]
    (images / "P0.png").rename(images / "P0001.png")
    monkeypatch.chdir(images)
    names = {"load_detector": load_detector, "predict_image": predict_image, "obb_polygons": obb_polygons}
    exec(textwrap.dedent(example), names | {"config": oriented[0], "checkpoint": oriented[1]})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert lines[0].split()[0] in CLASSES["v1.0"]


def test_horizontal_model_equals_inference_detector_on_a_whole_image(horizontal):
    config, checkpoint = horizontal
    detector, image = load_detector(config, checkpoint, device="cpu", cfg_options=SMALL), smooth_noise(120, 200)
    assert (detector.size, detector.iou_threshold, len(detector.classes)) == (WHOLE_IMAGE, 0.6, 80)
    assert detector.classes[9] == "traffic light"
    detections = predict_image(detector, image)
    from mmdet.apis import inference_detector

    cfg = load_config(config, SMALL)
    detector.model.cfg, cfg.test_pipeline = cfg, cfg.test_dataloader.dataset.pipeline
    expected = inference_detector(detector.model, image).pred_instances
    assert len(expected) == len(detections.scores) > 20
    assert (detections.boxes[:, 4] == 0).all()
    center, half_wh = detections.boxes[:, :2], detections.boxes[:, 2:4] / 2
    corners = np.concatenate((center - half_wh, center + half_wh), 1)
    np.testing.assert_allclose(detections.scores, expected.scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(corners, expected.bboxes, rtol=0, atol=1e-4)
    assert detections.labels.tolist() == expected.labels.tolist()


def test_horizontal_model_on_windows(horizontal):
    detector = load_detector(*horizontal, device="cpu", cfg_options=SMALL)
    detections = predict_image(detector, smooth_noise(150, 200), size=96, gap=32)
    assert len(detections.scores) > 20
    assert (detections.boxes[:, 4] == 0).all()
    assert detections.boxes[:, 0].max() > 110
    assert detections.boxes[:, 1].max() > 100


@pytest.mark.parametrize("options", [{"amp": True}, {"channels_last": True}])
def test_faster_settings_give_similar_detections(oriented, options):
    image = smooth_noise(96, 96)
    plain, fast = (
        predict_image(load_detector(*oriented, device="cpu", **each), image, size=96, gap=0) for each in ({}, options)
    )
    best = min(20, len(fast.scores), len(plain.scores))
    assert best > 10
    assert fast.scores.dtype == np.float32
    np.testing.assert_allclose(plain.scores[:best], fast.scores[:best], rtol=0, atol=0.05)


def test_safetensors_give_the_same_boxes(oriented, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = torch.load(oriented[1])["state_dict"]
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "a.safetensors")
    image = smooth_noise(96, 96)
    detections = [
        predict_image(load_detector(oriented[0], path, device="cpu"), image, size=96, gap=0)
        for path in (oriented[1], tmp_path / "a.safetensors")
    ]
    assert np.array_equal(detections[0].boxes, detections[1].boxes)
    assert len(detections[0].scores)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:99])
    for name, reason in (("cut", "not a readable checkpoint"), ("gone", "no such checkpoint")):
        with pytest.raises(UserError, match=f"{name}.safetensors: {reason}"):
            load_detector(oriented[0], tmp_path / f"{name}.safetensors")


def test_class_names_come_from_the_checkpoint_then_the_config(oriented, horizontal, tmp_path):
    names = tuple(f"kind-{number}" for number in range(15))
    state = torch.load(oriented[1])["state_dict"]
    for meta, expected in (
        ({"dataset_meta": {"classes": names}}, names),
        ({"CLASSES": names}, names),
        ({"CLASSES": names[:3]}, CLASSES["v1.0"]),
        ({}, CLASSES["v1.0"]),
    ):
        torch.save({"state_dict": state, "meta": meta}, tmp_path / "b.pth")
        assert load_detector(oriented[0], tmp_path / "b.pth", device="cpu").classes == expected
    options = {"test_dataloader.dataset.metainfo": {"classes": ("a", "b")}}
    assert len(load_detector(*horizontal, device="cpu", cfg_options=options).classes) == 80
    with pytest.raises(UserError, match="the model has 15 classes, got 18 names in the config "):
        load_detector(*oriented, device="cpu", cfg_options={"test_dataloader.dataset.classes": "v2.0"})


def test_iou_threshold_is_that_of_the_config(oriented):
    options = {"test_evaluator.iou_threshold": 0.25}
    assert load_detector(*oriented, device="cpu", cfg_options=options).iou_threshold == 0.25


def test_config_and_checkpoint_that_do_not_fit_are_refused(oriented, horizontal, tmp_path, fault):
    assert "these are weights of another model" in fault(load_detector, horizontal[0], oriented[1], device="cpu")
    other = {"model.bbox_head.num_classes": 3, "test_dataloader.dataset.classes": "a,b,c"}
    content = torch.load(oriented[1], weights_only=True)
    torch.save(content.get("state_dict", content), tmp_path / "bare.pth")
    message = fault(load_detector, oriented[0], tmp_path / "bare.pth", device="cpu", cfg_options=other)
    hint = "if the number of classes is different, set model.bbox_head.num_classes and test_dataloader.dataset.classes"
    assert hint in message
    assert "no such config" in fault(load_detector, "gone", oriented[1], device="cpu")
    assert "no such checkpoint" in fault(load_detector, oriented[0], tmp_path / "gone.pth", device="cpu")
    options = {"test_dataloader.dataset.pipeline": []}
    assert "no test pipeline" in fault(load_detector, *oriented, device="cpu", cfg_options=options)
    options = {"test_dataloader.dataset.pipeline.1.type": "Nonesuch"}
    assert "cannot build the test pipeline" in fault(load_detector, *oriented, device="cpu", cfg_options=options)
    (tmp_path / "base.py").write_text("data_root = 'x'\n")
    assert "this config has no" in fault(load_detector, tmp_path / "base.py", oriented[1], device="cpu")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        torch.OutOfMemoryError("out of memory"),
    ],
)
def test_out_of_memory_is_reported_in_one_line(oriented, error, monkeypatch, fault):
    detector = load_detector(*oriented, device="cpu")

    def raise_error(batch):
        raise error

    monkeypatch.setattr(detector.model, "test_step", raise_error)
    message = fault(predict_image, detector, smooth_noise(200, 200), size=96, gap=0)
    assert message.startswith("out of memory with 4 tiles per batch on cpu (use a smaller batch (--batch)")
    monkeypatch.setattr(detector.model, "test_step", lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_image(detector, smooth_noise(96, 96), size=96, gap=0)
