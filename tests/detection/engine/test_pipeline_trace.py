"""Recorded pipelines: the samples are unchanged, and dropped boxes are named with the reason."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from rotated_atss.detection.datasets.dota import DOTADataset
from rotated_atss.detection.datasets.transforms import RandomRotation
from rotated_atss.detection.engine.dataset_wrappers import innermost_built_datasets
from rotated_atss.detection.engine.pipeline_trace import PipelineRecorder
from rotated_atss.detection.engine.random_numbers import seed_generators
from tests.references.datasets import dataset, write_folder

PIPELINE = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="ResizeImage", scale=(192, 192), keep_ratio=True),
    dict(type="FlipImage", prob=0.5),
    dict(type="RandomRotation", prob=1.0, min_side=17),
    dict(type="PackSample"),
]


@pytest.fixture(autouse=True)
def scope():
    """The scope of the registries that load_config sets."""
    init_default_scope("rotated_atss.detection")


@pytest.fixture
def tiles(tmp_path):
    """Two tiles of 128 px with objects of many sizes, up to the corners."""
    rng = np.random.default_rng(0)
    boxes = np.concatenate((rng.uniform(3, 125, (40, 2)), rng.uniform(4, 30, (40, 2)), rng.uniform(-3, 3, (40, 1))), 1)
    images, classes = np.repeat([0, 1], 20), rng.integers(2, size=40)
    return write_folder(tmp_path / "data", dataset(boxes, images=images, classes=classes, image_wh=((128, 128),) * 2))


@pytest.fixture
def datasets(tiles):
    """The same dataset, without and with a recorder."""
    plain, recorded = (DOTADataset(data_root=str(tiles), pipeline=copy.deepcopy(PIPELINE)) for _ in range(2))
    return plain, recorded, PipelineRecorder(recorded)


def load(built, index, seed):
    seed_generators(seed)
    return built[index]


def test_recording_changes_no_sample(datasets):
    plain, recorded, _ = datasets
    for index in range(len(plain)):
        first, second = load(plain, index, 3), load(recorded, index, 3)
        assert torch.equal(first["inputs"], second["inputs"])
        one, two = (each["data_samples"].gt_instances for each in (first, second))
        assert torch.equal(one.bboxes.tensor, two.bboxes.tensor)
        assert torch.equal(one.labels, two.labels)


def test_dropped_boxes_against_a_loop_over_the_boxes(datasets):
    """The boxes before the rotation are turned one by one; their center or their side decides."""
    _, recorded, recorder = datasets
    reasons = []
    for index in range(len(recorded)):
        for seed in range(6):
            kept = load(recorded, index, seed)["data_samples"].gt_instances
            trace = recorder.trace
            assert len(kept.labels) + len(trace.dropped) == len(trace.boxes)
            angle = np.deg2rad(trace.rotation_deg)
            for each in trace.dropped:
                x, y = (each.box[:2] - 96).tolist()
                center = 96 + x * np.cos(angle) - y * np.sin(angle), 96 + x * np.sin(angle) + y * np.cos(angle)
                outside = not all(0 <= value < 192 for value in center)
                small = float(each.box[2:4].min()) <= 17
                assert outside or small
                assert each.reason.startswith("too small" if small else "removed")
                reasons.append(each.reason)
    for start in (
        "too small for RandomRotation: the shorter side is not longer than min_side (17 px)",
        "removed by RandomRotation: the center of the rotated box is outside",
    ):
        assert any(reason.startswith(start) for reason in reasons)


def test_boxes_that_leave_the_image_are_named(datasets):
    _, recorded, recorder = datasets
    step = next(each for each in recorded.pipeline.transforms if isinstance(each.step, RandomRotation))
    step.step.min_side = 0
    for inner in recorded.pipeline.transforms[2:4]:
        inner.step.prob = 0.0
    reasons = {
        each.reason
        for index in range(len(recorded))
        for seed in range(5)
        for each in (load(recorded, index, seed), recorder.trace.dropped)[1]
    }
    assert reasons <= {"removed by RandomRotation: the center of the rotated box is outside the image"}
    assert reasons


def test_the_trace_has_the_image_and_boxes_as_loaded(datasets, tiles):
    _, recorded, recorder = datasets
    for index in range(2):
        info = recorded.get_data_info(index)
        load(recorded, index, 1)
        trace = recorder.trace
        assert trace.image.shape == (128, 128, 3)
        expected = torch.tensor([each["bbox"] for each in info["instances"]])
        assert torch.equal(trace.boxes, expected.reshape(-1, 5).float())
        assert trace.labels.tolist() == [each["bbox_label"] for each in info["instances"]]
        assert not trace.ignored.any()


def test_traces_are_separate(datasets):
    _, recorded, recorder = datasets
    load(recorded, 0, 0)
    first = recorder.trace
    boxes = first.boxes.clone()
    load(recorded, 1, 0)
    assert recorder.trace is not first
    assert torch.equal(first.boxes, boxes)


def test_a_step_of_another_package_is_named(tiles):
    class DropFirst:
        def __call__(self, results):
            for key in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags"):
                results[key] = results[key][1:]
            return results

    built = DOTADataset(data_root=str(tiles), pipeline=copy.deepcopy(PIPELINE[:2] + PIPELINE[-1:]))
    built.pipeline.transforms.insert(2, DropFirst())
    recorder = PipelineRecorder(built)
    labels = [each["bbox_label"] for each in built.get_data_info(0)["instances"]]
    sample = built[0]["data_samples"].gt_instances
    (dropped,) = recorder.trace.dropped
    assert (dropped.label, dropped.reason) == (labels[0], "removed by DropFirst")
    assert sample.labels.tolist() == labels[1:]


def test_datasets_inside_wrappers():
    class Wrapper:
        pass

    inner, repeat, concat = Wrapper(), Wrapper(), Wrapper()
    repeat.dataset = inner
    concat.datasets = [repeat, repeat]
    assert list(innermost_built_datasets(concat)) == [inner, inner]
