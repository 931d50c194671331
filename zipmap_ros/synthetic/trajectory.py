# SPDX-License-Identifier: Apache-2.0
"""Smooth camera paths through a world, clear of its surfaces, looking where there is room.

A walk is simulated for many worlds at once: an agent heads for open space (a fan of horizontal
rays tells where that is), is pushed off by near surfaces, and never takes a step that would leave
less than the clearance. A loop is a closed curve, the longest that keeps clear. Random draws
come from (world seed, path seed), so a path does not depend on the batch it was made in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zipmap_ros.synthetic.scene import Scene
from zipmap_ros.synthetic.space import FAN, FAN_ANGLES, Space
from zipmap_ros.synthetic.textures import SyntheticError

Array = NDArray[np.float64]

CLEARANCE = 0.3  # metres between the camera and any surface, always
_MARGIN = 0.06  # what smoothing and shake may take from it
_FAN_EVERY = 4  # frames


@dataclass(frozen=True)
class Motion:
    """How a camera is carried. Ranges are (low, high), drawn once per path.

    speed_m     metres per frame
    turn_deg    fastest rotation about the vertical, degrees per frame
    height_m    height of the camera above the floor, metres
    rise_m      amplitude of slow changes of height
    pitch_deg   mean pitch, negative looks down
    sway_deg    amplitude of slow pitch and roll
    pan_deg     amplitude of looking around, away from the direction with most room
    shake_deg   amplitude of fast trembling; position trembles by as many millimetres
    steered     whether the camera looks where it goes, as on a robot with wheels
    """

    speed_m: tuple[float, float]
    turn_deg: tuple[float, float]
    height_m: tuple[float, float]
    rise_m: tuple[float, float]
    pitch_deg: tuple[float, float]
    sway_deg: tuple[float, float]
    pan_deg: tuple[float, float]
    shake_deg: tuple[float, float]
    steered: bool = False


MOTIONS = {
    "robot": Motion((0.01, 0.08), (1.0, 5.0), (0.35, 1.3), (0.0, 0.0), (-12.0, 8.0), (0.0, 0.3),
                    (0.0, 0.0), (0.0, 0.15), steered=True),
    "drone": Motion((0.01, 0.15), (1.0, 6.0), (0.8, 2.0), (0.0, 0.4), (-25.0, 5.0), (0.5, 5.0),
                    (0.0, 30.0), (0.0, 0.2)),
    "hand": Motion((0.005, 0.08), (1.0, 8.0), (1.0, 1.8), (0.02, 0.25), (-40.0, 5.0), (1.0, 8.0),
                   (5.0, 40.0), (0.1, 0.5)),
}  # fmt: skip


def trajectories(
    scene: Scene,
    seeds: Sequence[int],
    frames: int,
    kind: str | Motion = "hand",
    seed: int = 0,
    loop: bool = False,
) -> Tensor:
    """One path for each world of a scene: (B, frames, 4, 4) float64 world_T_camera.

    seeds     seed of each world; with ``seed`` they determine the paths
    kind      "robot" (planar, constant height), "drone", "hand", or a Motion
    loop      close the path: the frame after the last is the first again

    The paths keep CLEARANCE from every surface. Raises SyntheticError where a world has no room.
    """
    if isinstance(kind, str) and kind not in MOTIONS:
        raise SyntheticError(f"unknown motion {kind!r}: choose one of {', '.join(MOTIONS)}")
    motion = MOTIONS[kind] if isinstance(kind, str) else kind
    if frames < 1:
        raise SyntheticError(f"a path needs at least one frame, got {frames}")
    space = Space(scene.to("cpu"))
    rngs = [np.random.default_rng([seed, world_seed]) for world_seed in seeds]
    styles = [_Style.draw(motion, frames, loop, rng) for rng in rngs]
    path = (_loops if loop else _walks)(space, styles, rngs, frames)
    return torch.from_numpy(_poses(path, styles))


class _Style(NamedTuple):
    """What was drawn for one path. Arrays are per frame; angles in rad, lengths in metres."""

    motion: Motion
    speed: Array  # (N,)
    turn: float
    height: float
    lift: Array  # (N,) slow change of height
    tremble: Array  # (N, 3) position
    pitch: Array
    roll: Array
    pan: Array
    loop: bool

    @classmethod
    def draw(cls, motion: Motion, frames: int, loop: bool, rng: np.random.Generator) -> _Style:
        def wave(amplitude: float, slowest: float, fastest: float) -> Array:
            """A smooth random function of the frame, about [-amplitude, amplitude]."""
            t = np.arange(frames)
            total = np.zeros(frames)
            for _ in range(4):
                frequency = 1 / rng.uniform(fastest, slowest)
                if loop:
                    frequency = max(1, round(frequency * frames)) / frames
                total += np.sin(2 * np.pi * (frequency * t + rng.random()))
            return amplitude * total / 2.5

        def pick(bounds: tuple[float, float]) -> float:
            return float(rng.uniform(*bounds))

        turn = np.deg2rad(pick(motion.turn_deg))
        pan = np.deg2rad(pick(motion.pan_deg))
        sway, shake = np.deg2rad(pick(motion.sway_deg)), pick(motion.shake_deg)
        shake_rad = np.deg2rad(shake)
        # A wave of amplitude a and period T turns by at most about 2 pi a / T per frame.
        period = max(12.0, 4 * np.pi * pan / turn)
        slow = max(20.0, 4 * np.pi * sway / turn)
        return cls(
            motion=motion,
            speed=(pick(motion.speed_m) * (1 + wave(0.3, 120, 30)).clip(0.2)).clip(
                max=motion.speed_m[1]
            ),
            turn=turn,
            height=pick(motion.height_m),
            lift=wave(pick(motion.rise_m), 240, 90),
            tremble=np.stack([wave(shake * 1e-3, 9, 3) for _ in range(3)], -1),
            pitch=np.deg2rad(pick(motion.pitch_deg)) + wave(sway, 4 * slow, slow)
            + wave(0.3 * shake_rad, 9, 3),
            roll=wave(0.5 * sway, 4 * slow, slow) + wave(0.3 * shake_rad, 9, 3),
            pan=wave(pan, 3 * period, period) + wave(0.3 * shake_rad, 9, 3),
            loop=loop,
        )  # fmt: skip


class _Path(NamedTuple):
    """(B, N, 3) positions, (B, N) headings and (B, N) directions to look, rad, unwrapped."""

    position: Array
    heading: Array
    gaze: Array


def _height(style: _Style, ceiling: float) -> float:
    """The drawn height, lowered into low rooms."""
    return min(style.height, ceiling - CLEARANCE - 0.2)


def _places(
    space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator]
) -> tuple[Array, Array]:
    """(B, 96, 3) places in each world, half of them at any height, and their (B, 96) clearance."""
    points = np.empty((len(styles), 96, 3))
    for b, (style, rng) in enumerate(zip(styles, rngs, strict=True)):
        low, high = CLEARANCE + 0.1, space.size[b] - CLEARANCE - 0.1
        points[b] = rng.uniform(low, high, (96, 3))
        points[b, :48, 2] = _height(style, space.size[b, 2])
    distance, _ = space.clearance(points)
    roomy = distance.max(1)
    if roomy.min() < CLEARANCE + 0.1:
        raise SyntheticError(
            f"world {roomy.argmin()} of the batch has no place {CLEARANCE + 0.1:.1f} m from all "
            "things: use another seed"
        )
    return points, distance


def _start(space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator]) -> Array:
    """(B, 3) places with room around them: the first with much, else the one with most."""
    points, distance = _places(space, styles, rngs)
    good = distance > 2 * CLEARANCE
    index = np.where(good.any(1), good.argmax(1), distance.argmax(1))
    return points[np.arange(len(styles)), index]


def _walks(
    space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator], frames: int
) -> _Path:
    B, keep = len(styles), CLEARANCE + _MARGIN
    position = _start(space, styles, rngs)
    base = np.array([_height(s, z) for s, z in zip(styles, space.size[:, 2], strict=True)])
    speed = np.stack([s.speed for s in styles], 1)  # (N, B)
    lift = np.stack([s.lift for s in styles], 1)
    turn = np.array([s.turn for s in styles])
    bias = np.stack([rng.uniform(-0.5, 0.5, FAN) for rng in rngs])
    rate = turn * np.array([rng.uniform(-1, 1) for rng in rngs])
    heading = _best_angle(np.minimum(space.fan(position[:, None])[:, 0], 4.0) + 2 * bias)
    distance, away = (a[:, 0] for a in space.clearance(position[:, None]))
    velocity = speed[0, :, None] * np.stack([np.cos(heading), np.sin(heading), 0 * heading], -1)
    positions, headings = np.empty((B, frames, 3)), np.empty((B, frames))
    planar = np.array([s.motion.steered for s in styles])
    target = heading
    for n in range(frames):
        positions[:, n], headings[:, n] = position, heading
        if n % _FAN_EVERY == 0:
            free = np.minimum(space.fan(position[:, None])[:, 0], 4.0)
            target = _best_angle(free + bias + 1.2 * np.cos(FAN_ANGLES - heading[:, None]))
        wish = _wrap(target - heading) * 0.3
        rate = np.clip(0.8 * rate + 0.2 * wish, -turn, turn)
        heading = heading + rate
        ahead = np.round(heading * FAN / (2 * np.pi)).astype(int) % FAN
        brake = np.clip((free[np.arange(B), ahead] - 0.4) / 0.8, 0.05, 1.0)
        wanted = (speed[n] * brake)[:, None] * np.stack(
            [np.cos(heading), np.sin(heading), 0 * heading], -1
        )
        wanted[:, 2] = np.clip(
            0.1 * (base + lift[n] - position[:, 2]), -0.3 * speed[n], 0.3 * speed[n]
        )
        push = np.clip(2 - distance / keep, 0, 1) * speed[n]
        wanted += away * push[:, None]
        wanted[planar, 2] = 0.0
        velocity += 0.3 * (wanted - velocity)
        position, velocity, distance, away = _step(
            space, position, velocity, distance, away, keep, planar
        )
    return _finish_walk(space, positions, headings, styles)


def _step(
    space: Space, position: Array, velocity: Array, distance: Array, away: Array, keep: float,
    planar: NDArray[np.bool_],
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Move all agents by their velocity; along the surface or not at all where that is too near."""
    for attempt in range(3):
        candidate = position + velocity
        after, direction = (a[:, 0] for a in space.clearance(candidate[:, None]))
        bad = (after < keep) & (after < distance)
        if not bad.any() or attempt == 2:
            break
        into = np.minimum((velocity * away).sum(-1, keepdims=True), 0.0)
        slide = velocity - 1.05 * into * away if attempt == 0 else np.zeros_like(velocity)
        slide[planar, 2] = 0.0
        velocity = np.where(bad[:, None], slide, velocity)
    stay = bad[:, None]
    return (
        np.where(stay, position, candidate),
        np.where(stay, 0.0, velocity),
        np.where(bad, distance, after),
        np.where(stay, away, direction),
    )


def _finish_walk(
    space: Space, positions: Array, headings: Array, styles: Sequence[_Style]
) -> _Path:
    """Smooth the simulated positions, add trembling, and decide where to look."""
    tremble = np.stack([style.tremble for style in styles])
    smooth = _smooth(positions, 2.0, False) + tremble
    safe = space.clearance(smooth)[0].min(1) >= CLEARANCE
    positions = np.where(safe[:, None, None], smooth, positions)
    return _Path(positions, headings, _gaze(space, positions, headings, styles, closed=False))


def _loops(
    space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator], frames: int
) -> _Path:
    """Closed curves: of many candidates around free places, the one that fits the speed best."""
    tries, samples = 48, 32
    points, distance = _places(space, styles, rngs)
    order = np.argsort(-distance, axis=1)[:, np.arange(tries) % 12]  # the roomiest, in turn
    centres = np.take_along_axis(points, order[..., None], axis=1)  # (B, tries, 3)
    coefficients = np.empty((len(styles), tries, 3, 3, 2))  # harmonic, axis, cosine and sine
    for b, (style, rng) in enumerate(zip(styles, rngs, strict=True)):
        amplitude = rng.normal(0, 1, (tries, 3, 3, 2)) * np.array([0, 0.03, 0.01])[:, None, None]
        ellipse = rng.uniform(0.25, 0.5, (tries, 2))
        direction = rng.choice([-1.0, 1.0], tries)
        amplitude[:, 0, 0, 0] = ellipse[:, 0]
        amplitude[:, 0, 1, 1] = ellipse[:, 1] * direction
        amplitude[:, 0, 2] = rng.normal(0, 0.4, (tries, 2))
        amplitude[:, :, :2] *= space.size[b, :2, None]
        amplitude[:, :, 2] *= float(np.ptp(style.lift)) / 2
        coefficients[b] = amplitude * np.geomspace(0.03, 1.0, tries)[:, None, None, None]
    angle = np.linspace(0, 2 * np.pi, samples + 1, dtype=np.float64)
    curves = _closed(centres, coefficients, angle)  # (B, tries, samples + 1, 3)
    length = np.linalg.norm(np.diff(curves, axis=2), axis=-1).sum(-1)  # (B, tries)
    clear = space.clearance(curves.reshape(len(styles), -1, 3))[0]
    clear = clear.reshape(curves.shape[:3]).min(-1)
    # Between two samples the curve strays from the chord by less than the margin.
    usable = clear > CLEARANCE + _MARGIN + length / samples / 4
    if not usable.any(1).all():
        raise SyntheticError("a world has no room for a loop: use another seed or a walk")
    wanted = np.array([[style.speed.sum()] for style in styles])
    most = np.array([[style.turn * frames / (3 * np.pi)] for style in styles])
    laps = np.round(wanted / length).clip(1, np.maximum(1, np.floor(most)))
    misfit = np.abs(np.log(length * laps / wanted)) + 0.3 * np.log(laps)
    best = np.where(usable, misfit, np.inf).argmin(1)
    position = np.stack(
        [
            _evenly(centres[b, i], coefficients[b, i], int(laps[b, i]), frames)
            for b, i in enumerate(best)
        ]
    )
    ahead = np.roll(position, -1, 1) - np.roll(position, 1, 1)
    course = np.unwrap(np.arctan2(ahead[..., 1], ahead[..., 0]), axis=-1)
    heading = np.stack(
        [_slow_enough(c, style.turn, True) for c, style in zip(course, styles, strict=True)]
    )
    gaze = _gaze(space, position, heading, styles, closed=True)
    return _Path(position + np.stack([style.tremble for style in styles]), heading, gaze)


def _evenly(centre: Array, coefficients: Array, laps: int, frames: int) -> Array:
    """(frames, 3) points at equal distances along ``laps`` rounds of one closed curve."""
    curve = _closed(centre, coefficients, np.linspace(0, 2 * np.pi, 2049, dtype=np.float64))
    walked = np.append(0.0, np.linalg.norm(np.diff(curve, axis=0), axis=-1).cumsum())
    wanted = (np.arange(frames) * laps / frames % 1) * walked[-1]
    return np.stack([np.interp(wanted, walked, curve[:, k]) for k in range(3)], -1)


def _closed(centres: Array, coefficients: Array, angle: Array) -> Array:
    """Sum of harmonics: (..., 3), (..., harmonics, 3, 2), (S,) to (..., S, 3)."""
    total = centres[..., None, :] + np.zeros((len(angle), 1))
    for k in range(coefficients.shape[-3]):
        wave = np.stack([np.cos((k + 1) * angle), np.sin((k + 1) * angle)])
        total = total + np.einsum("...ac,cs->...sa", coefficients[..., k, :, :], wave)
    return total


def _gaze(
    space: Space, position: Array, heading: Array, styles: Sequence[_Style], closed: bool
) -> Array:
    """(B, N) angles that turn smoothly between the directions with most room, mostly ahead."""
    frames = heading.shape[1]
    some = np.arange(0, frames, _FAN_EVERY)
    free = np.minimum(space.fan(position[:, some]), 3.0)
    target = np.unwrap(_best_angle(free + np.cos(FAN_ANGLES - heading[:, some, None])), axis=-1)
    gaze = np.empty_like(heading)
    for b, style in enumerate(styles):
        path = np.interp(np.arange(frames), some, target[b])
        gaze[b] = _slow_enough(path, style.turn / 2, closed)
    return gaze


def _poses(path: _Path, styles: Sequence[_Style]) -> Array:
    """(B, N, 4, 4) world_T_camera from positions and viewing angles."""
    steered = np.array([s.motion.steered for s in styles])[:, None]
    yaw = np.where(steered, path.heading, path.gaze) + np.stack([s.pan for s in styles])
    pitch, roll = np.stack([s.pitch for s in styles]), np.stack([s.roll for s in styles])
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    forward = np.stack([cp * cy, cp * sy, sp], -1)
    level = np.stack([sy, -cy, 0 * yaw], -1)  # to the right, horizontal
    down = np.cross(forward, level)
    cr, sr = np.cos(roll)[..., None], np.sin(roll)[..., None]
    poses = np.zeros((*yaw.shape, 4, 4))
    poses[..., :3, 0] = cr * level + sr * down
    poses[..., :3, 1] = cr * down - sr * level
    poses[..., :3, 2] = forward
    poses[..., :3, 3] = path.position
    poses[..., 3, 3] = 1.0
    return poses


def _best_angle(score: Array) -> Array:
    """(..., FAN) scores to the angle of the best, refined between its neighbours."""
    best = score.argmax(-1)
    left = np.take_along_axis(score, (best[..., None] - 1) % FAN, -1)[..., 0]
    right = np.take_along_axis(score, (best[..., None] + 1) % FAN, -1)[..., 0]
    top = np.take_along_axis(score, best[..., None], -1)[..., 0]
    shift = 0.5 * (right - left) / np.maximum(2 * top - left - right, 1e-9)
    return (best + np.clip(shift, -0.5, 0.5)) * 2 * math.pi / FAN


def _wrap(angle: Array) -> Array:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _slow_enough(angle: Array, turn: float, closed: bool) -> Array:
    """Smooth (N,) unwrapped angles until they change by at most ``turn`` per frame.

    On a closed path the frame after the last is the first, perhaps some whole turns on.
    """
    N = len(angle)
    end = angle[-1] + _wrap(angle[0] - angle[-1]) if closed else angle[0]
    steady = (end - angle[0]) / N * np.arange(N)
    width = 4.0
    while True:
        smooth = _smooth((angle - steady)[None, :, None], width, closed)[0, :, 0] + steady
        if N == 1 or np.abs(np.diff(smooth)).max() <= turn or width > N:
            return smooth
        width *= 1.5


def _smooth(values: Array, width: float, closed: bool) -> Array:
    """Gaussian mean along axis 1 of (B, N, C), ``width`` frames, periodic when closed."""
    N = values.shape[1]
    reach = min(int(3 * width) + 1, 4 * N)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    index: NDArray[np.signedinteger] = np.arange(-reach, N + reach)
    index = index % N if closed else index.clip(0, N - 1)
    # One by one: a batched product rounds differently in batches of different size.
    smooth = np.empty_like(values)
    for b, c in np.ndindex(values.shape[0], values.shape[2]):
        smooth[b, :, c] = np.convolve(values[b, index, c], kernel, mode="valid")
    return smooth
