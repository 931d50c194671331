# SPDX-License-Identifier: Apache-2.0
"""How tests wait: long for what must happen, and again for what must happen soon."""

import functools
import time

# What must happen is waited for so long, in seconds: machines that test are small and busy.
PATIENCE_S = 60.0
_ATTEMPTS = 3


def spin_until(spin_once, ready):
    """Spin (`spin_once(timeout_sec=...)`) until a condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < end, "condition never held"
        spin_once(timeout_sec=0.05)


class LateError(AssertionError):
    """Something took longer than it may."""


def check_soon(begin, limit_s=2.0):
    """Fail unless less than `limit_s` seconds have passed since `begin` (`time.monotonic()`).

    On a machine that gives us a third of a core, three times as much may pass; four at most.
    """
    passed = time.monotonic() - begin
    if passed >= limit_s and passed >= limit_s * (factor := _slowness()):
        raise LateError(f"{passed:.1f} s, where less than {limit_s * factor:.1f} s are allowed")


def _slowness():
    """How many seconds it takes now to compute for one, from 1 to 4."""
    begin, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.2:
        pass
    return min(4.0, max(1.0, (time.monotonic() - begin) / (time.process_time() - used)))


def soon(test):
    """Run a test that measures time again where it was late: it may have waited for a core.

    What is slow by itself is late every time.
    """

    @functools.wraps(test)
    def attempt(*args, **kwargs):
        for _ in range(_ATTEMPTS - 1):
            try:
                return test(*args, **kwargs)
            except LateError as error:
                print(f"again: {error}")
        return test(*args, **kwargs)

    return attempt
