"""The output of splitting does not depend on processes and threads."""

import pytest

import rotated_atss.tiling.split_image
from rotated_atss.tiling.split_run import threads_per_job


def test_output_does_not_depend_on_threads(tmp_path, make_folder, split, tree, monkeypatch):
    folders = make_folder(tmp_path, {"P1.png": (700, 500)})
    used = []
    map_batches_in_threads = rotated_atss.tiling.split_image.map_batches_in_threads

    def watched(function, items, workers):
        used.append(workers)
        return map_batches_in_threads(function, items, workers)

    monkeypatch.setattr("rotated_atss.tiling.split_image.map_batches_in_threads", watched)
    for workers in (1, 3):
        split(*folders, tmp_path / f"out{workers}", workers=workers, rates=[0.5, 1.0])
    assert used == [1, 3]
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")


@pytest.mark.parametrize(
    ("job_bytes", "jobs", "workers", "threads"),
    [(1, 100, 8, 1), (1, 3, 8, 3), (1, 1, 8, 8), (5 << 30, 100, 8, 8), (3 << 30, 100, 8, 4), (9 << 30, 2, 1, 1)],
)
def test_few_images_at_once_get_more_threads(job_bytes, jobs, workers, threads):
    assert threads_per_job(job_bytes, jobs, workers) == threads


def test_output_does_not_depend_on_workers(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path, {f"P{index}.png": (150 + 40 * index, 300 - 30 * index) for index in range(6)})
    for workers in (1, 2, 3):
        split(*folders, tmp_path / f"out{workers}", workers=workers, rates=[0.5, 1.0])
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2") == tree(tmp_path / "out3")
