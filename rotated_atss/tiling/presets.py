"""Named settings for splitting the DOTA datasets, like mmrotate's ``split_configs``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.tiling.split_settings import SplitSettings


@dataclass(frozen=True)
class SplitPreset:
    """Settings, class list and default folders for splitting one part of a dataset.

    Attributes:
        settings: The settings of the split.
        classes: DOTA version of the class list.
        data_root: Default folder of the dataset.
        subsets: Folders below the data root, each with ``images`` and, if labeled, ``labelTxt``.
        labeled: Whether the subsets have labels.
        out: Default output folder.
    """

    settings: SplitSettings
    classes: str
    data_root: str
    subsets: tuple[str, ...]
    labeled: bool
    out: str

    def folders(self, data_root: str | Path | None = None) -> tuple[list[str], list[str] | None]:
        """Return the image folders and the label folders below a data root, by default the preset's.

        Example:
            >>> load_preset("dota_v1.0_ss_test").folders("DOTA")
            (['DOTA/test/images'], None)
        """
        root = Path(self.data_root if data_root is None else data_root)
        images = [(root / subset / "images").as_posix() for subset in self.subsets]
        labels = [(root / subset / "labelTxt").as_posix() for subset in self.subsets]
        return images, labels if self.labeled else None


def preset_folder() -> Path:
    """Return the folder of the presets, in the checkout or inside the installed package.

    Example:
        >>> preset_folder().name
        'presets'
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "data_prep" / "presets"
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
    fields = json.loads((preset_folder() / f"{name}.json").read_text(encoding="utf-8"))
    settings, subsets = SplitSettings(**fields.pop("settings")), tuple(fields.pop("subsets"))
    return SplitPreset(settings=settings, subsets=subsets, **fields)
