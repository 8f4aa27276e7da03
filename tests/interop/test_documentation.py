"""The examples of docs/interop.md run in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interop.md"
PACKAGES = {"supervision": "supervision", "SAHI": "sahi", "torchmetrics": "torchmetrics"}


def examples() -> dict[str, str]:
    """Return the Python blocks by the heading above them; the first one has the title of the page."""
    sections = re.split(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    pairs = zip(sections[0::2], sections[1::2])
    return {
        title: "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)) for title, text in pairs
    }


@pytest.mark.parametrize("title", list(examples())[1:])
def test_example(title, tmp_path, monkeypatch, capsys):
    if title in PACKAGES:
        pytest.importorskip(PACKAGES[title], reason=f"{PACKAGES[title]} is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    blocks = examples()
    assert blocks[title]
    names: dict[str, object] = {}
    exec(blocks["Other tools"], names)
    if title == "PyTorch":
        write_tiles(tmp_path)
    exec(blocks[title], names)
    check = {
        "supervision": lambda: len(names["ships"].boxes) == 1 and (names["drawn"] != names["image"]).any(),
        "SAHI": lambda: names["boxes_of_image"].shape == (2, 5),
        "FiftyOne": lambda: (tmp_path / "fiftyone" / "samples.json").is_file(),
        "Label Studio": lambda: (tmp_path / "tasks.json").is_file() and "<RectangleLabels" in capsys.readouterr().out,
        "torchmetrics": lambda: names["metric"].compute()["AP50_95"] == 1,
        "PyTorch": lambda: "torch.Size([1, 3, 400, 600])" in capsys.readouterr().out,
    }
    assert check[title]()


def write_tiles(folder: Path) -> None:
    """Write a folder of one labeled tile."""
    (folder / "tiles" / "labelTxt").mkdir(parents=True)
    (folder / "images").rename(folder / "tiles" / "images")
    (folder / "tiles" / "labelTxt" / "P1.txt").write_text("10 10 60 10 60 40 10 40 ship 0\n", encoding="utf-8")
