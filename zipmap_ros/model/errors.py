# SPDX-License-Identifier: Apache-2.0
"""The one error of this room."""


class ModelError(ValueError):
    """A config, checkpoint, state or input that the network cannot use."""
