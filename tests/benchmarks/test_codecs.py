"""The ways to write a tile that are measured keep its pixels, and the sample is repeated by links."""

import numpy as np

from benchmarks import bench_split, codecs


def test_every_way_but_jpeg_keeps_every_pixel():
    tile = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    rows = codecs.measure([tile], 1)
    assert [row["codec"] for row in rows if not row["lossless"]] == ["jpeg 95 (loses detail)"]
    assert len(rows) >= 10
    assert all(row["mb"] >= 0 and row["write_ms"] > 0 and row["read_ms"] > 0 for row in rows)


def test_the_sample_is_repeated(tmp_path):
    for name, suffix in (("images", "png"), ("labelTxt", "txt")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for stem in ("P1", "P2"):
            (tmp_path / "in" / name / f"{stem}.{suffix}").write_text(f"{name} {stem}")
    many = bench_split.repeated(tmp_path / "in", 5, tmp_path / "many")
    names = ["P1_000", "P1_002", "P1_004", "P2_001", "P2_003"]
    assert sorted(path.stem for path in (many / "images").iterdir()) == names
    assert all((many / "labelTxt" / f"{name}.txt").read_text() == f"labelTxt {name[:2]}" for name in names)
