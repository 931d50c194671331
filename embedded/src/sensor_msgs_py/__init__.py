# SPDX-License-Identifier: Apache-2.0
"""Helpers around sensor_msgs: see `point_cloud2`."""
