"""Sources of VRT images: local images only, and no connection to any host."""

from __future__ import annotations

from xml.sax.saxutils import escape

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.vrt_sources import check_vrt_sources

pytest.importorskip("rasterio")

SIZE = 30, 20


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
    return path


def write_vrt(path, source, relative=1, extra="", tag="SimpleSource"):
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><{tag}><SourceFilename relativeToVRT="{relative}">'
        f"{escape(source)}</SourceFilename><SourceBand>{band}</SourceBand></{tag}></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    text = f'<VRTDataset rasterXSize="{SIZE[0]}" rasterYSize="{SIZE[1]}">{extra}{bands}</VRTDataset>'
    path.write_text(text)
    return path


def read(path):
    with open_image(path) as file:
        return file.read()


@pytest.mark.parametrize("source", ["http://{}/a.tif", "/vsicurl/http://{}/a.tif", "/vsicurl?url=http%3A%2F%2F{}"])
def test_no_connection_is_made(tmp_path, image, web_server, source):
    vrt = write_vrt(tmp_path / "a.vrt", source.format(web_server.address), relative=0)
    with pytest.raises(UserError, match=r"a.vrt: the source is not a local file, got"):
        read(vrt)
    assert web_server.requests == []


def test_gdal_ignores_the_case_of_names(tmp_path, image, web_server):
    address = f"http://{web_server.address}/a.tif"
    vrt = write_vrt(tmp_path / "a.vrt", address, relative=0)
    vrt.write_text(vrt.read_text().replace("SourceFilename", "sourcefilename"))
    with pytest.raises(UserError, match=r"a.vrt: the source is not a local file, got"):
        read(vrt)
    assert web_server.requests == []
    (tmp_path / "folder").mkdir()
    image.rename(tmp_path / "folder" / "a.tif")
    vrt = write_vrt(tmp_path / "folder" / "b.vrt", "a.tif")
    vrt.write_text(vrt.read_text().replace("relativeToVRT", "RELATIVETOVRT"))
    assert read(vrt).shape == (SIZE[1], SIZE[0], 3)


def test_a_service_described_in_the_source_is_not_called(tmp_path, web_server):
    service = (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>http://{web_server.address}/${{z}}</ServerUrl></Service>'
        "<DataWindow><SizeX>30</SizeX><SizeY>20</SizeY></DataWindow><BandsCount>3</BandsCount></GDAL_WMS>"
    )
    with pytest.raises(UserError, match="not a local file"):
        read(write_vrt(tmp_path / "a.vrt", service, relative=0))
    (tmp_path / "service.xml").write_text(service)
    with pytest.raises(UserError, match=r"not an image of a supported format, got 'service.xml'"):
        read(write_vrt(tmp_path / "b.vrt", "service.xml"))
    assert web_server.requests == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/vsizip/a.zip/a.tif", "not a local file"),
        ("/vsistdin/", "not a local file"),
        ("NETCDF:a.nc:red", "not a local file"),
        ("PG:host=db", "not a local file"),
        ("missing.tif", r"the source 'missing.tif' cannot be read: No such file"),
        ("notes.txt", "not an image of a supported format"),
        ("/dev/zero", "not a regular file"),
    ],
)
def test_sources_that_are_refused(tmp_path, image, source, message):
    (tmp_path / "notes.txt").write_text("root:x:0:0")
    with pytest.raises(UserError, match=message):
        check_vrt_sources(write_vrt(tmp_path / "a.vrt", source))


@pytest.mark.parametrize(
    "extra",
    [
        '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">http://host/a.ovr</MDI></Metadata>',
        '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">/vsicurl/http://host/x.tif</MDI></Metadata>',
        "<GDALWarpOptions><SourceDataset>/vsis3/bucket/a.tif</SourceDataset></GDALWarpOptions>",
        '<OverviewList resampling="/vsicurl/http://host/">2</OverviewList>',
    ],
)
def test_other_elements_that_name_files(tmp_path, image, extra):
    with pytest.raises(UserError, match="not a local file"):
        check_vrt_sources(write_vrt(tmp_path / "a.vrt", "a.tif", extra=extra))


def test_local_images_are_read(tmp_path, image):
    expected = read(image)
    (tmp_path / "mosaics").mkdir()
    inner = write_vrt(tmp_path / "mosaics" / "inner.vrt", "../a.tif")
    assert np.array_equal(read(inner), expected)
    assert np.array_equal(read(write_vrt(tmp_path / "outer.vrt", str(inner), relative=0)), expected)
    copyright_note = "<Metadata><MDI key='COPYRIGHT'>see https://host/license</MDI></Metadata>"
    assert np.array_equal(read(write_vrt(tmp_path / "note.vrt", "a.tif", extra=copyright_note)), expected)


def test_files_that_name_each_other(tmp_path):
    write_vrt(tmp_path / "a.vrt", "b.vrt")
    write_vrt(tmp_path / "b.vrt", "a.vrt")
    with pytest.raises(UserError, match=r"a.vrt: the VRT file names itself"):
        read(tmp_path / "a.vrt")
    for number in range(12):
        write_vrt(tmp_path / f"c{number}.vrt", f"c{number + 1}.vrt")
    with pytest.raises(UserError, match="nested more than 8 levels deep"):
        read(tmp_path / "c0.vrt")


def test_malformed_files(tmp_path, image):
    vrt = write_vrt(tmp_path / "a.vrt", "a.tif")
    vrt.write_text('<!DOCTYPE a [<!ENTITY b "a.tif">]>' + vrt.read_text())
    with pytest.raises(UserError, match="declares an XML entity"):
        check_vrt_sources(vrt)
    vrt.write_text("<VRTDataset rasterXSize='30'>")
    with pytest.raises(UserError, match="not a readable VRT file"):
        check_vrt_sources(vrt)
