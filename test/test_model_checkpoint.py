# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: ours and the official form, and everything that is refused."""

from __future__ import annotations

import errno
import io
import json
import pickle
import random
import resource
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from zipmap_ros.model import (
    ModelConfig,
    ModelError,
    ZipMap,
    checkpoint,
    file_sha256,
    load_checkpoint,
    save_checkpoint,
)
from zipmap_ros.model.files import new_file


@pytest.fixture
def model() -> ZipMap:
    torch.manual_seed(0)
    return ZipMap(ModelConfig.tiny()).eval()


@pytest.fixture
def small_official(monkeypatch) -> dict[str, torch.Tensor]:
    """Official variants shrunk to the tiny size, so that a test can write whole files."""

    base = replace(ModelConfig.tiny(), camera_heads=2, query=False, reference_view=False)
    configs = {
        "main": replace(base, variant="main", camera_head="refine"),
        "ref_view": replace(base, variant="ref_view", camera_head="refine", reference_view=True),
        "online": replace(base, variant="online"),
        "state_query": replace(
            base, variant="state_query", camera_head="refine", reference_view=True, query=True
        ),
    }
    monkeypatch.setattr(ModelConfig, "official", configs.__getitem__)
    return {name: ZipMap(config).state_dict() for name, config in configs.items()}


def test_our_file_rebuilds_the_network(model, tmp_path):
    save_checkpoint(model, tmp_path / "m.safetensors", {"card": "a tiny one"})
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert loaded.config == model.config and not loaded.training
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    images = torch.rand(1, 2, 3, 28, 28)
    assert torch.equal(loaded.reconstruct(images).depth, model.reconstruct(images).depth)


@pytest.mark.parametrize("wrapper", [None, "model", "ema"])
@pytest.mark.parametrize(
    ("file", "content", "variant"),
    [
        ("checkpoint_aff_inv.pt", "main", "main"),
        ("checkpoint_with_ref_view.pt", "main", "ref_view"),
        ("anything.pt", "online", "online"),
        ("anything.pt", "state_query", "state_query"),
    ],
)
def test_official_files_are_recognised(small_official, tmp_path, wrapper, file, content, variant):
    tensors = small_official[content]
    torch.save({wrapper: tensors, "epoch": 3} if wrapper else tensors, tmp_path / file)
    loaded = load_checkpoint(tmp_path / file)
    assert loaded.config.variant == variant
    assert loaded.config.reference_view == (variant in ("ref_view", "state_query"))
    assert torch.equal(loaded.aggregator.camera_token, tensors["aggregator.camera_token"])


def test_a_file_of_old_torch_is_read(small_official, tmp_path):
    """No zip archive, so that it cannot be mapped into memory."""
    path, tensors = tmp_path / "checkpoint_online.pt", small_official["online"]
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    key = "aggregator.camera_token"
    assert torch.equal(load_checkpoint(path).state_dict()[key], tensors[key])


def test_averaged_weights_on_request(small_official, tmp_path):
    tensors = small_official["online"]
    averaged = {key: value + 1 for key, value in tensors.items()}
    path = tmp_path / "checkpoint_online.pt"
    torch.save({"model": tensors, "ema": averaged}, path)
    key = "aggregator.camera_token"
    assert torch.equal(load_checkpoint(path).state_dict()[key], tensors[key])
    assert torch.equal(load_checkpoint(path, ema=True).state_dict()[key], averaged[key])


def test_official_tensors_as_safetensors(small_official, tmp_path):
    """As others convert them, without a config."""
    path = tmp_path / "checkpoint_with_ref_view.safetensors"
    save_file(small_official["ref_view"], path, {"format": "pt"})
    loaded = load_checkpoint(path)
    assert loaded.config.variant == "ref_view"
    key = "aggregator.camera_token"
    assert torch.equal(loaded.state_dict()[key], small_official["ref_view"][key])
    assert load_checkpoint(path, variant="main").config.variant == "main"
    with pytest.raises(ModelError, match="no averaged weights"):
        load_checkpoint(path, ema=True)
    save_file(small_official["main"], tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="main or ref_view"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_main_and_ref_view_need_a_name_or_a_word(small_official, tmp_path):
    torch.save(small_official["main"], tmp_path / "mine.pt")
    with pytest.raises(ModelError, match="main or ref_view"):
        load_checkpoint(tmp_path / "mine.pt")
    loaded = load_checkpoint(tmp_path / "mine.pt", variant="ref_view")
    assert loaded.config.reference_view


def test_missing_unexpected_and_reshaped_tensors_are_named(small_official, tmp_path):
    tensors = dict(small_official["online"])
    del tensors["depth_head.norm.weight"]
    tensors["extra"] = torch.zeros(1)
    tensors["aggregator.camera_token"] = torch.zeros(1, 2, 1, 7)
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(ModelError) as refused:
        load_checkpoint(tmp_path / "x.pt")
    for words in ("1 missing (depth_head.norm.weight)", "1 unexpected (extra)", "(1, 2, 1, 7)"):
        assert words in str(refused.value)


def test_truncated_files_are_refused(model, small_official, tmp_path):
    save_checkpoint(model, tmp_path / "m.safetensors")
    torch.save(small_official["online"], tmp_path / "m.pt")
    for name in ("m.safetensors", "m.pt"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ModelError, match="is the download complete"):
            load_checkpoint(path)


class Exploit:
    def __reduce__(self):
        return (sys.exit, ("a checkpoint ran code",))


@pytest.mark.parametrize(
    "content", [{"model": Exploit()}, [1, 2], {"epoch": 3}, {"weight": torch.zeros(2)}]
)
def test_files_that_are_no_checkpoint_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ModelError):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("file", ["m.safetensors", "checkpoint_online.pt"])
def test_a_network_outlives_its_file(model, small_official, tmp_path, file):
    """Which a download, a copy or an export writes anew in its place."""
    path = tmp_path / file
    if path.suffix == ".pt":
        torch.save(small_official["online"], path)
    else:
        save_checkpoint(model, path)
    loaded = load_checkpoint(path)
    before = {key: value.clone() for key, value in loaded.state_dict().items()}
    path.write_bytes(bytes(path.stat().st_size))
    assert all(torch.equal(value, before[key]) for key, value in loaded.state_dict().items())


def test_a_network_shares_no_memory_with_the_tensors_it_is_made_of(model):
    """Which may lie in a file."""
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    built = checkpoint.build(model.config, tensors, "these")
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
    assert all(torch.equal(value, tensors[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_anywhere_in_a_file_of_torch_is_told(tmp_path, zipped):
    """Bytes changed at random, and its end cut off: nothing but ModelError, or tensors."""
    buffer, path = io.BytesIO(), tmp_path / "main.pt"
    some = {"model": {f"decoder.{i}": torch.randn(5) for i in range(5)}}
    torch.save(some, buffer, _use_new_zipfile_serialization=zipped)
    whole, draw, reasons = buffer.getvalue(), random.Random(0), set()
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 2, 5))):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        length = draw.randrange(len(whole)) if draw.random() < 0.2 else len(whole)
        path.write_bytes(damaged[:length])
        with warnings.catch_warnings(), pytest.raises(ModelError) as refused:
            warnings.simplefilter("ignore")  # torch's, of strange values
            load_checkpoint(path)
        reasons.add(str(refused.value))
    assert len(reasons) > 2 and not any("weights_only" in reason for reason in reasons)


@pytest.mark.parametrize("text", ["Entry not found", "hello world" * 100, "<!DOCTYPE html>", "\0"])
@pytest.mark.parametrize("file", ["checkpoint_online.pt", "m.safetensors"])
def test_what_a_failed_download_leaves_is_refused(tmp_path, text, file):
    (tmp_path / file).write_text(text)
    with pytest.raises(ModelError, match="is the download complete"):
        load_checkpoint(tmp_path / file)


def test_no_file_is_to_be_trusted_more(tmp_path):
    """What torch says of one that runs programs tells how to let it."""
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(ModelError, match="holds other things than tensors") as refused:
        load_checkpoint(tmp_path / "x.pt")
    assert "weights_only" not in str(refused.value)


@pytest.mark.parametrize("content", [{1: torch.zeros(2)}, {1: 2}])
def test_tensors_without_names_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "main.pt")
    with pytest.raises(ModelError, match="no tensors with names, only the keys 1"):
        load_checkpoint(tmp_path / "main.pt")


def test_tensors_of_whole_numbers_are_refused(model, tmp_path):
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    key = "aggregator.camera_token"
    metadata = {"format": checkpoint.MODEL_FORMAT, "config": model.config.to_json()}
    save_file({**tensors, key: tensors[key].to(torch.int8)}, tmp_path / "m.safetensors", metadata)
    with pytest.raises(ModelError, match=rf"1 not of floating point values \({key} is torch.int8"):
        load_checkpoint(tmp_path / "m.safetensors")
    del metadata["config"]
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    with pytest.raises(ModelError, match="has no config"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_absent_file_and_wrong_variant(model, tmp_path):
    with pytest.raises(ModelError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "absent.pt")
    save_checkpoint(model, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="holds the variant tiny"):
        load_checkpoint(tmp_path / "m.safetensors", variant="online")


def test_hash(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "f") == expected


def test_the_same_network_is_the_same_file(model, tmp_path):
    """Sessions and compiled networks know it by its SHA-256, which was another at each export."""
    notes = dict.fromkeys("abcdefgh", "ä\n\x01")
    for path in (tmp_path / "a.safetensors", tmp_path / "b.safetensors"):
        save_checkpoint(model, path, notes)
    assert file_sha256(tmp_path / "a.safetensors") == file_sha256(tmp_path / "b.safetensors")
    with safe_open(str(path), "pt") as file:
        assert file.metadata().items() > notes.items()


def test_a_file_that_could_not_be_written_is_not_there(model, tmp_path):
    """And one that was there stays."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    save_checkpoint(model, tmp_path / "old.safetensors")
    before = (tmp_path / "old.safetensors").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for name in ("old", "new"):
            with pytest.raises((OSError, SafetensorError)):
                save_checkpoint(model, tmp_path / f"{name}.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "old.safetensors").read_bytes() == before
    assert not (tmp_path / "new.safetensors").exists()


def test_a_writer_that_fails_half_way_spoils_nothing(tmp_path):
    """As safetensors before 0.8 does on a full disk."""
    path = tmp_path / "old.safetensors"
    path.write_bytes(b"whole")
    with pytest.raises(OSError), new_file(path) as file:
        file.write_bytes(b"ha")
        raise OSError(errno.ENOSPC, "no space left on device")
    assert path.read_bytes() == b"whole" and list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_read_is_not_written(model, tmp_path):
    with pytest.raises(ModelError, match=r"m\.pt: give a name that ends in \.safetensors"):
        save_checkpoint(model, tmp_path / "m.pt")
    with pytest.raises(TypeError):
        save_checkpoint(model, tmp_path / "m.safetensors", {"steps": 3})
    assert not [*tmp_path.iterdir()]


def test_config_json_is_strict():
    config = ModelConfig.tiny()
    assert ModelConfig.from_json(config.to_json()) == config
    with pytest.raises(ModelError, match="unknown \\['flavour'\\]"):
        ModelConfig.from_json(config.to_json().replace('"variant"', '"flavour"'))
    with pytest.raises(ModelError, match="collect"):
        ModelConfig(depth=4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", "32"),
        ("width", True),
        ("width", -32),
        ("width", 1 << 20),
        ("encoder_depth", 3000),
        ("patch_size", 0),
        ("heads", 0),
        ("encoder_heads", 3),
        ("registers", -1),
        ("collect", 3),
        ("collect", [-1, 0, 1, 2]),
        ("collect", [3, 2, 1, 0]),
        ("dense_channels", [8, 8]),
        ("dense_channels", [8, 12, 16, 16.0]),
        ("base_lr", 0),
        ("base_lr", "0.01"),
        ("camera_head", "conv"),
        ("newton_schulz_dtype", "float16"),
        ("heads", 16),
        ("image_size", 57),
        ("dense_width", 12),
        ("dense_channels", [6, 12, 16, 16]),
    ],
)
def test_a_config_that_no_network_has_is_refused(name, value):
    values = json.loads(ModelConfig.tiny().to_json())
    with pytest.raises(ModelError, match=name):
        ModelConfig.from_json(json.dumps({**values, name: value}))
    with pytest.raises(ModelError, match=name):
        replace(ModelConfig.tiny(), **{name: value})


@pytest.mark.parametrize(
    ("variant", "reference_view", "camera_head"),
    [
        ("main", False, "refine"),
        ("ref_view", True, "refine"),
        ("online", False, "mlp"),
        ("state_query", True, "refine"),
    ],
)
def test_what_no_official_tensor_tells(variant, reference_view, camera_head):
    """A network that is wrong here loads every tensor and answers with other numbers."""
    config = ModelConfig.official(variant)
    assert (config.reference_view, config.camera_head) == (reference_view, camera_head)
    assert config.collect == (4, 11, 17, 23)
    assert (config.encoder_heads, config.heads, config.camera_heads) == (16, 16, 16)
    assert (config.newton_schulz_steps, config.newton_schulz_dtype) == (5, "bfloat16")
    assert config.base_lr == 0.01


def test_heads_that_refine_share_what_they_see():
    with pytest.raises(ModelError, match="camera_heads 3"):
        replace(ModelConfig.tiny(), camera_head="refine", camera_heads=3)


@pytest.mark.parametrize("text", ["null", "[]", "3", "{", "[" * 100_000, "9" * 5000])
def test_a_config_that_is_none_is_refused(text):
    with pytest.raises(ModelError, match="the config"):
        ModelConfig.from_json(text)
