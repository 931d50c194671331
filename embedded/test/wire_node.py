# SPDX-License-Identifier: Apache-2.0
"""The node that test_wire.py looks at: an echo, a service, a latched topic, a lifecycle."""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from std_msgs.msg import String
from std_srvs.srv import Trigger


def answer(request, response):
    """What the hand-made request gets."""
    response.success = True
    response.message = "ok"
    return response


def main():
    """Run until a signal comes."""
    rclpy.init(args=sys.argv)
    node = LifecycleNode("cam", namespace="/robot1")
    latched = node.create_publisher(
        String, "latched", QoSProfile(depth=2, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    for text in ("one", "two", "three"):
        latched.publish(String(data=text))
    chatter = node.create_publisher(String, "out", 10)
    node.create_subscription(String, "in", chatter.publish, 10)
    node.create_subscription(String, "sensor", lambda message: None, qos_profile_sensor_data)
    node.create_service(Trigger, "do_it", answer)
    node.create_client(Trigger, "other")
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
