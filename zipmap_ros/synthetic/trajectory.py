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
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zipmap_ros.synthetic.scene import SHELL, Scene, stack_scenes
from zipmap_ros.synthetic.textures import SyntheticError

Array = NDArray[np.float64]

CLEARANCE = 0.3  # metres between the camera and any surface, always
_MARGIN = 0.06  # what smoothing and shake may take from it
_FAN = 24  # directions in which free space is measured
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
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    frames: int,
    kind: str | Motion = "hand",
    seed: int = 0,
    loop: bool = False,
    speed_m: tuple[float, float] | None = None,
    turn_deg: tuple[float, float] | None = None,
) -> Tensor:
    """One path of ``frames`` poses for each scene: (B, frames, 4, 4) float64 world_T_camera.

    seeds     seed of each scene's world; with ``seed`` they determine the paths
    kind      "robot" (planar, constant height), "drone", "hand", or a Motion
    loop      close the path: the frame after the last is the first again
    speed_m, turn_deg  override the ranges of the motion: metres and degrees per frame

    The paths keep CLEARANCE from every surface. Raises SyntheticError where a scene has no room.
    """
    if isinstance(kind, str):
        if kind not in MOTIONS:
            raise SyntheticError(f"unknown motion {kind!r}: choose one of {', '.join(MOTIONS)}")
        kind = MOTIONS[kind]
    if frames < 1:
        raise SyntheticError(f"a path needs at least one frame, got {frames}")
    motion = replace(kind, speed_m=speed_m or kind.speed_m, turn_deg=turn_deg or kind.turn_deg)
    space = Space(stack_scenes([scene.to("cpu") for scene in scenes]))
    rngs = [np.random.default_rng([seed, world_seed]) for world_seed in seeds]
    styles = [_Style.draw(motion, frames, loop, rng) for rng in rngs]
    path = (_loops if loop else _walks)(space, styles, rngs, frames)
    return torch.from_numpy(_poses(path, styles))


class Space:
    """Where there is room in B stacked scenes. Round things count as their bounding boxes."""

    def __init__(self, scene: Scene) -> None:
        self.centre = scene.centre.numpy()  # (B, P, 3)
        self.axes = scene.axes.numpy()  # (B, P, 3, 3)
        self.half = scene.half.numpy()
        self.solid = (scene.kind > SHELL).numpy()
        self.size = 2 * self.half[:, 0]  # (B, 3) of the shell

    def clearance(self, points: Array) -> tuple[Array, Array]:
        """(B, K, 3) points to (B, K) distances to the nearest surface, metres, at most true,
        and (B, K, 3) directions away from it. Negative inside of a thing or outside the shell.
        """
        offset = points[:, :, None] - self.centre[:, None]  # (B, K, P, 3)
        local = np.einsum("bkpi,bpij->bkpj", offset, self.axes)
        beyond = np.abs(local) - self.half[:, None]
        outside = np.maximum(beyond, 0.0)
        deepest = beyond.max(-1)
        distance = np.sqrt((outside**2).sum(-1)) + np.minimum(deepest, 0.0)
        distance[:, :, 0] = -deepest[:, :, 0]  # inside the shell
        distance[:, :, 1:][~np.broadcast_to(self.solid[:, None, 1:], distance[:, :, 1:].shape)] = (
            np.inf
        )
        nearest = distance.argmin(-1)  # (B, K)
        b, k = np.indices(nearest.shape)
        picked = outside[b, k, nearest]
        face = beyond[b, k, nearest]
        on_face = (face == face.max(-1, keepdims=True)).astype(np.float64)
        away = np.where(picked.any(-1, keepdims=True), picked, on_face)
        away = away * np.sign(local[b, k, nearest]) * np.where(nearest == 0, -1, 1)[..., None]
        away = np.einsum("bkij,bkj->bki", self.axes[b, nearest], away)
        away /= np.linalg.norm(away, axis=-1, keepdims=True) + 1e-12
        return distance[b, k, nearest], away

    def fan(self, points: Array) -> Array:
        """(B, K, 3) points to (B, K, _FAN) free metres along horizontal rays at angles 2πi/_FAN."""
        angle = np.arange(_FAN) * 2 * np.pi / _FAN
        direction = np.stack([np.cos(angle), np.sin(angle), np.full(_FAN, 1e-9)], -1)
        free = np.empty((*points.shape[:2], _FAN))
        local_direction = np.einsum("fi,bpij->bpfj", direction, self.axes)
        local_direction += np.where(local_direction >= 0, 1e-9, -1e-9)
        inverse = 1 / local_direction  # (B, P, _FAN, 3)
        reach = np.abs(inverse) * self.half[:, :, None]
        for k in range(points.shape[1]):
            offset = points[:, k, None] - self.centre
            local = np.einsum("bpi,bpij->bpj", offset, self.axes)
            middle = -local[:, :, None] * inverse
            near, far = (middle - reach).max(-1), (middle + reach).min(-1)
            hit = np.where((near <= far) & (near > 0) & self.solid[..., None], near, np.inf)
            hit[:, 0] = far[:, 0]
            free[:, k] = hit.min(1)
        return free


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
        period = max(12.0, 2 * np.pi * pan / turn)
        slow = max(20.0, 4 * np.pi * sway / turn)
        return cls(
            motion=motion,
            speed=pick(motion.speed_m) * (1 + wave(0.3, 120, 30)).clip(0.2),
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


def _start(space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator]) -> Array:
    """(B, 3) places with room around them."""
    tries = 64
    points = np.empty((len(styles), tries, 3))
    for b, (style, rng) in enumerate(zip(styles, rngs, strict=True)):
        low, high = CLEARANCE + 0.1, space.size[b, :2] - CLEARANCE - 0.1
        points[b, :, :2] = rng.uniform(low, high, (tries, 2))
        points[b, :, 2] = _height(style, space.size[b, 2])
        points[b, tries // 2 :, 2] = rng.uniform(0.4, space.size[b, 2] - 0.4, tries // 2)
    distance, _ = space.clearance(points)
    if (worst := distance.max(1).argmin()) is not None and distance[worst].max() < CLEARANCE * 1.3:
        raise SyntheticError(
            f"world {worst} of the batch has no place {CLEARANCE} m from all things: other seed"
        )
    # The first point with good room; else the one with most.
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
    bias = np.stack([rng.uniform(-0.5, 0.5, _FAN) for rng in rngs])
    rate = turn * np.array([rng.uniform(-1, 1) for rng in rngs])
    heading = _best_angle(np.minimum(space.fan(position[:, None])[:, 0], 4.0) + 2 * bias)
    distance, away = (a[:, 0] for a in space.clearance(position[:, None]))
    velocity = speed[0, :, None] * np.stack([np.cos(heading), np.sin(heading), 0 * heading], -1)
    positions, headings = np.empty((B, frames, 3)), np.empty((B, frames))
    planar = np.array([s.motion.steered for s in styles])
    angle = np.arange(_FAN) * 2 * np.pi / _FAN
    target = heading
    for n in range(frames):
        positions[:, n], headings[:, n] = position, heading
        if n % _FAN_EVERY == 0:
            free = np.minimum(space.fan(position[:, None])[:, 0], 4.0)
            target = _best_angle(free + bias + 1.2 * np.cos(angle - heading[:, None]))
        wish = _wrap(target - heading) * 0.15
        rate = np.clip(0.8 * rate + 0.2 * wish, -turn, turn)
        heading = heading + rate
        wanted = speed[n, :, None] * np.stack([np.cos(heading), np.sin(heading), 0 * heading], -1)
        wanted[:, 2] = np.clip(0.1 * (base + lift[n] - position[:, 2]), -speed[n], speed[n])
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
    distance, _ = space.clearance(smooth)
    unsafe = (distance < CLEARANCE).any(1)
    positions = np.where(unsafe[:, None, None], positions, smooth)
    gaze = np.empty_like(headings)
    looks = positions[:, ::_FAN_EVERY]
    at = np.arange(headings.shape[1])
    angle = np.arange(_FAN) * 2 * np.pi / _FAN
    free = np.minimum(space.fan(looks), 3.0)
    forward = np.cos(angle - headings[:, ::_FAN_EVERY, None])
    open_to = np.unwrap(_best_angle(free + forward), axis=-1)
    for b, style in enumerate(styles):
        gaze[b] = np.interp(at, at[::_FAN_EVERY], open_to[b])
        gaze[b] = _slow_enough(gaze[b], style.turn, False)
    return _Path(positions, headings, gaze)


def _loops(
    space: Space, styles: Sequence[_Style], rngs: Sequence[np.random.Generator], frames: int
) -> _Path:
    """Closed curves: of many candidates of growing size, the longest that keeps clear."""
    t = np.arange(frames) * 2 * np.pi / frames
    tries, samples = 96, 48
    rough = np.arange(samples) * 2 * np.pi / samples
    coefficients = np.empty((len(styles), tries, 3, 3, 2))  # harmonic, axis, cosine and sine
    centres = np.empty((len(styles), tries, 3))
    lengths = np.array([s.speed.sum() for s in styles])
    for b, (style, rng) in enumerate(zip(styles, rngs, strict=True)):
        size = space.size[b]
        scale = np.linspace(0.02, 1.0, tries)[:, None, None, None]
        amplitude = rng.normal(0, 1, (tries, 3, 3, 2)) * np.array([0.5, 0.08, 0.03])[:, None, None]
        centres[b, :, :2] = size[:2] * rng.uniform(0.3, 0.7, (tries, 2))
        centres[b, :, 2] = _height(style, size[2])
        amplitude[:, :, :2] *= size[:2, None]
        amplitude[:, :, 2] *= float(np.ptp(style.lift)) / 2
        coefficients[b] = amplitude * scale
    curves = _closed(centres, coefficients, rough)  # (B, tries, samples, 3)
    steps = np.linalg.norm(curves - np.roll(curves, 1, axis=2), axis=-1).sum(-1)
    clear = np.stack(
        [space.clearance(curves[:, i])[0].min(-1) for i in range(tries)], 1
    )  # (B, tries)
    usable = clear > CLEARANCE + _MARGIN + 0.02
    if not usable.any(1).all():
        raise SyntheticError("a world of the batch has no room for a loop: other seed or a walk")
    laps = np.maximum(1, np.round(lengths[:, None] / np.maximum(steps, 0.5)))
    misfit = np.abs(np.log(np.maximum(steps, 1e-3) * laps / lengths[:, None])) - 0.1 * np.log(steps)
    best = np.where(usable, misfit, np.inf).argmin(1)
    b = np.arange(len(styles))
    position = np.empty((len(styles), frames, 3))
    for i in b:
        fine = np.linspace(0, 2 * np.pi, 2049)
        curve = _closed(centres[i, best[i], None], coefficients[i, best[i], None], fine)[0]
        walked = np.concatenate([[0], np.linalg.norm(np.diff(curve, axis=0), axis=-1).cumsum()])
        wanted = (t / (2 * np.pi) * laps[i, best[i]] % 1) * walked[-1]
        position[i] = np.stack([np.interp(wanted, walked, curve[:, k]) for k in range(3)], -1)
        position[i] += styles[i].tremble
    ahead = np.roll(position, -1, 1) - np.roll(position, 1, 1)
    heading = np.unwrap(np.arctan2(ahead[..., 1], ahead[..., 0]), axis=-1)
    gaze = np.stack([_loop_gaze(space, position, heading, s, i) for i, s in enumerate(styles)])
    return _Path(position, heading, gaze)


def _closed(centres: Array, coefficients: Array, angle: Array) -> Array:
    """Sum of harmonics: (..., 3), (..., harmonics, 3, 2), (S,) to (..., S, 3)."""
    total = centres[..., None, :] + np.zeros((len(angle), 1))
    for k in range(coefficients.shape[-3]):
        wave = np.stack([np.cos((k + 1) * angle), np.sin((k + 1) * angle)])
        total = total + np.einsum("...ac,cs->...sa", coefficients[..., k, :, :], wave)
    return total


def _loop_gaze(space: Space, position: Array, heading: Array, style: _Style, b: int) -> Array:
    """(N,) directions with room along one loop; the last fits the first."""
    if style.motion.steered:
        return heading[b]
    angle = np.arange(_FAN) * 2 * np.pi / _FAN
    one = np.arange(0, position.shape[1], _FAN_EVERY)
    free = np.minimum(space.fan(position[:, one])[b], 3.0)
    target = np.unwrap(_best_angle(free + np.cos(angle - heading[b, one, None])))
    at = np.arange(position.shape[1])
    closing = target[-1] + _wrap(target[0] - target[-1])
    gaze = np.interp(at, np.append(one, len(at)), np.append(target, closing))
    winding = (closing - target[0]) / len(at) * at
    return _slow_enough(gaze - winding, style.turn, True) + winding


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
    """(..., _FAN) scores to the angle of the best, refined between its neighbours."""
    best = score.argmax(-1)
    left = np.take_along_axis(score, (best[..., None] - 1) % _FAN, -1)[..., 0]
    right = np.take_along_axis(score, (best[..., None] + 1) % _FAN, -1)[..., 0]
    top = np.take_along_axis(score, best[..., None], -1)[..., 0]
    shift = 0.5 * (right - left) / np.maximum(2 * top - left - right, 1e-9)
    return (best + np.clip(shift, -0.5, 0.5)) * 2 * math.pi / _FAN


def _wrap(angle: Array) -> Array:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _slow_enough(angle: Array, turn: float, closed: bool) -> Array:
    """Smooth (N,) unwrapped angles until they change by at most ``turn`` per frame."""
    width = 4.0
    smooth = _smooth(angle[None, :, None], width, closed)[0, :, 0]
    while len(angle) > 1 and np.abs(np.diff(smooth)).max() > turn and width < 4 * len(angle):
        width *= 1.5
        smooth = _smooth(angle[None, :, None], width, closed)[0, :, 0]
    return smooth


def _smooth(values: Array, width: float, closed: bool) -> Array:
    """Gaussian mean along axis 1 of (B, N, C), ``width`` frames, periodic when closed."""
    N = values.shape[1]
    reach = min(int(3 * width) + 1, 4 * N)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    index = np.arange(-reach, N + reach)
    index = index % N if closed else index.clip(0, N - 1)
    padded = values[:, index]
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    return windows @ kernel
