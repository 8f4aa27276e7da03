"""MMEngine configs: load a config, build its model, look up its test dataset."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn

from rotated_atss.configs import find_base_config, find_config
from rotated_atss.detection.engine.build_errors import one_line, report_build_errors
from rotated_atss.detection.engine.checkpoint_io import restrict_checkpoint_loading
from rotated_atss.detection.engine.option_keys import check_option_keys
from rotated_atss.detection.engine.registered_types import restrict_to_registered_types
from rotated_atss.errors import UserError
from rotated_atss.io.config_values import check_config_values
from rotated_atss.io.safe_config import is_packaged_config, read_safe_config, safe_configs_required


def load_config(config: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Load a config and make its ``default_scope`` the default scope of MMEngine's registries.

    ``_base_`` of the config can name configs of this package. This function also calls
    :func:`restrict_checkpoint_loading`, so that no command loads unrestricted checkpoints. Within
    :func:`~rotated_atss.io.safe_config.require_safe_configs`, only configs of this package are executed; other configs
    are read without execution.

    Args:
        config: Path, or bare name of a config of this package.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The config does not exist or cannot be read, or ``cfg_options`` do not fit it or misspell a key.

    Example:
        >>> load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", {"model.backbone.depth": 101}).model.backbone.depth
        101
    """
    restrict_checkpoint_loading()
    path = find_config(config)
    try:
        is_trusted = not safe_configs_required() or is_packaged_config(path)
        cfg = _execute(path) if is_trusted else _read_without_execution(path)
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"cannot read this config: {error.msg}", where=_locate_syntax_error(path)) from error
    except Exception as error:  # a config is Python code and can raise anything
        raise UserError(f"cannot read this config: {type(error).__name__}: {one_line(error)}", where=path) from error
    # MMEngine would format the config text with yapf for each log and checkpoint, which takes seconds. The attribute is
    # set directly, because the argument format_python_code of Config.fromfile only affects lazy-import configs.
    object.__setattr__(cfg, "_format_python_code", False)
    return _finish_config(cfg, path.stem, path, cfg_options)


def _locate_syntax_error(path: Path) -> str:
    """Return ``path:line`` of a syntax error in a config; the path alone if the error is in one of its bases."""
    try:
        compile(path.read_bytes(), str(path), "exec")
    except SyntaxError as error:
        return f"{path}:{error.lineno}"
    except ValueError:  # raised for null bytes
        pass
    return str(path)


def _execute(path: Path, import_modules: bool = True) -> Config:
    """Read a config by executing it and its bases; import the modules in ``custom_imports`` if ``import_modules``."""
    with _resolve_bases_by_name():
        cfg = Config.fromfile(path, import_custom_modules=import_modules)
    _remove_package_scope(cfg._cfg_dict)
    return cfg


def _read_without_execution(path: Path) -> Config:
    """Read a config that may be untrusted. Only its bases in this package are executed."""
    restrict_to_registered_types()
    # The bases import no modules yet, because the config can override their custom_imports. The modules of the combined
    # config are imported below.
    values = read_safe_config(path, lambda packaged: _execute(packaged, import_modules=False).to_dict())
    custom_imports = values.get("custom_imports")
    if custom_imports:  # read_safe_config accepts only modules of rotated_atss, mmdet and mmrotate
        import_modules_from_strings(**custom_imports)
    return Config(values, cfg_text=path.read_text(encoding="utf-8"), filename=str(path))


def config_from_values(
    values: Mapping[str, Any], name: str, where: str | Path, cfg_options: Mapping[str, Any] | None = None
) -> Config:
    """Build a config from the values in a model file's metadata, and make the config's ``default_scope`` the default.

    Args:
        values: Resolved values by top-level key.
        name: Name of the config.
        where: The model file, for errors.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: A value can make MMEngine execute code, or ``cfg_options`` do not fit the config or misspell a key.

    Example:
        >>> config_from_values({"model": {"type": "ATSS"}}, "demo", "a.pth", {"model.type": "R3Det"}).model
        {'type': 'R3Det'}
    """
    restrict_checkpoint_loading()
    restrict_to_registered_types()
    check_config_values(values, where, hint="name its config if you trust it: CONFIG CHECKPOINT")
    # MMEngine saves the config in the work folder under the name in ``filename``, which must differ from the name of
    # the checkpoint. The file need not exist, because MMEngine does not read it if cfg_text is given.
    cfg = Config(dict(values), cfg_text=name, filename=str(Path(where).with_name(f"{name}.py")))
    return _finish_config(cfg, name, where, cfg_options)


def _finish_config(cfg: Config, name: str, where: str | Path, cfg_options: Mapping[str, Any] | None) -> Config:
    """Set the default scope, check and apply the options, and name the config."""
    init_default_scope(cfg.get("default_scope", "mmdet"))
    check_option_keys(cfg, cfg_options or (), where)
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"these options do not fit the config: {one_line(error)}", where=where) from error
    cfg.config_name = name
    return cfg


@contextmanager
def _resolve_bases_by_name() -> Iterator[None]:
    """Resolve entries of ``_base_`` within this block as the command line resolves the name of a config."""
    get_cfg_path = Config._get_cfg_path

    def get_base_path(base: str, config: str) -> tuple[str, str | None]:
        """Return path and scope of a base."""
        if "::" in base:  # MMEngine resolves "package::config" itself
            return get_cfg_path(base, config)
        return str(find_base_config(base, config)), None

    Config._get_cfg_path = staticmethod(get_base_path)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(get_cfg_path)


def _remove_package_scope(part: Any) -> None:
    """Remove, in place, ``_scope_="rotated_atss"``, which MMEngine adds to parts inherited from ``rotated_atss::...``.

    There are no registries of the scope ``rotated_atss``. Without ``_scope_``, MMEngine finds the classes in the
    config's default scope.
    """
    if isinstance(part, dict):
        if part.get("_scope_") == "rotated_atss":
            del part["_scope_"]
        for value in part.values():
            _remove_package_scope(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _remove_package_scope(value)


def require_keys(cfg: Config, *keys: str) -> None:
    """Raise an error unless a config has all of these top-level keys.

    Example:
        >>> require_keys(Config(dict(model=dict(type="ATSS"))), "model")
    """
    for key in keys:
        if cfg.get(key) is None:
            raise UserError(f"this config has no {key}", where=cfg.filename, hint="give the config of a model")


def build_model(cfg: Config) -> nn.Module:
    """Build the detector of a config, without loading weights.

    Raises:
        UserError: A part of the model does not exist or does not fit the others.

    Example:
        >>> model = build_model(load_config("rotated_atss_obb_r18_demo_le90"))
        >>> type(model.backbone).__name__
        'ResNet'
    """
    restrict_checkpoint_loading()
    with report_build_errors("this model", where=cfg.filename):
        return MODELS.build(copy.deepcopy(cfg.model))  # a copy, because building adds settings to the config of a head


def find_test_dataset(cfg: Config) -> dict:
    """Return the config of the test dataset, without wrappers such as ``RepeatDataset``.

    If the config has no test data loader, return the config of the validation dataset. If it has no validation data
    loader, either, return an empty dict.

    Example:
        >>> find_test_dataset(Config(dict(test_dataloader=dict(dataset=dict(type="DOTADataset")))))["type"]
        'DOTADataset'
    """
    dataloader = cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}
    dataset = dataloader.get("dataset") or {}
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), dict):
        dataset = dataset["dataset"]
    return dataset
