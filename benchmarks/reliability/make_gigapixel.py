"""Write a large synthetic image with labels in several formats, by blocks, with little memory.

    python benchmarks/reliability/make_gigapixel.py OUT [--size 30000] [--formats tiled striped png jpeg]

Rendered scenes with labeled objects are flipped and laid side by side. Equal arguments give equal pixels and labels.
OUT gets one folder per format with ``images/giga_<size>.<suffix>``, and ``labelTxt/giga_<size>.txt``:

    tiled    GeoTIFF, deflate, blocks of 512 x 512 pixels, EPSG:32631, 0.3 m per pixel
    striped  TIFF, deflate, strips of 16 rows
    png      8-bit RGB, filter "up"
    jpeg     baseline, quality 90, at most 65,500 pixels per side

TIFF and JPEG need rasterio (``pip install "rotated-atss[geo]"``).
"""

from __future__ import annotations

import argparse
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rotated_atss.dota.labels import format_labels
from rotated_atss.io.files import write_bytes
from rotated_atss.io.png_chunks import PNG_SIGNATURE
from rotated_atss.synthetic.scene import render_scene

BLOCK = 1024  # side of a scene in the mosaic, pixels
SCENES = 4
RESOLUTION = 0.3  # meters per pixel
_MAX_JPEG_SIDE = 65_500

Rows = Callable[[], Iterator[NDArray[np.uint8]]]  # bands of BLOCK rows, (h, size, 3), RGB


@dataclass(frozen=True)
class Block:
    """A rendered scene of BLOCK x BLOCK pixels, RGB, and the polygons (N, 4, 2) and names of its whole objects."""

    image: NDArray[np.uint8]
    polygons: NDArray[np.float64]
    names: tuple[str, ...]

    def flipped(self, x: bool, y: bool) -> Block:
        """Flip the block along the axes."""
        image = self.image[:: -1 if y else 1, :: -1 if x else 1]
        sign, offset = np.array([-1 if x else 1, -1 if y else 1]), np.array([BLOCK if x else 0, BLOCK if y else 0])
        return Block(image, self.polygons * sign + offset, self.names)


def render_blocks() -> list[Block]:
    """Render the scenes of the mosaic, each in four orientations."""
    blocks = []
    for index in range(SCENES):
        scene = render_scene(0, index, size_wh=(1150, 1150))
        inside = [each for each in scene.objects if ((each.polygon >= 0) & (each.polygon <= BLOCK)).all()]
        polygons = np.array([each.polygon for each in inside]).reshape(-1, 4, 2)
        image = np.ascontiguousarray(scene.image[:BLOCK, :BLOCK, ::-1])
        block = Block(image, polygons, tuple(each.name for each in inside))
        blocks += [block.flipped(x, y) for x in (False, True) for y in (False, True)]
    return blocks


def block_at(blocks: Sequence[Block], row: int, column: int) -> Block:
    return blocks[(row * 7 + column * 3 + row * column) % len(blocks)]


def iter_rows(blocks: Sequence[Block], size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the rows of the mosaic in bands of BLOCK."""
    places = range(-(-size // BLOCK))
    for row in places:
        band = np.concatenate([block_at(blocks, row, column).image for column in places], axis=1)
        yield band[: size - row * BLOCK, :size]


def mosaic_labels(blocks: Sequence[Block], size: int) -> bytes:
    """Return the labels of the mosaic as DOTA text: objects that lie inside the image."""
    polygons, names = [np.empty((0, 4, 2))], []
    places = range(-(-size // BLOCK))
    for row in places:
        for column in places:
            block = block_at(blocks, row, column)
            moved = block.polygons + np.array([column, row]) * BLOCK
            inside = (moved <= size).all(axis=(1, 2))
            polygons.append(moved[inside])
            names += [name for name, keep in zip(block.names, inside.tolist()) if keep]
    flat = np.concatenate(polygons).reshape(-1, 8).round(1)
    return format_labels(flat, names, np.zeros(len(flat), np.int64))


def write_tiff(path: Path, rows: Rows, size: int, **layout: Any) -> None:
    import rasterio
    from rasterio.transform import from_origin

    place = {"crs": "EPSG:32631", "transform": from_origin(450_000, 5_430_000, RESOLUTION, RESOLUTION)}
    form = {"driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    form |= {"interleave": "pixel", "compress": "deflate", "predictor": 2, "zlevel": 1, "BIGTIFF": "IF_SAFER"}
    with rasterio.Env(GDAL_CACHEMAX=256 << 20), rasterio.open(path, "w", **form, **place, **layout) as file:
        top = 0
        for band in rows():
            window = rasterio.windows.Window(0, top, size, len(band))
            file.write(np.moveaxis(band, 2, 0), window=window)
            top += len(band)


write_tiled = partial(write_tiff, tiled=True, blockxsize=512, blockysize=512)
write_striped = partial(write_tiff, tiled=False, blockysize=16)


def write_jpeg(path: Path, rows: Rows, size: int) -> None:
    """Write a JPEG file through a temporary TIFF file, because GDAL writes JPEG files as copies only."""
    import rasterio
    import rasterio.shutil

    if size > _MAX_JPEG_SIDE:
        raise SystemExit(f"a JPEG file has at most {_MAX_JPEG_SIDE} pixels per side, got {size}")
    temporary = path.with_suffix(".temporary.tif")
    try:
        write_striped(temporary, rows, size)
        with rasterio.Env(GDAL_CACHEMAX=256 << 20, GDAL_PAM_ENABLED="NO"):
            rasterio.shutil.copy(str(temporary), str(path), driver="JPEG", quality=90)
    finally:
        temporary.unlink(missing_ok=True)


def write_png(path: Path, rows: Rows, size: int) -> None:
    """Write a PNG file as a stream."""
    compressor, above = zlib.compressobj(1), np.zeros((1, size * 3), np.uint8)
    with path.open("wb") as file:
        file.write(PNG_SIGNATURE + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)))
        for band in rows():
            flat = np.concatenate([above, band.reshape(len(band), -1)])
            lines = np.empty((len(band), 1 + size * 3), np.uint8)
            lines[:, 0] = 2  # filter "up"
            np.subtract(flat[1:], flat[:-1], out=lines[:, 1:])
            above = flat[-1:]
            file.write(_png_chunk(b"IDAT", compressor.compress(lines)))
        file.write(_png_chunk(b"IDAT", compressor.flush()))
        file.write(_png_chunk(b"IEND", b""))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


WRITERS: dict[str, tuple[str, Callable[[Path, Rows, int], None]]] = {
    "tiled": (".tif", write_tiled),
    "striped": (".tif", write_striped),
    "png": (".png", write_png),
    "jpeg": (".jpg", write_jpeg),
}


def make_gigapixel(out: Path, size: int, formats: Sequence[str]) -> dict[str, Path]:
    """Write the image in several formats, and its labels; return the image by format. Existing images are kept."""
    blocks = render_blocks()
    (out / "labelTxt").mkdir(parents=True, exist_ok=True)
    write_bytes(out / "labelTxt" / f"giga_{size}.txt", mosaic_labels(blocks, size))
    paths = {}
    for name in formats:
        suffix, write = WRITERS[name]
        paths[name] = out / name / "images" / f"giga_{size}{suffix}"
        if not paths[name].exists():
            paths[name].parent.mkdir(parents=True, exist_ok=True)
            partial = paths[name].with_stem(f"partial_{paths[name].stem}")
            write(partial, lambda: iter_rows(blocks, size), size)
            partial.rename(paths[name])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder")
    parser.add_argument("--size", type=int, default=30_000, help="side in pixels (default: 30000)")
    parser.add_argument("--formats", nargs="+", choices=list(WRITERS), default=list(WRITERS), help="default: all")
    args = parser.parse_args()
    for name, path in make_gigapixel(args.out, args.size, args.formats).items():
        print(f"{name}: {path}, {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
