# SPDX-License-Identifier: Apache-2.0
"""ZipMap for robots: streaming 3D reconstruction from one camera, as library and ROS 2 node."""
