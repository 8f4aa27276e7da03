"""Reading of raster files by windows, compared with the arrays that were written."""

from __future__ import annotations

import itertools
import warnings

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.image_reader import PixelOptions, open_image
from rotated_atss.io.raster_reader import RasterReader

rasterio = pytest.importorskip("rasterio")

PADDING = [104, 116, 124]
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 60, 90), np.uint8)  # red, green, blue


def write_raster(path, bands, colors=None, mask=None, palette=None, driver="GTiff", **profile):
    """Write bands (C, H, W) as a raster file."""
    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype, "driver": driver, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile) as file:
            file.write(bands)
            if colors is not None:
                file.colorinterp = [rasterio.enums.ColorInterp[color] for color in colors]
            if palette is not None:
                file.write_colormap(1, palette)
            if mask is not None:
                file.write_mask(mask)
    return path


def bgr(bands):
    return np.moveaxis(bands[::-1], 0, -1)


def read(path, **options):
    with open_image(path, PixelOptions(**options)) as image:
        return image.read()


LAYOUTS = {
    "striped": {},
    "rows": {"blockysize": 1, "compress": "deflate"},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "lzw"},
    "planar": {"interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "big": {"bigtiff": "yes"},
    "cog": {"driver": "COG", "blocksize": 128},
    "jp2": {"driver": "JP2OpenJPEG", "reversible": "yes", "quality": 100},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_equal_the_whole_image(tmp_path, layout):
    path = write_raster(tmp_path / f"a.{'jp2' if layout == 'jp2' else 'tif'}", PIXELS, **LAYOUTS[layout])
    rng = np.random.default_rng(1)
    with RasterReader(path, PixelOptions()) as image:
        assert (image.width, image.height, image.bands, image.dtype) == (90, 60, 3, "uint8")
        assert np.array_equal(image.read(), bgr(PIXELS))
        for _ in range(20):
            x, y, width, height = rng.integers((0, 0, 1, 1), (90, 60, 90, 60))
            window = (x, y, min(x + width, 90), min(y + height, 60))
            assert np.array_equal(image.read(window), bgr(PIXELS)[y : window[3], x : window[2]])


def test_virtual_mosaic(tmp_path):
    write_raster(tmp_path / "a.tif", PIXELS)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">a.tif'
        f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    (tmp_path / "a.vrt").write_text(f'<VRTDataset rasterXSize="90" rasterYSize="60">{bands}</VRTDataset>')
    assert np.array_equal(read(tmp_path / "a.vrt"), bgr(PIXELS))


@pytest.mark.parametrize("colors", list(itertools.permutations(["red", "green", "blue"])))
def test_bands_follow_their_color_interpretation(tmp_path, colors):
    path = write_raster(tmp_path / "a.tif", PIXELS.astype(np.uint16), colors)
    expected = PIXELS[[colors.index(color) for color in ("red", "green", "blue")]]
    assert np.array_equal(read(path), bgr(expected))


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (1, {}, [0, 0, 0]),
        (2, {}, [0, 0, 0]),
        (5, {}, [0, 1, 2]),
        (5, {"bands": (5, 2, 4)}, [4, 1, 3]),
        (5, {"bands": (3,)}, [2, 2, 2]),
    ],
)
def test_bands_without_color_interpretation(tmp_path, count, options, expected):
    bands = np.random.default_rng(2).integers(0, 256, (count, 20, 30), np.uint8)
    path = write_raster(tmp_path / "a.tif", bands, photometric="minisblack")
    assert np.array_equal(read(path, **options), bgr(bands[expected]))


def test_absent_band_raises(tmp_path):
    path = write_raster(tmp_path / "a.tif", PIXELS)
    with pytest.raises(UserError, match=r"a\.tif: the image has no band 4, only 3 bands"):
        read(path, bands=(4, 2, 1))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_values_are_scaled_to_a_range(tmp_path, dtype):
    values = np.linspace(0, 1000, 60 * 90).reshape(1, 60, 90).astype(dtype)
    path = write_raster(tmp_path / "a.tif", values)
    expected = np.rint(np.clip((values[0].astype(float) - 100) / 800 * 255, 0, 255))
    assert np.abs(read(path, scaling=(100, 900))[..., 0] - expected).max() <= 1
    assert np.array_equal(read(path, scaling="none")[..., 0], np.rint(np.clip(values[0], 0, 255)))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_automatic_scaling_uses_percentiles_of_the_image_in_every_window(tmp_path, dtype):
    values = np.linspace(-500, 500, 60 * 90).reshape(1, 60, 90).astype(dtype)
    path = write_raster(tmp_path / "a.tif", values)
    low, high = np.percentile(values, [2, 98])
    with open_image(path) as image:
        window = image.read((0, 30, 90, 60))
        assert np.array_equal(image.read()[30:], window)
    expected = np.clip((values[0] - low) / (high - low) * 255, 0, 255)
    assert np.abs(window[..., 0] - expected[30:]).max() <= 1


def test_16_bits_with_an_empty_upper_byte_are_not_black(tmp_path):
    path = write_raster(tmp_path / "a.tif", PIXELS.astype(np.uint16), ["blue", "green", "red"])
    assert np.array_equal(read(path), bgr(PIXELS[::-1]))


HOLE = np.ones((60, 90), bool)
HOLE[10:20, 30:50] = False


def without_hole(bands, value):
    return np.where(HOLE, np.maximum(bands, 1), value).astype(bands.dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_nodata_has_the_padding_color(tmp_path, dtype):
    path = write_raster(tmp_path / "a.tif", without_hole(PIXELS.astype(dtype), 0), nodata=0)
    image = read(path, scaling="none")
    assert (image[~HOLE] == PADDING).all()
    assert np.array_equal(image[HOLE], np.maximum(bgr(PIXELS), 1)[HOLE])


def test_one_band_of_nodata_is_a_color(tmp_path):
    bands = np.maximum(PIXELS, 1)
    bands[0] = 0
    assert np.array_equal(read(write_raster(tmp_path / "a.tif", bands, nodata=0)), bgr(bands))


@pytest.mark.parametrize("profile", [{}, {"nodata": float("nan")}, {"nodata": -1}])
def test_nan_has_the_padding_color(tmp_path, profile):
    path = write_raster(tmp_path / "a.tif", without_hole(PIXELS.astype(np.float32), np.nan), **profile)
    assert (read(path)[~HOLE] == PADDING).all()


def test_infinite_values_are_clipped(tmp_path):
    values = np.array([[[-np.inf, 0, 1, np.inf]]], np.float32)
    assert read(write_raster(tmp_path / "a.tif", values), scaling=(0, 1))[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("inside", [True, False], ids=["internal", ".msk"])
def test_masked_pixels_have_the_padding_color(tmp_path, inside):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        path = write_raster(tmp_path / "a.tif", PIXELS, mask=HOLE)
    assert path.with_name("a.tif.msk").exists() != inside
    assert np.array_equal(read(path), np.where(HOLE[..., None], bgr(PIXELS), np.uint8(PADDING)))


def test_alpha_of_16_bits(tmp_path):
    bands = np.stack([*PIXELS, 255 * HOLE]).astype(np.uint16) * 257
    path = write_raster(tmp_path / "a.tif", bands, ["blue", "green", "red", "alpha"])
    expected = bgr(PIXELS[::-1])
    assert np.array_equal(read(path), np.where(HOLE[..., None], expected, np.uint8(PADDING)))
    assert np.array_equal(read(path, bands=(3, 2, 1)), expected)  # selected bands are not masked by alpha


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_image_without_data_is_padding(tmp_path, dtype):
    path = write_raster(tmp_path / "a.tif", np.zeros((1, 20, 30), dtype), nodata=0)
    assert (read(path) == PADDING).all()


def test_palette_is_expanded(tmp_path):
    path = write_raster(tmp_path / "a.tif", PIXELS[:1] // 128, palette={0: (10, 20, 30), 1: (40, 50, 60)})
    with RasterReader(path, PixelOptions()) as image:
        assert np.array_equal(image.read(), np.array([[30, 20, 10], [60, 50, 40]])[PIXELS[0] // 128])


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 8])
def test_pixels_equal_those_of_opencv(tmp_path, photometric, bits):
    path = write_raster(tmp_path / "a.tif", PIXELS[:1] >> (8 - bits), photometric=photometric, nbits=bits)
    with RasterReader(path, PixelOptions()) as image:
        assert np.array_equal(image.read(), cv2.imread(str(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_tiff_file(tmp_path, orientation):
    from PIL import Image, ImageOps

    path = tmp_path / "a.tif"
    Image.fromarray(np.moveaxis(PIXELS, 0, -1)).save(path, tiffinfo={274: orientation})
    path.with_suffix(".tfw").write_text("2 0 0 -2 101 199")
    with Image.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file))[..., ::-1]
    with RasterReader(path, PixelOptions()) as image:
        assert (image.height, image.width) == expected.shape[:2]
        assert np.array_equal(image.read(), expected)
        assert np.array_equal(image.read((5, 7, 20, 40)), expected[7:40, 5:20])
        marked = np.argwhere((expected == bgr(PIXELS)[3, 4]).all(2))[0][::-1]
        assert image.georeference.to_map(marked + 0.5).tolist() == [109, 193]  # column 4, row 3
    with open_image(path) as image:
        assert np.array_equal(image.read(), expected)


def test_georeference_and_its_absence(tmp_path):
    transform = rasterio.Affine(0.25, 0, 447000, 0, -0.25, 4427000)
    path = write_raster(tmp_path / "a.tif", PIXELS, crs="EPSG:32650", transform=transform)
    expected = Georeference(tuple(transform)[:6], "EPSG:32650")
    for reader in (open_image(path), RasterReader(path, PixelOptions())):
        with reader:
            assert reader.georeference == expected
    with RasterReader(write_raster(tmp_path / "b.tif", PIXELS), PixelOptions()) as image:
        assert image.georeference is None


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("layout", ["tiled", "jp2"])
def test_truncated_raster_raises_with_its_path(tmp_path, kept, layout):
    path = write_raster(tmp_path / f"a.{'jp2' if layout == 'jp2' else 'tif'}", PIXELS, **LAYOUTS[layout])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_damaged_block_raises_with_its_path(tmp_path, capfd):
    path = write_raster(tmp_path / "a.tif", PIXELS.astype(np.int16), **LAYOUTS["tiled"])
    data = bytearray(path.read_bytes())
    data[-3000:] = bytes(3000)
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"a\.tif: not a readable image"):
        read(path)
    assert capfd.readouterr().err == ""


REAL = ["P1888_rotated_affine_striped", "P1888_uint16_bgrn", "P1888_utm50n_tiled", "RGBA.uint16", "all-nodata", "alpha"]


@pytest.mark.parametrize("name", [*REAL, "cogeo", "float_nan", "rotated"])
def test_windows_of_real_files_equal_the_whole_image(shared_data, name):
    path = shared_data("geo", f"{name}.tif")
    with open_image(path) as whole, RasterReader(path, PixelOptions()) as image:
        expected = image.read()
        assert expected.shape == (whole.height, whole.width, 3)
        window = (image.width // 3, image.height // 4, image.width, image.height // 2 + 1)
        x, y, x_stop, y_stop = window
        assert np.array_equal(image.read(window), expected[y:y_stop, x:x_stop])
        assert image.georeference == whole.georeference


def test_real_files_have_their_pixels_and_padding(shared_data):
    reference = cv2.imread(str(shared_data("dota_sample", "images", "P1888.png")))
    assert np.array_equal(read(shared_data("geo", "P1888_rotated_affine_striped.tif")), reference)
    sensor = read(shared_data("geo", "P1888_uint16_bgrn.tif"), bands=(3, 2, 1)).astype(float)
    assert np.corrcoef(sensor.ravel(), reference.ravel())[0, 1] > 0.95
    assert (read(shared_data("geo", "all-nodata.tif")) == PADDING).all()
    assert (read(shared_data("geo", "float_nan.tif")) == PADDING).all(axis=2).sum() == 1
