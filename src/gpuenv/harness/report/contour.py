"""Outlines of where a function of two inputs is above a level (marching squares), for pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable

Point = tuple[float, float]
#: ``values[j][i]`` belongs to the point ``(axis[i], axis[j])``.
Grid = Sequence[Sequence[float]]
#: A line between two neighbors of the grid: whether it is horizontal, and the indices of its lower end.
_Edge = tuple[bool, int, int]


def sample(function: Callable[[float, float], float], axis: Sequence[float]) -> list[list[float]]:
    """The function's values on the square grid that ``axis`` spans both ways."""
    return [[function(x, y) for x in axis] for y in axis]


def outlines(values: Grid, axis: Sequence[float], level: float) -> list[list[Point]]:
    """Closed outlines of the region with values above ``level``; fill them with the even-odd rule.

    Values between the grid's points are interpolated. Where the region reaches the square's edge, the outline
    runs along that edge.
    """
    padded, places = _pad(values, axis, level)
    links: dict[_Edge, list[_Edge]] = {}
    for j in range(len(places) - 1):
        for i in range(len(places) - 1):
            for one, other in _segments(padded, i, j, level):
                links.setdefault(one, []).append(other)
                links.setdefault(other, []).append(one)
    return [[_cross(edge, padded, places, level) for edge in loop] for loop in _loops(links)]


def _pad(values: Grid, axis: Sequence[float], level: float) -> tuple[list[list[float]], list[float]]:
    """A rim of low values around the grid, at no distance from it, closes every outline."""
    low = level - 1.0
    rim = [low] * (len(axis) + 2)
    return [rim, *([low, *row, low] for row in values), rim], [axis[0], *axis, axis[-1]]


def _segments(values: Grid, i: int, j: int, level: float) -> Iterator[tuple[_Edge, _Edge]]:
    """Where outlines cross one cell: pairs of the cell's edges."""
    corners = (values[j][i], values[j][i + 1], values[j + 1][i + 1], values[j + 1][i])
    above = [value > level for value in corners]
    edges: tuple[_Edge, ...] = ((True, i, j), (False, i + 1, j), (True, i, j + 1), (False, i, j))
    crossed = [edge for k, edge in enumerate(edges) if above[k] != above[(k + 1) % 4]]
    if len(crossed) == 2:
        yield crossed[0], crossed[1]
    elif crossed:
        # A saddle: the middle decides which two opposite corners belong together.
        shift = 0 if (sum(corners) / 4 > level) == above[0] else 1
        yield edges[shift], edges[shift + 1]
        yield edges[shift + 2], edges[(shift + 3) % 4]


def _loops(links: dict[_Edge, list[_Edge]]) -> Iterator[list[_Edge]]:
    """Each crossed edge has exactly two neighbors on its outline: walk until none is left."""
    while links:
        loop = [next(iter(links))]
        while True:
            following = [edge for edge in links.pop(loop[-1]) if edge in links]
            if not following:
                break
            loop.append(following[0])
        yield loop


def _cross(edge: _Edge, values: Grid, axis: Sequence[float], level: float) -> Point:
    is_horizontal, i, j = edge
    after_i, after_j = (i + 1, j) if is_horizontal else (i, j + 1)
    first, second = values[j][i], values[after_j][after_i]
    share = (level - first) / (second - first)
    return axis[i] + share * (axis[after_i] - axis[i]), axis[j] + share * (axis[after_j] - axis[j])
