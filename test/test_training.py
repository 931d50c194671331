# SPDX-License-Identifier: Apache-2.0
"""Training: losses by hand, the twin's transplant, batches true to geometry, exact resuming."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zipmap_ros.model import ModelConfig, ZipMap, load_checkpoint, shipped_checkpoint
from zipmap_ros.model.cameras import encode_pose, invert, unproject
from zipmap_ros.model.fast_weights import Operation, chunk_operations
from zipmap_ros.synthetic.textures import folder_digest
from zipmap_ros.training import TrainingError
from zipmap_ros.training.__main__ import main
from zipmap_ros.training.config import PRESETS, Phase, PoolConfig, TrainingConfig
from zipmap_ros.training.data import BatchPlan, Clips, sample_batch
from zipmap_ros.training.losses import (
    camera_loss,
    depth_loss,
    gradient_loss,
    motion_loss,
    patch_motion,
    patch_points,
    point_loss,
)
from zipmap_ros.training.muon import Muon
from zipmap_ros.training.network import Parameters, whiten_patches
from zipmap_ros.training.plot import plot_log
from zipmap_ros.training.pool import load_pool, pool_recipe, save_pool, whole_batch
from zipmap_ros.training.processes import own_device
from zipmap_ros.training.trainer import Trainer, preset_of
from zipmap_ros.training.transfer import Transfer
from zipmap_ros.training.twin import AttentionTwin, attention_twin, is_twin, transplant
from zipmap_ros.training.validate import shrink

FOCAL = 30.0


def _wall_clips(clips: int = 4, frames: int = 8, width: int = 32, height: int = 26) -> Clips:
    """Cameras that slide in front of a wall at z = 2 whose colour is a function of its place."""
    generator = torch.Generator().manual_seed(0)
    T = torch.eye(4).repeat(clips, frames, 1, 1)
    step = 0.1 * torch.randn(clips, 1, 2, generator=generator)
    T[..., :2, 3] = step * torch.arange(frames)[:, None]
    K = torch.tensor([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1]])
    depth = torch.full((clips, frames, height, width), 2.0)
    points = unproject(depth, K.expand(clips, frames, 3, 3)) + T[:, :, None, None, :3, 3]
    return Clips(
        (255 * _wall_colour(points)).to(torch.uint8), depth.half(), T, torch.full((clips,), FOCAL)
    )


def _wall_colour(points: Tensor) -> Tensor:
    phase = torch.stack([points[..., 0] * 2, points[..., 1] * 3, points[..., :2].sum(-1)], -1)
    return 0.5 + 0.4 * phase.sin()


def _config(**phase: object) -> TrainingConfig:
    config = PRESETS["tiny"]()
    return replace(config, phases=tuple(replace(p, **phase) for p in config.phases))


def _trainer(out: Path, config: TrainingConfig) -> Trainer:
    clips = _wall_clips()
    return Trainer(config, clips, whole_batch(clips, 32, 24), out, torch.device("cpu"))


def test_camera_loss_by_hand() -> None:
    K = torch.tensor([[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]).expand(1, 1, 3, 3)
    T = torch.eye(4).expand(1, 1, 4, 4).clone()
    T[..., :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    exact = encode_pose(T[..., :3, :], K, 24, 32)
    assert camera_loss(exact, T, K, (24, 32)) == 0
    opposite = exact.clone()
    opposite[..., 3:7] *= -1  # the same rotation
    assert camera_loss(opposite, T, K, (24, 32)) == 0
    off = exact.clone()
    off[..., 0] += 0.3
    off[..., 7] += 0.2
    # 0.3 over 3 coordinates, and half of 0.2 over 2 fields of view.
    assert camera_loss(off, T, K, (24, 32)).item() == pytest.approx(0.1 + 0.05, abs=1e-6)


def test_depth_losses_by_hand() -> None:
    truth = torch.tensor([[1.0, 2.0], [4.0, 0.0]])  # the last one is unknown
    depth = torch.tensor([[math.e, 2.0], [4.0, 9.0]])
    confidence = torch.full((2, 2), 2.0)
    error = 1 / 3  # one pixel of three is off by a factor e
    expected = 2 * error - 0.6 * math.log(2) + error
    assert depth_loss(depth, confidence, truth).item() == pytest.approx(expected, abs=1e-6)
    # A common factor is no gradient; a step is.
    assert gradient_loss(3 * truth.clamp_min(1), truth.clamp_min(1)).item() == pytest.approx(0)
    assert gradient_loss(depth, truth) > 0.1
    # Nor is there a step beside what is unknown.
    truth = torch.tensor([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0]])
    assert gradient_loss(2 * truth.clamp_min(1), truth).item() == pytest.approx(0)


def test_point_loss_is_relative_to_depth() -> None:
    truth = torch.zeros(2, 3)
    points = torch.tensor([[0.5, 0.5, 0.0], [9.0, 9.0, 9.0]])
    assert point_loss(points, truth, torch.tensor([2.0, 0.0])).item() == pytest.approx(0.5)


def test_batches_keep_the_geometry() -> None:
    """Cropped, mirrored and reversed, every pixel still lies on the wall it was rendered from."""
    clips = _wall_clips(width=64, height=52)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        batch = sample_batch(clips, BatchPlan(3, 3, 2, 32, 24), generator)
        assert batch.images.shape == (3, 3, 3, 24, 32)
        assert torch.allclose(batch.camera_T_world[:, 0], torch.eye(4).expand(3, 4, 4), atol=1e-6)
        first = unproject(batch.depth[:, 0], batch.K[:, 0])
        distance = torch.linalg.vector_norm(first, dim=-1).mean((-1, -2))
        assert torch.allclose(distance, torch.ones(3), atol=1e-3)
        world_T_camera = invert(batch.camera_T_world)
        points = unproject(batch.depth, batch.K)
        points = points + world_T_camera[:, :, None, None, :3, 3]
        wall = batch.depth[:, :1, :1, :1]
        assert torch.allclose(points[..., 2], wall.expand_as(points[..., 2]), atol=1e-3)


def test_a_clip_that_is_too_short_for_a_batch_is_refused() -> None:
    clips = _wall_clips()
    frames = clips.rgb.shape[1]
    with pytest.raises(TrainingError, match=f"views are {frames + 1}, but .* have {frames} frames"):
        sample_batch(clips, BatchPlan(2, frames + 1, 1, 32, 24), torch.Generator())


def test_each_focal_length_of_a_batch_is_that_of_its_window() -> None:
    """A window is of whole pixels in both directions, however they are squeezed afterwards."""
    clips = _wall_clips(width=64, height=52)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        batch = sample_batch(clips, BatchPlan(2, 1, 1, 32, 24), generator)
        window = torch.tensor([32, 24]) * FOCAL / batch.K[0, 0].diagonal()[:2]
        assert torch.allclose(window, window.round(), atol=1e-3)


def test_batches_move_as_the_pictures_do() -> None:
    """The wall's colour at a world point agrees between frames: poses and mirroring fit."""
    clips = _wall_clips(clips=1, width=64, height=52)
    shade = clips.rgb.float().mean(-1)
    batch = sample_batch(clips, BatchPlan(4, 2, 4, 64, 48), torch.Generator().manual_seed(3))
    assert shade.std() > 5
    points = unproject(batch.depth[:, 0], batch.K[:, 0])
    second = points + batch.camera_T_world[:, 1, None, None, :3, 3]
    uv = torch.einsum("bij,bhwj->bhwi", batch.K[:, 1], second / second[..., 2:])[..., :2]
    grid = 2 * uv / torch.tensor([64.0, 48.0]) - 1
    warped = torch.nn.functional.grid_sample(batch.images[:, 1], grid, align_corners=False)
    inside = (grid.abs() < 0.95).all(-1)[:, None].expand_as(warped)
    standing = (batch.images[:, 1] - batch.images[:, 0]).abs()[inside].mean()
    moved = (warped - batch.images[:, 0]).abs()[inside].mean()
    assert moved < 0.5 * standing


def test_motion_leads_back_to_what_the_first_camera_saw() -> None:
    """A cell's colour is found again in the first image where its motion points to."""
    plan = BatchPlan(clips=4, views=2, stride=3, width=32, height=24)
    batch = sample_batch(_wall_clips(), plan, torch.Generator().manual_seed(0))
    points, depth = patch_points(batch.depth, batch.camera_T_world, batch.K, cell=4)
    motion, valid = patch_motion(points, depth, batch.K, (24, 32))
    assert valid.all()
    assert motion[:, 0].abs().max() < 1e-5
    assert motion[:, 1].abs().mean() > 0.01
    v, u = torch.meshgrid(torch.arange(6) * 4 + 2.5, torch.arange(8) * 4 + 2.5, indexing="ij")
    here = torch.stack([u, v], dim=-1).expand(4, 6, 8, 2)

    def seen(at: Tensor) -> Tensor:
        places = at / torch.tensor([16.0, 12.0]) - 1
        return F.grid_sample(batch.images[:, 0], places, align_corners=False)

    there = here + motion[:, 1] * 32
    inside = ((there > 1) & (there < torch.tensor([31.0, 23.0]))).all(-1)
    now = F.grid_sample(
        batch.images[:, 1], here / torch.tensor([16.0, 12.0]) - 1, align_corners=False
    )
    # Noise and blur differ from frame to frame; a camera that is thought still is further off.
    found, still = ((seen(at) - now).abs().mean(1)[inside].mean() for at in (there, here))
    assert found < 0.5 * still


def test_motion_loss_counts_what_was_within_reach() -> None:
    motion = torch.tensor([[[0.1, 0.0], [9.0, 9.0]]])
    truth = torch.zeros(1, 2, 2)
    loss = motion_loss(motion, truth, torch.tensor([[True, False]]))
    assert float(loss) == pytest.approx(0.1)


def test_the_twin_remembers_tokens_as_a_state_does() -> None:
    torch.manual_seed(0)
    layer = AttentionTwin(32, 2)
    x = torch.randn(2, 12, 32)
    start = layer.start_weights(2)
    whole, _ = layer(x, start, start, chunk_operations(12))
    _, state = layer(x[:, :8], start, start, chunk_operations(8))
    last, state = layer(x[:, 8:], state, start, chunk_operations(4))
    assert torch.allclose(last, whole[:, 8:], atol=1e-5)
    asked, same = layer(x[:, :4], state, start, [Operation("apply", 0, 4)])
    assert torch.allclose(asked, whole[:, :4], atol=1e-5)
    assert same.w0.shape == (4, 12, 16) and start.w0.shape == (4, 0, 16)


def test_transplant_copies_all_but_the_fast_weights() -> None:
    torch.manual_seed(0)
    config = ModelConfig.tiny()
    twin, model = attention_twin(config), ZipMap(config)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert is_twin(twin.state_dict()) and not is_twin(model.state_dict())
    fresh = transplant(twin.state_dict(), model)
    parts = {name.split("ttt_block.")[1].split(".")[0] for name in fresh}
    assert parts == {"w0", "w1", "w2", "lr_fc", "gate_fn", "o_norm"}
    learned = twin.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name in fresh else learned[name]), name
    assert any("to_qkv" in name for name in learned) and any("c_proj" in name for name in learned)


def test_transplant_to_larger_patches_sees_the_same_tokens() -> None:
    torch.manual_seed(0)
    small = replace(ModelConfig.tiny(), image_size=32, patch_size=8)
    large = replace(small, image_size=64, patch_size=16)
    source, target = ZipMap(small).eval(), ZipMap(large).eval()
    assert transplant(source.state_dict(), target) == []
    images = torch.rand(1, 2, 3, 24, 32)
    enlarged = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    a, _ = source.stream(images, source.new_state())
    b, _ = target.stream(enlarged, target.new_state())
    assert torch.allclose(a.pose_encoding, b.pose_encoding, atol=1e-4)
    again = ZipMap(small)
    transplant(target.state_dict(), again)
    name = "aggregator.patch_embed.patch_embed.proj.weight"
    assert torch.allclose(again.state_dict()[name], source.state_dict()[name], atol=1e-6)
    with pytest.raises(TrainingError, match="patch"):
        transplant(target.state_dict(), ZipMap(replace(small, patch_size=12, image_size=48)))


def test_muon_steps_are_orthogonal() -> None:
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.zeros(16, 8))
    optimiser = Muon([matrix], lr=1.0)
    matrix.grad = torch.randn(16, 8)
    optimiser.step()
    singular = torch.linalg.svdvals(matrix.detach() / math.sqrt(2))  # tall steps are longer
    assert singular.min() > 0.6 and singular.max() < 1.3


def test_muon_moves_the_blocks_matrices_alone() -> None:
    model = ZipMap(ModelConfig.tiny())
    split = Parameters.of(model)
    parts = (split.matrices, split.others, split.camera)
    assert sum(map(len, parts)) == len(list(model.parameters()))
    assert all(p.ndim == 2 for p in split.matrices)
    block = model.aggregator.global_blocks[0].ttt_block
    assert any(p is block.to_qkv.weight for p in split.matrices)
    assert any(p is block.w0 for p in split.others)
    assert any(p is model.camera_mlp_head.mlp.fc1.weight for p in split.camera)


def test_whitening_shows_edges_beside_brightness() -> None:
    torch.manual_seed(0)
    model = ZipMap(replace(ModelConfig.tiny(), width=32, patch_size=8, image_size=32))
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 16), size=(48, 64), mode="bicubic"
    )
    bright = torch.rand(24, 1, 1, 1) * 2
    images = (smooth.roll(5, -1) * bright)[None]
    x = (images[0] - model.aggregator.mean) / model.aggregator.std

    def share_of_brightness() -> float:
        tokens = model.aggregator.patch_embed.patch_embed(x).detach().flatten(0, 1)
        variance = torch.linalg.eigvalsh(tokens.T.cov())
        return float(variance[-1] / variance.sum())

    before = share_of_brightness()
    whiten_patches(model, images)
    assert before > 0.5 and share_of_brightness() < 0.2


def test_training_reduces_the_loss(tmp_path: Path) -> None:
    """On one repeated batch, through both kinds of network, segments and query views."""
    for phase in _config(steps=1000, warmup=1).phases:
        if phase.transfer:
            continue
        trainer = _trainer(tmp_path / phase.name, replace(_config(), phases=(phase,)))
        drawn = trainer._draw()
        trainer._draw = lambda drawn=drawn: drawn
        losses = [trainer.train_step() for _ in range(24)]
        for name in ("camera", "points", "depth"):
            assert losses[-1][name] < 0.9 * losses[0][name], (phase.name, name)


def test_transfer_teaches_the_fast_weights_alone(tmp_path: Path) -> None:
    """They answer more and more as the twin's attention does; nothing around them moves."""
    trainer = _trainer(tmp_path, _config(steps=1000, warmup=1))
    trainer.next_phase()
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    drawn = trainer._draw()
    trainer._draw = lambda: drawn
    losses = [trainer.train_step()["transfer"] for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all("ttt_block" in name for name in moved)


def test_transfer_is_done_when_all_answers_are_the_twins() -> None:
    """Those for views that are only asked for, from the weights that the images left, as well."""
    config = PRESETS["tiny"]().model
    tensors = attention_twin(config).state_dict()
    transfer, same = Transfer(tensors, config, torch.device("cpu")), attention_twin(config)
    same.load_state_dict(tensors)
    images, rays = torch.rand(2, 3, 3, 24, 32), torch.randn(2, 1, 9, 24, 32)
    assert transfer.loss(same, images, 1, rays) < 1e-9
    fresh = ZipMap(config)
    of_images, of_all = (transfer.loss(fresh, images, 1, r).item() for r in (None, rays))
    assert of_all != of_images > 0.1


def test_transfer_needs_a_twin_before_it(tmp_path: Path) -> None:
    config = _config()
    with pytest.raises(TrainingError, match="transfer"):
        _trainer(tmp_path, replace(config, phases=config.phases[1:]))


def test_the_format_of_a_gpu_learns_too(tmp_path: Path, monkeypatch) -> None:
    """bfloat16, which a GPU trains in, reaches the backbone: the loss falls, other bits than
    float32's."""
    monkeypatch.setattr(Trainer, "matrix_dtype", torch.bfloat16)
    trainer = _trainer(tmp_path, replace(_config(), phases=_config().phases[2:3]))
    assert trainer.model.compute_dtype == torch.bfloat16
    drawn = trainer._draw()
    trainer._draw = lambda: drawn
    losses = [trainer.train_step()["points"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_resuming_is_exact(tmp_path: Path) -> None:
    """Stopped in the middle of any phase, a run ends in the same bits as one that was not."""
    config = _config()
    _trainer(tmp_path / "whole", config).run(validate_every=4)
    for stop in (2, 6, 10):
        out = tmp_path / f"stopped_{stop}"
        stopped = _trainer(out, config)
        while True:
            stopped.train_step()
            stop -= 1
            if stop == 0:
                break
            if stopped.step == stopped.phase.steps:
                stopped.next_phase()
        stopped.save()
        resumed = _trainer(out, config)
        resumed.run(validate_every=4)
        whole = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
        again = torch.load(out / "last.pt", weights_only=True)
        for name, tensor in whole["average"].items():
            assert torch.equal(tensor, again["average"][name]), name


@pytest.mark.parametrize("given", [("--export", "now.safetensors"), ("--weights", "none.pt")])
def test_nothing_is_rendered_for_what_cannot_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: tuple[str, str],
) -> None:
    rendering = "zipmap_ros.training.__main__._data"
    monkeypatch.setattr(rendering, lambda *arguments: pytest.fail("worlds were rendered"))
    out = tmp_path / "out"
    assert main(["--preset", "tiny", "--out", str(out), *given, "--device", "cpu"]) == 2
    assert ("no run in" if given[0] == "--export" else "none.pt") in capsys.readouterr().err


def test_a_run_exports_validates_and_plots(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, _config())
    with pytest.raises(TrainingError, match="twin"):
        trainer.export(tmp_path / "twin.safetensors", {})
    trainer.run(validate_every=4)
    trainer.export(tmp_path / "small.safetensors", {"training": trainer.config.to_json()})
    model = load_checkpoint(tmp_path / "small.safetensors")
    name = "aggregator.camera_token"
    assert torch.equal(model.state_dict()[name], trainer.average[name].half().float())
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    phases = ["twin", "transfer", "streams"]
    assert [r["phase"] for r in records] == [phase for phase in phases for _ in range(4)]
    # The wall is flat: one depth explains it, and a camera that stands still does not turn.
    assert records[-1]["unseen_constant_depth"] == pytest.approx(0, abs=1e-3)
    assert records[-1]["unseen_still_rotation_deg"] == pytest.approx(0, abs=1e-3)
    assert records[-1]["unseen_still_translation"] > 0.05
    plot_log(tmp_path / "log.jsonl", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 10_000


def test_shrinking_keeps_rays_and_depth() -> None:
    batch = whole_batch(_wall_clips(width=64, height=52), 64, 48)
    small = shrink(batch, 0.5)
    assert small.images.shape[-2:] == (24, 32)
    before = unproject(batch.depth, batch.K)[..., ::2, ::2, :]
    after = unproject(small.depth, small.K)
    # The middle of a pixel twice as large lies half a fine pixel away from that of the first.
    assert (before - after).abs().max() < 0.75 * batch.depth.max() / FOCAL


def test_a_run_goes_on_with_its_own_recipe_alone(tmp_path: Path) -> None:
    """Another's phases of the same numbers are others."""
    config = _config()
    trainer = _trainer(tmp_path, config)
    trainer.save()
    for other in (
        replace(config, phases=config.phases[:1]),
        replace(config, phases=(replace(config.phases[0], steps=1), *config.phases[1:])),
    ):
        with pytest.raises(TrainingError, match=f"another recipe, of the preset '{config.name}'"):
            _trainer(tmp_path, other)
    assert preset_of(tmp_path) == config.name and preset_of(tmp_path / "absent") == ""


def test_a_pool_of_another_recipe_is_not_trained_with(tmp_path: Path) -> None:
    """Such as that of a run of another preset that was cut off before its first checkpoint."""
    config, path = PoolConfig(clips=4, frames=8, width=32, height=26), tmp_path / "pool.pt"
    save_pool(_wall_clips(), path, pool_recipe(config, "built in"))
    assert load_pool(path, pool_recipe(config, "built in")).rgb.shape == (4, 8, 26, 32, 3)
    assert load_pool(path, pool_recipe(config, None)).nbytes == _wall_clips().nbytes
    for other, said in (
        (pool_recipe(replace(config, clips=9), None), "clips 4 and not 9: give another --out"),
        (pool_recipe(replace(config, first_seed=1), None), "first_seed 10000000 and not 1:"),
        (pool_recipe(config, "1234"), "textures 'built in' and not '1234'"),
    ):
        with pytest.raises(TrainingError, match=said):
            load_pool(path, other)
    torch.save(vars(_wall_clips()), path)  # as before it was written down
    with pytest.raises(TrainingError, match="clips 'unknown' and not 4"):
        load_pool(path, pool_recipe(config, None))


def test_the_command_looks_at_what_its_pool_was_made_from(tmp_path: Path, capsys) -> None:
    small = PoolConfig(clips=4, frames=8, width=32, height=26)
    for name in ("pool.pt", "unseen.pt"):
        save_pool(_wall_clips(), tmp_path / name, pool_recipe(small, "built in"))
    assert main(["--preset", "small_cpu", "--device", "cpu", "--out", str(tmp_path)]) == 2
    assert "clips 4 and not 16, frames 8 and not 48" in capsys.readouterr().err
    absent = ["--textures", str(tmp_path / "absent")]
    assert main(["--preset", "tiny", "--device", "cpu", "--out", str(tmp_path), *absent]) == 2
    assert "give a folder of pictures" in capsys.readouterr().err


def test_pictures_have_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    one = folder_digest(tmp_path)
    (tmp_path / "note.txt").write_bytes(b"not looked at")
    assert folder_digest(tmp_path) == one and len(one) == 16
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    assert folder_digest(tmp_path) != one
    (tmp_path / "b.png").rename(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"2")
    assert folder_digest(tmp_path) != one


def test_a_gradient_that_is_no_number_says_what_helps(tmp_path: Path) -> None:
    """The same run with other learning rates is another recipe, which is begun anew."""
    trainer = _trainer(tmp_path / "run", _config())
    trainer.save()
    with torch.no_grad():
        trainer.parameters[0].fill_(math.nan)
    with pytest.raises(TrainingError, match="begin anew in another --out, with smaller learning"):
        trainer.train_step()
    lower = _config(adam_lr=1e-5, muon_lr=1e-4)
    assert _trainer(tmp_path / "another", lower).train_step()


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch) -> None:
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [own_device(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:0", "cpu"]


def test_what_cannot_be_divided_by_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["--validate-every", "0", "--out", str(tmp_path)]) == 2
    assert "--validate-every is 0: give 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device, tmp_path: Path, capsys) -> None:
    assert main(["--device", device, "--out", str(tmp_path)]) == 2
    assert f"cannot train on '{device}'" in capsys.readouterr().err


def test_presets_are_consistent() -> None:
    for make in PRESETS.values():
        config = make()
        last: Phase = config.phases[-1]
        assert not last.twin
        assert (last.patch, last.width) == (config.model.patch_size, config.model.image_size)
        longest = max(max(p.views) * p.segments + p.query_views for p in config.phases)
        assert longest <= config.pool.frames


def test_the_shipped_weights_load_and_have_their_card() -> None:
    path = shipped_checkpoint()
    assert path.stat().st_size <= 15_000_000
    config = load_checkpoint(path).config
    assert config.streams and config.query and config.reference_view
    card = (path.parent / "MODEL_CARD.md").read_text()
    for figure in ("AbsRel", "constant depth", "still camera", "kitchen", "Apache-2.0"):
        assert figure in card


@pytest.mark.parametrize("name", PRESETS)
def test_the_clips_of_a_preset_are_long_enough_for_its_phases(name: str) -> None:
    config = PRESETS[name]()
    for phase in config.phases:
        views = max(phase.views) * phase.segments + phase.query_views
        assert views <= config.pool.frames, phase.name
