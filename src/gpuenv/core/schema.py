"""Reads TOML into msgspec's structs; unknown keys, missing keys and wrong values are errors that name the file,
the key and what was expected there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, inspect

from gpuenv.core import atomic
from gpuenv.core.errors import DataError, nearest

Text = Annotated[str, Meta(min_length=1, description="a non-empty string")]
Version = Annotated[str, Meta(pattern=r"^\d+(\.\d+)+\Z", description='a dotted version such as "10.0"')]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\Z", description="a name in lower case")]
Soname = Annotated[str, Meta(pattern=r"^lib[\w+.-]+\.so(\.\d+)*\Z", description='SONAMEs such as "libcudart.so.10.0"')]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="64 hexadecimal digits")]
Count = Annotated[int, Meta(ge=1, description="a positive whole number")]

_KINDS = {"str": "a string", "int": "a positive whole number", "bool": "true or false", "object": "a table"}


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a file. Its ``__post_init__`` checks what no single key tells: it raises ValueError("<key>: ...")."""

    def __post_init__(self) -> None:
        """No array of strings holds one twice."""
        for key, name in zip(self.__struct_encode_fields__, self.__struct_fields__):
            value = getattr(self, name)
            if isinstance(value, tuple) and value and isinstance(value[0], str) and len(set(value)) != len(value):
                raise ValueError(f"{key}: expected an array without repetition, found {list(value)!r}")


#: The largest file of the project (explain's entries about indexes) has 83 000 bytes.
LIMIT_BYTES = 250_000
#: Its longest line has 623. A key of 100 000 parts, which stands on one, takes gigabytes to be read.
LIMIT_LINE = 1000

D = TypeVar("D", bound=Data)


def read_toml(path: Path, guide: str = "docs/variants.md") -> dict[str, Any]:
    """Read a TOML file. Raises DataError when it is missing, not UTF-8 or not TOML; ``guide`` describes the format."""
    try:
        values: dict[str, Any] = msgspec.toml.decode(_text_of(path))
    except FileNotFoundError as error:
        raise unusable(
            path, "it is no file" if path.exists() else "the file is missing", "restore it from version control", guide
        ) from error
    except (OSError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise unusable(path, f"it cannot be read as TOML: {error}", "correct the file", guide) from error
    return values


def _text_of(path: Path) -> str:
    text = atomic.read_bytes(path, LIMIT_BYTES).decode("utf-8")
    if max(map(len, text.split("\n"))) > LIMIT_LINE:
        raise ValueError(f"it has a line of more than {LIMIT_LINE} characters")
    return text


def load(path: Path, kind: type[D], /, guide: str = "docs/variants.md", **given: object) -> D:
    """Read a TOML file as ``kind``, whose fields ``given`` do not stand in the file. Raises DataError."""
    values = read_toml(path, guide)
    for key in values.keys() & given.keys():
        raise unusable(path, f"{key}: this key is not known", "remove that key", guide)
    try:
        return msgspec.convert({**values, **given}, kind, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        try:
            why = _explain(error, kind, values, frozenset(given))
        except (ValueError, RecursionError):  # Python shows no number of thousands of digits, nor what is nested so
            why = str(error)
        raise unusable(path, why, "correct that key", guide) from error


def _from_text(kind: type, value: object) -> object:
    """What msgspec does not know: values that were given, and regular expressions."""
    if kind is re.Pattern and isinstance(value, str):
        try:
            return re.compile(value)
        except re.error as error:
            raise ValueError(f"expected a regular expression, found {value!r}: {error}") from error
    if isinstance(value, kind):
        return value
    raise ValueError(f"expected a string, found {value!r}")


def _explain(error: msgspec.ValidationError, kind: type[Data], values: Any, given: frozenset[str]) -> str:
    """msgspec's error as ``<key>: <what is wrong>``, with what the descriptions of the fields expect there."""
    problem, _, where = str(error).removesuffix("`").partition(" - at `$")
    key, here, value = "", inspect.type_info(kind), values
    for step in re.findall(r"\.[^.\[]+|\[[^][]+\]", where):
        key, here, value = _enter(key, step, _bare(here), value)
    key = key.lstrip(".")
    table = _bare(here)
    match = re.fullmatch(r"Object (?:missing required|contains unknown) field `(.+?)`?", problem)
    if match and isinstance(table, inspect.StructType):
        fields = {field.encode_name: field.type for field in table.fields if field.encode_name not in given}
        inner = f"{key}.{match[1]}".lstrip(".")
        if match[1] in fields:
            return f"{inner}: this key is missing; expected {_expected(fields[match[1]])}"
        near = nearest(match[1], fields)
        hint = f"; did you mean {near}?" if near else ""
        return f"{inner}: this key is not known; known here: {', '.join(sorted(fields))}{hint}"
    if error.__cause__ is not None:
        return f"{key}.{problem}".lstrip(".") if isinstance(table, inspect.StructType) else f"{key}: {problem}"
    found = re.match(r"Expected `(\w+)\b[^`]*`, got", problem)
    expected = _KINDS.get(found[1]) if found else None
    key = re.sub(r"\[\d+\]$", "", key)
    return f"{key}: expected {expected or _expected(here)}, found {value!r}"


def _enter(key: str, step: str, here: inspect.Type, value: Any) -> tuple[str, inspect.Type, Any]:
    """One step of a path such as ``$.component[0].derive[...]`` further: the key, the type and the value there."""
    if isinstance(here, inspect.StructType):
        inner = next(field.type for field in here.fields if field.encode_name == step[1:])
        return key + step, inner, value[step[1:]]
    if isinstance(here, inspect.DictType):
        # msgspec does not say which: the first that is not as expected.
        name = next((name for name, one in value.items() if not _fits(one, here.value_type)), "")
        return f"{key}.{name}", here.value_type, value.get(name)
    inner = here.item_type if isinstance(here, inspect.VarTupleType) else here
    value = value[int(step[1:-1])]
    # An entry of a catalog is called by its id.
    name = value.get("id") if isinstance(value, dict) else None
    return f'{key}["{name}"]' if name else key + step, inner, value


def _bare(kind: inspect.Type) -> inspect.Type:
    """A type without its description, and without that it may be absent."""
    while isinstance(kind, (inspect.Metadata, inspect.UnionType)):
        kind = kind.type if isinstance(kind, inspect.Metadata) else kind.types[0]
    return kind


def _fits(value: object, kind: inspect.Type) -> bool:
    try:
        msgspec.convert(value, kind.cls if isinstance(kind, inspect.StructType) else Text, dec_hook=_from_text)
    except msgspec.ValidationError:
        return False
    return True


def _expected(kind: inspect.Type) -> str:
    """What a field expects: its description, or else that of its type."""
    kind = kind.types[0] if isinstance(kind, inspect.UnionType) else kind
    if isinstance(kind, inspect.Metadata) and kind.extra_json_schema:
        return str(kind.extra_json_schema["description"])
    kind = _bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, inspect.VarTupleType):
        tables = isinstance(_bare(kind.item_type), inspect.StructType)
        return "a non-empty array of tables" if tables else f"a non-empty array: {_expected(kind.item_type)}"
    return {inspect.BoolType: "true or false", inspect.StructType: "a table"}.get(type(kind), "a string")


def unusable(path: Path, why: str, next_step: str, guide: str = "docs/variants.md") -> DataError:
    """The error for a file that cannot be used; ``guide`` describes the format."""
    return DataError(f"{path} is not usable", why, f"{next_step}; the format is described in {guide}")
