"""Reading TOML strictly: unknown keys, missing keys and wrong types are errors that name the file,
the key and what was expected there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpuenv.core.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

VERSION = re.compile(r"\d+(\.\d+)+")
SHA256 = re.compile(r"[0-9a-f]{64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SONAME = re.compile(r"lib[\w+.-]+\.so(\.\d+)*")


def load_table(path: Path) -> Table:
    """Read a TOML file whose every key is known. Raises DataError as :func:`read_toml` does."""
    return Table(read_toml(path), path)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises DataError when it is missing, not UTF-8 or not TOML."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _bad(path, "the file is missing", "restore it from version control") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(path, f"it cannot be read as TOML: {error}", "correct the file") from error
    return values


class Table:
    """One TOML table; every read marks its key as known, and :meth:`close` refuses the rest."""

    def __init__(self, values: dict[str, Any], path: Path, prefix: str = "") -> None:
        self._values = values
        self._known: set[str] = set()
        self.path = path
        self.prefix = prefix

    def text(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "") -> str:
        """A non-empty string, matching ``pattern`` as a whole if one is given."""
        value = self._take(key, str, "a string")
        if not value or (pattern and not pattern.fullmatch(value)):
            raise self.error(key, f"expected {expected or 'a non-empty string'}, found {value!r}")
        return value

    def version(self, key: str) -> str:
        """A dotted version such as ``"10.0"``."""
        return self.text(key, VERSION, 'a dotted version such as "10.0"')

    def flag(self, key: str, default: bool) -> bool:
        """A boolean; ``default`` when the key is absent."""
        return self._take(key, bool, "true or false") if key in self._values else default

    def count(self, key: str) -> int:
        """A positive whole number."""
        value = self._take(key, int, "a positive whole number")
        if isinstance(value, bool) or value <= 0:
            raise self.error(key, f"expected a positive whole number, found {value!r}")
        return value

    def texts(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "") -> tuple[str, ...]:
        """A non-empty array of distinct strings, each matching ``pattern`` as a whole."""
        values = self._take(key, list, "an array of strings")
        for value in values:
            if not isinstance(value, str) or (pattern and not pattern.fullmatch(value)):
                raise self.error(key, f"expected {expected or 'strings'}, found {value!r}")
        if not values or len(set(values)) != len(values):
            raise self.error(key, f"expected a non-empty array without repetition, found {values!r}")
        return tuple(values)

    def optional_texts(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "") -> tuple[str, ...]:
        """As :meth:`texts`; empty when the key is absent."""
        return self.texts(key, pattern, expected) if key in self._values else ()

    def table(self, key: str, read: Callable[[Self], T]) -> T:
        """A sub-table, handed to ``read`` and closed after it."""
        return self._read(self._take(key, dict, "a table"), f"{self.prefix}{key}.", read)

    def optional_table(self, key: str, read: Callable[[Self], T]) -> T | None:
        """As :meth:`table`; None when the key is absent."""
        return self.table(key, read) if key in self._values else None

    def tables(self, key: str, read: Callable[[Self], T]) -> tuple[T, ...]:
        """A non-empty array of tables, each handed to ``read`` and closed after it."""
        items = self._take(key, list, "an array of tables")
        if not items or not all(isinstance(item, dict) for item in items):
            raise self.error(key, "expected a non-empty array of tables")
        return tuple(self._read(item, self.item_prefix(key, number, item), read) for number, item in enumerate(items))

    def item_prefix(self, key: str, number: int, item: Mapping[str, Any]) -> str:  # noqa: ARG002 - for other kinds
        """What stands before the keys of one table of an array in an error; ``number`` counts from 0."""
        return f"{self.prefix}{key}[{number}]."

    def close(self) -> None:
        """Refuse keys that nobody read."""
        for key in self._values:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                raise self.error(key, f"this key is not known; known here: {known}")

    def error(self, key: str, problem: str) -> DataError:
        """The error for one key, ready to be raised."""
        return _bad(self.path, f"{self.prefix}{key}: {problem}", "correct that key")

    def _read(self, values: dict[str, Any], prefix: str, read: Callable[[Self], T]) -> T:
        table = type(self)(values, self.path, prefix)
        result = read(table)
        table.close()
        return result

    def _take(self, key: str, kind: type[T], expected: str) -> T:
        self._known.add(key)
        if key not in self._values:
            raise self.error(key, f"this key is missing; expected {expected}")
        value = self._values[key]
        if not isinstance(value, kind):
            raise self.error(key, f"expected {expected}, found {value!r}")
        return value


def _bad(path: Path, why: str, next_step: str) -> DataError:
    return DataError(f"{path} is not usable", why, f"{next_step}; the format is described in docs/variants.md")
