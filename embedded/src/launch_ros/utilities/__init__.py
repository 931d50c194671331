# SPDX-License-Identifier: Apache-2.0
"""Parameters, remappings and names, from what a launch file says to what a node is given."""

from .names import (
    is_namespace_absolute,
    is_root_namespace,
    make_namespace_absolute,
    prefix_namespace,
    validate_name,
    validate_namespace,
)
from .parameters import (
    evaluate_parameter_dict,
    evaluate_parameters,
    normalize_parameter_dict,
    normalize_parameters,
    to_yaml,
)
from .remappings import normalize_remap_rule, normalize_remap_rules

__all__ = [
    "evaluate_parameter_dict",
    "evaluate_parameters",
    "is_namespace_absolute",
    "is_root_namespace",
    "make_namespace_absolute",
    "normalize_parameter_dict",
    "normalize_parameters",
    "normalize_remap_rule",
    "normalize_remap_rules",
    "prefix_namespace",
    "to_yaml",
    "validate_name",
    "validate_namespace",
]
