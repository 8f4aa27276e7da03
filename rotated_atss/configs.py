"""Where configs are: a path, or the bare name of a config of this project, from a checkout or an installed wheel."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rotated_atss.errors import UserError


def config_folder() -> Path:
    """The folder ``configs`` of the checkout, or the copy inside the installed package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "_base_").is_dir() else package / ".mim" / "configs"


def config_names() -> list[str]:
    """Bare names of the configs that can be trained, sorted."""
    return sorted(path.stem for path in config_folder().glob("*/*.py") if path.parent.name != "_base_")


def find_config(config: str | Path) -> Path:
    """The file that ``config`` means.

    Raises:
        UserError: Neither a file nor the name of a config.
    """
    path = Path(config)
    if path.is_file():
        return path
    stem = path.name.removesuffix(".py")
    for found in sorted(config_folder().glob(f"*/{stem}.py")):
        return found
    nearest = get_close_matches(stem, config_names(), n=3)
    near = f"nearest: {', '.join(nearest)}; " if nearest else ""
    raise UserError("no such config", where=config, hint=f"{near}give a path, or a name from {config_folder()}/*/*.py")
