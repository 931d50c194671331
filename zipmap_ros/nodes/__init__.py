# SPDX-License-Identifier: Apache-2.0
"""ROS 2 adapters: a callback converts, calls, publishes; nothing more."""
