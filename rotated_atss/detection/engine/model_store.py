"""Download published models, convert them to this package's parameter names, and cache the result."""

from __future__ import annotations

from pathlib import Path

from rotated_atss.checkpoints.download import cache_folder, fetch, is_usable
from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.registry import RegistryEntry, find_file_or_entry
from rotated_atss.checkpoints.weight_files import save_weights
from rotated_atss.detection.engine.convert_file import ConvertedFile, convert_file


def provide_model(entry: RegistryEntry, *, progress: bool | None = None) -> tuple[Path, ConvertedFile | None]:
    """Download the file of a registry entry and convert it, unless the converted file is cached.

    Args:
        entry: A published detector or backbone.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The path of the local file, and the result of the conversion. The conversion is None if this call converted
        nothing. For a backbone, the local file is the downloaded file. For a detector, it is a model file: the
        downloaded file if that has model metadata, otherwise the converted file.

    Raises:
        UserError: The file cannot be downloaded or converted, or its hash differs from the registry.

    Example::

        path, _ = provide_model(find_entry("rotated_atss_obb_r50_fpn_1x_dota_le90"))
    """
    source = fetch(entry, progress=progress)
    if is_usable(entry, source):  # a backbone, or a file with model metadata, needs no conversion
        return source, None
    out = cache_folder() / f"{entry.name}.pth"
    info = read_model_info(out) if out.is_file() else None
    # The registry may have named another source file for this entry when the cached file was converted. The origin in
    # the metadata ends in the name of the source file, so the cached file is used only if that is the current source.
    if info is not None and (info.origin or "").endswith(f", {source.name}"):
        return out, None
    converted = convert_file(source, config=entry.config)
    pth_path, _ = save_weights(out, converted.conversion.state, converted.meta)
    return pth_path, converted


def find_start_weights(name: str | Path) -> tuple[Path, bool]:
    """Return the path of the weights that a training run starts from, and whether only the backbone is loaded from it.

    Args:
        name: Path of a checkpoint, or name of a published model in the registry.

    Raises:
        UserError: ``name`` is neither a checkpoint nor a published model, or the model cannot be downloaded or
            converted.

    Example:
        >>> find_start_weights("no_such_model")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: no_such_model: no such checkpoint, and no model of this name ...
    """
    file_or_entry = find_file_or_entry(name)
    if isinstance(file_or_entry, Path):
        return file_or_entry, False
    return provide_model(file_or_entry)[0], file_or_entry.kind == "backbone"
