# SPDX-License-Identifier: Apache-2.0
"""What may be a name, and how names become full ones."""

import pytest
from rclpy import exceptions
from rclpy.expand_topic_name import expand_topic_name
from rclpy.lifecycle import LifecycleNode
from rclpy.type_support import check_is_valid_msg_type, check_is_valid_srv_type
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name
from rclpy.validate_parameter_name import validate_parameter_name
from rclpy.validate_topic_name import validate_topic_name
from std_msgs.msg import String
from std_srvs.srv import Trigger


def test_entities_know_the_names_they_were_given(graph):
    """And the full ones; their logger is the node's. /rosout is no publisher of the node's."""
    node = graph.init("--ros-args", "-r", "b:=c").node(namespace="a")
    publisher = node.create_publisher(String, "b", 1)
    subscription = node.create_subscription(String, "~/b", print, 1)
    client, service = node.create_client(Trigger, "b"), node.create_service(Trigger, "b", print)
    assert (publisher.topic, publisher.topic_name) == ("b", "/a/c")
    assert (subscription.topic, subscription.topic_name) == ("~/b", "/a/tested/b")
    assert (client.srv_name, client.service_name) == ("b", "/a/c")
    assert (service.srv_name, service.service_name) == ("b", "/a/c")
    assert {e.logger_name for e in (publisher, subscription, client, service)} == {"a.tested"}
    assert [p.topic_name for p in node.publishers] == ["/parameter_events", "/a/c"]


def test_remaps_of_one_kind(graph):
    """Of topics, or of services."""
    rules = ("-r", "rostopic://b:=topic", "-r", "rosservice://b:=service")
    node = graph.init("--ros-args", *rules).node()
    assert node.resolve_topic_name("b") == "/topic"
    assert node.resolve_service_name("b") == "/service"


@pytest.mark.parametrize(
    ("validate", "name"),
    [
        (validate_node_name, "cam_1"),
        (validate_namespace, "/"),
        (validate_namespace, "/robot/arm_2"),
        (validate_topic_name, "image"),
        (validate_topic_name, "~"),
        (validate_topic_name, "~/image"),
        (validate_topic_name, "/robot/{node}/image"),
        (validate_topic_name, "a//b"),
        (validate_full_topic_name, "/robot/image"),
        (validate_parameter_name, "camera.name"),
    ],
)
def test_good_names(validate, name):
    """True, as in rclpy."""
    assert validate(name) is True


@pytest.mark.parametrize(
    ("validate", "name", "error", "reason"),
    [
        (validate_node_name, "", exceptions.InvalidNodeNameException, "empty"),
        (validate_node_name, "a/b", exceptions.InvalidNodeNameException, "alphanumerics"),
        (validate_node_name, "1a", exceptions.InvalidNodeNameException, "start with a number"),
        (validate_node_name, "a" * 256, exceptions.InvalidNodeNameException, "exceed '255'"),
        (validate_namespace, "", exceptions.InvalidNamespaceException, "empty"),
        (validate_namespace, "robot", exceptions.InvalidNamespaceException, "absolute"),
        (validate_namespace, "/a/", exceptions.InvalidNamespaceException, "end with a '/'"),
        (validate_namespace, "/a//b", exceptions.InvalidNamespaceException, "repeated '/'"),
        (validate_topic_name, "", exceptions.InvalidTopicNameException, "empty"),
        (validate_topic_name, "a b", exceptions.InvalidTopicNameException, "alphanumerics"),
        (validate_topic_name, "a/~", exceptions.InvalidTopicNameException, "tilde"),
        (validate_topic_name, "~{a}", exceptions.InvalidTopicNameException, "not followed by a"),
        (validate_topic_name, "a/", exceptions.InvalidTopicNameException, "end with"),
        (validate_topic_name, "a/9", exceptions.InvalidTopicNameException, "number"),
        (validate_topic_name, "{a b}", exceptions.InvalidTopicNameException, "substitution"),
        (validate_topic_name, "{a", exceptions.InvalidTopicNameException, "{a"),
        (validate_full_topic_name, "image", exceptions.InvalidTopicNameException, "absolute"),
        (validate_full_topic_name, "/{node}", exceptions.InvalidTopicNameException, "alphanum"),
        (validate_parameter_name, "", exceptions.InvalidParameterException, "parameter"),
    ],
)
def test_bad_names(validate, name, error, reason):
    """Each is refused with the exception of its kind, which says why."""
    with pytest.raises(error, match=reason):
        validate(name)


@pytest.mark.parametrize("validate", [validate_topic_name, validate_full_topic_name])
def test_bad_names_of_services_are_called_so(validate):
    """The same rules, another exception."""
    with pytest.raises(exceptions.InvalidServiceNameException, match="service name"):
        validate("/a b", is_service=True)


@pytest.mark.embedded
def test_a_tilde_stands_alone():
    """rcl looks for the slash behind it only where no letter follows, and makes `~a` `/cama`."""
    with pytest.raises(exceptions.InvalidTopicNameException, match="not followed by a"):
        validate_topic_name("~a")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image", "/robot/image"),
        ("/image", "/image"),
        ("~", "/robot/cam"),
        ("~/image", "/robot/cam/image"),
        ("{node}/image", "/robot/cam/image"),
        ("{ns}/image", "/robot/image"),
    ],
)
def test_names_are_expanded(name, expected):
    """For a node cam in the namespace /robot."""
    assert expand_topic_name(name, "cam", "/robot") == expected


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("image", "a b", "/"), "node name 'a b' is invalid"),
        (("image", "cam", "robot"), "node namespace 'robot' is invalid"),
        (("", "cam", "/"), "topic name '' is invalid"),
        (("a b", "cam", "/"), "topic name 'a b' is invalid"),
        (("{nope}", "cam", "/"), "unknown substitution: {nope}"),
    ],
)
def test_names_that_cannot_be_expanded(names, reason):
    """That of the topic, the node or the namespace."""
    with pytest.raises(ValueError, match=reason):
        expand_topic_name(*names)


def test_bad_names_are_refused_by_nodes(graph):
    """Where something is made, resolved, and asked for."""
    node = graph.init().node()
    for name in ("a b", "a//b", "a/9", "{ns}/a", ""):
        with pytest.raises(exceptions.InvalidTopicNameException):
            node.create_publisher(String, name, 1)
        with pytest.raises(exceptions.InvalidServiceNameException):
            node.create_client(Trigger, name)
        for resolve in (node.resolve_topic_name, node.resolve_service_name):
            with pytest.raises(RuntimeError, match="failed to resolve name"):
                resolve(name)
    for name, error in (
        ("a b", ValueError),
        ("", ValueError),
        ("a//b", exceptions.InvalidTopicNameException),
    ):
        for ask in (node.count_publishers, node.get_publishers_info_by_topic):
            with pytest.raises(error):
                ask(name)


def test_what_is_counted_is_not_remapped(graph):
    """What is made and listed is."""
    node = graph.init("--ros-args", "-r", "image:=picture").node()
    node.create_publisher(String, "image", 1)
    graph.spin_until(lambda: node.count_publishers("picture"))
    assert node.count_publishers("image") == 0
    graph.spin_until(lambda: node.get_publishers_info_by_topic("image"))


def test_types_are_checked(graph):
    """What is no interface is refused, and a message in the place of a service."""
    check_is_valid_msg_type(String)
    check_is_valid_msg_type(Trigger.Request)
    check_is_valid_srv_type(Trigger)
    node = graph.init().node()
    for check in (check_is_valid_msg_type, lambda kind: node.create_publisher(kind, "x", 1)):
        with pytest.raises(AttributeError):
            check(str)
        with pytest.raises(RuntimeError, match="might be a service or action"):
            check(Trigger)
    for check in (check_is_valid_srv_type, lambda kind: node.create_client(kind, "x")):
        with pytest.raises(AttributeError):
            check(str)
        with pytest.raises(RuntimeError, match="might be a message or action"):
            check(String)


# What rclpy's nodes call their own: programs cannot use it there either.
NAMES_OF_RCLPY = {
    "_allow_undeclared_parameters", "_clients", "_clock", "_context",
    "_default_callback_group", "_descriptors", "_guards", "_logger", "_logger_service",
    "_managed_entities", "_parameter_event_publisher", "_parameter_overrides",
    "_parameter_service", "_parameters", "_publishers", "_services", "_state_machine",
    "_subscriptions", "_time_source", "_timers", "_type_description_service",
}  # fmt: skip


@pytest.mark.embedded
def test_programs_may_name_attributes_as_they_like(context):
    """A node has none that rclpy's has not, but for those whose names say that they are ours."""
    node = LifecycleNode("tested", context=context, enable_logger_service=True)
    own = {name for kind in type(node).__mro__[:-1] for name in vars(kind)} | vars(node).keys()
    private = {name for name in own if name.startswith("_") and not name.startswith("__")}
    others = {name for name in private if not name.startswith("_ros_")} - NAMES_OF_RCLPY
    assert not others


def test_a_node_lives_with_attributes_of_a_program(graph):
    """Of any value, set before and after it is made."""
    names = ("graph", "events", "name", "namespace", "impl", "arguments", "destroyed", "rosout",
             "waitables", "announced", "executables", "on_set", "store", "typed", "set", "count",
             "trigger", "registered", "tell", "run_callback")  # fmt: skip

    class Program(LifecycleNode):
        def __init__(self, name, **options):
            self._take_names()
            super().__init__(name, **options)
            self._take_names()

        def _take_names(self):
            for name in names:
                setattr(self, f"_{name}", False)

    node = graph.init().node("program", Program)
    calls = []
    node.create_subscription(String, "x", calls.append, 1)
    node.create_publisher(String, "x", 1).publish(String(data="said"))
    graph.spin_until(lambda: calls)
    assert node.declare_parameter("p", 1).value == 1 and node.trigger_configure()
    assert node.get_fully_qualified_name() == "/program"
    graph.spin_until(lambda: node.count_publishers("x") == 1)
    node.get_logger().info("here")
    other = graph.node("other")
    graph.spin_until(lambda: "program" in other.get_node_names())
    graph.spin_until(lambda: other.count_publishers("x") == 1)
    node.destroy_node()
    graph.spin_until(lambda: other.count_publishers("x") == 0)
    with pytest.raises(exceptions.InvalidHandle):
        node.get_name()
