"""Small copies of datasets in the layout and the label format in which they are distributed.

Every part has two images of 96 x 96 pixels with one rectangle each, of the first class of the dataset. The formats are
written out here, independent of the package's writers.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

RECTANGLE = [20, 30, 60, 30, 60, 50, 20, 50]  # center (40, 40), width 40, height 20
SIZE = 96


def write_image(path: Path) -> None:
    image = np.full((SIZE, SIZE, 3), 60, np.uint8)
    image[30:50, 20:60] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def hrsc2016(root: Path) -> None:
    numbers = {"trainval": ("100000001", "100000002"), "test": ("100000003", "100000004")}
    for part, names in numbers.items():
        write_text(root / "ImageSets" / f"{part}.txt", "".join(f"{name}\n" for name in names))
        for name in names:
            write_image(root / "FullDataSet" / "AllImages" / f"{name}.bmp")
            write_text(
                root / "FullDataSet" / "Annotations" / f"{name}.xml",
                f"""<HRSC_Image><Img_FileName>{name}</Img_FileName><Img_FileFmt>bmp</Img_FileFmt>
<Img_SizeWidth>{SIZE}</Img_SizeWidth><Img_SizeHeight>{SIZE}</Img_SizeHeight><HRSC_Objects><HRSC_Object>
<Class_ID>100000018</Class_ID><difficult>0</difficult><mbox_cx>40</mbox_cx><mbox_cy>40</mbox_cy><mbox_w>40</mbox_w>
<mbox_h>20</mbox_h><mbox_ang>0</mbox_ang></HRSC_Object></HRSC_Objects></HRSC_Image>""",
            )


def dior_r(root: Path) -> None:
    tags = [f"{axis}_{corner}" for corner in ("left_top", "right_top", "right_bottom", "left_bottom") for axis in "xy"]
    corners = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, RECTANGLE))
    for part, names in {"train": ["00001"], "val": ["00002"], "test": ["11726", "11727"]}.items():
        write_text(root / "ImageSets" / "Main" / f"{part}.txt", "".join(f"{name}\n" for name in names))
        for name in names:
            write_image(root / f"JPEGImages-{'test' if part == 'test' else 'trainval'}" / f"{name}.jpg")
            write_text(
                root / "Annotations" / "Oriented Bounding Boxes" / f"{name}.xml",
                f"""<annotation><filename>{name}.jpg</filename><size><width>{SIZE}</width><height>{SIZE}</height>
</size><object><name>airplane</name><robndbox>{corners}</robndbox><angle>0</angle></object></annotation>""",
            )


def fair1m(root: Path) -> None:
    ring = [*RECTANGLE, *RECTANGLE[:2]]
    points = "".join(f"<point>{x:f},{y:f}</point>" for x, y in zip(ring[0::2], ring[1::2]))
    for number, folder in enumerate(("train/part1", "train/part2", "validation", "test")):
        for name in (str(2 * number), str(2 * number + 1)):
            write_image(root / folder / "images" / f"{name}.tif")
            if folder != "test":
                write_text(
                    root / folder / "labelXml" / f"{name}.xml",
                    f"""<annotation><source><filename>{name}.tif</filename></source><objects><object>
<coordinate>pixel</coordinate><type>rectangle</type><description>None</description><possibleresult>
<name>Dry Cargo Ship</name></possibleresult><points>{points}</points></object></objects></annotation>""",
                )


def soda_a(root: Path) -> None:
    categories = [{"id": 0, "name": "airplane"}, {"id": 9, "name": "ignore"}]
    annotations = [{"id": number, "category_id": number * 9, "poly": RECTANGLE, "area": 800} for number in (0, 1)]
    for number, part in enumerate(("train", "val", "test")):
        for name in (f"{2 * number:05d}", f"{2 * number + 1:05d}"):
            write_image(root / part / "Images" / f"{name}.jpg")
            content = {"images": {"file_name": f"{name}.jpg"}, "annotations": annotations, "categories": categories}
            write_text(root / part / "Annotations" / f"{name}.json", json.dumps(content))


def ucas_aod(root: Path) -> None:
    numbers = "\t".join(f"{value:e}" for value in [*RECTANGLE, 0, 20, 30, 40, 20])
    for number, part in enumerate(("train", "val", "test")):
        names = [f"P{2 * number + 1:04d}", f"P{2 * number + 2:04d}"]
        write_text(root / "ImageSets" / f"{part}.txt", "".join(f"{name}\n" for name in names))
        for name in names:
            write_image(root / "AllImages" / f"{name}.png")
            write_text(root / "Annotations" / f"{name}.txt", f"car  {numbers}\t\n")


def codrone(root: Path) -> None:
    corners = " ".join(f"{value:.1f}" for value in RECTANGLE)
    for part in ("train", "val", "test"):
        for number in range(2):
            name = f"day_30m_90c_{part}_{number}"
            write_image(root / part / "images" / f"{name}.jpg")
            write_text(root / part / "annfile" / f"{name}.txt", f"{corners} car 0\n{corners} ignored 0\n")


def star(root: Path) -> None:
    corners = " ".join(map(str, RECTANGLE))
    for number, part in enumerate(("train", "val", "test")):
        for name in (f"{2 * number:04d}", f"{2 * number + 1:04d}"):
            write_image(root / part / "images" / f"{name}.png")
            if part != "test":
                write_text(root / part / "labelTxt" / f"{name}.txt", f"{corners} goods_yard 0\n")


def ssdd(root: Path) -> None:
    tags = [f"{axis}{number}" for number in (1, 2, 3, 4) for axis in "xy"]
    corners = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, RECTANGLE))
    for part, names in {"train": ("000002", "000003"), "test": ("000001", "000009")}.items():
        for name in names:
            write_image(root / f"JPEGImages_{part}" / f"{name}.jpg")
            write_text(
                root / f"Annotations_{part}" / f"{name}.xml",
                f"""<annotation><filename>{name}.jpg</filename><size><width>{SIZE}</width><height>{SIZE}</height>
</size><object><name>ship</name><difficult>0</difficult><rotated_bndbox><rotated_bbox_cx>40</rotated_bbox_cx>
<rotated_bbox_theta>0</rotated_bbox_theta>{corners}</rotated_bndbox></object></annotation>""",
            )


def hrsid(root: Path) -> None:
    outline = [20, 30, 40, 30, 60, 30, 60, 50, 40, 50, 20, 50]  # six corners: outlines are no quadrilaterals
    for number, part in enumerate(("train", "test")):
        images = [
            {"id": 2 * number + each, "file_name": f"P{number}_{each}.jpg", "width": SIZE, "height": SIZE}
            for each in (1, 2)
        ]
        for image in images:
            write_image(root / "JPEGImages" / image["file_name"])
        annotations = [
            {"id": image["id"], "image_id": image["id"], "category_id": 1, "segmentation": [outline], "iscrowd": 0,
             "bbox": [20, 30, 40, 20], "area": 800}
            for image in images
        ]  # fmt: skip
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "ship"}]}
        write_text(root / "annotations" / f"{part}2017.json", json.dumps(content))
