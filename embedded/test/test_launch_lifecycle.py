# SPDX-License-Identifier: Apache-2.0
"""launch_ros with nodes that talk: lifecycle nodes led through their states, ROS time."""

import time
from types import SimpleNamespace

import pytest
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.events import Shutdown as ShutdownEvent
from launch_ros.actions import LifecycleNode, LifecycleTransition, Node, RosTimer
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState, matches_node_name
from launching import run
from lifecycle_msgs.msg import Transition

pytestmark = pytest.mark.usefixtures("log_dir")

MACHINE = """\
#!/usr/bin/env python3
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class Machine(LifecycleNode):
    def on_configure(self, state):
        fails = self.declare_parameter("fails", False).value
        return TransitionCallbackReturn.FAILURE if fails else TransitionCallbackReturn.SUCCESS


rclpy.init()
try:
    rclpy.spin(Machine("machine"))
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes lifecycle nodes of a package `robot`."""
    share = tmp_path / "share" / "robot"
    share.mkdir(parents=True)
    (share / "package.xml").write_text("<package><name>robot</name></package>")
    executable = tmp_path / "lib" / "robot" / "machine"
    executable.parent.mkdir(parents=True)
    executable.write_text(MACHINE)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def make(name="arm", **options):
        return LifecycleNode(
            package="robot", executable="machine", name=name, namespace="/robot", **options
        )

    return make


def request(node, transition_id):
    return EmitEvent(
        event=ChangeState(
            lifecycle_node_matcher=lambda action: action is node, transition_id=transition_id
        )
    )


def transitions(seen):
    """Notes every transition of every node as (name, from, to)."""

    def note(context):
        event = context.locals.event
        seen.append((event.action.node_name, event.start_state, event.goal_state))

    return RegisterEventHandler(OnStateTransition(entities=[OpaqueFunction(function=note)]))


def test_node_is_configured_and_then_activated(machine):
    node = machine()
    seen: list = []
    handlers = [
        OnStateTransition(
            target_lifecycle_node=node,
            goal_state="inactive",
            entities=[request(node, Transition.TRANSITION_ACTIVATE)],
        ),
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="activating",
            goal_state="active",
            entities=[Shutdown()],
        ),
    ]
    start = [*map(RegisterEventHandler, handlers), transitions(seen), node]
    assert run(*start, request(node, Transition.TRANSITION_CONFIGURE)) == 0
    assert node.node_name == "/robot/arm"
    reached = [(a, b) for _, a, b in seen]
    assert reached == [
        ("unconfigured", "configuring"),
        ("configuring", "inactive"),
        ("inactive", "activating"),
        ("activating", "active"),
    ]
    assert node.return_code == 0


def test_transitions_of_several_nodes_in_turn(machine):
    nodes = [machine("arm"), machine("leg")]
    active: list = []
    seen: list = []

    def count(context):
        active.append(context.locals.event.action.node_name)
        return [Shutdown()] if len(active) == 2 else []

    on_active = OnStateTransition(goal_state="active", entities=[OpaqueFunction(function=count)])
    lead = LifecycleTransition(
        lifecycle_node_names=["/robot/arm", "robot/leg"],
        transition_ids=[Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE],
    )
    assert run(RegisterEventHandler(on_active), transitions(seen), *nodes, lead) == 0
    assert set(active) == {"/robot/arm", "/robot/leg"}
    for name in active:
        goals = [goal for node, _, goal in seen if node == name]
        assert goals == ["configuring", "inactive", "activating", "active"]


def test_transition_that_fails_is_said(machine, capsys):
    node = machine(parameters=[{"fails": True}])

    def ask(context):
        answered = node.request_transition(context, Transition.TRANSITION_CONFIGURE)
        answered.add_done_callback(lambda _: context.emit_event_sync(ShutdownEvent()))

    seen: list = []
    assert run(transitions(seen), node, OpaqueFunction(function=ask)) == 0
    message = "Failed to make transition 'TRANSITION_CONFIGURE' for LifecycleNode '/robot/arm'"
    assert message in capsys.readouterr().out
    assert ("/robot/arm", "configuring", "unconfigured") in seen


def test_request_to_a_node_that_is_gone_is_given_up(machine, capsys):
    node = machine(arguments=["--ros-args", "-r", "this is no rule"])
    assert run(node, request(node, Transition.TRANSITION_CONFIGURE)) == 0
    assert "Abandoning wait for the '/robot/arm/change_state' service" in capsys.readouterr().out


def test_matchers_and_numbers_are_checked(machine):
    node = machine()
    with pytest.raises(ValueError, match="invalid transition_id '99'"):
        request(node, 99)
    with pytest.raises(RuntimeError, match="requires a 'LifecycleNode' action"):
        OnStateTransition(target_lifecycle_node=Node(executable="x"), entities=[])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs lifecycle_node_names and transition_ids"):
        LifecycleTransition(lifecycle_node_names=[], transition_ids=[1])
    named = SimpleNamespace(node_name="/robot/arm")
    assert matches_node_name("robot/arm")(named)  # type: ignore[arg-type]


def test_ros_timer_fires_by_the_clock_of_ros():
    order = []
    note = OpaqueFunction(function=lambda _: order.append(time.monotonic()))
    assert run(note, RosTimer(period=0.2, actions=[note])) == 0
    assert order[1] - order[0] >= 0.2
