# SPDX-License-Identifier: Apache-2.0
"""What every benchmark shares: the machine and its ceiling, fair timing, a table, a JSON line."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import torch

from zipmap_ros.evaluation.machine import processor

ROOT = Path(__file__).resolve().parent.parent


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    function: Callable[[], object], device: torch.device, repeats: int = 5, warmup: int = 1
) -> list[float]:
    """Wall seconds of each of ``repeats`` calls, after ``warmup`` calls that do not count."""
    for _ in range(warmup):
        function()
    times = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        function()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return times


def percentile(values: list[float], q: float) -> float:
    """The q-th percentile, 0 < q <= 100, of measured values (nearest rank)."""
    return sorted(values)[math.ceil(q * len(values) / 100) - 1]


def machine(device: torch.device) -> dict[str, object]:
    """Where and what was measured: processor, threads, device, versions, commit, date."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),  # processes that wanted to run, over the last minute
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


def _commit() -> str:
    """The commit, and whether anything that could change a figure differs from it."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return "unknown"

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    measured = ("zipmap_ros", "embedded", "benchmark", "launch", ":!benchmark/results", ":!*.md")
    changes = git("status", "--porcelain", "--", *measured)
    return git("rev-parse", "--short", "HEAD") + ("+changes" if changes else "")


@lru_cache
def ceiling(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """What this device reaches: matrix products in TFLOP/s, memory in GB/s read and written."""
    n = 8192 if device.type == "cuda" else 1536
    a = torch.randn(n, n, device=device).to(dtype)
    product = min(seconds(lambda: a @ a, device, repeats=5, warmup=2))
    source = torch.empty((1 << 28) if device.type == "cuda" else (1 << 26), device=device)
    target = torch.empty_like(source)
    copy = min(seconds(lambda: target.copy_(source), device, repeats=5, warmup=2))
    return {
        "matrix_tflops": 2 * n**3 / product / 1e12,
        "memory_gb_s": 2 * source.nbytes / copy / 1e9,
    }


def report(
    question: str,
    device: torch.device,
    settings: dict[str, object],
    rows: Iterable[dict[str, object]],
    save: Path | None = None,
) -> list[dict[str, object]]:
    """Print the machine, the rows as a table, and everything as one line of JSON.

    ``rows`` may be computed while they are taken: each is printed as it comes, and with ``save``
    the file holds all that there are, so that a run that is cut off keeps them. A plot beside it.
    Returns the rows.
    """
    record = {"question": question, **machine(device), **settings}
    print(", ".join(f"{k} {v}" for k, v in record.items()))
    taken: list[dict[str, object]] = []
    for row in rows:
        taken.append(row)
        if save:
            print("  ".join(f"{key} {_cell(value)}" for key, value in row.items()), flush=True)
            save.parent.mkdir(parents=True, exist_ok=True)
            save.write_text(json.dumps({**record, "rows": taken}) + "\n")
    print(table(taken))
    print(json.dumps({**record, "rows": taken}), flush=True)
    if save:
        from plots import plot

        plot(save)
    return taken


def table(rows: list[dict[str, object]]) -> str:
    """Rows under their names, right aligned; what a row lacks is '-'."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns] + [[_cell(row.get(c, "-")) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def milliseconds(times: list[float]) -> dict[str, float]:
    """Median, p95 and p99 of times in seconds, in ms."""
    return {
        "p50_ms": statistics.median(times) * 1e3,
        "p95_ms": percentile(times, 95) * 1e3,
        "p99_ms": percentile(times, 99) * 1e3,
    }
