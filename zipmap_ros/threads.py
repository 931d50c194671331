# SPDX-License-Identifier: Apache-2.0
"""How many threads compute, which must be said before numpy and torch are imported."""

from __future__ import annotations

import os


def calm_threads() -> None:
    """Leave half of the cores to other processes, and let waiting threads sleep.

    Only what the environment does not say already. Two processes whose threads wait for each
    other, spinning on all cores, were measured at a tenth of their speed and less
    (``benchmark/threads.py``).
    """
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores // 2, 1)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
