"""Publish models: write model files, and a registry with their SHA-256 hashes, to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from rotated_atss.checkpoints.model_info import KEY, ModelInfo
from rotated_atss.checkpoints.registry import parse_entry, read_entries, registry_bytes
from rotated_atss.checkpoints.weight_files import safetensors_bytes
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write_all

REGISTRY_NAME = "models.json"


def publish(
    folder: str | Path,
    name: str,
    state: Mapping[str, Tensor],
    info: ModelInfo,
    *,
    license: str,
    source: str,
    published: str = "",
) -> Path:
    """Write a model to a folder as ``NAME-<hash>.safetensors``, and the model's registry entry to ``models.json``.

    Any web server can serve the folder. :func:`rotated_atss.checkpoints.registry.load_registry` reads ``models.json``.

    Args:
        folder: A new folder, or one with published models.
        name: Name of the model.
        state: Weights by name.
        info: The model metadata.
        license: License of the weights.
        source: Publisher of the weights.
        published: Reported accuracy as free text, such as "AP50 70.64, DOTA-v1.0 test"; empty if there is none.

    Returns:
        The written model file.

    Raises:
        UserError: The folder already has a different model of this name, or a file cannot be written.

    Example::

        publish("published", "harbors", state, info, license="CC-BY-4.0", source="Port authority")
    """
    registry_path = Path(folder) / REGISTRY_NAME
    entries = read_entries(registry_path) if registry_path.is_file() else {}
    content = safetensors_bytes(dict(state), {KEY: info.to_json(), "dataset_meta": {"classes": list(info.classes)}})
    digest = hashlib.sha256(content).hexdigest()
    # registries of other sources may give only the first digits of a hash; this one gives the whole hash
    entry = {
        "name": name, "kind": "detector", "url": f"{name}-{digest[:8]}.safetensors", "sha256_prefix": digest,
        "size_mb": round(len(content) / 1e6, 3), "license": license, "source": source, "published": published,
    }  # fmt: skip
    file_name = parse_entry(entry, registry_path).file_name  # also checks the name and the other values
    path = Path(folder) / file_name
    if name in entries and entries[name]["sha256_prefix"] != digest:
        hint = "choose another --name, or remove the entry of the published model"
        what = f"a different model named '{name}' is already published in this folder"
        raise UserError(what, where=registry_path, hint=hint)
    atomic_write_all({path: content, registry_path: registry_bytes({**entries, name: entry}.values())})
    return path
