# SPDX-License-Identifier: Apache-2.0
"""The prefixes in which the index looks: those of AMENT_PREFIX_PATH, then this Python's own."""

import os
import site
import sys
import sysconfig


def get_search_paths() -> list[str]:
    """Existing prefixes, first match wins: `AMENT_PREFIX_PATH`, then those of this Python.

    The latter are where pip puts a package's `share/` and `lib/`, with `--user` too; a full ROS 2
    has only the first and fails where it is unset.
    """
    listed = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = [path for path in listed if path and os.path.isdir(path)]
    own = [sys.prefix, sysconfig.get_path("data")]
    if site.ENABLE_USER_SITE and os.path.isdir(site.getuserbase()):
        own.append(site.getuserbase())
    return list(dict.fromkeys([*prefixes, *own]))
