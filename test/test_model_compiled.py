# SPDX-License-Identifier: Apache-2.0
"""The compiled network beside the network itself, which is the oracle."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from known_world import blobs

from zipmap_ros import cli
from zipmap_ros.frame import Frame
from zipmap_ros.geometry import Camera
from zipmap_ros.mapping import StreamMapper, load_network
from zipmap_ros.mapping.prepare import prepare
from zipmap_ros.model import ModelConfig, ModelError, ZipMap, save_checkpoint
from zipmap_ros.model import compiled as compiled_module
from zipmap_ros.model.compiled import (
    CompiledStream,
    _flat,
    _is_ours,
    _name,
    _processor,
    _Step,
    cache_folder,
    compile_stream,
)
from zipmap_ros.model.package import Package
from zipmap_ros.parameters import Parameters

WIDTH, HEIGHT = 64, 48  # of the camera's images
SHA256 = "0" * 64


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny network of random weights."""
    torch.manual_seed(0)
    model = ZipMap(ModelConfig.tiny())
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(model, path)
    return str(path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, checkpoint):
    """A user's cache in which the command has compiled that network."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("there is no C++ compiler, which compiling the network takes")
    if torch.__version__ < (2, 7):
        pytest.skip(f"torch {torch.__version__} cannot compile the network")
    home = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        verb = ["compile", "--checkpoint", checkpoint, "--image", f"{WIDTH}x{HEIGHT}", "--json"]
        before = os.umask(0o002)  # that of users who have a group of their own, as on Ubuntu
        try:
            assert cli.main(verb) == 0
        finally:
            os.umask(before)
    return home


@pytest.fixture
def parameters(cache, checkpoint, monkeypatch):
    """Those of a user with that cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return Parameters().updated({"checkpoint": checkpoint, "device": "cpu"})


def frames(count):
    """Random images of a calibrated camera."""
    camera = Camera.from_fov(WIDTH, HEIGHT, 65.0)
    return [Frame(i * 10**8, blobs(i, HEIGHT, WIDTH), camera=camera) for i in range(count)]


def pixels(model, count):
    """The same as the network takes them, (1, 3, h, w) each."""
    return [prepare(frame, model.config, undistort=False).pixels[None] for frame in frames(count)]


def test_it_computes_what_the_network_does(parameters):
    """Frame by frame, each from its own state; the first frame goes through the network itself."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    images = pixels(model, 6)
    assert compiled.shapes == ((1, *images[0].shape[-2:]),)
    state = other = model.new_state()
    for i, image in enumerate(images):
        expected, state = model.stream(image, state, 1, ("depth",))
        found, other = compiled(image, other)
        assert other.frames_seen == state.frames_seen == i + 1
        assert found.local_points is None and len(found.pose_passes) == 1
        for name in ("pose_encoding", "camera_T_world", "intrinsics", "depth", "confidence"):
            a, b = getattr(found, name), getattr(expected, name)
            assert a.shape == b.shape and a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
            assert i > 0 or torch.equal(a, b)
        for a, b in zip(other.layers, state.layers, strict=True):
            torch.testing.assert_close(tuple(a), tuple(b), rtol=1e-3, atol=1e-4)
    layers = zip(other.layers, state.layers, strict=True)
    assert not all(torch.equal(a.w0, b.w0) for a, b in layers), "it was not taken"


def test_a_state_is_only_read_and_gives_the_same_bits_again(parameters):
    """As of the network itself: a candidate that is dropped leaves no trace."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    first, image, _ = pixels(model, 3)
    state = compiled(first, model.new_state())[1]
    before = state.clone()
    once, twice = compiled(image, state), compiled(image, state)
    for a, b in zip(state.layers, before.layers, strict=True):
        assert all(map(torch.equal, a, b))
    assert torch.equal(once[0].depth, twice[0].depth)
    assert torch.equal(once[1].layers[0].w0, twice[1].layers[0].w0)


def test_other_threads_go_on_while_it_computes(parameters):
    """A node's callbacks wait for no network: Python's lock is free, though nobody asks for it."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    first, image, _ = pixels(model, 3)
    state = compiled(first, model.new_state())[1]
    package, inputs = next(iter(compiled._packages.values())), (image[None], *_flat(state))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60.0)  # seconds until the lock is taken from who does not let go of it
    try:
        waited = [share_waited(package, inputs) for _ in range(20)]
    finally:
        sys.setswitchinterval(interval)
    assert min(waited) < 0.8, waited  # with torch's own loader 0.98


def share_waited(package, inputs):
    """Of the time of a call: until another thread, which is asked for something, can do it."""
    asked, answered = threading.Lock(), []
    asked.acquire()
    other = threading.Thread(target=lambda: asked.acquire() and answered.append(perf_counter()))
    other.start()  # returns when the other waits, as only then it lets go of Python's lock
    start = perf_counter()
    asked.release()
    package(*inputs)
    end = perf_counter()
    other.join()
    return (answered[0] - start) / (end - start)


def test_other_shapes_go_through_the_network_itself(parameters):
    """Bit for bit."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    first, second, third = pixels(model, 3)
    state = compiled(first, model.new_state())[1]
    pair = torch.cat([second, third])
    found, expected = compiled(pair, state), model.stream(pair, state, 2, ("depth",))
    assert torch.equal(found[0].depth, expected[0].depth)


def test_what_the_network_refuses_is_refused(parameters):
    """A package looks at no shape and no type: it would read other memory."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    first, image, _ = pixels(model, 3)
    state = compiled(first, model.new_state())[1]
    for wrong in (image.double(), (255 * image).to(torch.uint8), image[:, :1], image[0]):
        with pytest.raises(ModelError, match="images are"):
            compiled(wrong, state)
    with pytest.raises(ModelError, match="the state is of another network"):
        compiled(image, state._map(torch.Tensor.double))
    with pytest.raises(ModelError, match=r"new_state\(batch=2\)"):
        compiled(torch.stack([image, image]), state)


def test_what_a_package_is_not_for_goes_through_the_network_itself(parameters):
    """Several scenes bit for bit; half precision as it is; a state that lies turned."""
    model, sha256 = load_network(parameters)
    compiled = CompiledStream(model, sha256)
    first, image, _ = pixels(model, 3)
    two = torch.stack([first, image])
    states = model.stream(two, model.new_state(2))[1]
    found, expected = compiled(two, states), model.stream(two, states, 1, ("depth",))
    assert torch.equal(found[0].depth, expected[0].depth) and len(found[0].depth) == 2
    state = compiled(first, model.new_state())[1]
    exact = compiled(image.half().float(), state)[0].depth
    turned = state._map(lambda tensor: tensor.mT.contiguous().mT)
    for ours in (compiled(image.half(), state), compiled(image.half(), turned)):
        assert torch.equal(ours[0].depth, exact)


def test_the_mapper_takes_it_unless_it_is_off(parameters):
    """And says what it has; the poses are the same but for roundings."""
    parameters = parameters.updated({"align_poses": "off"})  # every kept frame is in the state
    model, sha256 = load_network(parameters)
    mapper = StreamMapper(model, parameters, sha256)
    plain = StreamMapper(model, parameters.updated({"compiled": "off"}), sha256)
    assert len(mapper.compiled.shapes) == 1 and plain.compiled is None
    for frame in frames(4):
        (found,), (expected,) = mapper.add_frame(frame), plain.add_frame(frame)
        np.testing.assert_allclose(found.map_T_camera, expected.map_T_camera, atol=1e-4)
        np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-4)
    layers = zip(mapper.state.layers, plain.state.layers, strict=True)
    assert not all(torch.equal(a.w0, b.w0) for a, b in layers), "it was not taken"


def test_it_is_found_for_its_own_weights_and_number_format_alone(parameters):
    """Anything else that a package depends on is in its name as well."""
    model, sha256 = load_network(parameters)
    assert CompiledStream(model, sha256).shapes
    assert not CompiledStream(model, SHA256).shapes
    model.compute_dtype = torch.bfloat16
    assert not CompiledStream(model, sha256).shapes


def test_a_package_that_others_can_write_is_not_run(parameters, cache):
    """It is a program."""
    (package,) = (cache / "zipmap_ros" / "compiled").glob("*.pt2")
    model, sha256 = load_network(parameters)
    package.chmod(0o666)
    try:
        with pytest.warns(RuntimeWarning, match=r"others may have written it.*zipmap compile"):
            assert not CompiledStream(model, sha256).shapes
    finally:
        package.chmod(0o600)


def test_what_others_can_write_or_own_is_not_the_users(tmp_path, monkeypatch) -> None:
    """The file and three folders; folders may be open to the user's own group, or as /tmp is."""
    top, folder = tmp_path / "a", tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    package = folder / "x.pt2"
    package.write_bytes(b"x")
    for place in (top, top / "b", folder):
        os.chown(place, -1, os.getgid())
        place.chmod(0o755)
    package.chmod(0o600)
    assert _is_ours(package) and _is_ours(folder)
    for place, mode, ours in (
        (package, 0o620, False),
        (package, 0o1602, False),
        (package, 0o644, True),
        (folder, 0o775, True),
        (folder, 0o757, False),
        (top, 0o757, False),
        (top, 0o1777, True),
        (tmp_path, 0o777, True),
    ):
        before = place.stat().st_mode
        place.chmod(mode)
        assert _is_ours(package) == ours, (place, oct(mode))
        place.chmod(before & 0o7777)
    top.chmod(0o775)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getgid", lambda: top.stat().st_gid + 1)
        assert not _is_ours(package)
    top.chmod(0o755)
    stat = Path.stat
    for owner, ours in ((0, True), (os.getuid() + 1, False)):

        def owned(path: Path, owner: int = owner, **how: bool) -> os.stat_result:
            found = list(stat(path, **how))
            return os.stat_result([*found[:4], owner if path == top else found[4], *found[5:]])

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", owned)
            assert _is_ours(package) == ours, owner


def test_the_cache_is_that_of_the_user(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, where in (
        ("", tmp_path / "home" / ".cache"),
        ("~/mine", tmp_path / "home" / "mine"),
        (str(tmp_path), tmp_path),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == where / "zipmap_ros" / "compiled"


def test_a_package_in_a_place_of_others_is_not_run(parameters, cache, tmp_path):
    """Who can write the folder, or a link, puts what he likes there."""
    (package,) = (cache / "zipmap_ros" / "compiled").glob("*.pt2")
    model, sha256 = load_network(parameters)
    package.parent.parent.chmod(0o777)
    try:
        with pytest.warns(RuntimeWarning, match="others may have written it"):
            assert not CompiledStream(model, sha256).shapes
        with pytest.raises(ModelError, match=r"others can write .* set XDG_CACHE_HOME"):
            compile_stream(model, sha256, HEIGHT, WIDTH)
    finally:
        package.parent.parent.chmod(0o700)
    (tmp_path / package.name).symlink_to(package)
    with pytest.warns(RuntimeWarning, match="others may have written it"):
        assert not CompiledStream(model, sha256, tmp_path).shapes
    assert CompiledStream(model, sha256).shapes


def test_a_damaged_package_is_not_run(parameters, cache, tmp_path):
    """The network itself is there."""
    (package,) = (cache / "zipmap_ros" / "compiled").glob("*.pt2")
    (tmp_path / package.name).write_bytes(package.read_bytes()[:5000])
    model, sha256 = load_network(parameters)
    with pytest.warns(RuntimeWarning, match="is not used"):
        compiled = CompiledStream(model, sha256, tmp_path)
    assert compiled.shapes == ()


def test_a_chunk_of_several_frames_counts_them_all(tmp_path) -> None:
    """With what is compiled in place of the package."""
    model, images = ZipMap(ModelConfig.tiny()).eval(), torch.rand(1, 2, 3, 28, 42)
    compiled = CompiledStream(model, SHA256, tmp_path)
    state = compiled(images, model.new_state())[1]
    compiled._packages[2, 28, 42] = _Step(model)
    found, expected = compiled(images, state), model.stream(images, state, 2, ("depth",))
    torch.testing.assert_close(found[0].depth, expected[0].depth)
    assert found[1].frames_seen == expected[1].frames_seen == 4


def test_a_package_says_when_it_fails_and_is_freed(monkeypatch, tmp_path) -> None:
    path, called = tmp_path / "x.pt2", []
    with ZipFile(path, "w") as archive:
        archive.writestr("model.so", b"x")
    monkeypatch.setattr("zipmap_ros.model.package.ctypes.CDLL", lambda _: None)
    failing: list[str] = []

    def function(_library: None, name: str, _arguments: tuple) -> Callable[..., int]:
        return lambda *_: called.append(name) or (7 if name in failing else 0)

    monkeypatch.setattr("zipmap_ros.model.package._function", function)
    for name in ("CreateWithDevice", "GetNumOutputs", "Run"):
        failing[:] = [name]
        with pytest.raises(RuntimeError, match="failed with code 7"):
            Package(path)()
    gc.collect()
    called.clear()
    failing.clear()
    assert Package(path)() == ()
    gc.collect()
    assert called == ["CreateWithDevice", "GetNumOutputs", "Run", "Delete"]


def test_compiling_leaves_one_package_of_each_shape(parameters, cache, monkeypatch, capsys):
    """A failure says what is missing and leaves what was there."""
    folder = cache / "zipmap_ros" / "compiled"
    before = sorted(folder.iterdir())
    assert len(before) == 1 and before[0].stat().st_mode & 0o077 == 0

    def fails(*_, **__):
        raise RuntimeError("no compiler of that name\n  and more")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    assert cli.main(["compile", "--checkpoint", parameters.checkpoint, "--json"]) == 2
    assert capsys.readouterr().err.endswith("C++ compiler such as g++: no compiler of that name\n")
    assert sorted(folder.iterdir()) == before


def test_a_new_cache_is_the_users_alone_whatever_the_umask(monkeypatch, tmp_path):
    def compiler(program: object, package_path: str, **_: object) -> None:
        Path(package_path).write_bytes(b"x")

    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compiler, raising=False)
    before = os.umask(0)
    try:
        folder = tmp_path / "cache" / "zipmap_ros" / "compiled"
        new = compile_stream(ZipMap(ModelConfig.tiny()).eval(), SHA256, 28, 42, packages=folder)
    finally:
        os.umask(before)
    assert all(place.stat().st_mode & 0o077 == 0 for place in (new, *new.parents[:3]))


def test_the_name_tells_all_that_a_package_depends_on(monkeypatch) -> None:
    model = ZipMap(ModelConfig.tiny()).eval()
    names = {_name(model, SHA256), _name(model, "1" * 64)}
    for place, name, other in (
        (model, "compute_dtype", torch.bfloat16),
        (model, "head_dtype", torch.bfloat16),
        (compiled_module, "_processor", lambda: "another"),
        (compiled_module, "_source", lambda: "other code"),
        (torch, "__version__", "2.99"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, other)
            names.add(_name(model, SHA256))
    assert len(names) == 7


def test_compiling_leaves_what_others_use(monkeypatch, tmp_path):
    """Packages of another number format, shape or processor; of its own the last one stays, and
    what another takes away meanwhile is away. The compiler is one that writes a file."""
    model = ZipMap(ModelConfig.tiny()).eval()

    def compiler(program: object, package_path: str, **_: object) -> None:
        Path(package_path).write_bytes(b"x")

    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compiler, raising=False)

    def made(width: int = 42, chunk: int = 1) -> Path:
        return compile_stream(model, SHA256, 28, width, chunk, tmp_path)

    first, wide, pairs = made(), made(width=56), made(chunk=2)
    with monkeypatch.context() as patch:
        patch.setattr("zipmap_ros.model.compiled._processor", lambda: "another")
        elsewhere = made()
    model.compute_dtype = torch.bfloat16
    rough = made()
    assert {first, wide, pairs, elsewhere, rough} == set(tmp_path.iterdir())
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr("zipmap_ros.model.compiled._source", lambda: "other code")
    monkeypatch.setattr(Path, "unlink", late)
    newer = made()
    assert {first, wide, pairs, elsewhere, newer} == set(tmp_path.iterdir())


def test_a_failure_without_a_reason_is_named(monkeypatch, tmp_path) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(ModelError, match=r"such as g\+\+: AssertionError$"):
        compile_stream(ZipMap(ModelConfig.tiny()).eval(), SHA256, 28, 42, 1, tmp_path)


def test_a_processor_is_what_it_can_do(monkeypatch) -> None:
    """As Linux lists it for x86 and for ARM; elsewhere, as torch knows it."""
    capability = torch.backends.cpu.get_cpu_capability()
    for listed, found in (
        ("model name : x\nflags : fpu avx2\nflags : fpu avx2\n", "flags : fpu avx2"),
        ("BogoMIPS : 50\nFeatures : fp asimd\n", "Features : fp asimd"),
        ("isa : rv64imafdcv\n", capability),
        (None, capability),
    ):

        def read_text(path: Path, text: str | None = listed) -> str:
            if text is None:
                raise FileNotFoundError(path)
            return text

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", read_text)
            assert _processor.__wrapped__() == found


def test_only_networks_that_stream_are_compiled():
    """In eval mode and on the CPU."""
    tiny = ModelConfig.tiny()
    whole = ZipMap(replace(tiny, camera_head="refine"))
    for wrong in (ZipMap(tiny), ZipMap(tiny).eval().to("meta"), whole.eval()):
        with pytest.raises(ModelError, match="streams, in eval mode"):
            compile_stream(wrong, SHA256, 28, 42)


@pytest.mark.parametrize("size", ["640", "0x480", "640x", "axb"])
def test_a_size_that_is_none_is_refused(size, capsys):
    """With what to give."""
    with pytest.raises(SystemExit):
        cli.main(["compile", "--image", size])
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


def test_what_the_command_prints(parameters, capsys, monkeypatch, tmp_path):
    """Where the package is, and for which images."""
    made = tmp_path / "made.pt2"
    monkeypatch.setattr("zipmap_ros.model.compiled.compile_stream", lambda *_: made)
    assert cli.main(["compile", "--checkpoint", parameters.checkpoint, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["package"] == str(made)
