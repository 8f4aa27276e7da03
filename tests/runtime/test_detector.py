"""Detections from the outputs of a graph, and the errors of loading one."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from rotated_atss.checkpoints.graph_info import GRAPH_KEY, GraphInfo
from rotated_atss.checkpoints.model_info import KEY, ModelInfo, Preprocessing, Thresholds, Window
from rotated_atss.errors import UserError
from rotated_atss.runtime import GraphDetector, load_detector
from rotated_atss.runtime.session import check_input_shape, open_session
from tests.references.onnx_file import onnx_bytes

INFO = ModelInfo(
    config_name="demo", classes=("plane", "ship"), box_type="obb", angle_version="le90", window=Window(64, 16),
    preprocessing=Preprocessing((1, 2, 3), (1, 1, 1), "RGB", 32),
    thresholds=Thresholds(0.3, 0.1, 4, 3, 0.1), package_version="0.1.0",
)  # fmt: skip
GRAPH = GraphInfo(precision="float32", strides=(32,), priors_per_location=(1,))
BOX = [16.0, 16.0, 20.0, 8.0, 0.25]


class FakeSession:
    """A graph with one prior per 32 x 32 pixels whose outputs are given."""

    runtime = "onnxruntime"

    def __init__(self, **outputs):
        self.outputs = outputs

    def run(self, images):
        self.images = images
        locations = images.shape[2] // 32 * (images.shape[3] // 32)
        scores = np.zeros((len(images), locations, 2), np.float32)
        boxes = np.tile(np.array(BOX, np.float32), (len(images), locations, 1))
        boxes[..., 0] += 1000 * np.arange(locations)  # far from each other
        outputs = {"scores": scores, "boxes": boxes}
        for name, values in self.outputs.items():
            outputs.setdefault(name, np.zeros_like(scores))
            for index, value in values.items():
                outputs[name][index] = value
        return outputs


def tile(height=64, width=64):
    return np.zeros((height, width, 3), np.uint8)


def test_detections_of_each_tile():
    session = FakeSession(scores={(0, 1, 1): 0.5, (0, 0, 0): 0.9, (1, 2, 1): 0.4, (1, 3, 0): 0.2})
    first, second = GraphDetector(session, INFO, GRAPH)([tile(), tile()])
    assert first[1].tolist() == pytest.approx([0.9, 0.5])
    assert first[2].tolist() == [0, 1]
    assert first[0][0].tolist() == BOX
    assert (second[1].tolist(), second[2].tolist()) == (pytest.approx([0.4]), [1])


def test_session_of_another_runtime_is_named_in_the_description():
    session = FakeSession()
    assert GraphDetector(session, INFO, GRAPH).description == "ONNX Runtime, float32"
    session.runtime = "TensorRT"
    assert GraphDetector(session, INFO, GRAPH).description == "TensorRT, float32"


def test_input_is_rgb_and_its_padding_normalizes_to_zero():
    session = FakeSession()
    image = tile(40, 64)
    image[..., 0] = 200  # blue
    GraphDetector(session, INFO, GRAPH)([image])
    assert session.images.shape == (1, 3, 64, 64)
    assert session.images[0, :, 0, 0].tolist() == [0, 0, 200]
    assert session.images[0, :, 63, 5].tolist() == [1, 2, 3]
    bgr = replace(INFO, preprocessing=replace(INFO.preprocessing, channel_order="BGR"))
    GraphDetector(session, bgr, GRAPH)([image])
    assert session.images[0, :, 63, 5].tolist() == [3, 2, 1]


def test_boxes_are_those_of_the_tile_before_resizing():
    info = replace(INFO, preprocessing=replace(INFO.preprocessing, resize=(128, 128)))
    ((boxes, _, _),) = GraphDetector(FakeSession(scores={(0, 0, 0): 0.9}), info, GRAPH)([tile()])
    np.testing.assert_allclose(boxes[0], [8, 8, 10, 4, 0.25])


def test_centerness_changes_the_order_of_detections_but_not_of_candidates():
    scores = {(0, 0, 0): 0.2, (0, 1, 0): 0.1}
    class_scores = {(0, 0, 0): 0.4, (0, 1, 0): 0.9, (0, 2, 0): 0.25}
    session = FakeSession(scores=scores, class_scores=class_scores)
    ((_, found, _),) = GraphDetector(session, INFO, GRAPH)([tile()])
    assert found.tolist() == pytest.approx([0.2, 0.1])
    one = replace(INFO, thresholds=replace(INFO.thresholds, nms_pre=1))
    ((_, found, _),) = GraphDetector(session, one, GRAPH)([tile()])
    assert found.tolist() == pytest.approx([0.1])
    ((_, found, _),) = GraphDetector(session, one, replace(GRAPH, rank_by="final"))([tile()])
    assert found.tolist() == pytest.approx([0.2])


def test_horizontal_boxes_are_clipped_to_the_tile():
    info = replace(INFO, box_type="hbb", angle_version=None)
    session = FakeSession(scores={(0, 0, 0): 0.9}, boxes={(0, 0): [0, 60, 20, 10, 0]})
    ((boxes, _, _),) = GraphDetector(session, info, replace(GRAPH, clamp="border"))([tile()])
    assert boxes.tolist() == [[0, 55, 10, 64]]


def test_centers_are_clamped_to_the_tile():
    session = FakeSession(scores={(0, 0, 0): 0.9}, boxes={(0, 0): [-5, 70, 20, 10, 0]})
    ((boxes, _, _),) = GraphDetector(session, INFO, replace(GRAPH, clamp="centers"))([tile()])
    assert boxes.tolist() == [[0, 63, 20, 10, 0]]


def test_no_detections():
    ((boxes, scores, labels),) = GraphDetector(FakeSession(), INFO, GRAPH)([tile()])
    assert (boxes.shape, scores.shape, labels.shape) == ((0, 5), (0,), (0,))


def test_graph_with_another_number_of_priors():
    with pytest.raises(UserError, match="the graph must have 16 priors as in its metadata, got 4"):
        GraphDetector(FakeSession(), INFO, replace(GRAPH, strides=(16,)))([tile()])


def test_files_that_are_no_exported_models(tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    other, no_model, damaged = (tmp_path / f"{name}.onnx" for name in ("other", "no_model", "damaged"))
    other.write_bytes(onnx_bytes({"producer": "another tool"}))
    no_model.write_bytes(onnx_bytes({GRAPH_KEY: GRAPH.to_json()}))
    damaged.write_bytes(onnx_bytes({GRAPH_KEY: GRAPH.to_json().replace('"strides"', '"paces"'), KEY: INFO.to_json()}))
    for path, message in (
        (tmp_path / "text.onnx", "text.onnx: not a readable ONNX file"),
        (other, "other.onnx: not exported by rotated-atss"),
        (no_model, "no_model.onnx: the file has no model metadata"),
        (damaged, "damaged.onnx: the graph metadata has an unknown field paces"),
    ):
        with pytest.raises(UserError, match=message):
            load_detector(path)


def test_graph_that_the_runtime_cannot_load(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes({GRAPH_KEY: GRAPH.to_json(), KEY: INFO.to_json()}))
    with pytest.raises(UserError, match="ONNX Runtime cannot load the graph: "):
        load_detector(path)
    with pytest.raises(UserError, match="no such device: 'tpu'"):
        load_detector(path, device="tpu")
    with pytest.raises(UserError, match="OpenVINO runs on the CPU, got device 'cuda'"):
        open_session(path, "openvino", device="cuda")


def test_unknown_and_missing_runtimes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="the runtime must be one of onnxruntime, openvino, fastest, got 'tensorrt'"):
        load_detector(tmp_path / "a.onnx", runtime="tensorrt")
    for name, extra in (("onnxruntime", "onnx"), ("openvino", "openvino")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(
            ModuleNotFoundError, match=rf"is not installed \(run: pip install 'rotated-atss\[{extra}\]'"
        ):
            open_session(tmp_path / "a.onnx", name)


def test_graph_with_a_fixed_input():
    check_input_shape((2, 3, 64, 96), ["batch", 3, "height", "width"])
    with pytest.raises(UserError, match="the graph's input must be 1 x 3 x 512 x any, got 2 x 3 x 64 x 96"):
        check_input_shape((2, 3, 64, 96), [1, 3, 512, None])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(precision="int4"), "precision must be one of float32, float16, int8, got 'int4'"),
        (dict(strides=()), "strides must be a list of integers"),
        (dict(strides=(0,)), "strides must be an integer of at least 1, got 0"),
        (dict(priors_per_location=(1, 1)), "priors_per_location must be 1 integers"),
        (dict(rank_by="age"), "rank_by must be one of class, final"),
        (dict(clamp="walls"), "clamp must be one of none, centers, border"),
        (dict(inclusive_pixels=1), "inclusive_pixels must be true or false"),
    ],
)
def test_wrong_entries_of_the_record_of_a_graph(change, message):
    with pytest.raises(UserError, match=message):
        replace(GRAPH, **change)


def test_graph_metadata_of_a_newer_format():
    with pytest.raises(
        UserError,
        match=r"a.onnx: the graph metadata has format 9, but this rotated-atss reads formats up to 1 \(update",
    ):
        GraphInfo.from_json('{"format": 9}', "a.onnx")
    with pytest.raises(UserError, match="the graph metadata is not valid JSON"):
        GraphInfo.from_json("{")
