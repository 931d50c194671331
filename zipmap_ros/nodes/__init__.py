# SPDX-License-Identifier: Apache-2.0
"""ROS 2 adapters: a callback converts, calls, publishes; nothing more.

A process that imports a node is to run it, beside others: its threads are calm.
"""

import os

from zipmap_ros.threads import calm_threads

calm_threads()  # before any node imports numpy, whose BLAS asks when it is loaded
# As OpenCV does: its own limit is 2**30, so a few KB of PNG on a topic would take gigabytes.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
