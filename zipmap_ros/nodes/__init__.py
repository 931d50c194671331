# SPDX-License-Identifier: Apache-2.0
"""ROS 2 adapters: a callback converts, calls, publishes; nothing more.

A process that imports a node is to run it, beside others: its threads are calm.
"""

from zipmap_ros.threads import calm_threads

calm_threads()  # before any node imports numpy, whose BLAS asks when it is loaded
