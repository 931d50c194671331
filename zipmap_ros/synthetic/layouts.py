# SPDX-License-Identifier: Apache-2.0
"""Floor plans: where walls, doors, lamps, pictures and furniture are.

``build(layout, look, rng)`` makes one of LAYOUTS. Coordinates as in scene.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import NamedTuple

from zipmap_ros.synthetic import furniture
from zipmap_ros.synthetic.look import Look
from zipmap_ros.synthetic.scene import Placement, SceneBuilder

DOOR_WIDTH, DOOR_HEIGHT, WALL = 1.0, 2.05, 0.12


class Rect(NamedTuple):
    """A room on the plan, metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def middle(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


class Piece(NamedTuple):
    """A piece of furniture with the ranges of its width and depth."""

    draw: Callable[[Placement, Look, float, float], None]
    width: tuple[float, float]
    depth: tuple[float, float]


_SHELF = Piece(furniture.shelf, (0.6, 1.4), (0.3, 0.4))
_CABINET = Piece(furniture.cabinet, (0.5, 1.3), (0.4, 0.6))
_DESK = Piece(furniture.desk, (1.1, 1.7), (1.2, 1.4))
_SOFA = Piece(furniture.sofa, (1.4, 2.2), (0.8, 0.95))
_BED = Piece(furniture.bed, (1.0, 1.8), (1.9, 2.1))
_PLANT = Piece(furniture.plant, (0.4, 0.6), (0.4, 0.6))
_LAMP = Piece(furniture.floor_lamp, (0.35, 0.4), (0.35, 0.4))
_BIN = Piece(furniture.bin, (0.3, 0.5), (0.3, 0.5))
_BOXES = Piece(furniture.boxes, (0.4, 0.8), (0.3, 0.7))
_MACHINE = Piece(furniture.machine, (0.5, 0.9), (0.5, 0.7))
_COUNTER = Piece(furniture.counter, (1.4, 3.2), (0.62, 0.65))
_TABLE = Piece(furniture.table, (0.9, 1.8), (0.7, 1.0))
_ROUND = Piece(furniture.round_table, (0.7, 1.2), (0.7, 1.2))
_DINING = Piece(furniture.dining, (1.9, 2.6), (1.8, 2.2))
_CHAIR = Piece(furniture.chair, (0.45, 0.5), (0.45, 0.5))
_PILLAR = Piece(furniture.pillar, (0.3, 0.6), (0.3, 0.6))
_BALL = Piece(furniture.ball, (0.4, 0.9), (0.4, 0.9))

LIVING = (_SHELF, _SOFA, _CABINET, _PLANT, _LAMP, _TABLE, _CABINET, _CHAIR, _BALL, _BIN)
BEDROOM = (_BED, _CABINET, _SHELF, _CHAIR, _LAMP, _DESK, _BOXES)
OFFICE = (_DESK, _DESK, _SHELF, _CABINET, _MACHINE, _BIN, _PLANT, _CHAIR)
KITCHEN = (_COUNTER, _COUNTER, _COUNTER, _CABINET, _MACHINE, _BIN)
STORE = (_BOXES, _BOXES, _SHELF, _BALL, _CABINET, _BIN, _PILLAR, _CHAIR)
PASSAGE = (_BIN, _CABINET, _PLANT, _CHAIR, _MACHINE, _SHELF, _BOXES)


class Plan:
    """The walls of a world while it is being furnished: keeps free what must stay free."""

    def __init__(self, rng: Random, look: Look, size: tuple[float, float, float]) -> None:
        self.rng, self.look, self.size = rng, look, size
        self.builder = SceneBuilder(size, look.kept("wall"))
        self.taken: list[tuple[float, float, float]] = []  # circles on the floor: x, y, radius
        x, y, z = size
        self.slab((x / 2, y / 2, 0.0), (x, y, 0.02), "floor")
        self.slab((x / 2, y / 2, z - 0.01), (x, y, 0.02), "ceiling")
        self.builder.ambient = (
            rng.uniform(0.35, 0.75),
            rng.uniform(0.3, 0.65),
            rng.uniform(0.25, 0.5),
        )

    def slab(
        self, base: tuple[float, float, float], size: tuple[float, float, float], part: str
    ) -> None:
        """An axis-aligned box of the world's usual material for ``part``."""
        Placement(self.builder, 0, 0).box(base, size, self.look.kept(part))

    def wall(self, start: tuple[float, float], end: tuple[float, float], doors: int = 1) -> None:
        """A wall along x or y with ``doors`` open doorways in it."""
        (xa, ya), (xb, yb) = start, end
        length, height = abs(xb - xa) + abs(yb - ya), self.size[2]
        yaw = 0.0 if ya == yb else math.pi / 2
        p = Placement(self.builder, min(xa, xb), min(ya, yb), 0.0, yaw)
        material, cursor = self.look.material("wall"), 0.0
        for k in range(doors):
            room = length / doors
            at = room * k + self.rng.uniform(0.8, max(0.81, room - 0.8))
            at = min(max(at, 0.6), length - 0.6)
            left, right = at - DOOR_WIDTH / 2, at + DOOR_WIDTH / 2
            p.box(((cursor + left) / 2, 0, 0), (left - cursor, WALL, height), material)
            p.box((at, 0, DOOR_HEIGHT), (DOOR_WIDTH, WALL, height - DOOR_HEIGHT), material)
            for x in (left, right):
                p.box((x, 0, 0), (0.06, WALL + 0.04, DOOR_HEIGHT), self.look.kept("timber"))
            x, y, _ = p.point(at, 0, 0)
            self.taken.append((x, y, 0.9))
            cursor = right
        p.box(((cursor + length) / 2, 0, 0), (length - cursor, WALL, height), material)

    def is_free(self, x: float, y: float, radius: float) -> bool:
        """Whether a circle on the floor touches nothing placed so far."""
        return all(math.hypot(x - a, y - b) > radius + r for a, b, r in self.taken)

    def place(self, piece: Piece, x: float, y: float, yaw: float, w: float, d: float) -> bool:
        """Put a piece on the floor if there is room for it."""
        steps = max(1, round(max(w, d) / min(w, d)))
        long_x = w >= d
        circles = []
        for k in range(steps):
            along = (k + 0.5) / steps - 0.5
            lx, ly = (along * w, 0.0) if long_x else (0.0, along * d)
            cx = x + math.cos(yaw) * lx - math.sin(yaw) * ly
            cy = y + math.sin(yaw) * lx + math.cos(yaw) * ly
            circles.append((cx, cy, 0.5 * min(w, d)))
        if not all(self.is_free(*circle) for circle in circles):
            return False
        self.taken += circles
        piece.draw(Placement(self.builder, x, y, 0.01, yaw), self.look, w, d)
        return True

    def along_walls(self, room: Rect, pieces: Sequence[Piece], fill: float) -> None:
        """Furniture with its back to the walls; ``fill`` is the share of wall to use."""
        rng = self.rng
        sides = [
            ((room.x0, room.y1), 0.0, room.x1 - room.x0),
            ((room.x1, room.y1), -math.pi / 2, room.y1 - room.y0),
            ((room.x1, room.y0), math.pi, room.x1 - room.x0),
            ((room.x0, room.y0), math.pi / 2, room.y1 - room.y0),
        ]
        for (cx, cy), yaw, length in sides:
            across = (room.y1 - room.y0) if yaw in (0.0, math.pi) else (room.x1 - room.x0)
            at = rng.uniform(0.1, 0.5)
            while at < length - 0.5:
                piece = rng.choice(pieces)
                w, d = rng.uniform(*piece.width), rng.uniform(*piece.depth)
                if at + w > length - 0.05 or d > 0.4 * across:
                    at += 0.4
                    continue
                if rng.random() < fill:
                    back = WALL / 2 + d / 2 + rng.uniform(0.0, 0.05)
                    x = cx + math.cos(yaw) * (at + w / 2) + math.sin(yaw) * back
                    y = cy + math.sin(yaw) * (at + w / 2) - math.cos(yaw) * back
                    self.place(piece, x, y, yaw, w, d)
                at += w + rng.uniform(0.02, 0.5)

    def in_the_middle(self, room: Rect, pieces: Sequence[Piece], count: int) -> None:
        """Up to ``count`` pieces away from the walls, at any angle."""
        rng = self.rng
        for _ in range(count):
            piece = rng.choice(pieces)
            w, d = rng.uniform(*piece.width), rng.uniform(*piece.depth)
            margin = 0.9 + max(w, d) / 2
            if room.x1 - room.x0 < 2 * margin or room.y1 - room.y0 < 2 * margin:
                continue
            x = rng.uniform(room.x0 + margin, room.x1 - margin)
            y = rng.uniform(room.y0 + margin, room.y1 - margin)
            square = rng.random() < 0.6
            yaw = rng.choice((0, 1, 2, 3)) * math.pi / 2 if square else rng.uniform(-3.1, 3.1)
            self.place(piece, x, y, yaw, w, d)

    def on_walls(self, room: Rect, density: float) -> None:
        """Pictures, boards, windows and shut doors on the four walls of a room."""
        rng, look = self.rng, self.look
        inset = WALL / 2 + 0.01
        sides = [
            (room.x0, room.y1 - inset, 0.0, room.x1 - room.x0),
            (room.x1 - inset, room.y1, -math.pi / 2, room.y1 - room.y0),
            (room.x1, room.y0 + inset, math.pi, room.x1 - room.x0),
            (room.x0 + inset, room.y0, math.pi / 2, room.y1 - room.y0),
        ]
        for x, y, yaw, length in sides:
            p = Placement(self.builder, x, y, 0.0, yaw)
            at = rng.uniform(0.3, 1.0)
            while at < length - 0.6:
                kind = rng.random()
                px, py, _ = p.point(at, 0, 0)
                if rng.random() > density or not self.is_free(px, py, -0.4):
                    at += 0.7
                elif kind < 0.6:
                    w, h = rng.uniform(0.25, 1.0), rng.uniform(0.3, 0.9)
                    z = rng.uniform(1.0, 1.5)
                    p.box((at, -0.01, z), (w, 0.03, h), look.material("poster"))
                    at += w + rng.uniform(0.1, 1.0)
                elif kind < 0.8:
                    self._window(p.at(at + 0.3, 0))
                    at += 2.0
                else:
                    p.box((at + 0.2, 0, 0), (1.02, 0.05, 2.08), look.kept("timber"))
                    p.box((at + 0.2, -0.02, 0), (0.9, 0.06, 2.0), look.kept("front"))
                    p.ellipsoid((at + 0.55, -0.08, 1.0), (0.06, 0.06, 0.06), look.kept("metal"))
                    at += 1.6

    def _window(self, p: Placement) -> None:
        rng, look = self.rng, self.look
        w, h, z = rng.uniform(0.7, 1.4), rng.uniform(0.8, 1.3), rng.uniform(0.8, 1.0)
        p.box((0, 0, z), (w + 0.1, 0.06, h + 0.1), look.kept("timber"))
        glow = rng.uniform(0.9, 1.6)
        p.box((0, -0.02, z + 0.05), (w, 0.05, h), look.material("outdoors", emission=glow))
        p.box((0, -0.05, z), (0.04, 0.03, h + 0.1), look.kept("timber"))
        p.box((0, -0.08, z - 0.02), (w + 0.2, 0.2, 0.03), look.kept("top"))

    def lamps(self, rooms: Sequence[Rect]) -> None:
        """A lamp on the ceiling of each room; the first three also give light."""
        rng, height = self.rng, self.size[2]
        strength = rng.uniform(0.7, 1.9)
        for room in rooms:
            x, y = room.middle
            x += rng.uniform(-0.2, 0.2) * (room.x1 - room.x0)
            y += rng.uniform(-0.2, 0.2) * (room.y1 - room.y0)
            p = Placement(self.builder, x, y, 0.0, rng.choice((0.0, math.pi / 2)))
            glow = self.look.material("metal", (1.1, 1.08, 1.0), emission=1.3)
            if rng.random() < 0.5:
                p.box((0, 0, height - 0.06), (1.2, 0.3, 0.05), glow)
            else:
                p.ellipsoid((0, 0, height - 0.35), (0.35, 0.35, 0.3), glow)
            drop = rng.uniform(0.3, 0.6)
            self.builder.lights.append((x, y, height - drop, strength * rng.uniform(0.8, 1.2)))

    def skirting(self, room: Rect) -> None:
        """Skirting boards along the walls of a room."""
        w, d = room.x1 - room.x0, room.y1 - room.y0
        x, y = room.middle
        inset = WALL / 2 + 0.01
        for side in (room.y0 + inset, room.y1 - inset):
            self.slab((x, side, 0.0), (w, 0.02, 0.1), "timber")
        for side in (room.x0 + inset, room.x1 - inset):
            self.slab((side, y, 0.0), (0.02, d, 0.1), "timber")

    def rug(self, room: Rect) -> None:
        """A rug somewhere in the room."""
        x, y = room.middle
        size = (0.5 * (room.x1 - room.x0), 0.5 * (room.y1 - room.y0), 0.008)
        material = self.look.material(self.rng.choice(("cloth", "poster")))
        Placement(self.builder, x, y).box((0, 0, 0.02), size, material, self.rng.uniform(-0.3, 0.3))


def _finish(plan: Plan, rooms: Sequence[Rect], density: float) -> Plan:
    for room in rooms:
        plan.on_walls(room, density)
    plan.lamps(rooms)
    return plan


def _single(rng: Random, look: Look, pieces: Sequence[Piece], middle: Sequence[Piece]) -> Plan:
    x, y = rng.uniform(3.4, 7.0), rng.uniform(3.2, 6.0)
    plan, room = Plan(rng, look, (x, y, rng.uniform(2.3, 3.0))), Rect(0, 0, x, y)
    plan.in_the_middle(room, middle, rng.randint(0, 3))
    plan.along_walls(room, pieces, rng.uniform(0.4, 0.95))
    if rng.random() < 0.4:
        plan.rug(room)
    if rng.random() < 0.5:
        plan.skirting(room)
    return _finish(plan, [room], rng.uniform(0.2, 0.7))


def _office(rng: Random, look: Look) -> Plan:
    """Desks between partitions, with aisles."""
    x, y = rng.uniform(6.5, 11.0), rng.uniform(5.5, 9.0)
    plan, room = Plan(rng, look, (x, y, rng.uniform(2.5, 3.0))), Rect(0, 0, x, y)
    height, part = rng.uniform(1.1, 1.7), look.material("cloth")
    row = rng.uniform(2.2, 2.6)
    while row + 1.9 < y:
        at = rng.uniform(1.4, 1.8)
        while at + 1.6 < x - 1.3:
            w = rng.uniform(1.4, 1.8)
            for side, yaw in ((1, math.pi), (-1, 0.0)):
                if rng.random() < 0.8:
                    plan.place(_DESK, at + w / 2, row + side * 0.72, yaw, w - 0.1, 1.3)
            panel = Placement(plan.builder, at + w / 2, row)
            panel.box((0, 0, 0), (w, 0.05, height), part)
            if rng.random() < 0.5:
                panel.box((-w / 2, 0, 0), (0.05, 1.5, height), part)
            if rng.random() < 0.6:
                panel.box((0, 0, height - 0.5), (0.5, 0.08, 0.4), look.material("poster"))
            at += w + (1.4 if rng.random() < 0.25 else 0.05)
        row += rng.uniform(3.4, 4.2)
    plan.along_walls(room, (_SHELF, _CABINET, _MACHINE, _BIN, _PLANT), rng.uniform(0.3, 0.8))
    return _finish(plan, [room], rng.uniform(0.3, 0.8))


def _corridor(rng: Random, look: Look) -> Plan:
    """A passage with rooms on one or both sides."""
    length, wide = rng.uniform(8.0, 15.0), rng.uniform(1.6, 2.4)
    below = rng.choice((0.0, rng.uniform(2.8, 4.0)))
    above = rng.choice((0.0, rng.uniform(2.8, 4.0)))
    y = below + wide + above
    plan = Plan(rng, look, (length, y, rng.uniform(2.4, 2.9)))
    passage = Rect(0, below, length, below + wide)
    rooms = []
    for low, high, edge in ((0.0, below, below), (below + wide, y, below + wide)):
        if high - low < 1:
            continue
        count = max(1, round(length / rng.uniform(3.5, 5.5)))
        plan.wall((0, edge), (length, edge), doors=count)
        cuts = [length * k / count for k in range(count + 1)]
        for k in range(1, count):
            plan.wall((cuts[k], low), (cuts[k], high), doors=0)
        rooms += [Rect(a, low, b, high) for a, b in pairwise(cuts)]
    for room in rooms:
        plan.along_walls(room, rng.choice((LIVING, OFFICE, BEDROOM, STORE)), rng.uniform(0.2, 0.6))
    plan.along_walls(passage, PASSAGE, rng.uniform(0.05, 0.25))
    return _finish(plan, [passage, *rooms], rng.uniform(0.3, 0.8))


def _apartment(rng: Random, look: Look) -> Plan:
    """Two to four rooms joined by open doors."""
    x, y = rng.uniform(6.5, 10.0), rng.uniform(3.5, 7.5)
    plan = Plan(rng, look, (x, y, rng.uniform(2.4, 2.9)))
    cut = x * rng.uniform(0.4, 0.6)
    plan.wall((cut, 0), (cut, y), doors=2 if y > 6 else 1)
    halves = [Rect(0, 0, cut, y), Rect(cut, 0, x, y)]
    rooms = []
    for half in halves:
        if y > 6.4 and rng.random() < 0.7:
            row = y * rng.uniform(0.45, 0.55)
            plan.wall((half.x0, row), (half.x1, row))
            rooms += [half._replace(y1=row), half._replace(y0=row)]
        else:
            rooms.append(half)
    for room in rooms:
        pieces = rng.choice((LIVING, BEDROOM, KITCHEN, OFFICE, STORE))
        plan.in_the_middle(room, (_ROUND, _TABLE, _BALL, _CHAIR), rng.randint(0, 2))
        plan.along_walls(room, pieces, rng.uniform(0.3, 0.8))
    return _finish(plan, rooms, rng.uniform(0.2, 0.6))


def _hall(rng: Random, look: Look) -> Plan:
    """A large room with pillars and things standing about."""
    x, y = rng.uniform(8.0, 14.0), rng.uniform(7.0, 11.0)
    plan, room = Plan(rng, look, (x, y, rng.uniform(2.8, 4.5))), Rect(0, 0, x, y)
    things = (_PILLAR, _PILLAR, _BOXES, _ROUND, _TABLE, _SOFA, _BALL, _PLANT, _CABINET, _DINING)
    plan.in_the_middle(room, things, rng.randint(6, 16))
    plan.along_walls(room, (*LIVING, *STORE), rng.uniform(0.2, 0.7))
    quarters = [Rect(0, 0, x / 2, y), Rect(x / 2, 0, x, y)]
    return _finish(plan, quarters, rng.uniform(0.3, 0.7))


_BUILDERS: dict[str, Callable[[Random, Look], Plan]] = {
    "living": partial(_single, pieces=LIVING, middle=(_ROUND, _SOFA, _TABLE, _DINING, _BALL)),
    "bedroom": partial(_single, pieces=BEDROOM, middle=(_BALL, _BOXES, _CHAIR)),
    "kitchen": partial(_single, pieces=KITCHEN, middle=(_DINING, _DINING, _ROUND, _TABLE)),
    "store": partial(
        _single, pieces=STORE, middle=(_BOXES, _PILLAR, _BALL, _BOXES, _CHAIR, _PLANT)
    ),
    "office": _office,
    "corridor": _corridor,
    "apartment": _apartment,
    "hall": _hall,
}
LAYOUTS = tuple(_BUILDERS)


def build(layout: str, look: Look, rng: Random) -> SceneBuilder:
    """Build one of LAYOUTS."""
    return _BUILDERS[layout](rng, look).builder
