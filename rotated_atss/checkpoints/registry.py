"""The registry of published model files: names, addresses, hashes, licenses and published results."""

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

from rotated_atss.checkpoints import _record_fields as check
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes

REGISTRY = Path(__file__).with_name("registry.json")
REGISTRY_VARIABLE = "ROTATED_ATSS_REGISTRY"
FORMAT = 1
KINDS = ("detector", "backbone")
SCHEMES = ("http", "https", "file")
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,127}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True)
class RegistryEntry:
    """A published model file.

    Attributes:
        name: Name on the command line.
        kind: ``detector``, or ``backbone`` for a file of which only the backbone is used.
        url: Address of the file.
        sha256_prefix: First 8 to 64 hexadecimal digits of the file's SHA-256, as many as its publisher states;
            :func:`rotated_atss.checkpoints.publish.publish` writes all 64.
        license: License of the project that published the file. The license of the training data can restrict its use
            further.
        source: Publisher of the file.
        published: Reported accuracy as free text.
        config: Config of this package with the same model; None for a backbone, or for a model file with a record.
        size_mb: Size in megabytes (10^6 bytes), rounded; None if not stated.

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
        if not _NAME.fullmatch(check.check_text("name", self.name)):
            raise check.wrong_value("name", "letters, digits, '.', '+', '-' and '_'", self.name)
        check.check_choice("kind", self.kind, KINDS)
        if urlsplit(check.check_text("url", self.url)).scheme not in SCHEMES:
            raise check.wrong_value("url", f"an address with {', '.join(SCHEMES)}", self.url)
        if Path(self.file_name).suffix not in (".pth", ".safetensors"):
            raise check.wrong_value("url", "the address of a .pth or .safetensors file", self.url)
        if not _HEX.fullmatch(check.check_text("sha256_prefix", self.sha256_prefix)):
            raise check.wrong_value("sha256_prefix", "8 to 64 hexadecimal digits", self.sha256_prefix)
        check.check_text("license", self.license)
        check.check_text("source", self.source)
        if self.config is not None:
            check.check_text("config", self.config)
        if self.size_mb is not None:
            check.set_value(self, "size_mb", check.check_number("size_mb", self.size_mb, 0))

    @property
    def file_name(self) -> str:
        """Name of the file at the address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


def load_registry(path: str | Path | None = None) -> dict[str, RegistryEntry]:
    """Load the registry of this package, or another one with entries of the same form.

    Args:
        path: A registry file, such as the ``models.json`` of a published folder, whose entries are added to those of
            the package. Addresses can be relative to the file. None reads the environment variable
            ``ROTATED_ATSS_REGISTRY``, if it is set.

    Returns:
        Entries by name.

    Raises:
        UserError: A file is missing or not a registry.

    Example:
        >>> load_registry()["rotated_atss_obb_r50_fpn_1x_dota_le90"].published
        'mAP 70.64, DOTA v1.0 test'
    """
    path = path or os.environ.get(REGISTRY_VARIABLE)
    files = [REGISTRY, path] if path else [REGISTRY]
    return {name: parse_entry(value, file) for file in files for name, value in read_entries(file).items()}


def read_entries(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read the entries of a registry file as they are written, by name.

    Args:
        path: A JSON file.

    Raises:
        UserError: The file is missing or not a registry, or an entry is wrong.

    Example:
        >>> read_entries(REGISTRY)["resnet18"]["sha256_prefix"]
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
    """Check an entry of a registry file and resolve its address.

    Args:
        value: The entry.
        path: The registry file, to whose folder an address without a scheme is relative.

    Raises:
        UserError: A value is missing, unknown or wrong.

    Example:
        >>> value = dict(name="a", kind="backbone", url="a.pth", sha256_prefix="0" * 8, license="MIT", source="me")
        >>> parse_entry(value, "/models/models.json").url
        'file:///models/a.pth'
    """
    if isinstance(value, dict) and isinstance(value.get("url"), str) and not urlsplit(value["url"]).scheme:
        value = {**value, "url": urljoin(f"{Path(path).resolve().parent.as_uri()}/", value["url"])}
    return check.build_record(RegistryEntry, "the entry", value)


def find_entry(name: str, registry: dict[str, RegistryEntry] | None = None) -> RegistryEntry:
    """Return the entry of a model.

    Args:
        name: Name of the model.
        registry: Entries by name; None loads the registry.

    Raises:
        UserError: There is no model of this name. The hint lists similar names.

    Example:
        >>> find_entry("resnet5")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: no such model, got 'resnet5' (nearest: resnet50, ...
    """
    registry = load_registry() if registry is None else registry
    if name in registry:
        return registry[name]
    raise UserError(
        f"no such model, got '{name}'", hint=f"{near_names(name, list(registry))}all names: rotated-atss models list"
    )


def find_file_or_entry(name: str | Path) -> Path | RegistryEntry:
    """Return ``name`` as a path if that file exists, or else the registry entry of that name.

    Raises:
        UserError: There is neither a file nor an entry.

    Example:
        >>> find_file_or_entry("resnet50").kind
        'backbone'
    """
    if Path(name).is_file():
        return Path(name)
    registry = load_registry()
    if str(name) not in registry:
        hint = f"{near_names(str(name), list(registry))}all names: rotated-atss models list"
        raise UserError("no such checkpoint, and no model of this name", where=name, hint=hint)
    return registry[str(name)]


def near_names(name: str, names: Sequence[str]) -> str:
    """Return a hint with the most similar names, or an empty text.

    Example:
        >>> near_names("resnet5", ["resnet50", "atss"])
        'nearest: resnet50; '
    """
    near = get_close_matches(name, names, n=3)
    return f"nearest: {', '.join(near)}; " if near else ""


def registry_bytes(entries: Iterable[dict[str, Any]]) -> bytes:
    """Format entries as a registry file.

    Example:
        >>> json.loads(registry_bytes([]))
        {'format': 1, 'models': []}
    """
    return (json.dumps({"format": FORMAT, "models": list(entries)}, indent=1, ensure_ascii=False) + "\n").encode()
