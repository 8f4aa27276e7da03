"""Config and checkpoint as a detector: the same boxes as the test loop's, on tiles, whole images and any kind of
weights.
"""

import textwrap

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

from rotated_atss.configs import find_config
from rotated_atss.detection.engine.config import build_model, find_test_dataset, load_config
from rotated_atss.detection.engine.inference import load_detector, resolve_device
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.runner import test as run_test
from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.tiling.merge_boxes import to_task1
from rotated_atss.tiling.predict import WHOLE, predict_image

DEMO = "rotated_atss_obb_r18_demo_le90"
NARROW = """
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(
        in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=dict(type="GN", num_groups=4, requires_grad=True)
    ),
    test_cfg=dict(nms_pre=60, max_per_img=100),
)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def eager(model, layer):
    """Deterministic weights that find something everywhere."""
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
    torch.save({"state_dict": eager(build_model(load_config(config)), "retina_cls"), "meta": {}}, root / "a.pth")
    return config, root / "a.pth"


@pytest.fixture(scope="module", params=["ours", "mmdet"])
def horizontal(request, tmp_path_factory):
    """Config and checkpoint of a narrow ATSS on COCO that sees images at a short side of 96: ours, and
    MMDetection's.
    """
    root = tmp_path_factory.mktemp("horizontal")
    base = find_config("atss_r50_fpn_1x_coco") if request.param == "ours" else "mmdet::atss/atss_r50_fpn_1x_coco.py"
    (root / "tiny_coco.py").write_text(f"_base_ = ['{base}']\n" + NARROW)
    torch.save({"state_dict": eager(build_model(load_config(root / "tiny_coco.py")), "atss_cls")}, root / "a.pth")
    return root / "tiny_coco.py", root / "a.pth"


SMALL = {"test_dataloader.dataset.pipeline.1.scale": (160, 96)}


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, None, fx=4, fy=4)[:height, :width].copy()


@pytest.fixture
def images(tmp_path):
    """Three noisy images, one of them smaller than a tile."""
    (tmp_path / "images").mkdir()
    for number, (height, width) in enumerate([(150, 200), (60, 90), (128, 128)]):
        cv2.imwrite(str(tmp_path / "images" / f"P{number}.png"), noise(height, width, number))
    return tmp_path / "images"


def test_the_same_as_split_then_test(oriented, images, tmp_path):
    from rotated_atss.dota.detections import read_task1_folder
    from rotated_atss.tiling.split import split_dota

    config, checkpoint = oriented
    split_dota(images, None, tmp_path / "tiles", size=128, gap=32, workers=1)
    loader = {"test_dataloader.batch_size": 1, "test_dataloader.num_workers": 0}
    loader |= {"test_dataloader.persistent_workers": False, "visualizer.vis_backends": []}
    folders = dict(data=str(tmp_path / "tiles"), out=str(tmp_path / "merged"), work_dir=str(tmp_path / "work"))
    run_test(config, checkpoint, TestOptions(**folders, cfg_options=loader))
    detector = load_detector(config, checkpoint, device="cpu")
    found = [predict_image(detector, path, size=128, gap=32, batch=1) for path in sorted(images.iterdir())]
    slow = read_task1_folder(tmp_path / "merged", CLASSES["v1.0"])
    assert sum(map(len, slow.values())) > 100
    for name, fast in to_task1(found, detector.classes).items():
        assert fast.image_ids.tolist() == slow[name].image_ids.tolist()
        np.testing.assert_array_equal(fast.scores, slow[name].scores)
        np.testing.assert_array_equal(fast.polygons, slow[name].polygons)


def test_a_batch_gives_what_single_tiles_give(oriented):
    detector, image = load_detector(*oriented, device="cpu"), noise(200, 300)
    one, four = (predict_image(detector, image, size=96, gap=16, batch=batch) for batch in (1, 4))
    assert len(one.scores) == len(four.scores) > 50
    torch.testing.assert_close(one.scores, four.scores, rtol=0, atol=1e-4)


def test_the_example_of_the_documentation(oriented, images, monkeypatch, capsys):
    example = load_detector.__doc__.partition("Example:\n")[2]
    (images / "P0.png").rename(images / "P0001.png")
    monkeypatch.chdir(images)
    names = {"load_detector": load_detector, "predict_image": predict_image, "obb_to_poly": obb_to_poly}
    exec(textwrap.dedent(example), names | {"config": oriented[0], "checkpoint": oriented[1]})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert lines[0].split()[0] in CLASSES["v1.0"]


def test_a_horizontal_model_sees_the_whole_image_as_its_test_loop_does(horizontal):
    config, checkpoint = horizontal
    detector, image = load_detector(config, checkpoint, device="cpu", cfg_options=SMALL), noise(120, 200)
    assert (detector.size, detector.iou_threshold, len(detector.classes)) == (WHOLE, 0.6, 80)
    assert detector.classes[9] == "traffic light"
    found = predict_image(detector, image)
    from mmdet.apis import inference_detector

    cfg = load_config(config, SMALL)
    detector.model.cfg, cfg.test_pipeline = cfg, cfg.test_dataloader.dataset.pipeline
    slow = inference_detector(detector.model, image).pred_instances
    assert len(slow) == len(found.scores) > 20
    assert (found.boxes[:, 4] == 0).all()
    corners = torch.cat((found.boxes[:, :2] - found.boxes[:, 2:4] / 2, found.boxes[:, :2] + found.boxes[:, 2:4] / 2), 1)
    torch.testing.assert_close(found.scores, slow.scores, rtol=0, atol=1e-6)
    torch.testing.assert_close(corners.float(), slow.bboxes, rtol=0, atol=1e-4)
    assert found.labels.tolist() == slow.labels.tolist()


def test_a_horizontal_model_on_windows(horizontal):
    detector = load_detector(*horizontal, device="cpu", cfg_options=SMALL)
    found = predict_image(detector, noise(150, 200), size=96, gap=32)
    assert len(found.scores) > 20
    assert (found.boxes[:, 4] == 0).all()
    assert found.boxes[:, 0].max() > 110
    assert found.boxes[:, 1].max() > 100


@pytest.mark.parametrize("options", [{"amp": True}, {"channels_last": True}])
def test_faster_ways_find_nearly_the_same(oriented, options):
    image = noise(96, 96)
    plain, fast = (
        predict_image(load_detector(*oriented, device="cpu", **each), image, size=96, gap=0) for each in ({}, options)
    )
    best = min(20, len(fast.scores), len(plain.scores))
    assert best > 10
    assert fast.scores.dtype == torch.float32
    torch.testing.assert_close(plain.scores[:best], fast.scores[:best], rtol=0, atol=0.05)


def test_safetensors(oriented, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = torch.load(oriented[1])["state_dict"]
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "a.safetensors")
    image = noise(96, 96)
    found = [
        predict_image(load_detector(oriented[0], path, device="cpu"), image, size=96, gap=0)
        for path in (oriented[1], tmp_path / "a.safetensors")
    ]
    assert torch.equal(found[0].boxes, found[1].boxes)
    assert len(found[0].scores)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:99])
    for name, said in (("cut", "not a readable checkpoint"), ("gone", "no such checkpoint")):
        with pytest.raises(UserError, match=f"{name}.safetensors: {said}"):
            load_detector(oriented[0], tmp_path / f"{name}.safetensors")


def test_classes_are_the_checkpoints_then_the_configs(oriented, horizontal, tmp_path):
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


def test_the_threshold_is_the_one_the_config_merges_with(oriented):
    options = {"test_evaluator.iou_threshold": 0.25}
    assert load_detector(*oriented, device="cpu", cfg_options=options).iou_threshold == 0.25


def fault(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("device", ["cuda:17", "gpu", "mps:0", "xla"])
def test_a_device_that_is_not_there(device, oriented):
    assert f"--device: no such device: '{device}' (there are: cpu" in fault(load_detector, *oriented, device=device)


def test_the_device_of_choice():
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device(torch.device("cpu")).type == "cpu"


def test_parts_that_do_not_fit(oriented, horizontal, tmp_path):
    assert "these are weights of another model" in fault(load_detector, horizontal[0], oriented[1], device="cpu")
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
def test_too_many_tiles_for_the_memory(oriented, error, monkeypatch):
    detector = load_detector(*oriented, device="cpu")

    def full(batch):
        raise error

    monkeypatch.setattr(detector.model, "test_step", full)
    told = fault(predict_image, detector, noise(200, 200), size=96, gap=0)
    assert told.startswith("out of memory with 4 tiles per batch on cpu (use a smaller batch (--batch)")
    monkeypatch.setattr(detector.model, "test_step", lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_image(detector, noise(96, 96), size=96, gap=0)


def test_wrapped_data_sets_are_looked_into():
    inner = {"type": "DOTADataset", "pipeline": [{"type": "LoadTile"}]}
    from mmengine.config import Config

    cfg = Config({"test_dataloader": {"dataset": {"type": "RepeatDataset", "dataset": inner}}})
    assert find_test_dataset(cfg)["type"] == "DOTADataset"
