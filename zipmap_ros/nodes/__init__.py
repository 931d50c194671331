# SPDX-License-Identifier: Apache-2.0
"""ROS 2 adapters: a callback converts, calls, publishes; nothing more.

A process that imports a node is to run it, beside others: its threads are calm.
"""

from importlib.util import find_spec

from zipmap_ros.threads import calm_threads

if find_spec("rclpy") is None:
    raise ModuleNotFoundError(
        "nodes need ROS 2: source one, or install the small runtime that lies in the folder "
        "embedded/ of zipmap_ros: pip install ./embedded",
        name="rclpy",
    )
calm_threads()  # before any node imports numpy, whose BLAS asks when it is loaded
