# SPDX-License-Identifier: Apache-2.0
"""The `--qos-*` arguments, and the profile that suits the publishers of a topic."""

from __future__ import annotations

import argparse

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPresetProfiles,
    QoSProfile,
    ReliabilityPolicy,
)

POLICIES = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "liveliness": LivelinessPolicy,
}


def add_arguments(parser: argparse.ArgumentParser, verb: str, preset: str) -> None:
    """Add --qos-profile, --qos-depth, ...; `verb` is "subscribe" or "publish"."""
    parser.set_defaults(qos_preset=preset)
    parser.add_argument(
        "--qos-profile",
        choices=QoSPresetProfiles.short_keys(),
        help=f"Quality of service preset profile to {verb} with (default: {preset})",
    )
    parser.add_argument(
        "--qos-depth", metavar="N", type=int, help=f"Queue size setting to {verb} with"
    )
    for name, policy in POLICIES.items():
        parser.add_argument(
            f"--qos-{name}", choices=policy.short_keys(), help=f"{name} setting to {verb} with"
        )
    parser.add_argument(
        "--qos-liveliness-lease-duration-seconds",
        type=float,
        help=f"Liveliness lease duration setting to {verb} with",
    )


def profile_from(args: argparse.Namespace) -> QoSProfile:
    """Return the profile that the arguments ask for."""
    preset = QoSPresetProfiles.get_from_short_key(args.qos_profile or args.qos_preset)
    profile = QoSProfile(
        history=preset.history,
        depth=preset.depth,
        reliability=preset.reliability,
        durability=preset.durability,
        liveliness=preset.liveliness,
    )
    for name, policy in POLICIES.items():
        if getattr(args, f"qos_{name}"):
            setattr(profile, name, policy[getattr(args, f"qos_{name}").upper()])
    if args.qos_liveliness_lease_duration_seconds is not None:
        seconds = args.qos_liveliness_lease_duration_seconds
        profile.liveliness_lease_duration = Duration(seconds=seconds)
    if args.qos_depth is not None:
        profile.depth = args.qos_depth
    elif profile.durability == DurabilityPolicy.TRANSIENT_LOCAL and profile.depth == 0:
        profile.depth = 1
    return profile


def profile_for(node: Node, topic: str, args: argparse.Namespace) -> QoSProfile:
    """Return the profile asked for, or else one that connects to all publishers of the topic."""
    profile = profile_from(args)
    if any(getattr(args, f"qos_{name}") is not None for name in ("profile", "depth", *POLICIES)):
        return profile
    return adapt(profile, node, topic)


def adapt(profile: QoSProfile, node: Node, topic: str) -> QoSProfile:
    """Ask for as much reliability and durability as all publishers offer."""
    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
    if not offered:
        return profile
    for attribute, strong, weak in (
        ("reliability", ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
        ("durability", DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
    ):
        strong_count = sum(getattr(qos, attribute) == strong for qos in offered)
        setattr(profile, attribute, strong if strong_count == len(offered) else weak)
        if 0 < strong_count < len(offered):
            print(
                f"Some, but not all, publishers are offering {type(strong).__name__}."
                f"{strong.name}. Falling back to {type(weak).__name__}.{weak.name} "
                "as it will connect to all publishers"
            )
    return profile
