# SPDX-License-Identifier: Apache-2.0
"""Check this network against recorded tensors of the reference.

    python -m zipmap_ros.model.parity golden_offline.safetensors golden_units.safetensors
    python -m zipmap_ros.model.parity --device cuda golden_offline.safetensors

Each file is self-contained: it holds the weights (``sd.*``), the inputs (``in.*``) and what the
reference made of them. Prints the worst error of every group of tensors, relative to the largest
value of each tensor, and exits 1 when a float32 group is above 1e-4. Tensors made with bfloat16
Newton-Schulz (``bf16ns``) are printed, not judged: rounding is amplified over the layers.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zipmap_ros.model import cameras
from zipmap_ros.model.checkpoint import build, config_from_tensors
from zipmap_ros.model.errors import ModelError
from zipmap_ros.model.fast_weights import FastWeights, Projections, SceneState
from zipmap_ros.model.parity_units import check_units
from zipmap_ros.model.zipmap import Prediction, ZipMap

TOLERANCE = 1e-4
# What a file gives, as opposed to what the reference made of it.
INPUTS = re.compile(
    r"(sd|in)\..*|.*\.(sd|carry)\..*|.*\.x|ns\d+\.G|act\.in\d|dinopos\.param|pose\.enc|quat\.q"
    r"|rope\.pos|prep\.raw\d+"
)


class Report:
    """Collects the worst relative error of every group of tensors."""

    def __init__(self, golden: dict[str, Tensor]) -> None:
        self.golden = golden
        self.worst: dict[str, tuple[float, str]] = {}
        self.checked: set[str] = set()

    def compare(self, key: str, ours: Tensor, group: str | None = None) -> None:
        """Compare with the golden tensor ``key``, if the file has it."""
        if key not in self.golden:
            return
        self.checked.add(key)
        error = relative_error(ours, self.golden[key])
        group = group or group_of(key)
        if error >= self.worst.get(group, (-1.0, ""))[0]:
            self.worst[group] = (error, key)

    def unchecked(self) -> list[str]:
        """Golden results that nothing was compared with."""
        return sorted(k for k in self.golden if not INPUTS.fullmatch(k) and k not in self.checked)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest finite value; infinite for another size or NaN."""
    if ours.numel() != theirs.numel():
        return math.inf
    ours, theirs = ours.to(theirs.device).double().reshape(theirs.shape), theirs.double()
    difference = torch.where(ours == theirs, 0.0, (ours - theirs).abs())
    scale = theirs[theirs.isfinite()].abs().max() if theirs.isfinite().any() else 1.0
    error = float(difference.max() / max(float(scale), 1e-30))
    return math.inf if math.isnan(error) else error


def group_of(key: str) -> str:
    """The name under which a tensor is reported: its key without indices."""
    return ".".join(part for part in key.split(".") if not part.isdigit())


def is_judged(group: str) -> bool:
    """Whether a group was computed in float32 throughout."""
    return "bf16" not in group


def check_file(path: str, device: str = "cpu") -> tuple[Report, list[str]]:
    """All comparisons of one golden file, computed on ``device``, and its results that were not
    compared. On a GPU this turns TF32 off for the whole process: float32 is what is judged."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    golden, metadata = read_golden(path, device)
    report = Report(golden)
    with torch.no_grad():
        if "cases" in metadata:
            with torch.device(device):  # where the layers are made
                check_units(golden, json.loads(metadata["cases"]), report.compare)
        elif "in.images" in golden:
            check_network(golden, metadata, report)
        else:
            raise ModelError(f"{path} has neither in.images nor cases: it is no golden file")
    return report, report.unchecked()


def read_golden(path: str, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    try:
        with safe_open(path, "pt", device=device) as file:
            keys = list(file.keys())
            return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {path} as a golden file: {error}") from error


def check_network(golden: dict[str, Tensor], metadata: dict[str, str], report: Report) -> None:
    """Run the whole network of a file in every way that the file has results of."""
    cfg, spec = json.loads(metadata["cfg"]), json.loads(metadata["spec"])
    weights = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}
    for prefix, exact in (("out.", True), ("bf16ns.", False)):
        if not any(key.startswith(prefix) for key in golden):
            continue
        config = config_from_tensors(weights, cfg["vit_heads"], not spec["affine"], exact)
        model = build(config, weights, "the file").eval().to(golden["in.images"].device)
        run = GoldenRun(model, golden, report)
        run.stream_or_batch(prefix)
        if exact:
            run.windows()


class GoldenRun:
    """One network and the golden results that it has to meet."""

    def __init__(self, model: ZipMap, golden: dict[str, Tensor], report: Report) -> None:
        self.model, self.golden, self.report = model, golden, report
        self.images = golden["in.images"]
        self.tokens: dict[str, list[Tensor]] = {}
        self.first_layer: list[tuple[Tensor, ...]] = []
        model.aggregator.patch_embed.register_forward_hook(self._record("patch_tokens"))
        for i in range(model.config.depth):
            frame = model.aggregator.frame_blocks[i]
            frame.register_forward_hook(self._record(f"tok.frame.{i}"))
            model.aggregator.global_blocks[i].register_forward_hook(self._record(f"tok.global.{i}"))
        model.aggregator.frame_blocks[0].register_forward_pre_hook(self._record_input)
        model.fast_weight_layers()[0].register_forward_hook(self._record_first_layer)

    def stream_or_batch(self, prefix: str) -> None:
        """The main results of the file, under ``prefix``."""
        B, S = self.images.shape[:2]
        chunks = [int(n) for n in self.golden.get("in.chunks", torch.tensor([S]))]
        state, parts = self.model.new_state(B), []
        for c, images in enumerate(self.images.split(chunks, dim=1)):
            self.tokens.clear()
            self.first_layer.clear()
            prediction, state = self.model.stream(images, state, chunk_frames=images.shape[1])
            parts.append(prediction)
            self._compare_state(f"{prefix}state_after_chunk{c}", state)
        self._compare_state(f"{prefix}state", state)
        self._compare_outputs(prefix, parts)
        if "in.query_rays" in self.golden:
            self._query(prefix, state)
        if prefix == "out.":
            self._compare_intermediates(B)

    def windows(self) -> None:
        """Single calls over all frames, updating every n frames (w1.*, w2.*, ...)."""
        names = {k.split(".")[0] for k in self.golden if k[0] == "w" and k[1:2].isdigit()}
        for name in sorted(names):
            state = self.model.new_state(self.images.shape[0])
            prediction, _ = self.model.stream(self.images, state, int(name[1:]))
            self._compare_outputs(f"{name}.", [prediction])
            prediction, _ = self.model(self.images, state, int(name[1:]))
            self._compare_outputs(f"{name}.", [prediction])

    def _query(self, prefix: str, state: SceneState) -> None:
        rays = self.golden["in.query_rays"]
        H, W = rays.shape[-2:]
        K = fit_intrinsics(self.golden["in.query_K"], H, W)
        ours = cameras.ray_map(self.golden["in.query_c2w"], K, H, W)
        self.report.compare("in.query_rays", ours, "rays")
        view = self.model.query(state, rays)
        pixels = torch.cat([view.rgb, view.depth[..., None]], dim=-1)
        for name in (prefix, f"{prefix}render."):
            self.report.compare(f"{name}nvs_pred", pixels)
            self.report.compare(f"{name}nvs_depth_conf", view.confidence)

    def _compare_outputs(self, prefix: str, parts: list[Prediction]) -> None:
        def joined(get: Callable[[Prediction], Tensor | None]) -> Tensor | None:
            values = [value for p in parts if (value := get(p)) is not None]
            return torch.cat(values, dim=1) if values else None

        outputs = {
            "pose_enc": joined(lambda p: p.pose_encoding),
            "depth": joined(lambda p: p.depth),
            "depth_conf": joined(lambda p: p.confidence),
            "local_points": joined(lambda p: p.local_points),
            "extrinsic": joined(lambda p: p.camera_T_world),
            "intrinsic": joined(lambda p: p.intrinsics),
        }
        for i in range(len(parts[0].pose_passes)):
            outputs[f"pose_enc_list.{i}"] = joined(lambda p, i=i: p.pose_passes[i])  # type: ignore[misc]
            outputs[f"pose_enc_mlp_list.{i}"] = outputs[f"pose_enc_list.{i}"]
        for name, value in outputs.items():
            if value is not None:
                self.report.compare(prefix + name, value)

    def _compare_state(self, name: str, state: SceneState) -> None:
        for matrix in FastWeights._fields:
            stacked = torch.stack([getattr(weights, matrix) for weights in state.layers])
            self.report.compare(f"{name}.{matrix}", stacked)

    def _compare_intermediates(self, B: int) -> None:
        joined = {name: self._joined(name, parts, B) for name, parts in self.tokens.items()}
        levels = [
            torch.cat(
                [joined[f"tok.{part}.{i}"].reshape(shape) for part in ("frame", "global")], -1
            )
            for i in self.model.config.collect
            for shape in [(B, -1, *joined["tok.in"].shape[1:])]
        ]
        for prefix in ("mid.", "mid_last_chunk."):
            for name, value in joined.items():
                self.report.compare(prefix + name, value)
            for i, level in enumerate(levels):
                self.report.compare(f"{prefix}agg.{i}", level)
            self._compare_first_layer(f"{prefix}ttt0.")

    def _compare_first_layer(self, prefix: str) -> None:
        """The parts of the first fast-weight layer, from its first call (the one that updates)."""
        layer = self.model.fast_weight_layers()[0]
        x, weights, targets, operations, out, after = self.first_layer[0]
        projections = layer.project(x)
        core, _ = layer.run(projections, weights, targets, operations)  # type: ignore[arg-type]
        values = dict(zip(Projections._fields, projections, strict=True))
        values |= {f"after.{k}": v for k, v in after._asdict().items()}  # type: ignore[attr-defined]
        for name, value in {**values, "x": x, "core": core, "out": out}.items():
            self.report.compare(prefix + name, value)

    def _joined(self, name: str, parts: list[Tensor], B: int) -> Tensor:
        """Input views and queried views of one batch element beside each other."""
        if len(parts) == 1:
            return parts[0]
        if name.startswith("tok.global"):
            return torch.cat(parts, dim=1)
        return torch.cat([part.unflatten(0, (B, -1)) for part in parts], dim=1).flatten(0, 1)

    def _record(self, name: str) -> Callable:
        def hook(module: object, inputs: object, output: Tensor | tuple[Tensor, object]) -> None:
            value = output[0] if isinstance(output, tuple) else output
            self.tokens.setdefault(name, []).append(value)

        return hook

    def _record_input(self, module: object, inputs: tuple[Tensor, ...]) -> None:
        self.tokens.setdefault("tok.in", []).append(inputs[0])

    def _record_first_layer(self, module: object, inputs: tuple, output: tuple) -> None:
        self.first_layer.append((*inputs, *output))


def fit_intrinsics(K: Tensor, H: int, W: int) -> Tensor:
    """K rescaled to H x W where its principal point says that it belongs to another image size."""
    implied_h, implied_w = int(2 * K[..., 1, 2].max()), int(2 * K[..., 0, 2].max())
    return K * K.new_tensor([[W / implied_w], [H / implied_h], [1.0]])


def main(arguments: list[str] | None = None) -> int:
    """Check files and return 1 if a judged group is above the tolerance."""
    parser = argparse.ArgumentParser(
        prog="python -m zipmap_ros.model.parity", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("files", nargs="+", metavar="GOLDEN", type=Path)
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    args = parser.parse_args(arguments)
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device is {args.device}, but torch finds no GPU: leave it out")
    failed = False
    for path in args.files:
        try:
            report, unchecked = check_file(str(path), args.device)
        except ModelError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"{path}: {len(report.checked)} tensors, largest error relative to tensor maximum")
        for group, (worst, key) in sorted(report.worst.items()):
            verdict = "ok" if is_judged(group) else "not judged"
            if is_judged(group) and worst > TOLERANCE:
                verdict, failed = f"ABOVE {TOLERANCE:g} in {key}", True
            print(f"  {group:<44} {worst:9.2e}  {verdict}")
        if unchecked:
            print(f"  not compared: {', '.join(unchecked[:8])}{' ...' if unchecked[8:] else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
