"""Load presets: named settings for splitting one part of a dataset (such as train + val, or test) into tiles.

The DOTA presets equal mmrotate's ``split_configs``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.tiling.split_settings import SplitSettings


@dataclass(frozen=True)
class SplitPreset:
    """Settings, class list and default folders for splitting one part of a dataset.

    Attributes:
        settings: The settings of the split.
        classes: Name of the dataset whose classes are accepted.
        data_root: Default folder of the dataset.
        images: Image folders below the data root.
        labels: Label folders or files below the data root, one per image folder; None if the part has no labels.
        out: Default output folder. It does not depend on the data root.
        label_format: Format of the labels; ``auto`` recognizes it.
        image_lists: Text files below the data root that name the images to split; None splits all images.
        class_map: New class name by old name; None keeps the names.
        fit_polygons: Whether polygons that do not have four corners are replaced by their minimum-area rectangles.
        labeled_only: Whether images without labels are left out.
    """

    settings: SplitSettings
    classes: str
    data_root: str
    images: tuple[str, ...]
    labels: tuple[str, ...] | None
    out: str
    label_format: str = "auto"
    image_lists: tuple[str, ...] | None = None
    class_map: Mapping[str, str] | None = None
    fit_polygons: bool = False
    labeled_only: bool = False

    def folders(self, data_root: str | Path | None = None) -> tuple[list[str], list[str] | None]:
        """Return the paths of the image folders and of the label folders or files.

        Args:
            data_root: Folder of the dataset; None uses the data root of the preset.

        Example:
            >>> load_preset("dota_v1.0_ss_test").folders("DOTA")
            (['DOTA/test/images'], None)
        """
        labels = None if self.labels is None else self._join_root(data_root, self.labels)
        return self._join_root(data_root, self.images), labels

    def image_list_paths(self, data_root: str | Path | None = None) -> list[str] | None:
        """Return the paths of the image lists; None if the preset splits all images.

        Args:
            data_root: Folder of the dataset; None uses the data root of the preset.

        Example:
            >>> load_preset("hrsc2016_test").image_list_paths("HRSC2016")
            ['HRSC2016/ImageSets/test.txt']
        """
        return None if self.image_lists is None else self._join_root(data_root, self.image_lists)

    def _join_root(self, data_root: str | Path | None, names: Sequence[str]) -> list[str]:
        root = Path(self.data_root if data_root is None else data_root)
        return [(root / name).as_posix() for name in names]


def preset_folder() -> Path:
    """Return the folder of the presets, in the checkout or inside the installed package.

    Example:
        >>> preset_folder().name
        'presets'
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "data_prep" / "presets"
    # An installed package has its presets in the folder .mim, where OpenMIM looks for the files of a package.
    return checkout if checkout.is_dir() else package / ".mim" / "data_prep" / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets, sorted.

    Example:
        >>> "dota_v1.0_ss_trainval" in preset_names()
        True
    """
    return sorted(path.stem for path in preset_folder().glob("*.json"))


def load_preset(name: str) -> SplitPreset:
    """Load a preset by its name.

    Raises:
        UserError: There is no preset of this name.

    Example:
        >>> load_preset("dota_v1.0_ms_trainval").settings.rates
        (0.5, 1.0, 1.5)
    """
    names = preset_names()
    if name not in names:
        raise UserError(f"unknown preset '{name}'", hint=f"choose from {', '.join(names)}")
    fields: dict[str, Any] = json.loads((preset_folder() / f"{name}.json").read_text(encoding="utf-8"))
    fields["settings"] = SplitSettings(**fields["settings"])
    for key in ("images", "labels", "image_lists"):  # JSON has lists, SplitPreset has tuples
        if fields.get(key) is not None:
            fields[key] = tuple(fields[key])
    return SplitPreset(**fields)
