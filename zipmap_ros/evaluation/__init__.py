# SPDX-License-Identifier: Apache-2.0
"""Judging: metrics (pure functions), runs over sequences, reports with plots."""


class EvaluationError(ValueError):
    """Something that cannot be evaluated: data, a setting, or arrays that do not fit together."""
