# SPDX-License-Identifier: Apache-2.0
"""The inside of the runtime; nothing here is public API."""
