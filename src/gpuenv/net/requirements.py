"""Reads a user's requirements file with all that it names on this machine, for a build that sees none of it.

Files that a line names (``-r``, ``-c``, ``-f``, wheels and archives) are taken along, and the line then names the copy;
every other line reaches pip as it was written. A path is one below the folder of the file that names it. ``${TOKEN}``
reaches pip unexpanded, and its value as a secret of the build: a build's files stay in the engine's cache.
"""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from gpuenv.core import atomic
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings, in_utf8

#: Where the build finds what was taken along.
INSIDE = "/run/added"
MAIN = "main.txt"
#: What pip installs from a file; the others that it can unpack are not in use.
ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")
#: What all requirements files may have together (bytes): a line with 50 hashes has 4000, so a thousand of these.
TEXT_BYTES = 4_000_000
#: How many requirements files: each may name the next one, and Python follows some 140.
MOST_TEXTS = 100
#: What all archives may have together (bytes): they are copied for the build. The largest wheels on PyPI have 3 GB.
ARCHIVE_BYTES = 20_000_000_000
RENAME = "rename that file (`convmv -f EUC-KR -t UTF-8 --notest`)"

#: The path goes on to the next option. None of these takes more than linear time, whatever the line.
_FILE_OPTION = re.compile(
    r"(?P<before>(?<!\S)(?P<option>-r|-c|-f|-e|--requirement|--constraint|--find-links|--editable)(?:\s*=)?\s*)"
    r"(?P<path>\"[^\"]+\"|'[^']+'|\S+(?:\s+[^\s-]\S*)*)"
)
#: Before ``where`` there may be ``name @``, and behind it a marker, or options such as --hash.
_NAME = re.compile(r"[\w.-]+(?:\[[^\]]*\])?\s*@\s*(?=\S)")
_REST = re.compile(r";|\s--")
_COMMENT = re.compile(r"(?:^|\s)#.*")
#: A line of its own: a backslash at its end continues nothing.
_COMMENT_LINE = re.compile(r"^[^\S\n]*#.*$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_VERSION_CONTROL = re.compile(r"(git|hg|svn|bzr)\+")


@dataclass(frozen=True)
class Requirements:
    """A requirements file, and what it names. ``texts`` and ``files`` are by their names below :data:`INSIDE`.

    ``name`` is what people call it; ``variables`` are the values of those in the texts that are set.
    """

    name: str
    texts: Mapping[str, str]
    files: Mapping[str, Path]
    variables: Mapping[str, str] = field(repr=False)

    def digest(self) -> str:
        """SHA-256 (hex) of all content and values at once, so that no single value can be guessed by it."""
        total = hashlib.sha256(repr(sorted(self.texts.items())).encode())
        total.update(json.dumps(self.variables, sort_keys=True).encode())
        for name, path in sorted(self.files.items()):
            total.update(f"{name} {_sha256(path)}\n".encode())
        return total.hexdigest()

    def write(self, folder: Path) -> None:
        """Write it all into ``folder``, without the values of variables."""
        for name, text in self.texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, path in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            with atomic.opened(path) as stream, (folder / name).open("wb") as copied:
                shutil.copyfileobj(stream, copied)


def located(settings: Settings, work: Path) -> Settings:
    """The settings with the place of the file that ADD names: in the work folder, else in the current one.

    Raises UsageError if there is none, or as :func:`load` does.
    """
    if settings.add is None:
        return settings
    places = [folder / settings.add for folder in dict.fromkeys((work, Path.cwd()))]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        told = " or ".join(dict.fromkeys(map(str, places)))
        raise _refused(settings.add, f"there is no file {told}", "name a requirements file, as pip reads it")
    load(found)
    return dataclasses.replace(settings, add=found)


def load(path: Path) -> Requirements:
    """Read a file and what it names. Raises UsageError for what a build cannot have, or what cannot be read."""
    if path.suffix in (".yml", ".yaml"):
        raise _refused(path, "that is a file of conda's, and pip fills images", "name a requirements file of pip's")
    name = in_utf8("ADD", path.name, RENAME)
    reader = _Reader(path)
    reader.take_text(path.resolve(), MAIN)
    used = {match[1] for text in reader.texts.values() for match in _VARIABLE.finditer(text)}
    # As in pip, an empty one is as one that is not set.
    variables = {variable: value for variable in used if (value := os.environ.get(variable))}
    return Requirements(name, reader.texts, reader.files, variables)


@dataclass
class _Reader:
    main: Path
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    _names: dict[Path, str] = field(default_factory=dict)
    _text_left: int = TEXT_BYTES
    _archives_left: int = ARCHIVE_BYTES

    def take_text(self, path: Path, name: str) -> str:
        """Take a requirements file along, each once, whoever names it; its path inside."""
        if path not in self._names:
            if len(self._names) == MOST_TEXTS:
                raise self._refused(f"it leads to more than {MOST_TEXTS} files", "name fewer of them by -r and -c")
            self._names[path] = name
            # Its place among the names is kept while the files that it names are read.
            self.texts[name] = ""
            self.texts[name] = "".join(f"{self._line(line, path)}\n" for line in self._logical_lines(path))
        return f"{INSIDE}/{self._names[path]}"

    def _logical_lines(self, path: Path) -> list[str]:
        try:
            data = atomic.read_bytes(path, self._text_left)
            self._text_left -= len(data)
            # What PowerShell's `pip freeze > requirements.txt` writes.
            is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            text = data.decode("utf-16" if is_wide else "utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise self._refused(f"{path} cannot be read: {error}", "name text in UTF-8, in files") from error
        text = re.sub(r"\\\r?\n", " ", _COMMENT_LINE.sub(" #", text))
        return [_COMMENT.sub("", line).strip() for line in text.splitlines()]

    def _line(self, line: str, of: Path) -> str:
        if line.startswith("-"):
            return _FILE_OPTION.sub(lambda match: self._option(match, of), line)
        match = _NAME.match(line)
        name = match[0] if match else ""
        rest = _REST.search(line, len(name))
        given = line[len(name) : rest.start() if rest else None].rstrip()
        if _VERSION_CONTROL.match(given):
            raise self._refused(
                f"{given} needs git, or its like, which is not in the image",
                "name an archive instead, such as `name @ https://host/project/archive/<commit>.zip`",
            )
        where, bracket, extras = _expanded(given).partition("[")
        if not _is_local(where):
            return line
        inside = self._archive(where, of)
        # Behind a name pip takes an address only.
        inside = f"{name}file://{quote(inside)}" if name else inside
        return f"{inside}{bracket}{extras}{line[len(name) + len(given) :]}"

    def _option(self, match: re.Match[str], of: Path) -> str:
        option, path = match["option"], match["path"]
        where = _expanded(path[1:-1] if path[0] == path[-1] and path[0] in "\"'" else path)
        if option in ("-e", "--editable"):
            raise self._refused(
                f"`{option} {where}` leads to a folder, which is not in the image",
                "set PYTHONPATH to it in the shell, or name a wheel of it (`pip wheel --no-deps <folder>`)",
            )
        take: Callable[[Path], str] = self._take_folder
        if option not in ("-f", "--find-links"):
            take = lambda path: self.take_text(path, f"{len(self.texts)}.txt")  # noqa: E731
        if re.match(r"https?:", where):
            return match[0]
        return f"{match['before']}{take(self._resolve(where, of))}"

    def _archive(self, where: str, of: Path) -> str:
        path = self._resolve(where, of)
        if path.is_dir():
            raise self._refused(
                f"{where} is a folder, which is not in the image",
                "name a wheel of it: `pip wheel --no-deps <folder>` makes one",
            )
        return self._take_file(path, str(len(self.files)))

    def _take_folder(self, path: Path) -> str:
        folder = f"links-{len(self.files)}"
        if not path.is_dir():
            return self._take_file(path, folder)
        for one in sorted(path.iterdir()):
            if one.name.lower().endswith(ARCHIVES) and one.is_file():
                self._take_file(one, folder)
        return f"{INSIDE}/{folder}"

    def _take_file(self, path: Path, folder: str) -> str:
        name = f"{folder}/{in_utf8('ADD', path.name, RENAME)}"
        if not path.is_file():
            raise self._refused(f"{path} is no file", "name an archive, or a folder of archives")
        self._archives_left -= path.stat().st_size
        if self._archives_left < 0:
            raise self._refused(f"what it names has more than {ARCHIVE_BYTES} bytes", "name less, or an address of it")
        self.files[name] = path
        return f"{INSIDE}/{name}"

    def _resolve(self, where: str, of: Path) -> Path:
        try:
            given = unquote(urlsplit(where).path) if where.startswith("file:") else os.path.expanduser(where)  # noqa: PTH111
            path = (of.parent / given).resolve()
            is_there = os.access(path, os.R_OK)
        except (OSError, ValueError, RuntimeError) as error:  # no path at all, or links in a circle
            raise self._refused(f"{of.name} names {where}: {error}", "correct that line") from error
        if not is_there:
            raise self._refused(
                f"{of.name} names {where}, and there is no {path} that can be read", "correct that line"
            )
        return path

    def _refused(self, why: str, remedy: str) -> UsageError:
        return _refused(self.main, why, remedy)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with atomic.opened(path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _expanded(text: str) -> str:
    """A text with the values of its variables, as pip has them."""
    return _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], text)


def _is_local(where: str) -> bool:
    """Whether pip takes it for a path."""
    if "://" in where or where.startswith("file:"):
        return where.startswith("file:")
    return where.startswith((".", "~")) or "/" in where or where.lower().endswith(ARCHIVES)


def _refused(path: Path, why: str, remedy: str) -> UsageError:
    return UsageError(f"ADD={path} cannot be used", why, remedy)
