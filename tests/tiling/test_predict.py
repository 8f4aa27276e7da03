"""Prediction on sliding windows equals splitting, detecting and merging, in bounded memory."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.errors import UserError
from rotated_atss.io.image_reader import ArrayReader
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.tiling import row_bands
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes
from rotated_atss.tiling.predict import WHOLE_IMAGE, Tiling, detect_on_tiles, predict_image, resolve_tiling
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings

ANGLE_RAD = 0.5


def spots(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detect connected regions brighter than 200; score and class follow from the number of pixels."""
    _, _, stats, centers = cv2.connectedComponentsWithStats((image[..., 0] > 200).astype(np.uint8))
    count = len(stats) - 1
    boxes = np.empty((count, 5), np.float32)
    boxes[:, :2] = centers[1:]
    boxes[:, 2:] = [8.0, 4.0, ANGLE_RAD]
    return boxes, (stats[1:, 4] / 100).astype(np.float32), stats[1:, 4] % 2


class Spots:
    """``spots`` on a batch; records the shapes of the tiles."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def __call__(self, tiles: list[np.ndarray]) -> list:
        self.batches.append([tile.shape for tile in tiles])
        return [spots(tile) for tile in tiles]


def image_of(centers: list[tuple[int, int]], width: int, height: int) -> np.ndarray:
    """A dark image with a bright 3 x 3 pixel spot at each center."""
    image = np.full((height, width, 3), 40, np.uint8)
    for x, y in centers:
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def scattered(width: int, height: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return image_of(list(zip(rng.integers(2, width - 2, 40), rng.integers(2, height - 2, 40))), width, height)


@pytest.mark.parametrize(
    ("width", "height"), [(300, 200), (64, 64), (65, 64), (40, 30), (64, 200), (128, 91), (257, 64)]
)
def test_every_spot_is_found_once_at_its_position(width: int, height: int) -> None:
    rng = np.random.default_rng(width * height)
    centers = {(int(x), int(y)) for x, y in zip(rng.integers(2, width - 2, 9), rng.integers(2, height - 2, 9))}
    centers = [
        c
        for i, c in enumerate(sorted(centers))
        if all(np.hypot(c[0] - x, c[1] - y) > 12 for x, y in sorted(centers)[:i])
    ]
    detections = predict_image(Spots(), image_of(centers, width, height), size=64, gap=16)
    whole = detections.boxes[detections.scores > 0.08]  # a spot cut by a window is smaller and has a lower score
    positions = sorted(tuple(map(int, center.round())) for center in whole[:, :2])
    assert positions == centers
    assert (detections.boxes.dtype, detections.labels.dtype) == (np.float64, np.int64)
    assert detections.boxes[:, 4] == pytest.approx(ANGLE_RAD)


def test_same_as_split_detect_and_merge(tmp_path) -> None:
    (tmp_path / "images").mkdir()
    image = scattered(300, 217)
    cv2.imwrite(str(tmp_path / "images" / "P1.png"), image)
    split_dota(tmp_path / "images", None, tmp_path / "tiles", SplitSettings(sizes=[96], gaps=[32]), workers=1)
    tiles = [
        BoxDetections(path.stem, *spots(cv2.imread(str(path)))) for path in (tmp_path / "tiles" / "images").iterdir()
    ]
    (expected,) = merge_boxes(tiles, 0.2)
    for source in (image, tmp_path / "images" / "P1.png", str(tmp_path / "images" / "P1.png")):
        merged = predict_image(Spots(), source, size=96, gap=32, iou_threshold=0.2, batch_size=3, name="P1")
        assert merged.name == expected.name
        for attribute in ("boxes", "scores", "labels"):
            assert np.array_equal(getattr(merged, attribute), getattr(expected, attribute))
    assert len(expected.scores) > 30


def test_windows_of_split_in_batches() -> None:
    detector = Spots()
    predict_image(detector, scattered(300, 200), size=96, gap=32, batch_size=4)
    assert [len(batch) for batch in detector.batches] == [4, 4, 4, 3]  # 5 columns, 3 rows
    assert {shape for batch in detector.batches for shape in batch} == {(96, 96, 3)}


def test_small_image_is_padded_as_by_split() -> None:
    seen = []

    def detector(tiles: list[np.ndarray]) -> list:
        seen.extend(tiles)
        return [spots(tile) for tile in tiles]

    predict_image(detector, image_of([(5, 5)], 40, 30), size=64, gap=16)
    (tile,) = seen
    assert tile.shape == (64, 64, 3)
    assert (tile[30:] == (104, 116, 124)).all()
    assert (tile[:, 40:] == (104, 116, 124)).all()


def test_whole_image_undivided() -> None:
    detector = Spots()
    detections = predict_image(
        detector, image_of([(50, 20), (9, 9)], 300, 40), size=WHOLE_IMAGE, gap=0, name="a__1024__7___9"
    )
    assert detector.batches == [[(40, 300, 3)]]
    assert detections.name == "a__1024__7___9"
    assert sorted(detections.boxes[:, 0].round().tolist()) == [9, 50]


def test_image_named_like_a_tile_is_not_shifted() -> None:
    detections = predict_image(Spots(), image_of([(50, 20)], 80, 40), size=64, gap=16, name="P1__1024__824___0")
    assert detections.name == "P1__1024__824___0"
    assert detections.boxes[0, :2].round().tolist() == [50, 20]


def test_no_detections() -> None:
    for size in (64, WHOLE_IMAGE):
        detections = predict_image(Spots(), np.zeros((100, 100, 3), np.uint8), size=size, gap=16)
        assert detections.boxes.shape == (0, 5)
        assert len(detections.scores) == len(detections.labels) == 0


def test_horizontal_boxes_keep_their_sides() -> None:
    def detector(tiles: list[np.ndarray]) -> list:
        one = np.array([[10.0, 5, 20, 45], [10, 5, 20, 44], [10, 5, 20, 45]])
        return [(one, np.array([0.5, 0.9, 0.7]), np.array([0, 0, 1])) for _ in tiles]

    detections = predict_image(detector, np.zeros((60, 60, 3), np.uint8), size=60, gap=0, iou_threshold=0.5)
    assert detections.scores.tolist() == pytest.approx([0.9, 0.7])
    assert detections.labels.tolist() == [0, 1]
    assert detections.boxes.tolist() == [[15, 24.5, 10, 39, 0], [15, 25, 10, 40, 0]]
    assert obb_polygons(detections.boxes)[0].tolist() == [10, 5, 20, 5, 20, 44, 10, 44]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_detector_that_returns_tensors(dtype) -> None:
    boxes = torch.tensor([[30.0, 20, 8, 4, 0.5]], dtype=dtype, requires_grad=True)
    result = (boxes, torch.tensor([0.75], dtype=dtype), torch.tensor([1], dtype=torch.int32))
    (detections,) = detect_on_tiles(lambda tiles: [result], [image_of([], 64, 64)], ["P1"])
    assert {type(column) for column in (detections.boxes, detections.scores, detections.labels)} == {np.ndarray}
    assert (detections.boxes.dtype, detections.labels.dtype) == (np.float64, np.int64)
    assert detections.scores.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    assert (detections.boxes.tolist(), detections.scores.tolist()) == ([[30, 20, 8, 4, 0.5]], [0.75])


def test_descending_scores_without_windows() -> None:
    def detector(tiles: list[np.ndarray]) -> list:
        return [(np.ones((3, 5)), np.array([0.2, 0.8, 0.5]), np.array([0, 1, 2]))]

    detections = predict_image(detector, np.zeros((60, 60, 3), np.uint8), size=WHOLE_IMAGE)
    assert detections.labels.tolist() == [1, 2, 0]


def test_only_one_batch_of_windows_is_held_in_memory() -> None:
    """3 MB of windows at a time on an image of 75 MB whose windows are 117 MB."""
    image = np.zeros((5000, 5000, 3), np.uint8)
    batches = 0

    def detector(tiles: list[np.ndarray]) -> list:
        nonlocal batches
        batches += 1
        held.append([tile.copy() for tile in tiles])
        held.pop(0)
        return [(np.empty((0, 5)), np.empty(0), np.empty(0, int)) for _ in tiles]

    held: list = [None]
    tracemalloc.start()
    predict_image(detector, image, size=500, gap=100, batch_size=4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batches == 43
    assert peak < 12e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100, "gap": 100}, "got gap 100 for window size 100"),
        ({"size": 100, "gap": -1}, "0 <= gap < size"),
        ({"size": -5}, "at least 32 px, got -5 px"),
        ({"size": 64, "gap": 0, "batch_size": 0}, "the batch size must be at least 1, got 0"),
        ({"size": 64, "gap": 0, "iou_threshold": 1.5}, r"must be in \[0, 1\], got 1.5"),
    ],
)
def test_settings_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict_image(Spots(), np.zeros((60, 60, 3), np.uint8), **options)


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), [1]])
def test_unsupported_images_are_rejected(image: object) -> None:
    with pytest.raises(UserError, match="image"):
        predict_image(Spots(), image)  # type: ignore[arg-type]


def test_unreadable_files_are_rejected(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    for name, said in (("a.png", "not a readable image"), ("gone.png", "No such file")):
        with pytest.raises(UserError, match=f"{name}: .*{said}"):
            predict_image(Spots(), tmp_path / name)


def test_detector_must_return_one_result_per_tile() -> None:
    with pytest.raises(ValueError, match="0 results for 1 tiles"):
        predict_image(lambda tiles: [], np.zeros((60, 60, 3), np.uint8))


def test_default_gap_follows_the_size() -> None:
    assert [Tiling(size).split_settings().gaps for size in (256, 1024)] == [(50,), (200,)]
    assert SplitSettings(sizes=(512, 1024)).gaps == (100, 200)


def test_attributes_of_the_detector_are_the_defaults() -> None:
    detector = Spots()
    assert resolve_tiling(detector) == Tiling(1024, None, 4, 0.1)
    detector.size, detector.iou_threshold = WHOLE_IMAGE, 0.6  # type: ignore[attr-defined]
    assert resolve_tiling(detector, batch_size=2) == Tiling(WHOLE_IMAGE, None, 2, 0.6)
    assert resolve_tiling(detector, 512, 64, 2, 0.3) == Tiling(512, 64, 2, 0.3)


def test_explicit_windows_win_over_the_record():
    def detector(tiles):
        return []

    detector.size, detector.gap = 256, 100
    assert (resolve_tiling(detector).size, resolve_tiling(detector).gap) == (256, 100)
    assert (resolve_tiling(detector, size=128).size, resolve_tiling(detector, size=128).gap) == (128, 64)
    assert (resolve_tiling(detector, gap=0).size, resolve_tiling(detector, gap=0).gap) == (256, 0)


class RecordingReader(ArrayReader):
    """An image in memory that records the windows read."""

    def __init__(self, image: np.ndarray) -> None:
        super().__init__(image, "P1.tif")
        self.windows: list = []

    def read(self, window=None) -> np.ndarray:
        self.windows.append(window)
        return super().read(window).copy()


def test_reader_gives_the_detections_of_the_array() -> None:
    image, reader = scattered(300, 217), RecordingReader(scattered(300, 217))
    expected = predict_image(Spots(), image, size=96, gap=32)
    detections = predict_image(Spots(), reader, size=96, gap=32)
    assert (detections.name, expected.name) == ("P1", "image")
    for attribute in ("boxes", "scores", "labels"):
        assert np.array_equal(getattr(detections, attribute), getattr(expected, attribute))


def test_large_images_are_read_once_from_top_to_bottom(monkeypatch) -> None:
    image, reader = scattered(100, 300), RecordingReader(scattered(100, 300))
    expected = predict_image(Spots(), image, size=96, gap=32)
    monkeypatch.setattr(row_bands, "_ONE_CHUNK_PIXELS", 1000)
    monkeypatch.setattr(row_bands, "CHUNK_ROWS", 64)
    detections = predict_image(Spots(), reader, size=96, gap=32, batch_size=3)
    assert reader.windows == [(0, y, 100, min(y + 64, 300)) for y in (0, 64, 128, 192, 256)]
    for attribute in ("boxes", "scores", "labels"):
        assert np.array_equal(getattr(detections, attribute), getattr(expected, attribute))


def test_resampled_image_gives_boxes_in_its_own_pixels() -> None:
    large = cv2.resize(image_of([(30, 20), (150, 90)], 200, 120), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    expected = predict_image(Spots(), image_of([(30, 20), (150, 90)], 200, 120), size=96, gap=32)
    detections = predict_image(Spots(), large, size=96, gap=32, rate=0.25)
    np.testing.assert_allclose(detections.boxes[:, :4], expected.boxes[:, :4] * 4)
    assert np.array_equal(detections.boxes[:, 4], expected.boxes[:, 4])
    assert np.array_equal(detections.labels, expected.labels)
