"""The benchmark of check-data on a few images and label files."""

import argparse

from benchmarks import bench_check_data, sections


def test_rows_count_what_is_read(tmp_path):
    labels = bench_check_data.write_label_files(tmp_path / "labels", 3)
    args = argparse.Namespace(repeats=1, processes=1)
    row = bench_check_data.time_check(labels, False, args)
    assert (row["images"], row["objects"], row["megapixels"]) == (3, 150, 0.0)
    assert bench_check_data.time_check(labels, True, args)["megapixels"] == 3.1
    record = {
        "name": "check_data", "environment": {"device": "cpu"}, "rows": [{"case": "label files", **row}],
        "settings": {"data": "scenes", "processes": 2},
    }  # fmt: skip
    layout = sections.SECTIONS["check_data"]
    (remark,) = layout.remarks
    assert sections.paragraphs(remark, record)[0].startswith("Images: scenes, repeated; 2 processes.")
    assert set(layout.columns) == {"case", "images", "megapixels", "objects", "s", "images per second"}
