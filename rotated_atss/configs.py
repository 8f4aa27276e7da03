"""Lookup of this package's configs by path or name, in a checkout or an installed wheel."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rotated_atss.errors import UserError


def config_folder() -> Path:
    """Return the folder of the configs: ``configs`` of a checkout, or the copy inside an installed package.

    Example:
        >>> (config_folder() / "_base_").is_dir()
        True
    """
    package = Path(__file__).resolve().parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "_base_").is_dir() else package / ".mim" / "configs"


def config_names() -> list[str]:
    """Return the names of all trainable configs, sorted.

    Example:
        >>> "rotated_atss_obb_r50_fpn_1x_dota_le90" in config_names()
        True
    """
    return sorted(path.stem for path in config_folder().glob("*/*.py") if path.parent.name != "_base_")


def find_config(config: str | Path) -> Path:
    """Return the file of a config.

    Args:
        config: Path, or bare name of a config of this package, with or without ``.py``.

    Raises:
        UserError: No such file or config exists, with similar names in the hint; or it is a YAML file.

    Example:
        >>> find_config("rotated_atss_obb_r50_fpn_1x_dota_le90").parent.name
        'dota'
    """
    path = Path(config)
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UserError(
            "YAML configs are not read, because loading one can run code", where=path, hint="write it as .py"
        )
    if path.is_file():
        return path
    stem = path.name.removesuffix(".py")
    for match in sorted(config_folder().glob(f"*/{stem}.py")):
        return match
    nearest = get_close_matches(stem, config_names(), n=3)
    near = f"nearest: {', '.join(nearest)}; " if nearest else ""
    raise UserError("no such config", where=config, hint=f"{near}give a path, or a name from {config_folder()}/*/*.py")
