"""Corners of labelled objects on georeferenced files, compared with coordinates that pyproj computed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections
from rotated_atss.geo.features import Features
from rotated_atss.geo.ground import ground_resolution
from rotated_atss.geo.writers import write_features
from rotated_atss.io.image_reader import find_georeference, open_image

geopandas = pytest.importorskip("geopandas")
pytest.importorskip("rasterio")


@pytest.mark.parametrize("name", ["P1888_utm50n_tiled.tif", "P1888_rotated_affine_striped.tif"])
def test_corners_of_labelled_objects(shared_data, tmp_path, name):
    objects = json.loads(shared_data("geo", "reference.json").read_text())[name]["objects"]
    path = shared_data("geo", name)
    georeference = find_georeference(path)
    pixels, utm, lon_lat = (np.array([each[key] for each in objects]) for key in ("pixel", "utm50n", "lonlat"))
    np.testing.assert_allclose(georeference.to_map(pixels), utm, rtol=0, atol=5.1e-5)  # four decimals in the file
    scores = np.linspace(1, 0, len(objects))
    by_class = {"object": Detections.from_ids(["P1888"] * len(objects), scores, pixels)}
    features = Features.from_task1(by_class, {"P1888": georeference})
    for format_name in ("gpkg", "geojson", "parquet"):
        (file,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
        frame = geopandas.read_parquet(file) if format_name == "parquet" else geopandas.read_file(file)
        found = frame.to_crs("EPSG:32650").geometry.get_coordinates().to_numpy().reshape(-1, 5, 2)[:, :4]
        assert largest_distance(pixels, georeference.to_pixels(found)) < 1e-6
        degrees = frame.to_crs("EPSG:4326").geometry.get_coordinates().to_numpy().reshape(-1, 5, 2)[:, :4]
        assert largest_distance(lon_lat, degrees) < 0.8e-9  # nine decimals in the file
    with open_image(path) as image:
        assert ground_resolution(georeference, (image.width, image.height)) == pytest.approx(0.25, rel=2e-3)


def largest_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest distance of a corner to the nearest one of the same polygon (N, 4, 2)."""
    return float(np.linalg.norm(first[:, :, None] - second[:, None], axis=-1).min(axis=2).max())
