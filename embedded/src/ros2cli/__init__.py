# SPDX-License-Identifier: Apache-2.0
"""The `ros2` command: one module per command, read only when that command is asked for."""
