"""Results as files: a frozen dataclass as JSON with its checksum, whole or not there, and read back as what it was."""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from alexnet_core.files import sha256_of_values, write_json

FORMAT_VERSION = 1

T = TypeVar("T")


def to_json(report: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(report)))
    return plain


def save_sealed(report: Any, path: Path) -> None:
    """Write a dataclass with its checksum, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = to_json(report)
    write_json(path, {"format_version": FORMAT_VERSION, "sha256": sha256_of_values(content), "report": content})


def read_sealed(path: Path, kind: type[T]) -> T:
    """A dataclass from its file. Raises ``ValueError`` if it is torn, altered or of another format or kind."""
    try:
        whole = json.loads(path.read_bytes())
        if (version := whole["format_version"]) != FORMAT_VERSION:
            raise ValueError(f"its format is {version}, this code reads {FORMAT_VERSION}")
        if sha256_of_values(whole["report"]) != whole["sha256"]:
            raise ValueError("its contents do not give its checksum")
        return from_json(kind, whole["report"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a readable lesion result ({error}); delete it and measure again.") from error


def from_json(kind: type[T], value: Any) -> T:
    """A dataclass from `to_json` of it. Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it misfits."""
    return cast(T, _decoded(kind, value))


def _decoded(kind: Any, value: Any) -> Any:
    """The value of a type of the report from its JSON form. Raises ``KeyError`` or ``TypeError`` where it misfits."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{item.name: _decoded(hints[item.name], value[item.name]) for item in fields(kind)})
    inner = get_args(kind)
    if get_origin(kind) is UnionType and value is not None:  # of a dataclass and None
        return _decoded(inner[0], value)
    if get_origin(kind) is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_decoded(each, entry) for each, entry in zip(kinds, value, strict=True))
    if get_origin(kind) is dict:
        return {name: _decoded(inner[1], entry) for name, entry in value.items()}
    return value
