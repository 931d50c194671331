# SPDX-License-Identifier: Apache-2.0
"""Training the small model: one command, on one GPU, many, or a CPU; it resumes where it stopped.

    python -m zipmap_ros.training --preset small --out runs/small

Start reading at ``trainer.py``.
"""


class TrainingError(ValueError):
    """A configuration, a checkpoint or data that cannot be trained with."""
