"""Instances JSON: reading, validation and clipping of boxes."""

import json

import pytest

from rotated_atss.coco.instances import category_ids, clip_box, read_instances, reject_missing_images
from rotated_atss.errors import UserError


def content(**changes):
    defaults = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 100, "height": 50},
            {"id": 3, "file_name": "sub/b.jpg", "width": 40, "height": 40},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [annotation(5, [10, 10, 20, 30]), annotation(0, [0, 0, 4, 4], category_id=1, iscrowd=1)],
    }
    return {**defaults, **changes}


def annotation(number, bbox, **changes):
    return {"id": number, "image_id": 7, "category_id": 18, "bbox": bbox, "area": 5, "iscrowd": 0, **changes}


@pytest.fixture
def written(tmp_path):
    def write(value):
        path = tmp_path / "ann.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write


def test_images_categories_and_objects(written):
    instances = read_instances(written(content()))
    assert [(image.id, image.file_name, image.width, image.height) for image in instances.images] == [
        (7, "a.jpg", 100, 50), (3, "sub/b.jpg", 40, 40),
    ]  # fmt: skip
    assert instances.categories == {18: "dog", 1: "person"}
    assert set(instances.objects) == {7}
    first, crowd = instances.objects[7]
    assert (first.id, first.category_id, first.box, first.iscrowd) == (5, 18, (10, 10, 30, 40), False)
    assert crowd.iscrowd
    assert crowd.id == 0
    assert not instances.dropped
    assert not instances.clipped


def test_optional_parts_of_a_file(written):
    bare = {"id": 5, "image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": [[0] * 8]}
    (entry,) = read_instances(written(content(annotations=[bare]))).annotations
    assert entry == {"id": 5, "image_id": 7, "category_id": 18, "bbox": [1.0, 2, 3, 4], "area": 12.0, "iscrowd": 0}
    test_set = content()
    del test_set["annotations"]
    assert read_instances(written(test_set)).annotations is None
    assert read_instances(written(content(annotations=[], images=[]))).images == []


@pytest.mark.parametrize(
    ("bbox", "box", "excess"),
    [
        ([10, 10, 20, 30], (10, 10, 30, 40), 0),
        ([-3, 10, 20, 30], (0, 10, 17, 40), 3),
        ([90, 10, 20, 45], (90, 10, 100, 50), 10),
        ([99.5, 0, 1, 50], (99.5, 0, 100, 50), 0.5),
        ([0, 0, 100, 50], (0, 0, 100, 50), 0),
        ([100, 0, 5, 5], None, 0),  # touches the image border from outside
        ([-9, 0, 9, 5], None, 0),
        ([200, 300, 9, 9], None, 0),
        ([5, 5, 0, 9], None, 0),
        ([5, 5, 9, 0.99], None, 0),
        ([5, 5, -9, -9], None, 0),
    ],
)
def test_clip_box(bbox, box, excess):
    assert clip_box(bbox, 100, 50) == (box, excess)


def test_invalid_boxes_are_reported_and_stay_in_the_ground_truth(written):
    boxes = [[5, 5, 0, 9], [90, 10, 20, 5], [99.2, 0, 1, 9], [-50, 0, 9, 9]]
    annotations = [annotation(number, box) for number, box in enumerate(boxes)]
    instances = read_instances(written(content(annotations=annotations)))
    assert instances.dropped == ["annotation 0 of a.jpg", "annotation 3 of a.jpg"]
    assert instances.clipped == ["annotation 1 of a.jpg"]  # less than a pixel is not reported
    assert [each.id for each in instances.objects[7]] == [1, 2]
    assert [entry["bbox"] for entry in instances.annotations] == boxes


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "ann.json:1: not valid JSON: Expecting value at column 1"),
        ('{"images": [],\n "categories": [', "ann.json:2: not valid JSON: "),
        ([], "ann.json: not in COCO's instances format"),
        ({"images": []}, "not in COCO's instances format"),
        (content(images={}), "'images' must be a list"),
        (content(images=["a.jpg"]), r"images\[0\] must be an object, got 'a.jpg'"),
        (content(images=[{"file_name": "a.jpg"}]), r"images\[0\] has no id"),
        (content(images=[{"id": 1}]), r"images\[0\] \(id 1\) has no file_name"),
        *(
            (content(images=[{"id": 1, "file_name": name}]), "file_name must be a path below the image folder")
            for name in ("../a.png", "a/../../b.png", "/dev/zero", "C:\\a.png", "\\\\host\\a.png", "a\x1b[2J.png")
        ),
        (content(images=[{"id": 1, "file_name": "a.jpg", "width": 5}]), r"images\[0\] \(a.jpg\) has no height"),
        (
            content(images=[{"id": 1, "file_name": "a", "width": 0, "height": 4}]),
            r"\(a\): size must be positive, got 0 x 4 pixels",
        ),
        (content(images=content()["images"] * 2), "duplicate image id 7"),
        (
            content(categories=[{"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}]),
            "duplicate category name 'dog'",
        ),
        (content(categories=content()["categories"] * 2), "duplicate category id 18"),
        (content(categories=[{"id": 1, "name": "\x1b[2J"}]), r"a category name must be printable, got '\\x1b\[2J'"),
        (content(annotations=[annotation(4, [0, 0, 9, 9])] * 2), "duplicate annotation id 4"),
        (content(annotations=[annotation(4, [0, 0, 9, 9], image_id=9)]), "annotation 4: no such image_id 9"),
        (content(annotations=[annotation(4, [0, 0, 9, 9], category_id=2)]), "annotation 4: no such category_id 2"),
        (
            content(annotations=[annotation(4, [0, 0, 9])]),
            r"annotations\[0\] \(id 4\): bbox must be four numbers x, y, width, height, got \[0, 0, 9\]",
        ),
        (
            content(annotations=[annotation(4, [0, 0, 9, float("nan")])]),
            r"bbox must be four numbers x, y, width, height, got \[0, 0, 9, nan\]",
        ),
        (content(annotations=[annotation(4, None)]), "bbox must be four numbers x, y, width, height, got None"),
        (content(annotations=[annotation(4, [0, 0, 9, 9], area="big")]), "area must be a number, got 'big'"),
        (content(annotations=[annotation("x", [0, 0, 9, 9])]), r"annotations\[0\]: id must be an integer, got 'x'"),
    ],
)
def test_invalid_file_raises_in_one_line(written, value, message):
    with pytest.raises(UserError, match=message) as caught:
        read_instances(written(value))
    assert "\n" not in str(caught.value)
    assert "ann.json" in str(caught.value)


def test_missing_file_raises(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        read_instances(tmp_path / "gone.json")


def test_category_ids(written):
    instances = read_instances(written(content()))
    assert category_ids(instances, ("person", "dog")) == [1, 18]
    with pytest.raises(UserError, match=r"1 of 2 classes of the config is not in this file \(cat\).*has dog, person"):
        category_ids(instances, ("dog", "cat"))
    with pytest.raises(UserError, match=r"'dog' are not distinct names .*write a single class as"):
        category_ids(instances, "dog")
    with pytest.raises(UserError, match=r"not distinct names .*list each class once"):
        category_ids(instances, ("dog", "dog"))


def test_missing_images_raise(written, tmp_path):
    instances = read_instances(written(content()))
    with pytest.raises(UserError, match="gone: no such folder of images"):
        reject_missing_images(instances, tmp_path / "gone")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"sub/b\.jpg: no such image, but .*ann\.json lists it \(1 of 2 is missing\)"):
        reject_missing_images(instances, tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.jpg").touch()
    reject_missing_images(instances, tmp_path)


def test_real_samples(shared_data):
    train = read_instances(shared_data("coco_tiny", "annotations", "instances_train2017.json"))
    assert (len(train.images), len(train.annotations), len(train.objects), len(train.categories)) == (32, 288, 30, 80)
    assert sum(each.iscrowd for objects in train.objects.values() for each in objects) == 4
    reject_missing_images(train, shared_data("coco_tiny", "images", "train2017"))
