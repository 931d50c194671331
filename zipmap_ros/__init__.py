# SPDX-License-Identifier: Apache-2.0
"""ZipMap for robots: streaming 3D reconstruction from one plain camera, as a library and a ROS 2 node."""
