"""A small COCO data set of colored rectangles for the tests of dataset, metric, training and testing."""

import json

import cv2
import numpy as np

CLASSES = ("red", "blue")
CATEGORIES = [{"id": 9, "name": "blue"}, {"id": 4, "name": "red"}]  # neither order nor ids are those of the classes
CATEGORY_IDS = {"red": 4, "blue": 9}
COLORS = {4: (30, 30, 220), 9: (220, 60, 30)}  # BGR
IMAGE_SIZES = {1: (96, 64), 2: (64, 96), 3: (64, 64), 5: (128, 96)}  # width, height by image id
ANN_FILE = "ann/instances.json"


def annotation(number, image, name, bbox, **changes):
    area = bbox[2] * bbox[3]
    return {"id": number, "image_id": image, "category_id": CATEGORY_IDS[name], "bbox": bbox, "area": area,
            "iscrowd": 0, **changes}  # fmt: skip


def instances_json():
    """Four images with seven annotations; image 3 has none."""
    return {
        "images": [
            {"id": number, "file_name": f"i{number}.png", "width": width, "height": height}
            for number, (width, height) in IMAGE_SIZES.items()
        ],
        "categories": list(CATEGORIES),
        "annotations": [
            annotation(1, 1, "red", [8, 8, 40, 32]),
            annotation(2, 1, "blue", [60, 20, 30, 40]),
            annotation(3, 2, "blue", [4, 30, 40, 40], iscrowd=1),
            annotation(4, 2, "red", [30, 8, 30, 20]),
            annotation(5, 5, "red", [90, 40, 60, 40]),  # exceeds the image by 22 pixels
            annotation(6, 5, "blue", [8, 8, 0, 40]),  # no area
            annotation(7, 5, "blue", [8, 8, 48, 40]),
        ],
    }


def write_instances(root, content):
    """Write the JSON, given as text or as content, and return ``root``."""
    path = root / ANN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def write_dataset(root):
    """Write the JSON and the images with their rectangles, and return ``root``."""
    content = instances_json()
    write_instances(root, content)
    (root / "images").mkdir()
    for image in content["images"]:
        pixels = np.full((image["height"], image["width"], 3), 90, np.uint8)
        for entry in content["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, w, h = entry["bbox"]
                pixels[y : y + h, x : x + w] = COLORS[entry["category_id"]]
        cv2.imwrite(str(root / "images" / image["file_name"]), pixels)
    return root


def build_dataset(root, dataset_class, **changes):
    options = {"ann_file": ANN_FILE, "data_prefix": {"img": "images"}, "metainfo": {"classes": CLASSES}, "pipeline": []}
    return dataset_class(data_root=str(root), **{**options, **changes})
