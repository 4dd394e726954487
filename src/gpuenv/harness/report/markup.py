"""HTML and SVG that cannot be broken by what is put into it: all text is escaped unless it is markup already."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

#: Elements that have no end tag.
VOID = frozenset({"br", "col", "hr", "meta"})
#: Color codes of programs that think they write to a terminal, and characters that HTML does not allow.
_NO_TEXT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Markup(str):
    """Text that is HTML already, and is taken as it is."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Any value as text of a page; what no page may hold is left out."""
    printable = _NO_TEXT.sub("", str(text)).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(printable))


def join(children: object) -> Markup:
    """Children one after the other: markup, text, nested lists of both; None is nothing."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, Iterable) and not isinstance(children, str):
        return Markup("".join(join(child) for child in children))
    return escape(children)


def tag(element: str, /, *children: object, **attributes: object) -> Markup:
    """One element: ``tag("td", "2 < 3", class_="number")``.

    An attribute's trailing underscore is dropped, others become dashes; None and False leave it out, True
    gives it no value.
    """
    words = [element]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(attribute)
        elif value is not None and value is not False:
            words.append(f'{attribute}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Markup(start) if element in VOID else Markup(f"{start}{join(children)}</{element}>")
