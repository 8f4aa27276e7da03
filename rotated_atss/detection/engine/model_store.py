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
        The local file, and the conversion (None if nothing was converted). The file of a detector is a model file with
        metadata: the converted file, or the downloaded file if it has metadata. The file of a backbone is the
        downloaded file.

    Raises:
        UserError: The file cannot be downloaded or converted, or its hash differs from the registry.

    Example::

        path, _ = provide_model(find_entry("rotated_atss_obb_r50_fpn_1x_dota_le90"))
    """
    source = fetch(entry, progress=progress)
    if is_usable(entry, source):  # without conversion: a backbone, or a file with metadata
        return source, None
    out = cache_folder() / f"{entry.name}.pth"
    info = read_model_info(out) if out.is_file() else None
    # The origin of a converted file ends in the name of its source. The cache can contain the conversion of an earlier
    # source of this entry.
    if info is not None and (info.origin or "").endswith(f", {source.name}"):
        return out, None
    converted = convert_file(source, config=entry.config)
    pth_path, _ = save_weights(out, converted.conversion.state, converted.meta)
    return pth_path, converted


def find_start_weights(name: str | Path) -> tuple[Path, bool]:
    """Return the file that a training starts from, and whether only its backbone is used.

    Args:
        name: A checkpoint, or a name of the registry.

    Raises:
        UserError: It is neither, or its file cannot be downloaded or converted.

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
