"""Image loading: pixels of MMCV's loader, and one-line errors for damaged images."""

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from rotated_atss.detection.datasets.dota import DOTADataset
from rotated_atss.detection.datasets.loading import LoadCocoImage, LoadTile
from rotated_atss.errors import UserError
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.images import read_image
from rotated_atss.io.png import encode_png
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings
from tests.io.tiff_file import tiff_bytes


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_damaged_image(folder, kind):
    path = folder / ("b.jpg" if kind == "cut JPEG" else "b.png")
    cv2.imwrite(str(path), noise(64, 96))
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no image" * 40}.get(kind, data[: len(data) // 2]))
    return path


DAMAGE = {
    "empty": "the image file is empty",
    "text": "not a readable image, or damaged",
    "cut PNG": "the image is truncated",
    "cut JPEG": "the image is truncated",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_image_raises_one_line(tmp_path, kind):
    path = write_damaged_image(tmp_path, kind)
    with pytest.raises(UserError) as caught:
        LoadTile()({"img_path": str(path)})
    assert str(caught.value) == f"{path}: {DAMAGE[kind]} (split again or remove the tile)"


def test_missing_image_raises_one_line(tmp_path):
    with pytest.raises(UserError, match=r"gone.png: cannot be read: No such file or directory \(split again"):
        LoadTile()({"img_path": str(tmp_path / "gone.png")})


def test_damaged_image_in_a_worker_process_raises_one_line(tmp_path):
    from rotated_atss.detection.engine.build_errors import strip_worker_traceback

    (tmp_path / "images").mkdir()
    (tmp_path / "labelTxt").mkdir()
    path = write_damaged_image(tmp_path / "images", "cut PNG")
    (tmp_path / "labelTxt" / "b.txt").write_text("")
    dataset = DOTADataset(data_root=str(tmp_path), pipeline=[dict(type="mmdet.LoadTile")])
    loader = torch.utils.data.DataLoader(dataset, num_workers=1, collate_fn=list)
    with pytest.raises(UserError) as caught, strip_worker_traceback():
        list(loader)
    assert str(caught.value) == f"{path}: the image is truncated (split again or remove the tile)"


@pytest.mark.parametrize(
    "options", [{}, {"to_float32": True}, {"color_type": "grayscale"}, {"imdecode_backend": "pillow"}]
)
@pytest.mark.parametrize("encode", [encode_png, lambda image: cv2.imencode(".png", image)[1].tobytes()])
def test_tiles_have_the_pixels_of_mmcv(tmp_path, options, encode):
    path = tmp_path / "a.png"
    path.write_bytes(encode(noise(20, 30)))
    result, expected = (loader(**options)({"img_path": str(path)}) for loader in (LoadTile, LoadImageFromFile))
    assert result.keys() == expected.keys()
    assert result["img_shape"] == expected["img_shape"] == result["ori_shape"] == (20, 30)
    assert result["img"].dtype == expected["img"].dtype
    assert np.array_equal(result["img"], expected["img"])


def test_coco_image_must_have_the_size_of_the_json(tmp_path):
    load, path = LoadCocoImage(), str(tmp_path / "i1.png")
    cv2.imwrite(path, noise(64, 96))
    assert load.transform(dict(img_path=path, height=64, width=96))["img"].shape == (64, 96, 3)
    assert load.transform(dict(img_path=path))["ori_shape"] == (64, 96)  # image without a dataset
    with pytest.raises(UserError, match=r"i1\.png: image size must be 64 x 96 pixels as in the JSON, got 96 x 64"):
        load.transform(dict(img_path=path, height=96, width=64))


def test_damaged_coco_image_names_the_json(tmp_path):
    path = write_damaged_image(tmp_path, "cut PNG")
    with pytest.raises(UserError) as caught:
        LoadCocoImage()({"img_path": str(path)})
    assert str(caught.value) == f"{path}: the image is truncated (fix the image or remove it from the JSON)"


def test_16_bit_tiles_need_the_number_of_used_bits(tmp_path):
    image = noise(20, 30)
    cv2.imwrite(str(tmp_path / "a.png"), image.astype(np.uint16) * 8)
    with pytest.raises(UserError) as caught:
        LoadTile()({"img_path": str(tmp_path / "a.png")})
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'}: the number of used bits of 16-bit images must be set; this image uses 11 of 16 bits "
        "(set bits of LoadTile in all pipelines of the config, or split the images first)"
    )
    assert np.array_equal(LoadTile(bits=11)({"img_path": str(tmp_path / "a.png")})["img"], image)
    with pytest.raises(UserError, match="must be 8 to 16, got 7"):
        LoadTile(bits=7)


def test_training_reads_the_pixels_of_split_and_predict(tmp_path):
    pixels = np.dstack([noise(20, 30), np.maximum(noise(20, 30)[..., :1], 1)])
    (tmp_path / "a.tif").write_bytes(tiff_bytes(pixels, 2, extra=[2]))
    image = LoadTile()({"img_path": str(tmp_path / "a.tif")})["img"]
    assert np.array_equal(image, read_image(tmp_path / "a.tif"))
    assert np.array_equal(image[..., ::-1], pixels[..., :3])
    (tmp_path / "a.tif").write_bytes(tiff_bytes(pixels.astype(np.float32), 2, extra=[0]))
    with pytest.raises(UserError, match=r"float32 images need scaling=\(min, max\), got auto"):
        LoadTile()({"img_path": str(tmp_path / "a.tif")})


KINDS = {
    "EXIF orientation 6": ("RGB", "jpg", {"exif": 6}),
    "EXIF orientation 2": ("RGBA", "png", {"exif": 2}),
    "CMYK": ("CMYK", "jpg", {}),
    "CMYK TIFF": ("CMYK", "tif", {}),
    "1 bit": ("1", "png", {}),
    "1-bit TIFF": ("1", "tif", {}),
    "palette with transparency": ("P", "png", {"transparency": 20}),
    "progressive": ("RGB", "jpg", {"progressive": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_splitting_read_the_same_pixels(tmp_path, kind):
    mode, suffix, options = KINDS[kind]
    if "exif" in options:
        exif = Image.Exif()
        exif[274] = options["exif"]
        options = {"exif": exif}
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / f"a.{suffix}"
    Image.fromarray(noise(20, 30)).convert(mode).save(path, **options)
    settings = SplitSettings(sizes=[32], gaps=[0], padding=None)
    split_dota(path.parent, None, tmp_path / "tiles", settings, workers=1, progress=False)
    tile = cv2.imread(str(tmp_path / "tiles" / "images" / "a__32__0___0.png"))
    assert tile.shape == ((30, 20, 3) if kind == "EXIF orientation 6" else (20, 30, 3))
    assert np.array_equal(LoadTile()({"img_path": str(path)})["img"], tile)
    with open_image(path) as image:  # as predict and draw
        assert np.array_equal(image.read(), tile)
