# SPDX-License-Identifier: Apache-2.0
"""Losses term by term, and batches of a pool whose cameras turn and whose depth has a side."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zipmap_ros.geometry import se3_exp
from zipmap_ros.model import QueryPrediction
from zipmap_ros.model.cameras import encode_pose, invert, unproject
from zipmap_ros.training.data import Batch, BatchPlan, Clips, image_height, normalised, sample_batch
from zipmap_ros.training.losses import (
    camera_loss,
    depth_loss,
    gradient_loss,
    patch_motion,
    patch_points,
    point_loss,
    query_loss,
)

K = torch.tensor([[20.0, 0, 16], [0, 22, 12], [0, 0, 1]])


def _clips(steps: list[Tensor]) -> Clips:
    """Bright and 1 m away on the left, dark and 3 m on the right."""
    depth = torch.full((2, len(steps), 26, 32), 3.0)
    depth[..., :16] = 1.0
    rgb = (depth < 2)[..., None].expand(-1, -1, -1, -1, 3) * 150 + 50
    T = torch.stack(steps).repeat(2, 1, 1, 1)
    return Clips(rgb.to(torch.uint8), depth.half(), T, torch.full((2,), 30.0))


def _metric(batch: Batch) -> Tensor:
    """camera_T_world in metres, by the wall that is 1 m away."""
    T = batch.camera_T_world.clone()
    T[..., :3, 3] /= batch.depth.amin((1, 2, 3))[:, None, None]
    return T


def test_a_camera_is_judged_frame_by_frame() -> None:
    T = torch.eye(4).expand(1, 2, 4, 4)
    encoding = encode_pose(T[..., :3, :], K.expand(1, 2, 3, 3), 24, 32)
    encoding[0, 1, 3:7] *= -1  # the same rotation
    assert camera_loss(encoding, T, K.expand(1, 2, 3, 3), (24, 32)) == 0
    encoding[0, 0, 6] = 0.8
    off = camera_loss(encoding, T, K.expand(1, 2, 3, 3), (24, 32))
    assert off.item() == pytest.approx(0.2 / 8)
    encoding[0, 1, 2] = -1e6  # what ran away does not count as far as it ran
    off = camera_loss(encoding, T, K.expand(1, 2, 3, 3), (24, 32))
    assert off.item() == pytest.approx(0.2 / 8 + 100 / 6)


def test_a_depth_too_near_is_as_wrong_as_one_too_far() -> None:
    truth = torch.tensor([2.0, 4.0, 0.0])
    depth = torch.tensor([2 / math.e, 4.0, 1.0], requires_grad=True)
    confidence = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
    loss = depth_loss(depth, confidence, truth)
    assert loss.item() == pytest.approx(1.0)  # of two pixels one has error 1, counted twice
    loss.backward()
    assert depth.grad[2] == confidence.grad[2] == 0, "nothing is learned from what is unknown"


def test_gradients_are_compared_at_every_scale_in_both_directions() -> None:
    bump = torch.tensor([[0.0, 1, 1, 0]] * 2).exp()
    for depth in (bump, 1 / bump, bump.T):
        # Two pairs of three differ at full scale, the only one at half.
        loss = gradient_loss(depth, torch.ones_like(depth))
        assert loss.item() == pytest.approx((2 / 3 + 1) / 4)
    truth = torch.ones(2, 4)
    truth[0, 0] = 0  # unknown: three pairs of five differ, and none is left at half scale
    assert gradient_loss(bump, truth).item() == pytest.approx(3 / 5 / 4)
    truth = torch.tensor([[1.0, 1, 0, 1]] * 2)
    for depth, known in ((bump, truth), (bump.T, truth.T)):
        assert gradient_loss(math.e * depth, known).item() == pytest.approx(1 / 4)


def test_near_points_count_by_their_depth_down_to_a_tenth() -> None:
    points = torch.tensor([[0.05, 0.0, 0.0]])
    for depth, loss in ((0.5, 0.1), (0.02, 0.5)):
        found = point_loss(points, torch.zeros(1, 3), torch.tensor([depth]))
        assert found.item() == pytest.approx(loss)


def test_unseen_views_are_judged_by_colour_and_depth() -> None:
    images = torch.rand(1, 2, 3, 4, 5)
    depth = torch.full((1, 2, 4, 5), 2.0)
    view = QueryPrediction(images.movedim(2, -1) + 0.1, depth * math.e, torch.ones_like(depth))
    assert query_loss(view, images, depth).item() == pytest.approx(10 * 0.01 + 2, abs=1e-4)


def test_patch_points_are_those_of_the_middle_pixel() -> None:
    depth = torch.rand(1, 2, 8, 12) + 1
    Ks = K.expand(1, 2, 3, 3)
    points, depths = patch_points(depth, torch.eye(4).expand(1, 2, 4, 4), Ks, cell=4)
    assert torch.equal(depths, depth[:, :, 2::4, 2::4])
    assert torch.allclose(points, unproject(depth, Ks)[:, :, 2::4, 2::4])


def test_only_what_the_first_camera_could_see_has_a_motion() -> None:
    points = torch.tensor([[0.1, 0.0, 1.0], [0.1, 0.0, -1.0], [0.1, 0.0, 1.0], [-3.0, 0.0, 1.0]])
    depth = torch.tensor([1.0, 1.0, 0.0, 1.0])
    first = torch.tensor([[10.0, 0, 8], [0, 10, 2], [0, 0, 1]]).expand(1, 1, 3, 3)
    motion, valid = patch_motion(points[None, None, None], depth[None, None, None], first, (4, 16))
    # Seen at (9, 2), shown by the cell around (2.5, 2.5).
    assert motion[0, 0, 0, 0].tolist() == pytest.approx([6.5 / 16, -0.5 / 16])
    assert valid.flatten().tolist() == [True, False, False, False]


def test_batches_of_cameras_that_turn_know_how() -> None:
    turns = ([0.0] * 6, [0.1, 0.02, -0.05, 0.3, 0.1, -0.2], [-0.2, 0.1, 0.3, -0.1, 0.4, 0.2])
    steps = [torch.tensor(se3_exp(twist)).float() for twist in turns]
    mirror, seen = torch.diag(torch.tensor([-1.0, 1, 1, 1])), set()
    for seed in range(6):
        batch = sample_batch(
            _clips(steps), BatchPlan(2, 3, 1, 32, 24), torch.Generator().manual_seed(seed)
        )
        for depth, image, T in zip(batch.depth, batch.images.mean(2), _metric(batch), strict=True):
            near = depth < 2 * depth.amin()
            assert image[near].mean() > image[~near].mean() + 0.05, "what is near is bright"
            mirrored = bool(near[0, 0, -1])
            assert (near[..., 16:] == mirrored).all() and (near[..., :16] != mirrored).all()
            fits = []
            for reverse in (False, True):
                path = torch.stack(steps[::-1] if reverse else steps)
                path = mirror @ path @ mirror if mirrored else path
                fits.append(torch.allclose(T, path.inverse() @ path[0], atol=2e-3))
            assert sum(fits) == 1
            seen.add((mirrored, fits[1]))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("views", "stride", "taken"), [(3, 1, 1), (3, 2, 2), (3, 100, 4), (2, 100, 8)]
)
def test_frames_are_as_far_apart_as_the_clip_allows(views: int, stride: int, taken: int) -> None:
    steps = [torch.tensor(se3_exp([0.1 * k, 0, 0, 0, 0, 0])).float() for k in range(9)]
    plan = BatchPlan(2, views, stride, 32, 24)
    T = _metric(sample_batch(_clips(steps), plan, torch.Generator().manual_seed(0)))
    assert torch.allclose(T[:, :, 0, 3].diff(dim=1).abs(), torch.tensor(0.1 * taken), atol=2e-3)


def test_the_unit_is_of_what_is_known() -> None:
    depth = torch.full((1, 1, 24, 32), 2.0)
    eye, Ks = torch.eye(4).expand(1, 1, 4, 4), K.expand(1, 1, 3, 3)
    depth[..., 16:] = 0
    known = torch.linalg.vector_norm(unproject(depth, Ks), dim=-1)[depth > 0].mean()
    found = normalised(Batch(torch.zeros(1, 1, 3, 24, 32), depth, invert(eye), Ks))
    assert found.depth.amax().item() == pytest.approx(2 / known.item(), rel=1e-5)


@pytest.mark.parametrize("height", [24, 32])
def test_windows_are_of_the_sizes_that_are_drawn_around_the_middle(height: int) -> None:
    clips, windows = _clips([torch.eye(4)]), []
    clips.depth[:, :, :13], clips.depth[:, :, 13:] = 1, 3
    for seed in range(12):
        plan = BatchPlan(1, 1, 1, 32, height)
        batch = sample_batch(clips, plan, torch.Generator().manual_seed(seed))
        fx, fy = batch.K[0, 0, 0, 0].item(), batch.K[0, 0, 1, 1].item()
        windows.append(30 * 32 / fx)
        assert 0.82 < fx / fy < 1.22  # squeezed by 7 % at most, in windows of whole pixels
        assert batch.K[0, 0, :, 2].tolist() == [16, height / 2, 1]
        near = batch.depth[0, 0] < 2 * batch.depth.amin()
        assert near[: height // 2].all() and not near[height // 2 :].any()
    assert 19 < min(windows) < 24 and max(windows) <= 32
    assert image_height(144, 12, 9 / 16) == 84 and image_height(64, 8, 0.01) == 8
