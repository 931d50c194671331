# SPDX-License-Identifier: Apache-2.0
"""YAML as ROS reads it. Imported by those who meet some: most programs start without."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """`1e3` is a number, tuples are lists."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node)
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+0123456789."),
)


def load_yaml(text: str) -> Any:
    """Value of a YAML text; raises ValueError where it is none."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
