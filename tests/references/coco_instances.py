"""A small COCO instances file."""

from __future__ import annotations

import json
from pathlib import Path


def write_coco_instances(path: Path) -> Path:
    """Write two images of 400 x 300 pixels with three boxes, one of them a crowd; the image files do not exist."""
    from rotated_atss.detection.datasets.coco import CocoInstancesDataset

    names = CocoInstancesDataset.METAINFO["classes"]
    boxes = [(1, [100, 100, 60, 30], 0), (1, [200, 50, 100, 200], 1), (2, [10, 20, 64, 64], 0)]
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", width=400, height=300) for i in (1, 2)],
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 1)],
        annotations=[
            dict(id=i, image_id=image, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=crowd)
            for i, (image, box, crowd) in enumerate(boxes, 1)
        ],
    )
    path.write_text(json.dumps(content))
    return path
