# SPDX-License-Identifier: Apache-2.0
"""Transitions of a lifecycle node that tell what they fail by."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """A method on_configure or the like whose exception is logged and leads to on_error.

    rclpy takes it for an error too, but up to Jazzy says nothing.
    """

    @functools.wraps(transition)
    def logged_transition(node: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:  # whatever it is, a node that failed can be configured anew
            if node.context.ok():  # else a signal came, and with it all went that it builds on
                node.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    return logged_transition
