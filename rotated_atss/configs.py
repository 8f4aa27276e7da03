"""Find config files by path or by name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rotated_atss.errors import UserError


def config_folder() -> Path:
    """Return the folder of this package's configs: ``configs`` in a checkout, otherwise the copy in the package.

    Example:
        >>> (config_folder() / "_base_").is_dir()
        True
    """
    package = Path(__file__).resolve().parent
    checkout = package.parent / "configs"
    # An installed package has its configs in .mim, because OpenMIM looks for them there.
    return checkout if (checkout / "_base_").is_dir() else package / ".mim" / "configs"


def config_names() -> list[str]:
    """Return the names of all configs of this package except base configs, sorted.

    Example:
        >>> "rotated_atss_obb_r50_fpn_1x_dota_le90" in config_names()
        True
    """
    return sorted(path.stem for path in config_folder().glob("*/*.py") if path.parent.name != "_base_")


def find_config(config: str | Path) -> Path:
    """Find the file of a config by its path or its name.

    Args:
        config: Path of a config file, or name of a config of this package, with or without ``.py``. If there is no file
            at a path of the form ``configs/dota/name.py``, the config of this package with that path is found, so that
            commands written for a checkout work with an installed package.

    Raises:
        UserError: There is no such file or config, or ``config`` is a YAML file.

    Example:
        >>> find_config("rotated_atss_obb_r50_fpn_1x_dota_le90").parent.name
        'dota'
    """
    path = Path(config)
    _reject_yaml(path)
    config_path = path if _is_file(path) else _find_packaged(path)
    if config_path is None:
        raise UserError("no such config", where=config, hint=_suggest_configs(path.name, "give a path"))
    return config_path


def find_base_config(base: str, config: str | Path) -> Path:
    """Find the file of a base config, which another config names in ``_base_``.

    Args:
        base: The entry in ``_base_``: a path relative to the folder of ``config``, or the name of a config of this
            package, with or without ``.py``.
        config: The config file that contains ``_base_``.

    Raises:
        UserError: There is no such file or config, or ``base`` is a YAML file.

    Example:
        >>> find_base_config("rotated_atss_obb_r50_fpn_1x_dota_le90", "own.py").parent.name
        'dota'
    """
    path = Path(config).parent / base
    _reject_yaml(path)
    # A user's x.py can have "x.py" in _base_ to inherit the config x of this package. The relative path then leads back
    # to the user's x.py, and is skipped.
    if _is_file(path) and path.resolve() != Path(config).resolve():
        return path
    is_name = Path(base).name == base
    config_path = _find_packaged(Path(base)) if is_name else None
    if config_path is None:
        hint = _suggest_configs(Path(base).name, "give a path relative to this file")
        raise UserError(f"no such config in _base_, got '{base}'", where=config, hint=hint)
    return config_path


def _reject_yaml(path: Path) -> None:
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UserError(
            "YAML configs are not read, because loading one can run code", where=path, hint="write it as .py"
        )


def _find_packaged(config: Path) -> Path | None:
    """Return the config of this package that is called ``name``, ``dota/name`` or ``configs/dota/name``."""
    parts = (*config.parts[:-1], config.name.removesuffix(".py"))
    for path in config_folder().glob("*/*.py"):
        full_parts = ("configs", path.parent.name, path.stem)
        if full_parts[-len(parts) :] == parts:
            return path
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _suggest_configs(name: str, path_advice: str) -> str:
    """Return a hint for an unknown config: the most similar names, and the folder that contains all configs."""
    similar = get_close_matches(name.removesuffix(".py"), config_names(), n=3)
    nearest = f"nearest: {', '.join(similar)}; " if similar else ""
    return f"{nearest}{path_advice}, or a name from {config_folder()}/*/*.py"
