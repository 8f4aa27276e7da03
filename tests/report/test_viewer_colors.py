"""The layers of the viewer differ for color-blind readers too."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.report import viewer

SCRIPT = Path(viewer.__file__).parent / "static" / "viewer_draw.js"
STYLE = re.compile(r'(\w+): \{ color: "#(\w{6})", width: ([\d.]+), dash: \[([\d., ]*)\]')

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def styles() -> dict[str, tuple[str, str, str]]:
    """Color, line width and dash of each layer."""
    found = {layer: (color, width, dash) for layer, color, width, dash in STYLE.findall(SCRIPT.read_text())}
    assert list(found) == ["gt", "tp", "fp", "fn", "ignored"]
    return found


def seen(color: str, deficiency: str) -> np.ndarray:
    """CIELAB of a color as a reader with a color vision deficiency sees it."""
    values = np.array([int(color[index : index + 2], 16) for index in (0, 2, 4)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(rgb.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_RGB2LAB).ravel()


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colors_of_the_layers_are_far_apart(deficiency: str) -> None:
    for (first, (color, *_)), (second, (other, *_)) in itertools.combinations(styles().items(), 2):
        distance = np.linalg.norm(seen(color, deficiency) - seen(other, deficiency))
        assert distance > 15, f"{first} and {second}: {distance:.0f}"


def test_layers_differ_without_color() -> None:
    lines = [(width, dash) for _, width, dash in styles().values()]
    assert len(set(lines)) == len(lines)
