# SPDX-License-Identifier: Apache-2.0
"""The network's promises: what streaming, querying and carrying a state must never do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zipmap_ros.geometry import Camera
from zipmap_ros.model import ModelConfig, ModelError, SceneState, ZipMap
from zipmap_ros.model.cameras import (
    decode_pose,
    encode_pose,
    invert,
    official_query_poses,
    pixel_rays,
    ray_map,
    unproject,
)
from zipmap_ros.model.encoder import resize_matrix
from zipmap_ros.model.preprocess import fit_size, preprocess_image, preprocess_images

H, W = 28, 42


def tensors_of(state: SceneState) -> list[torch.Tensor]:
    return [t for part in (state.layers, state.targets) for weights in part for t in weights]


def same_state(a: SceneState, b: SceneState) -> bool:
    pairs = zip(tensors_of(a), tensors_of(b), strict=True)
    return a.frames_seen == b.frames_seen and all(torch.equal(x, y) for x, y in pairs)


@pytest.fixture(scope="module")
def model() -> ZipMap:
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny()).eval()
    for parameter in model.parameters():  # LayerScale and biases at their init hide most paths
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 5, 3, H, W, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("chunk_frames", [1, 2, 3])
def test_one_call_equals_many_calls_bit_for_bit(model, images, chunk_frames):
    together, state = model.stream(images, model.new_state(2), chunk_frames)
    carried, parts = model.new_state(2), []
    for chunk in images.split(chunk_frames, dim=1):
        prediction, carried = model.stream(chunk, carried, chunk_frames)
        parts.append(prediction)
    for name in ("pose_encoding", "depth", "confidence", "local_points", "camera_T_world"):
        joined = torch.cat([getattr(part, name) for part in parts], dim=1)
        assert torch.equal(getattr(together, name), joined), name
    assert same_state(state, carried)


def test_the_training_pass_equals_streaming(model, images):
    streamed, state = model.stream(images, model.new_state(2), 2)
    with torch.no_grad():
        at_once, state_at_once = model(images, model.new_state(2), chunk_frames=2)
    torch.testing.assert_close(at_once.depth, streamed.depth, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(at_once.pose_encoding, streamed.pose_encoding, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(tensors_of(state_at_once), tensors_of(state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_reconstruct_is_one_chunk_of_all_frames(model, images):
    streamed, _ = model.stream(images, model.new_state(2), chunk_frames=5)
    assert torch.equal(model.reconstruct(images).depth, streamed.depth)


def test_stream_leaves_its_input_state_untouched(model, images):
    _, state = model.stream(images[:, :2], model.new_state(2))
    before = state.clone()
    _, after = model.stream(images[:, 2:], state)
    assert same_state(state, before)
    assert not same_state(state, after)
    assert (state.frames_seen, after.frames_seen) == (2, 5)


def test_scenes_of_a_batch_do_not_see_each_other(model, images):
    both, _ = model.stream(images, model.new_state(2))
    second, _ = model.stream(images[1], model.new_state(1))
    torch.testing.assert_close(both.depth[1:], second.depth, rtol=1e-4, atol=1e-5)


def test_a_query_reads_the_state_and_changes_nothing(model, images):
    _, state = model.stream(images[:1], model.new_state())
    before = state.clone()
    pose = torch.eye(4).expand(1, 2, 4, 4)
    K = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]]).expand(1, 2, 3, 3)
    view = model.query(state, ray_map(pose, K, H, W))
    assert same_state(state, before)
    assert view.rgb.shape == (1, 2, H, W, 3)
    assert view.depth.shape == view.confidence.shape == (1, 2, H, W)
    fresh = model.query(model.new_state(), ray_map(pose, K, H, W))
    assert not torch.allclose(fresh.depth, view.depth)  # it is the scene that answers


def test_memory_is_constant(model, images):
    state = model.new_state(2)
    sizes = set()
    for i in range(4):
        _, state = model.stream(images[:, i : i + 1], state)
        sizes.add(state.nbytes)
    assert sizes == {model.new_state(2).nbytes}


def test_only_the_first_frame_of_a_state_is_the_reference_view(model, images):
    ordinary = ZipMap(replace(model.config, reference_view=False)).eval()
    ordinary.load_state_dict(model.state_dict())
    one = images[:1, :1]
    first, state = model.stream(one, model.new_state())
    assert not torch.allclose(first.depth, ordinary.stream(one, model.new_state())[0].depth)
    assert torch.equal(model.stream(one, state)[0].depth, ordinary.stream(one, state)[0].depth)


def test_what_is_not_asked_for_is_not_computed(model, images):
    everything, _ = model.stream(images, model.new_state(2))
    poses, state = model.stream(images, model.new_state(2), outputs=())
    assert poses.depth is None and poses.confidence is None and poses.local_points is None
    assert torch.equal(poses.pose_encoding, everything.pose_encoding)
    assert state.frames_seen == 5


def test_gradients_in_training_only(model, images):
    assert not model.stream(images, model.new_state(2))[0].depth.requires_grad
    training = ZipMap(ModelConfig.tiny()).train()
    prediction, state = training(images, training.new_state(2), chunk_frames=2)
    (prediction.depth.mean() + prediction.pose_encoding.square().mean()).backward()
    w0 = training.fast_weight_layers()[0].w0
    assert w0.grad is not None and w0.grad.abs().sum() > 0
    assert state.layers[0].w0.requires_grad and not state.detach().layers[0].w0.requires_grad


def test_bfloat16_backbone_stays_near_float32(model, images):
    exact = model.reconstruct(images).depth
    model.compute_dtype = torch.bfloat16
    try:
        rough, state = model.stream(images, model.new_state(2), 5)
    finally:
        model.compute_dtype = torch.float32
    assert state.layers[0].w0.dtype == rough.depth.dtype == torch.float32
    assert not torch.equal(rough.depth, exact)
    assert (rough.depth - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.rand(1, 3, 27, 42), "multiples of 14"),
        (torch.rand(1, 3, 28, 40), "multiples of 14"),
        (torch.rand(1, 4, 28, 42), r"\(1, 4, 28, 42\)"),
        (torch.zeros(1, 3, 28, 42, dtype=torch.uint8), "floating point"),
        (torch.rand(0, 3, 28, 42), "at least one frame"),
        (torch.rand(0, 1, 3, 28, 42), "at least one frame"),
        (torch.rand(42), r"are \(42,\): give"),
        (torch.zeros(1, 3, 28, 42, dtype=torch.float64), r"float64: .* as \.float\(\) makes them"),
        (torch.full((1, 3, 28, 42), 255.0), r"from 255 to 255: give RGB in \[0, 1\]"),
        (torch.full((1, 3, 28, 42), 1.6), "from 1.6 to 1.6"),
        (torch.full((1, 3, 28, 42), -0.6), "from -0.6 to -0.6"),
        (torch.full((1, 3, 28, 42), -2.1), "not normalised"),
        (torch.full((1, 3, 28, 42), torch.nan), "from nan to nan"),
    ],
)
def test_bad_input_is_refused_with_its_value(model, bad, says):
    with pytest.raises(ModelError, match=says):
        model.stream(bad, model.new_state())
    with pytest.raises(ModelError, match=says):
        model.reconstruct(bad)


@pytest.mark.parametrize("chunk_frames", [0, -1])
def test_chunks_without_frames_are_refused(model, images, chunk_frames):
    for fold in (model, model.stream):
        with pytest.raises(ModelError, match=f"chunk_frames is {chunk_frames}: give at least 1"):
            fold(images, model.new_state(2), chunk_frames)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_other_numbers_names_compute_dtype(images, dtype):
    converted = ZipMap(ModelConfig.tiny()).eval().to(dtype)
    with pytest.raises(ModelError, match=f"parameters are {dtype}: .* compute_dtype"):
        converted.stream(images, converted.new_state(2))


def test_a_state_of_another_batch_is_refused(model, images):
    with pytest.raises(ModelError, match=r"new_state\(batch=2\)"):
        model.stream(images, model.new_state(1))


@pytest.mark.parametrize("outputs", [("dept",), "depth", ("depth", "rgb")])
def test_outputs_that_it_has_not_are_refused(model, images, outputs):
    with pytest.raises(ModelError, match=r"outputs are .* give a tuple of any of"):
        model.stream(images, model.new_state(2), outputs=outputs)


@pytest.mark.parametrize("change", [{"fast_hidden": 64}, {"width": 64}, {"fast_heads": 1}])
def test_a_state_of_another_network_is_refused(model, images, change):
    other = ZipMap(replace(model.config, **change)).eval()
    with pytest.raises(ModelError, match="make it with new_state"):
        model.stream(images, other.new_state(2))


def test_a_state_of_another_kind_is_refused(model, images):
    state = model.new_state(2)
    broken = SceneState(state.layers, state.layers)
    for other in (state._map(torch.Tensor.double), state._map(torch.Tensor.half), broken):
        with pytest.raises(ModelError, match=r"the state is of another network: its w0 are"):
            model.stream(images, other)
    with pytest.raises(ModelError, match="0 layers"):
        model.stream(images, SceneState((), ()))


def test_half_precision_images_are_taken_as_they_are(model, images):
    halves = images.half()
    expected = model.stream(halves.float(), model.new_state(2))[0].depth
    assert torch.equal(model.stream(halves, model.new_state(2))[0].depth, expected)


@pytest.mark.parametrize("head_dtype", [torch.float32, torch.bfloat16])
def test_a_caller_under_autocast_gets_the_same_bits(model, images, monkeypatch, head_dtype):
    """float32 is what it says; and a query works, which takes what stream has given."""
    monkeypatch.setattr(model, "head_dtype", head_dtype)
    pose = torch.eye(4).expand(2, 1, 4, 4)
    K = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]]).expand(2, 1, 3, 3)
    rays = ray_map(pose, K, H, W)
    expected, state = model.stream(images, model.new_state(2))
    seen = model.query(state, rays)
    with torch.autocast("cpu", torch.bfloat16):
        prediction, other = model.stream(images, model.new_state(2))
        view = model.query(other, rays)
    for name in ("pose_encoding", "camera_T_world", "intrinsics", "depth", "local_points"):
        ours = getattr(prediction, name)
        assert ours.dtype == torch.float32 and torch.equal(ours, getattr(expected, name)), name
    assert same_state(other, state)
    assert torch.equal(view.rgb, seen.rgb) and torch.equal(view.depth, seen.depth)


def test_tables_are_float32_whatever_the_default_is(images):
    """They are kept, and meet networks that are asked for later."""
    model = ZipMap(ModelConfig.tiny()).eval()
    expected = model.reconstruct(images).depth
    resize_matrix.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        inside = model.reconstruct(images).depth
        assert ZipMap(model.config).aggregator.mean.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(inside, expected)
    assert torch.equal(model.reconstruct(images).depth, expected)


def test_a_network_without_query_head_says_so():
    model = ZipMap(replace(ModelConfig.tiny(), query=False))
    with pytest.raises(ModelError, match="no query head"):
        model.query(model.new_state(), torch.rand(1, 9, 28, 28))


def test_state_file_gives_back_the_same_bits(model, images, tmp_path):
    _, state = model.stream(images, model.new_state(2))
    state.save(tmp_path / "state.safetensors")
    loaded = SceneState.load(tmp_path / "state.safetensors")
    assert same_state(loaded, state)
    after, _ = model.stream(images, loaded)
    assert torch.equal(after.depth, model.stream(images, state)[0].depth)


def test_a_state_goes_to_a_device(model, images):
    _, state = model.stream(images, model.new_state(2))
    assert same_state(state.to("cpu"), state)
    moved = state.to("meta")
    assert moved.frames_seen == 5 and all(tensor.is_meta for tensor in tensors_of(moved))


def test_a_state_outlives_its_file(model, images, tmp_path):
    """Which is saved over when it is gone on with."""
    path = tmp_path / "state.safetensors"
    _, state = model.stream(images, model.new_state(2))
    state.save(path)
    loaded = SceneState.load(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert same_state(loaded, state)


def test_a_broken_state_file_is_refused(model, tmp_path):
    path = tmp_path / "state.safetensors"
    model.new_state().save(path)
    whole = path.read_bytes()
    for broken in (whole[:-100], b"", whole.replace(b'seen":"0"', b'seen":"x"')):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="cannot read the state"):
            SceneState.load(path)


def test_pose_encoding_round_trip():
    generator = torch.Generator().manual_seed(3)
    rotation, _ = torch.linalg.qr(torch.randn(500, 3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    pose = torch.cat([rotation, torch.randn(500, 3, 1, generator=generator).double()], dim=-1)
    K = torch.tensor([[300.0, 0, 259], [0, 310, 196], [0, 0, 1]]).double().expand(500, 3, 3)
    back, K_back = decode_pose(encode_pose(pose, K, 392, 518), 392, 518)
    torch.testing.assert_close(back, pose)
    torch.testing.assert_close(K_back, K)


def test_rays_and_unprojection_agree():
    K = torch.tensor([[30.0, 0, 21], [0, 32, 14], [0, 0, 1]])
    points = unproject(torch.full((H, W), 2.0), K)
    assert points.shape == (H, W, 3) and points[..., 2].unique().tolist() == [2.0]
    torch.testing.assert_close(points[14, 21], torch.tensor([2 * 0.5 / 30, 2 * 0.5 / 32, 2.0]))
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    rays = ray_map(pose, K, H, W)
    torch.testing.assert_close(rays[:3, 5, 7], pose[:3, 3])
    direction = pixel_rays(K, H, W)[5, 7]
    torch.testing.assert_close(rays[3:6, 5, 7], direction / direction.norm())
    torch.testing.assert_close(rays[6:, 5, 7], torch.linalg.cross(rays[:3, 5, 7], rays[3:6, 5, 7]))


def test_official_queries_are_of_the_first_camera_and_of_unit_size():
    """Whatever the world of the poses: a camera is where it is beside those of the images."""
    torch.manual_seed(0)
    encodings = torch.randn(2, 5, 9)
    seen = decode_pose(encodings, H, W)[0]
    world_T_camera = invert(seen)
    poses = official_query_poses(world_T_camera, seen)
    torch.testing.assert_close(poses[:, 0], torch.eye(3, 4).expand(2, 3, 4))
    torch.testing.assert_close(poses[..., 3].abs().amax((1, 2)), torch.ones(2))
    ratios = poses[..., 3].norm(dim=-1) / (seen[:, :1] @ world_T_camera)[..., 3].norm(dim=-1)
    torch.testing.assert_close(ratios[:, 1:], ratios[:, 1:2].expand(2, 4))
    moved = world_T_camera[:, 3:4]  # the same in another world
    again = official_query_poses(moved @ world_T_camera, seen @ invert(moved))
    torch.testing.assert_close(again, poses, rtol=1e-3, atol=1e-4)
    still = official_query_poses(world_T_camera[:, :1], seen[:, :1])
    torch.testing.assert_close(still[:, 0], torch.eye(3, 4).expand(2, 3, 4))


@pytest.mark.parametrize("size", [(6000, 1), (1, 6000)])
def test_a_line_of_pixels_is_no_image(size):
    """As one of the network's width it would take gigabytes."""
    for mode in ("crop", "fit"):
        with pytest.raises(ModelError, match="crop it closer to square"):
            preprocess_image(np.zeros((*size, 3), np.uint8), 144, 12, mode)
    pixels, _ = preprocess_image(np.zeros((900, 300, 3), np.uint8), 144, 12)
    assert pixels.shape == (3, 144, 144)


@pytest.mark.parametrize("aspect", [1 / 4, 9 / 16, 3 / 4, 1.0, 4 / 3, 16 / 10, 16 / 9, 2.4, 3.3])
def test_images_of_any_aspect_are_taken_whole_and_as_large(aspect):
    image = np.zeros((480, round(480 * aspect), 3), np.uint8)
    camera = Camera.from_fov(image.shape[1], 480, 60.0)
    pixels, taken = preprocess_image(image, 144, 12, "fit", camera)
    height, width = pixels.shape[1:]
    assert abs(np.log(height * width / (144 * max(144 * min(aspect, 1 / aspect), 108)))) < 0.25
    assert abs(np.log(width / height / aspect)) < 0.25
    assert (taken.width, taken.height) == (width, height)
    assert taken.cx / width == pytest.approx(0.5) and taken.cy / height == pytest.approx(0.5)
    again, _ = preprocess_image((pixels.permute(1, 2, 0) * 255).byte().numpy(), 144, 12, "fit")
    assert again.shape == pixels.shape, "what fits is left as it is"
    assert fit_size(640, 480, 144, 12) == (144, 108)
    assert fit_size(1920, 1080, 144, 12) == (168, 96)  # 166.3 by 93.5


@pytest.mark.parametrize(
    ("mode", "size", "shape", "middle"),
    [
        # 62 rows become 5 patches of 14, of which the middle 56 remain.
        ("crop", (62, 50), (56, 56), (25.0, 31.0)),
        ("crop", (40, 50), (42, 56), (25.0, 20.0)),  # 44.8 rows are 3.2 patches
        ("crop", (46, 50), (56, 56), (25.0, 23.0)),  # 51.52 rows are 3.68 patches
        ("pad", (62, 34), (56, 56), (17.0, 31.0)),  # 30.7 columns are 2.19 patches
        ("pad", (50, 34), (56, 56), (17.0, 25.0)),  # 38.08 columns are 2.72 patches
        ("pad", (34, 62), (56, 56), (31.0, 17.0)),
    ],
)
def test_a_camera_is_cropped_and_padded_as_its_image(mode, size, shape, middle):
    """A dark spot beside the middle is where the camera says."""
    height, width = size
    u, v = int(middle[0]) - 4, int(middle[1]) + 3
    image = np.full((height, width, 3), 255, np.uint8)
    image[v - 2 : v + 2, u - 2 : u + 2] = 0
    pixels, taken = preprocess_image(image, 56, mode=mode, camera=Camera(width, height, 9, 9, u, v))
    assert pixels.shape == (3, *shape) and (taken.height, taken.width) == shape
    dark = 1 - pixels.mean(0)
    across, down = torch.arange(shape[1]) + 0.5, torch.arange(shape[0]) + 0.5
    assert (dark.sum(0) * across).sum() / dark.sum() == pytest.approx(taken.cx, abs=0.1)
    assert (dark.sum(1) * down).sum() / dark.sum() == pytest.approx(taken.cy, abs=0.1)


def test_what_is_transparent_is_white_and_what_is_no_image_refused():
    image = np.full((28, 28, 4), (0, 0, 0, 255), np.uint8)
    image[:, :14, 3] = 0
    pixels, taken = preprocess_image(image, 28)
    assert (pixels[..., :13] == 1).all() and (pixels[..., 15:] == 0).all() and taken is None
    for wrong in (image[..., :2], image[..., 0], image.astype(np.float32)):
        with pytest.raises(ModelError, match="give uint8"):
            preprocess_image(wrong, 28)
    with pytest.raises(ModelError, match="mode is 'stretch': use 'crop', 'pad' or 'fit'"):
        preprocess_image(image, 28, mode="stretch")


def test_images_of_several_sizes_are_centred_on_white():
    images = [np.zeros((28, 56, 3), np.uint8), np.zeros((56, 56, 3), np.uint8)]
    low, high = preprocess_images(images, 56)
    assert low.shape == (3, 56, 56) and (high == 0).all()
    assert (low[:, 14:42] == 0).all() and (low[:, :14] == 1).all() and (low[:, 42:] == 1).all()
    mixed = [np.zeros((40, 40, 3), np.uint8), np.zeros((40, 80, 3), np.uint8)]
    assert preprocess_images(mixed, 56, mode="fit").shape == (2, 3, 56, 70)
    _, taken = preprocess_image(
        np.zeros((50, 34, 3), np.uint8), 56, mode="pad", camera=Camera(34, 50, 34, 50, 17, 25)
    )
    assert (taken.fx, taken.fy) == pytest.approx((42, 56))  # 38.08 columns are 2.72 patches


def test_images_may_be_an_array_and_must_fit_patch_and_camera():
    stack = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
    assert torch.equal(preprocess_images(stack, 56), preprocess_images([*stack], 56))
    with pytest.raises(ModelError, match="there are no images"):
        preprocess_images(stack[:0], 56)
    with pytest.raises(ModelError, match="target_size is 50: give a multiple of the patch 14"):
        preprocess_image(stack[0], 50)
    with pytest.raises(ModelError, match="camera is of 80x60 pixels, the image 40x30"):
        preprocess_image(stack[0], 56, camera=Camera.from_fov(80, 60, 65.0))
