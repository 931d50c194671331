# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag`: info, play, record."""

from __future__ import annotations

import argparse

from ros2cli import bag_info, bag_play, bag_record
from ros2cli.verbs import Verbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = Verbs(parser)
    bag_record.add_arguments(verbs.add("record", bag_record.main))
    bag_play.add_arguments(verbs.add("play", bag_play.main))
    bag_info.add_arguments(verbs.add("info", bag_info.main))
