# SPDX-License-Identifier: Apache-2.0
"""The process that the tests of the `ros2` command look at: `python demo_node.py`.

/robot/talker publishes, serves and has parameters; /robot/machine is a lifecycle node. It prints
"ready" once all of it is there.
"""

import array
import time

import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

RATE_HZ = 20.0
# Longer than the `ros2` command looks for a service.
SLOW_S = 6.0


class Talker(Node):
    """Publishes at 20 Hz, and once what is latched; takes long to look at the far camera."""

    def __init__(self):
        super().__init__("talker", namespace="/robot")
        self.declare_parameter(
            "speed",
            1.5,
            ParameterDescriptor(
                description="How fast, in m/s",
                floating_point_range=[FloatingPointRange(from_value=0.0, to_value=10.0)],
            ),
        )
        self.declare_parameter("camera.name", "front")
        self.declare_parameter("camera.sizes", [640, 480])
        self.declare_parameter("note", "free", ParameterDescriptor(dynamic_typing=True))
        self.declare_parameter("rooms", Parameter.Type.STRING_ARRAY)
        self.add_on_set_parameters_callback(self.judge)
        self.text = self.create_publisher(String, "chatter", 10)
        self.image = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.pose = self.create_publisher(PoseStamped, "pose", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.latched = self.create_publisher(String, "latched", latched)
        self.latched.publish(String(data="said once"))
        self.create_subscription(String, "orders", lambda message: None, 10)
        self.create_service(Trigger, "trigger", self.trigger)
        self.create_service(SetBool, "set_bool", self.set_bool)
        self.static_tf = StaticTransformBroadcaster(self)
        self.static_tf.sendTransform(self.transform("base", "camera", 3.0))
        self.tf = TransformBroadcaster(self)
        self.count = 0
        self.create_timer(1.0 / RATE_HZ, self.talk)

    def judge(self, parameters):
        if any(p.name == "camera.name" and p.value == "rear" for p in parameters):
            return SetParametersResult(successful=False, reason="there is no rear camera")
        if any(p.name == "camera.name" and p.value == "far" for p in parameters):
            time.sleep(SLOW_S)
        return SetParametersResult(successful=True)

    def transform(self, parent, child, x):
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        message.header.stamp = self.get_clock().now().to_msg()
        message.transform.translation.x = x
        return message

    def talk(self):
        self.count += 1
        self.text.publish(String(data=f"hello {self.count}"))
        image = Image(height=10, width=20, encoding="mono8", step=20)
        image.data = array.array("B", bytes(range(200)))
        self.image.publish(image)
        pose = PoseStamped()
        pose.header.frame_id = "map"
        pose.pose.position.x = 2.5
        self.pose.publish(pose)
        self.tf.sendTransform([self.transform("map", "base", 1.0)])

    def trigger(self, request, response):
        response.success = True
        response.message = f"called after {self.count} messages"
        return response

    def set_bool(self, request, response):
        response.success = request.data
        return response


def main():
    rclpy.init()
    executor = SingleThreadedExecutor()
    nodes = [Talker(), LifecycleNode("machine", namespace="/robot")]
    for node in nodes:
        executor.add_node(node)
    print("ready", flush=True)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
