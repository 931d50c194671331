# SPDX-License-Identifier: Apache-2.0
"""The node that test_fast_dds.py sets beside one of Fast DDS; prints what it hears."""

import select
import sys

import numpy as np
import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger


def say(line):
    print(line, flush=True)


def describe(image):
    return f"{image.width}x{image.height} {np.asarray(image.data).sum(dtype=np.uint64)}"


def answer(request, response):
    say("asked!")
    return response


def main():
    """Obey words on standard input: `text`, `image`, `ready`, `names`, `leave`."""
    rclpy.init()
    node = rclpy.create_node("ours")
    events = SubscriptionEventCallbacks(matched=lambda e: say(f"matched {e.current_count}"))
    node.create_subscription(
        String, "text_to_python", lambda m: say(f"text {m.data}"), 10, event_callbacks=events
    )
    node.create_subscription(Image, "image_to_python", lambda m: say(f"image {describe(m)}"), 10)
    text = node.create_publisher(String, "text_to_fast", 10)
    image = node.create_publisher(Image, "image_to_fast", 10)
    node.create_service(Trigger, "asked", answer)
    client = node.create_client(Trigger, "answered")
    picture = Image(height=480, width=640, encoding="rgb8", step=1920)
    picture.data = np.arange(640 * 480 * 3).astype(np.uint8)
    words = {
        "text": lambda: text.publish(String(data="hello from Python")),
        "image": lambda: image.publish(picture),
        "ready": lambda: say(f"ready {client.wait_for_service(timeout_sec=1)}"),
        "names": lambda: say(f"names {dict(node.get_topic_names_and_types(no_demangle=True))}"),
    }
    say("up")
    word = ""
    while word != "leave":
        rclpy.spin_once(node, timeout_sec=0.02)
        if select.select([sys.stdin], [], [], 0)[0]:
            word = sys.stdin.readline().strip() or "leave"
            words.get(word, lambda: None)()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
