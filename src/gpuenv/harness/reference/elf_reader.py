"""Enough of ELF (64 bit, little endian) to say what a library needs and what it gives; standard library only."""

import mmap
import struct

_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRTAB, _SYMTAB, _SONAME = 1, 5, 6, 14
_VERSYM, _VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_SECTION_DYNSYM = 11
_HIDDEN = 0x8000
_WEAK = 2


class Elf:
    """One library. ``needed`` are SONAMEs; symbols are pairs ``(name, version or "")``."""

    def __init__(self, path):
        with open(path, "rb") as stream:
            self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(path + " is no 64-bit little-endian ELF file")
        self._segments = []
        self._dynamic = {}
        self._needed_offsets = []
        self._read_segments()
        self.needed = [self._text(offset) for offset in self._needed_offsets]
        self.soname = self._text(self._dynamic[_SONAME]) if _SONAME in self._dynamic else ""
        self._version_names = {}
        #: {SONAME: [version names that it must define]}
        self.versions_needed = {}
        #: Version names that this library defines.
        self.versions_defined = []
        self._version_files = {}
        self._read_version_needs()
        self._read_version_definitions()

    def _unpack(self, form, offset):
        return struct.unpack_from("<" + form, self.data, offset)

    def _read_segments(self):
        start, size, count = self._unpack("Q", 32)[0], *self._unpack("HH", 54)
        dynamic = None
        for index in range(count):
            kind, _, offset, address, _, length = self._unpack("IIQQQQ", start + index * size)
            if kind == _LOAD:
                self._segments.append((address, offset, length))
            elif kind == _DYNAMIC:
                dynamic = (offset, length)
        if dynamic is None:
            return
        for offset in range(dynamic[0], sum(dynamic), 16):
            tag, value = self._unpack("QQ", offset)
            if tag == 0:
                break
            if tag == _NEEDED:
                self._needed_offsets.append(value)
            self._dynamic[tag] = value

    def _offset(self, address):
        for start, offset, length in self._segments:
            if start <= address < start + length:
                return offset + address - start
        raise ValueError("address outside of the file")

    def _text(self, index):
        start = self._offset(self._dynamic[_STRTAB]) + index
        return self.data[start : self.data.find(b"\0", start)].decode()

    def _read_version_needs(self):
        if _VERNEED not in self._dynamic:
            return
        at = self._offset(self._dynamic[_VERNEED])
        for _ in range(self._dynamic[_VERNEEDNUM]):
            _, count, file, first, following = self._unpack("HHIII", at)
            soname, entry = self._text(file), at + first
            for _ in range(count):
                _, _, number, name, step = self._unpack("IHHII", entry)
                text = self._text(name)
                self._version_names[number] = text
                self._version_files[number] = soname
                self.versions_needed.setdefault(soname, []).append(text)
                entry += step
            at += following

    def _read_version_definitions(self):
        if _VERDEF not in self._dynamic:
            return
        at = self._offset(self._dynamic[_VERDEF])
        for _ in range(self._dynamic[_VERDEFNUM]):
            _, _, number, _, _, first, following = self._unpack("HHHHIII", at)
            text = self._text(self._unpack("I", at + first)[0])
            self._version_names[number] = text
            self.versions_defined.append(text)
            at += following

    def _symbol_count(self):
        start, size, count = self._unpack("Q", 40)[0], *self._unpack("HH", 58)
        for index in range(count):
            header = self._unpack("IIQQQQIIQQ", start + index * size)
            if header[1] == _SECTION_DYNSYM:
                return header[5] // header[9]
        return (self._dynamic[_STRTAB] - self._dynamic[_SYMTAB]) // 24

    def _symbols(self):
        table = self._offset(self._dynamic[_SYMTAB])
        versions = self._offset(self._dynamic[_VERSYM]) if _VERSYM in self._dynamic else None
        for index in range(1, self._symbol_count()):
            name, info, _, section = self._unpack("IBBH", table + index * 24)
            number = self._unpack("H", versions + index * 2)[0] & ~_HIDDEN if versions is not None else 0
            yield name, section, number, info >> 4 == _WEAK

    def undefined(self):
        """``{(symbol, version, SONAME that must have it or "")}``; those that may stay unbound are left out."""
        found = set()
        for name, section, number, is_weak in self._symbols():
            if section == 0 and not is_weak:
                found.add((self._text(name), self._version_names.get(number, ""), self._version_files.get(number, "")))
        return found

    def exported(self):
        """``{(symbol, version)}``."""
        return {
            (self._text(name), self._version_names.get(number, ""))
            for name, section, number, _ in self._symbols()
            if section != 0
        }

    def section(self, name):
        """Offset and length of a section, or None."""
        start, size, count, names = self._unpack("Q", 40)[0], *self._unpack("HHH", 58)
        headers = [self._unpack("IIQQQQ", start + index * size) for index in range(count)]
        texts = headers[names][4]
        for header in headers:
            at = texts + header[0]
            if self.data[at : self.data.find(b"\0", at)].decode() == name:
                return header[4], header[5]
        return None


def gpu_code(elf):
    """The architectures of the GPU code inside: ``{"sass": ["3.5", ...], "ptx": [...]}``.

    A fat binary is a header (magic, version, header size, length of what follows) and entries
    (kind 1: PTX, 2: machine code; header size, length; the architecture as a number such as 35).
    """
    found = {1: set(), 2: set()}
    place = elf.section(".nv_fatbin")
    at, end = (place[0], sum(place)) if place else (0, 0)
    while at + 16 <= end:
        magic, _, header, length = struct.unpack_from("<IHHQ", elf.data, at)
        if magic != 0xBA55ED50:
            at += 8  # padding between two fat binaries
            continue
        entry, stop = at + header, at + header + length
        while entry + 32 <= stop:
            kind, _, size, content = struct.unpack_from("<HHIQ", elf.data, entry)
            architecture = struct.unpack_from("<I", elf.data, entry + 28)[0]
            if kind in found:
                found[kind].add(architecture)
            entry += size + content
        at = stop
    names = {kind: ["%d.%d" % divmod(number, 10) for number in sorted(numbers)] for kind, numbers in found.items()}
    return {"sass": names[2], "ptx": names[1]}
