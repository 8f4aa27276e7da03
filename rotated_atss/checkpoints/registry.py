"""The registry of published model files: names, URLs, hashes, licenses and published accuracy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from rotated_atss.checkpoints._field_checks import (
    build_dataclass,
    check_choice,
    check_number,
    check_string,
    field_error,
    set_field,
)
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes

REGISTRY_PATH = Path(__file__).with_name("registry.json")  # the registry file of this package
REGISTRY_VARIABLE = "ROTATED_ATSS_REGISTRY"
FORMAT = 1  # version of the format of registry files
KINDS = ("detector", "backbone")
SCHEMES = ("http", "https", "file")
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,127}", re.ASCII)
_HASH_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True)
class RegistryEntry:
    """A published model file.

    Attributes:
        name: Name on the command line.
        kind: ``detector``, or ``backbone`` for a file that only initializes the backbone of a detector.
        url: URL of the file.
        sha256_prefix: First 8 to 64 hexadecimal digits of the file's SHA-256, as many as the publisher gives;
            :func:`rotated_atss.checkpoints.publish.publish` writes all 64.
        license: License of the project that published the file. The license of the training data can further restrict
            the use of the file.
        source: Publisher of the file.
        published: Reported accuracy as free text.
        config: Config of this package with the same model; None for a backbone, or for a file with model metadata.
        size_mb: Size in megabytes (10^6 bytes), rounded; None if unknown.

    Raises:
        UserError: A value is wrong.

    Example:
        >>> load_registry()["resnet50"].file_name
        'resnet50-0676ba61.pth'
    """

    name: str
    kind: str
    url: str
    sha256_prefix: str
    license: str
    source: str
    published: str = ""
    config: str | None = None
    size_mb: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(check_string("name", self.name)):
            raise field_error("name", "letters, digits, '.', '+', '-' and '_'", self.name)
        check_choice("kind", self.kind, KINDS)
        if urlsplit(check_string("url", self.url)).scheme not in SCHEMES:
            raise field_error("url", f"a URL with the scheme {', '.join(SCHEMES)}", self.url)
        if Path(self.file_name).suffix not in (".pth", ".safetensors"):
            raise field_error("url", "the URL of a .pth or .safetensors file", self.url)
        if not _HASH_PREFIX.fullmatch(check_string("sha256_prefix", self.sha256_prefix)):
            raise field_error("sha256_prefix", "8 to 64 hexadecimal digits", self.sha256_prefix)
        check_string("license", self.license)
        check_string("source", self.source)
        if self.config is not None:
            check_string("config", self.config)
        if self.size_mb is not None:
            set_field(self, "size_mb", check_number("size_mb", self.size_mb, low=0))

    @property
    def file_name(self) -> str:
        """File name at the end of the URL, with percent-encoding decoded. The file has the same name in the cache."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


def load_registry(path: str | Path | None = None) -> dict[str, RegistryEntry]:
    """Load the registry of this package, and add the entries of another registry file if one is given.

    Args:
        path: The other file, such as the ``models.json`` of a published folder. URLs in this file can be relative to
            the folder that contains it. Its entries replace entries of the same name. If ``path`` is None, it is read
            from the environment variable ``ROTATED_ATSS_REGISTRY``; if that is not set either, no other file is loaded.

    Returns:
        Entries by name.

    Raises:
        UserError: A file is missing or not a registry.

    Example:
        >>> load_registry()["rotated_atss_obb_r50_fpn_1x_dota_le90"].published
        'mAP 70.64, DOTA v1.0 test'
    """
    path = path or os.environ.get(REGISTRY_VARIABLE)
    registry: dict[str, RegistryEntry] = {}
    for file in [REGISTRY_PATH, path] if path else [REGISTRY_PATH]:
        for name, value in read_entries(file).items():
            registry[name] = parse_entry(value, file)
    return registry


def read_entries(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read and check a registry file.

    Args:
        path: A JSON file.

    Returns:
        The JSON object of each entry by name, checked but unchanged, so that it can be written again.

    Raises:
        UserError: The file is missing or not a registry, or an entry is wrong.

    Example:
        >>> read_entries(REGISTRY_PATH)["resnet18"]["sha256_prefix"]
        'f37072fd'
    """
    hint = "write it with: rotated-atss models publish"
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError("not a registry of models: not valid JSON", where=path, hint=hint) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("models"), list):
        what = f"not a registry of models: it must be an object with format {FORMAT} and a list of models"
        raise UserError(what, where=path, hint=hint)
    entries: dict[str, dict[str, Any]] = {}
    for index, value in enumerate(content["models"]):
        try:
            name = parse_entry(value, path).name
        except UserError as error:
            raise UserError(f"models[{index}]: {error.what}", where=path) from None
        if name in entries:
            raise UserError(f"models[{index}]: the name {name} is listed twice", where=path)
        entries[name] = value
    return entries


def parse_entry(value: Any, path: str | Path) -> RegistryEntry:
    """Check an entry of a registry file and resolve its URL.

    Args:
        value: The JSON value of the entry.
        path: The registry file. A URL without a scheme is relative to the folder of this file.

    Raises:
        UserError: A field is missing or unknown, or a value is wrong.

    Example:
        >>> value = dict(name="a", kind="backbone", url="a.pth", sha256_prefix="0" * 8, license="MIT", source="me")
        >>> parse_entry(value, "/models/models.json").url
        'file:///models/a.pth'
    """
    if isinstance(value, dict) and isinstance(value.get("url"), str) and not urlsplit(value["url"]).scheme:
        value = {**value, "url": urljoin(f"{Path(path).resolve().parent.as_uri()}/", value["url"])}
    return build_dataclass(RegistryEntry, "the entry", value)


def find_entry(name: str, registry: dict[str, RegistryEntry] | None = None) -> RegistryEntry:
    """Return the entry of a model.

    Args:
        name: Name of the model, or of a config to which exactly one model belongs.
        registry: Entries by name; None loads the registry.

    Raises:
        UserError: There is no model of this name. The hint lists similar names.

    Example:
        >>> find_entry("resnet5")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: no such model: 'resnet5' (nearest: resnet50, ...
    """
    registry = load_registry() if registry is None else registry
    entry = look_up(name, registry)
    if entry is None:
        hint = f"{similar_names_hint(name, list(registry))}all names: rotated-atss models list"
        raise UserError(f"no such model: '{name}'", hint=hint)
    return entry


def find_file_or_entry(name: str | Path) -> Path | RegistryEntry:
    """Return the path of a checkpoint, or the registry entry of a model.

    Args:
        name: Path of a checkpoint. If no such file exists, the name of a model, or of a config to which exactly one
            model belongs.

    Raises:
        UserError: There is neither such a file nor such an entry.

    Example:
        >>> find_file_or_entry("resnet50").kind
        'backbone'
    """
    if Path(name).is_file():
        return Path(name)
    registry = load_registry()
    entry = look_up(str(name), registry)
    if entry is None:
        hint = f"{similar_names_hint(str(name), list(registry))}all names: rotated-atss models list"
        raise UserError("no such checkpoint, and no model of this name", where=name, hint=hint)
    return entry


def look_up(name: str, registry: dict[str, RegistryEntry]) -> RegistryEntry | None:
    """Return the entry of a model.

    Args:
        name: Name of the model, or of a config to which exactly one model belongs.
        registry: Entries by name.

    Returns:
        The entry, or None if there is no such model.

    Example:
        >>> look_up("resnet5", load_registry()) is None
        True
    """
    if name in registry:
        return registry[name]
    entries_of_config = [entry for entry in registry.values() if entry.config == name]
    return entries_of_config[0] if len(entries_of_config) == 1 else None


def similar_names_hint(name: str, names: Sequence[str]) -> str:
    """Return the start of an error hint with the most similar names; empty if no name is similar.

    Example:
        >>> similar_names_hint("resnet5", ["resnet50", "atss"])
        'nearest: resnet50; '
    """
    similar_names = get_close_matches(name, names, n=3)
    return f"nearest: {', '.join(similar_names)}; " if similar_names else ""


def registry_bytes(entries: Iterable[dict[str, Any]]) -> bytes:
    """Encode registry entries, given as JSON objects, as the content of a registry file.

    Example:
        >>> json.loads(registry_bytes([]))
        {'format': 1, 'models': []}
    """
    return (json.dumps({"format": FORMAT, "models": list(entries)}, indent=1, ensure_ascii=False) + "\n").encode()
