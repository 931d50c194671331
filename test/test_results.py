# SPDX-License-Identifier: Apache-2.0
"""Where ``zipmap reconstruct`` writes, and what its report looks like."""

from __future__ import annotations

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from zipmap_ros import cli
from zipmap_ros.frame import Estimate
from zipmap_ros.geometry import Camera
from zipmap_ros.mapping import Cloud, report


def upright(i: int) -> Estimate:
    """An estimate of a phone that is held upright."""
    depth = np.linspace(1, 2, 28 * 16, dtype=np.float32).reshape(28, 16)
    camera = Camera.from_fov(16, 28, 40.0)
    rgb = np.zeros((28, 16, 3), np.uint8)
    return Estimate(i, "", np.eye(4), depth, 1 + depth, camera, rgb)


def test_depth_stands_below_its_image(monkeypatch, tmp_path):
    """Upright depth stood to the right of its image, where the colour scale had drawn it."""
    drawn = []
    nothing = Cloud(*(np.zeros(shape, np.float32) for shape in ((0, 3), (0, 3), 0)))
    monkeypatch.setattr(Figure, "savefig", lambda figure, _: drawn.append(figure))
    estimates = [upright(i) for i in range(6)]
    report.write_report(tmp_path / "report.png", estimates, np.zeros((0, 3)), nothing, "")
    drawn[0].draw_without_rendering()
    rows = np.array([axis.get_position().x0 for axis in drawn[0].axes[:18]]).reshape(3, 6)
    assert np.ptp(rows, axis=0).max() < 0.01


def test_results_do_not_go_among_the_images_nor_where_no_folder_can_be(capsys, tmp_path):
    (tmp_path / "file").touch()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (24, 32, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    for out, says in (("", "name another"), ("file", "cannot write the results to")):
        assert cli.main(["reconstruct", str(tmp_path), "--out", str(tmp_path / out)]) == 2
        assert says in capsys.readouterr().err
