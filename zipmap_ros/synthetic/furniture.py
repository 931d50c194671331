# SPDX-License-Identifier: Apache-2.0
"""Things that stand in rooms, from boxes, cylinders and ellipsoids.

Every function draws into a Placement whose origin is the middle of the footprint on the floor;
``w`` runs along local x, ``d`` along y, both in metres; the back is at +y, against the wall.
"""

from __future__ import annotations

import math

from zipmap_ros.synthetic.look import Look
from zipmap_ros.synthetic.scene import ELLIPSOID, Placement


def table(p: Placement, look: Look, w: float, d: float) -> None:
    """Four legs and a top with a few things on it."""
    rng, material = look.rng, look.material("timber")
    height, leg = rng.uniform(0.68, 0.78), rng.uniform(0.04, 0.09)
    p.box((0, 0, height - 0.04), (w, d, 0.04), look.material("top"))
    for x in (-1, 1):
        for y in (-1, 1):
            p.box((x * (w - leg) / 2, y * (d - leg) / 2, 0), (leg, leg, height - 0.04), material)
    clutter(p.at(0, 0, height), look, w, d, rng.randint(2, 6))


def round_table(p: Placement, look: Look, w: float, d: float) -> None:
    """A round top on one leg."""
    height, radius = look.rng.uniform(0.5, 0.76), min(w, d) / 2
    p.cylinder((0, 0, height - 0.04), radius, 0.04, look.material("top"))
    p.cylinder((0, 0, 0.02), 0.05, height - 0.06, look.material("metal"))
    p.cylinder((0, 0, 0), radius * 0.6, 0.03, look.material("metal"))
    clutter(p.at(0, 0, height), look, radius, radius, look.rng.randint(1, 4))


def chair(p: Placement, look: Look, w: float, d: float) -> None:
    """Legs, seat, and a slatted or solid back."""
    rng, wood = look.rng, look.kept("timber")
    seat = rng.uniform(0.42, 0.48)
    w, d = min(w, 0.5), min(d, 0.5)
    p.box((0, 0, seat), (w, d, 0.05), look.kept("cloth"))
    for x in (-1, 1):
        p.box((x * (w / 2 - 0.03), -d / 2 + 0.03, 0), (0.04, 0.04, seat), wood)
        p.box((x * (w / 2 - 0.03), d / 2 - 0.03, 0), (0.04, 0.04, 0.9), wood)
    if rng.random() < 0.5:
        p.box((0, d / 2 - 0.03, 0.6), (w - 0.08, 0.03, 0.3), wood)
    else:
        for z in (0.6, 0.72, 0.84):
            p.box((0, d / 2 - 0.03, z), (w - 0.08, 0.03, 0.06), wood)


def office_chair(p: Placement, look: Look) -> None:
    """A column on a star foot, seat and rounded back."""
    cloth, metal = look.kept("cloth"), look.material("metal", (0.15, 0.15, 0.16))
    yaw = look.rng.uniform(-3, 3)
    p = p.at(0, 0, 0, yaw)
    for k in range(2):
        p.at(0, 0, 0, k * math.pi / 2).box((0, 0, 0.04), (0.55, 0.06, 0.05), metal)
    p.cylinder((0, 0, 0.09), 0.03, 0.36, metal)
    p.box((0, 0, 0.45), (0.48, 0.46, 0.08), cloth)
    p.ellipsoid((0, 0.24, 0.55), (0.46, 0.1, 0.55), cloth)


def dining(p: Placement, look: Look, w: float, d: float) -> None:
    """A table with chairs around it."""
    table(p, look, w * 0.7, d * 0.5)
    for x in (-w * 0.17, w * 0.17):
        chair(p.at(x, -d * 0.32, 0, math.pi + look.rng.uniform(-0.3, 0.3)), look, 0.45, 0.45)
        chair(p.at(x, d * 0.32, 0, look.rng.uniform(-0.3, 0.3)), look, 0.45, 0.45)


def desk(p: Placement, look: Look, w: float, d: float) -> None:
    """A desk with drawers, a screen, a keyboard and an office chair."""
    rng = look.rng
    deep = min(d, 0.8)
    y = d / 2 - deep / 2
    p.box((0, y, 0.7), (w, deep, 0.03), look.kept("top"))
    p.box((w / 2 - 0.22, y, 0), (0.42, deep - 0.1, 0.68), look.kept("front"))
    p.box((-w / 2 + 0.03, y, 0), (0.04, deep - 0.05, 0.7), look.kept("metal"))
    monitor(p.at(rng.uniform(-0.2, 0.2), y + 0.12, 0.73, rng.uniform(-0.4, 0.4)), look)
    p.box((0, y - 0.2, 0.73), (0.42, 0.14, 0.02), look.material("metal", (0.2, 0.2, 0.2)))
    clutter(p.at(0, y, 0.73), look, w, deep, rng.randint(1, 4))
    office_chair(p.at(rng.uniform(-0.2, 0.2), y - deep / 2 - 0.15), look)


def monitor(p: Placement, look: Look) -> None:
    """A screen on a foot, its glass towards -y."""
    w, h = look.rng.uniform(0.4, 0.7), look.rng.uniform(0.28, 0.4)
    black = look.kept("metal")
    p.box((0, 0.03, 0), (0.2, 0.15, 0.015), black)
    p.box((0, 0.05, 0), (0.05, 0.03, 0.2), black)
    p.box((0, 0.02, 0.1), (w + 0.03, 0.03, h + 0.03), black)
    p.box((0, 0.0, 0.115), (w, 0.015, h), look.material("screen", emission=0.9))


def shelf(p: Placement, look: Look, w: float, d: float) -> None:
    """An open shelf with books and boxes."""
    rng, wood = look.rng, look.material("timber")
    height, boards = rng.uniform(1.0, 2.1), rng.randint(3, 5)
    d = min(d, 0.4)
    for x in (-1, 1):
        p.box((x * (w / 2 - 0.015), 0, 0), (0.03, d, height), wood)
    p.box((0, d / 2 - 0.01, 0), (w, 0.02, height), wood)
    gap = height / boards
    for k in range(boards + 1):
        p.box((0, 0, min(k * gap, height - 0.03)), (w - 0.06, d - 0.02, 0.03), wood)
    for k in range(boards):
        if rng.random() < 0.6:
            size = (w * rng.uniform(0.4, 0.9), d * 0.7, gap * rng.uniform(0.6, 0.85))
            p.box((rng.uniform(-0.04, 0.04), 0, k * gap + 0.03), size, look.material("books"))
        else:
            clutter(p.at(0, 0, k * gap + 0.03), look, w * 0.8, d * 0.6, 2, tallest=gap * 0.7)


def cabinet(p: Placement, look: Look, w: float, d: float) -> None:
    """A closed cupboard, sometimes with things on top."""
    height = look.rng.choice((look.rng.uniform(0.7, 1.2), look.rng.uniform(1.6, 2.1)))
    p.box((0, 0, 0), (w, d, height), look.material("front"))
    p.box((0, 0, height), (w + 0.02, d + 0.02, 0.025), look.material("top"))
    if height < 1.4:
        clutter(p.at(0, 0, height + 0.025), look, w, d, look.rng.randint(1, 5))


def counter(p: Placement, look: Look, w: float, d: float) -> None:
    """A kitchen line: base units, worktop, things on it, wall units or pictures above."""
    rng = look.rng
    d, front = min(d, 0.65), look.kept("front")
    y = d * 0.02
    units = max(1, round(w / 0.7))
    for k in range(units):
        x = (k + 0.5) * w / units - w / 2
        p.box((x, y, 0.1), (w / units - 0.004, d, 0.76), front)
    p.box((0, y + 0.05, 0), (w, d - 0.1, 0.1), look.kept("metal"))
    p.box((0, y - 0.01, 0.86), (w, d + 0.02, 0.04), look.kept("top"))
    clutter(p.at(0, y, 0.9), look, w, d, rng.randint(4, 9))
    if rng.random() < 0.6:
        p.box((0, d / 2 - 0.16, 1.45), (w, 0.33, 0.65), front)
    else:
        p.box((0, d / 2 - 0.12, 1.45), (w, 0.22, 0.03), look.kept("top"))
        clutter(p.at(0, d / 2 - 0.12, 1.48), look, w, 0.2, rng.randint(2, 5))


def sofa(p: Placement, look: Look, w: float, d: float) -> None:
    """Seat, back, arms and cushions."""
    cloth = look.material("cloth")
    p.box((0, 0, 0.08), (w, d, 0.34), cloth)
    p.box((0, d / 2 - 0.1, 0.42), (w, 0.2, 0.4), cloth)
    for x in (-1, 1):
        p.box((x * (w / 2 - 0.09), 0, 0.42), (0.18, d, 0.18), cloth)
        if look.rng.random() < 0.7:
            cushion = (x * w / 4, d / 2 - 0.28, 0.42)
            p.ellipsoid(cushion, (0.45, 0.18, 0.4), look.material("small"))


def bed(p: Placement, look: Look, w: float, d: float) -> None:
    """Frame, mattress, blanket, pillows and head board."""
    p.box((0, 0, 0.05), (w, d, 0.25), look.kept("timber"))
    p.box((0, 0, 0.3), (w - 0.04, d - 0.04, 0.2), look.material("cloth", (1.0, 1.0, 1.0)))
    p.box((0, -d * 0.15, 0.32), (w, d * 0.68, 0.21), look.material("cloth"))
    p.box((0, d / 2 - 0.03, 0.3), (w, 0.05, 0.6), look.kept("timber"))
    for x in (-w / 4, w / 4):
        p.ellipsoid((x, d / 2 - 0.3, 0.46), (w * 0.4, 0.4, 0.18), look.material("small"))


def plant(p: Placement, look: Look, w: float, d: float) -> None:
    """A pot with a ball of leaves, or several."""
    rng = look.rng
    pot = min(w, d) * 0.3
    p.cylinder((0, 0, 0), pot, 0.35, look.material("small"))
    green = look.material("cloth", (0.25, rng.uniform(0.4, 0.9), 0.2))
    p.cylinder((0, 0, 0.35), 0.02, 0.3, look.kept("timber"))
    for _ in range(rng.randint(1, 4)):
        base = (rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), rng.uniform(0.4, 0.8))
        p.ellipsoid(base, tuple(rng.uniform(0.25, 0.6) for _ in range(3)), green)  # type: ignore[arg-type]


def floor_lamp(p: Placement, look: Look, w: float, d: float) -> None:
    """A pole with a glowing shade."""
    height = look.rng.uniform(1.3, 1.7)
    p.cylinder((0, 0, 0), 0.14, 0.03, look.kept("metal"))
    p.cylinder((0, 0, 0.03), 0.015, height, look.kept("metal"))
    p.cylinder((0, 0, height), 0.18, 0.28, look.material("cloth", (1.1, 1.0, 0.8), emission=1.2))


def bin(p: Placement, look: Look, w: float, d: float) -> None:
    """A waste bin, round or square."""
    height, material = look.rng.uniform(0.3, 0.7), look.material("small")
    if look.rng.random() < 0.5:
        p.cylinder((0, 0, 0), min(w, d) * 0.4, height, material)
    else:
        p.box((0, 0, 0), (w * 0.8, d * 0.6, height), material)


def boxes(p: Placement, look: Look, w: float, d: float) -> None:
    """A stack of cartons."""
    z = 0.0
    for _ in range(look.rng.randint(1, 4)):
        scale = look.rng.uniform(0.6, 0.95)
        size = (w * scale, d * scale, look.rng.uniform(0.15, 0.5))
        p.box((0, 0, z), size, look.material("small"), look.rng.uniform(-0.3, 0.3))
        z += size[2]


def machine(p: Placement, look: Look, w: float, d: float) -> None:
    """A printer or an appliance: a body, a lid, a panel, trays."""
    rng, body = look.rng, look.material("metal")
    height = rng.uniform(0.8, 1.2)
    p.box((0, 0, 0), (w * 0.9, d * 0.9, height), body)
    p.box((0, 0, height), (w * 0.8, d * 0.8, 0.12), look.material("metal"))
    p.box((0, -d * 0.45, height * 0.7), (w * 0.5, 0.06, 0.1), look.material("screen", emission=0.8))
    p.cylinder((w * 0.2, 0, height + 0.12), 0.08, rng.uniform(0.1, 0.3), look.material("small"))


def pillar(p: Placement, look: Look, w: float, d: float) -> None:
    """A column from floor to ceiling."""
    height = p.builder.size[2]
    if look.rng.random() < 0.5:
        p.cylinder((0, 0, 0), min(w, d) * 0.45, height, look.kept("wall"))
    else:
        p.box((0, 0, 0), (w * 0.8, d * 0.8, height), look.kept("wall"))


def ball(p: Placement, look: Look, w: float, d: float) -> None:
    """A big ball or a beanbag."""
    size = min(w, d) * look.rng.uniform(0.7, 1.0)
    flat = look.rng.uniform(0.5, 1.0)
    p.ellipsoid((0, 0, 0), (size, size, size * flat), look.material("small"))


def clutter(p: Placement, look: Look, w: float, d: float, count: int, tallest: float = 0.4) -> None:
    """Small things on a surface of w x d: books, papers, cups, packets, balls."""
    rng = look.rng
    for _ in range(count):
        x, y = rng.uniform(-0.42, 0.42) * w, rng.uniform(-0.4, 0.4) * d
        kind, yaw = rng.random(), rng.uniform(-1.5, 1.5)
        height = min(rng.uniform(0.08, 0.35), tallest)
        if kind < 0.3:  # papers and magazines
            p.box((x, y, 0), (0.21, 0.29, rng.uniform(0.003, 0.03)), look.material("poster"), yaw)
        elif kind < 0.5:
            radius = rng.uniform(0.03, 0.06)
            p.cylinder((x, y, 0), radius, min(height, 0.25), look.material("small"))
        elif kind < 0.6:
            size = rng.uniform(0.08, 0.2)
            size = min(size, tallest)
            p.add(ELLIPSOID, (x, y, 0), (size, size, size), look.material("small"))
        elif kind < 0.75:  # a card or picture that stands
            p.box((x, y, 0), (height * 0.7, 0.02, height), look.material("poster"), yaw * 0.4)
        else:
            size3 = (rng.uniform(0.06, 0.35), rng.uniform(0.05, 0.25), height)
            p.box((x, y, 0), size3, look.material("small"), yaw)
