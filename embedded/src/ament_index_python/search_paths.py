# SPDX-License-Identifier: Apache-2.0
"""The prefixes in which the index looks: those of AMENT_PREFIX_PATH, then this Python's own."""

import os
import sys


def get_search_paths() -> list[str]:
    """Existing prefixes, first match wins: `AMENT_PREFIX_PATH`, then `sys.prefix`.

    The second one is where pip puts a package's `share/` and `lib/`; a full ROS 2 has only the
    first and fails where it is unset.
    """
    listed = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = [path for path in listed if path and os.path.isdir(path)]
    return list(dict.fromkeys([*prefixes, sys.prefix]))
