# SPDX-License-Identifier: Apache-2.0
"""Numbers used throughout."""

S_TO_NS = 1000 * 1000 * 1000
