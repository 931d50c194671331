# SPDX-License-Identifier: Apache-2.0
"""What a step does to weights and averages, how a network begins and how it is judged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from zipmap_ros.geometry import se3_exp
from zipmap_ros.model import ZipMap
from zipmap_ros.model.fast_weights import chunk_operations, newton_schulz
from zipmap_ros.training import processes
from zipmap_ros.training.config import PRESETS, TrainingConfig
from zipmap_ros.training.data import Clips
from zipmap_ros.training.muon import Muon
from zipmap_ros.training.network import PatchPoints, fresh_network
from zipmap_ros.training.pool import whole_batch
from zipmap_ros.training.processes import Processes
from zipmap_ros.training.trainer import Trainer
from zipmap_ros.training.transfer import Transfer
from zipmap_ros.training.twin import AttentionTwin, attention_twin
from zipmap_ros.training.validate import validate


def _clips(turned: bool = False) -> Clips:
    """Depths that differ from pixel to pixel, seen by cameras that stand still or go and turn."""
    generator = torch.Generator().manual_seed(0)
    rgb = (255 * torch.rand(4, 8, 26, 32, 3, generator=generator)).to(torch.uint8)
    depth = 1 + torch.rand(4, 8, 26, 32, generator=generator)
    twists = torch.arange(8.0)[:, None] * torch.tensor([0.1, -0.05, 0.02, 0.03, 0.1, -0.04])
    poses = torch.stack([torch.tensor(se3_exp((turned * t).tolist())).float() for t in twists])
    return Clips(rgb, depth.half(), poses.repeat(4, 1, 1, 1), torch.full((4,), 30.0))


def _trainer(out: Path, config: TrainingConfig) -> Trainer:
    clips = _clips()
    return Trainer(config, clips, whole_batch(clips, 32, 24), out, torch.device("cpu"))


def _phase(index: int, **values: object) -> TrainingConfig:
    config = PRESETS["tiny"]()
    return replace(config, phases=(replace(config.phases[index], **values),))


def test_muon_follows_nesterovs_momentum_and_shrinks_weights() -> None:
    torch.manual_seed(0)
    start, first, second = torch.randn(3, 8, 12)
    matrix = nn.Parameter(start.clone())
    optimiser = Muon([matrix], lr=0.1, momentum=0.8, weight_decay=0.5)
    expected, momentum = start, torch.zeros(8, 12)
    for gradient in (first, second):
        matrix.grad = gradient.clone()
        optimiser.step()
        momentum = 0.8 * momentum + 0.2 * gradient
        step = newton_schulz((0.8 * momentum + 0.2 * gradient)[None], dtype=torch.float32)[0]
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * step
        torch.testing.assert_close(matrix.detach(), expected)


def test_learning_rates_warm_up_and_fall_to_their_floor(tmp_path: Path) -> None:
    trainer = _trainer(
        tmp_path, _phase(0, steps=10, warmup=4, floor=0.2, muon_lr=0.02, adam_lr=1e-3)
    )
    for step, factor in ((0, 0.25), (1, 0.5 * 0.92), (3, 0.76), (9, 0.28)):
        trainer.step = step
        trainer._set_learning_rates()
        muon, adam = trainer.optimisers
        assert muon.param_groups[0]["lr"] == pytest.approx(0.02 * factor)
        others, camera = adam.param_groups
        assert others["lr"] == pytest.approx(1e-3 * factor)
        assert camera["lr"] == pytest.approx(0.25e-3 * factor)
        assert any(p is trainer.model.camera_mlp_head.mlp.fc1.weight for p in camera["params"])


def test_averages_follow_soon_at_first_and_slowly_later(tmp_path: Path) -> None:
    name = "aggregator.patch_embed.norm.bias"
    for ema, decay in ((0.99, 2 / 11), (0.1, 0.1)):
        trainer = _trainer(tmp_path / str(ema), _phase(2, ema=ema))
        before = trainer.average[name].clone()
        trainer.train_step()
        after = trainer.model.state_dict()[name]
        assert not torch.equal(before, after)
        torch.testing.assert_close(trainer.average[name], decay * before + (1 - decay) * after)


def test_pieces_of_a_clip_carry_their_state_and_count_as_one(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, _phase(2, segments=2, query_views=0))
    task, seen, judged = trainer._draw(), [], []
    forward, frame_losses = trainer.model.forward, trainer._frame_losses

    def spied(images: Tensor, state: object, *rest: object, **more: object) -> object:
        prediction, after = forward(images, state, *rest, **more)
        seen.append((images, state.frames_seen))
        return prediction, after

    def spied_losses(*arguments: object) -> dict[str, Tensor]:
        judged.append(frame_losses(*arguments))
        return judged[-1]

    trainer.model.forward, trainer._frame_losses = spied, spied_losses
    sums = trainer._plain_gradients(task)
    assert [count for _, count in seen] == [0, 2]
    assert torch.equal(torch.cat([images for images, _ in seen], 1), task.batch.images)
    for name, value in sums.items():
        assert value.item() == pytest.approx(sum(j[name].item() for j in judged) / 2)


def test_unseen_views_lie_between_those_that_are_seen(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, _phase(2, views=(2,), segments=1, query_views=1, strides=(1,)))
    trainer.pool.world_T_camera[:, :, 0, 3] = torch.arange(8.0)
    task = trainer._draw()
    x = task.batch.camera_T_world[:, :, 0, 3].abs()
    assert task.seen == 2 and x.shape[1] == 3
    torch.testing.assert_close(x[:, 2], x[:, 1] / 2)


def test_gradients_are_the_mean_of_all_processes(monkeypatch) -> None:
    mine = [nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (1,), (4,))]
    mine[0].grad, mine[2].grad = torch.arange(6.0).view(2, 3), torch.full((4,), 2.0)
    theirs = torch.cat([torch.full((6,), 1.0), torch.zeros(4)])
    monkeypatch.setattr(processes.dist, "all_reduce", lambda flat: flat.add_(theirs))
    Processes(0, 2).average_gradients(mine)
    assert torch.equal(mine[0].grad, (torch.arange(6.0).view(2, 3) + 1) / 2)
    assert mine[1].grad is None
    assert torch.equal(mine[2].grad, torch.ones(4))


@pytest.mark.parametrize("twin", [False, True])
def test_a_fresh_network_asks_as_it_stores_and_stands_still(twin: bool) -> None:
    config = PRESETS["tiny"]().model
    torch.manual_seed(3)
    model = fresh_network(config, twin, 0.5).eval()
    for block in model.aggregator.global_blocks:
        q, k, v = block.ttt_block.to_qkv.weight.chunk(3)
        assert torch.equal(q, k) and not torch.equal(k, v)
        assert block.ls1.gamma.eq(0.5).all()
    places = model.aggregator.patch_embed.pos_embed[0, 1:]
    assert len(places.unique(dim=0)) == 16 and 0.4 < places.abs().max() <= 0.5
    with torch.no_grad():
        found = model.stream(torch.rand(1, 2, 3, 24, 32), model.new_state(), outputs=())[0]
    for encoding in found.pose_encoding[0]:
        still = torch.tensor([0, 0, 0, 0, 0, 0, 1, 0.8, 1.1])
        torch.testing.assert_close(encoding, still, rtol=0, atol=0.2)


def test_fresh_fast_weights_are_twice_as_long_as_is_usual() -> None:
    config = replace(PRESETS["tiny"]().model, fast_hidden=256)
    sizes = [
        model.aggregator.global_blocks[0].ttt_block.w0.std().item()
        for model in (fresh_network(config, False, 0.5), ZipMap(config))
    ]
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.1)
    assert sizes[1] == pytest.approx(math.sqrt(2 / 16), rel=0.1)


def test_points_of_patches_lie_where_the_patches_are() -> None:
    torch.manual_seed(0)
    head = PatchPoints(16)
    nn.init.normal_(head.motion.weight)
    level = torch.randn(1, 2, 3 + 6, 16)  # three special tokens, then 2 x 3 patches
    points, motion = head(level, (2, 3))
    assert (points.shape, motion.shape) == ((1, 2, 4, 6, 3), (1, 2, 4, 6, 2))
    raw = head.points(head.norm(level[0, 1, 3 + 1 * 3 + 2])).view(2, 2, 3)
    torch.testing.assert_close(points[0, 1, 2:4, 4:6], raw)
    turned = head.motion(head.norm(level[0, 0, 3])).view(2, 2, 2)
    torch.testing.assert_close(motion[0, 0, :2, :2], turned)


def test_scenes_and_heads_of_a_twin_do_not_mix() -> None:
    torch.manual_seed(2)
    layer, x = AttentionTwin(24, 2), torch.randn(3, 5, 24)
    operations = chunk_operations(5, 2)
    out = layer(x, layer.start_weights(3), layer.start_weights(3), operations)[0]
    for i in range(3):
        alone = layer(x[i : i + 1], layer.start_weights(1), layer.start_weights(1), operations)[0]
        torch.testing.assert_close(out[i : i + 1], alone)


def test_what_explains_no_variance_has_a_loss_of_one() -> None:
    config = PRESETS["tiny"]().model
    torch.manual_seed(1)
    transfer = Transfer(attention_twin(config).state_dict(), config, torch.device("cpu"))
    constant = attention_twin(config)
    answers: list[Tensor] = []
    for block in transfer.twin.aggregator.global_blocks:
        block.ttt_block.register_forward_hook(lambda m, i, out: answers.append(out[0]))
    for n, block in enumerate(constant.aggregator.global_blocks):
        block.ttt_block.forward = lambda x, w, *_, n=n: (answers[n].mean((0, 1)).expand_as(x), w)
    images = torch.rand(2, 3, 3, 24, 32)
    assert transfer.loss(constant, images, 1).item() == pytest.approx(1, abs=1e-5)


def test_clips_as_they_are_keep_their_geometry() -> None:
    """The middle of a clip, in the first camera's frame, in the unit of its depth."""
    clips = _clips(turned=True)
    batch = whole_batch(clips, 28, 20)
    unit = clips.depth[0, 0, 5, 4].item() / batch.depth[0, 0, 2, 2].item()
    assert torch.equal(batch.images[1, 2, :, 0, 0], clips.rgb[1, 2, 3, 2].float() / 255)
    assert batch.K[0, 0, 0].tolist() == [30, 0, 14] and batch.K[0, 0, 1].tolist() == [0, 30, 10]
    steps = torch.linalg.inv(clips.world_T_camera[0, 5]) @ clips.world_T_camera[0, 0]
    steps[:3, 3] /= unit
    torch.testing.assert_close(batch.camera_T_world[0, 5], steps, rtol=1e-3, atol=1e-4)


def test_a_network_is_judged_beside_guesses() -> None:
    """One that sees everything half as far, and turns by a tenth of a radian too much."""
    batch = whole_batch(_clips(turned=True), 28, 20)
    turn = torch.tensor(se3_exp([0, 0, 0, 0, 0.1, 0])).float()
    cameras = batch.camera_T_world.clone()
    cameras[:, 1:] = turn @ cameras[:, 1:]
    found = SimpleNamespace(depth=batch.depth / 2, camera_T_world=cameras)
    model = SimpleNamespace(
        training=True,
        eval=lambda: None,
        train=lambda mode: None,
        new_state=lambda count: None,
        stream=lambda images, state: (found, None),
    )
    errors = validate(model, batch)
    assert errors["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert errors["abs_rel_as_predicted"] == pytest.approx(0.5)
    assert 0.1 < errors["constant_depth"] < 0.25  # of depths between 1 and 2
    assert errors["rotation_deg"] == pytest.approx(math.degrees(0.1), rel=1e-3)
    assert errors["translation"] == pytest.approx(0, abs=1e-5)
    path = torch.linalg.inv(batch.camera_T_world)[:, 1:]
    assert errors["still_translation"] == pytest.approx(path[..., :3, 3].norm(dim=-1).mean().item())
    angle = torch.tensor([0.03, 0.1, -0.04]).norm() * torch.arange(1, 8).float().mean()
    assert errors["still_rotation_deg"] == pytest.approx(math.degrees(angle), rel=1e-3)
    assert errors["ate_percent"] == pytest.approx(0, abs=1e-3) and errors["still_ate_percent"] > 10
    cameras[:, 1:, 0, 3] += 0.3
    assert validate(model, batch)["translation"] == pytest.approx(0.3, rel=1e-3)
