# SPDX-License-Identifier: Apache-2.0
"""What the node says when something is missing: transforms, images, a fitting checkpoint.

One launch, five robots in their own namespaces, each with its own trouble.
"""

from __future__ import annotations

from collections.abc import Iterator

import launch_pytest
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rosbench import (
    FRAME,
    LATCHED,
    SENSOR,
    Bench,
    Pictures,
    image,
    launch_file,
    parameter_file,
    scene,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import Image
from tf2_ros import StaticTransformBroadcaster

from zipmap_ros.geometry import BODY_T_OPTICAL
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.srv import QueryView

DOMAIN = 44


@launch_pytest.fixture(scope="module")
def robots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchDescription]:
    folder = tmp_path_factory.mktemp("states")
    tiny = str(tiny_checkpoint(folder))
    other = folder / "other"
    other.mkdir()
    batch = str(tiny_checkpoint(other, camera_head="refine", camera_heads=2))

    def robot(name: str, checkpoint: str, **parameters: object) -> object:
        place = folder / name
        place.mkdir()
        file = str(parameter_file(place, no_data_warn_s=1.0, max_jump_m=1e4, **parameters))
        return launch_file(namespace=name, checkpoint=checkpoint, device="cpu", params_file=file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        yield LaunchDescription(
            [
                robot("mountless", tiny, base_frame="trunk"),
                robot("batch", batch),
                robot("strict", tiny, tf_mode="camera", qos_image="reliable"),
                robot("manual", tiny, tf_mode="camera", autostart=False),
                robot("gone", str(folder / "no.safetensors")),
                ReadyToTest(),
            ]
        )


def hint(ros: Bench, robot: str, state: int, word: str) -> str:
    """The hint of a robot's status once it has this state and says this word."""
    heard = ros.listen(Status, f"{robot}/zipmap/status", LATCHED)

    def said() -> list[Status]:
        return [s for s in heard if s.state == state and word in s.hint]

    return until(said, f"{robot} never said {word!r} in state {state}")[0].hint


@pytest.mark.launch(fixture=robots)
def test_a_batch_network_is_refused_with_a_hint(ros: Bench) -> None:
    assert "zipmap reconstruct" in hint(ros, "batch", Status.UNCONFIGURED, "not trained to stream")


@pytest.mark.launch(fixture=robots)
def test_a_missing_checkpoint_is_named(ros: Bench) -> None:
    assert "no.safetensors" in hint(ros, "gone", Status.UNCONFIGURED, "there is no checkpoint")


@pytest.mark.launch(fixture=robots)
def test_before_any_frame_a_query_says_so(ros: Bench) -> None:
    answer = ros.call(QueryView, "strict/zipmap/query_view")
    assert not answer.success
    assert "wait for the first image" in answer.message


@pytest.mark.launch(fixture=robots)
def test_a_missing_mount_is_waited_for_and_named(ros: Bench) -> None:
    pictures = Pictures(ros, "mountless/")
    said = hint(ros, "mountless", Status.WAITING_FOR_TF, "trunk")
    assert FRAME in said
    mount = TransformStamped(
        header=convert.make_header(0, "trunk"),
        child_frame_id=FRAME,
        transform=convert.matrix_to_transform(BODY_T_OPTICAL),
    )
    StaticTransformBroadcaster(ros.node).sendTransform(mount)
    hint(ros, "mountless", Status.TRACKING, "")
    pictures.stop()


@pytest.mark.launch(fixture=robots)
def test_a_publisher_whose_qos_does_not_fit_is_named(ros: Bench) -> None:
    publisher = ros.node.create_publisher(Image, "strict/image", SENSOR)
    said = hint(ros, "strict", Status.WAITING_FOR_IMAGE, "QoS does not fit")
    assert "bench" in said
    assert "qos_image" in said
    ros.node.destroy_publisher(publisher)


@pytest.mark.launch(fixture=robots)
def test_diagnostics_tell_the_same(ros: Bench) -> None:
    heard = ros.listen(DiagnosticArray, "/diagnostics")

    def warned() -> bool:
        every = [status for message in heard for status in message.status]
        warnings = [s for s in every if s.level == DiagnosticStatus.WARN]
        return any(s.name.endswith("input") and "image" in s.message for s in warnings)

    until(warned)


@pytest.mark.launch(fixture=robots)
def test_diagnostics_tell_whose_they_are(ros: Bench) -> None:
    """All robots speak on one topic: of one name, a monitor would show now this one, now that."""
    heard = ros.listen(DiagnosticArray, "/diagnostics")
    names = {f"/{robot}/zipmap: input" for robot in ("mountless", "batch", "strict", "manual")}
    until(lambda: names <= {status.name for message in heard for status in message.status})


@pytest.mark.launch(fixture=robots)
def test_a_clock_of_another_time_is_told_once(ros: Bench) -> None:
    publisher = ros.node.create_publisher(Image, "strict/image", 5)
    until(publisher.get_subscription_count)
    begun = 1_000_000_000_000

    def publish_old() -> None:
        nonlocal begun
        begun += 100_000_000
        publisher.publish(image(begun, scene(begun // 100_000_000)))

    timer = ros.node.create_timer(0.1, publish_old)
    assert "use_sim_time" in hint(ros, "strict", Status.TRACKING, "behind this node's clock")
    timer.cancel()
    ros.node.destroy_publisher(publisher)


@pytest.mark.launch(fixture=robots)
def test_a_lifecycle_manager_leads_it(ros: Bench) -> None:
    def state() -> int:
        answer = ros.call(GetState, "manual/zipmap/get_state")
        return answer.current_state.id

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return ros.call(ChangeState, "manual/zipmap/change_state", request).success

    pictures = Pictures(ros, "manual/")
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    hint(ros, "manual", Status.UNCONFIGURED, "configure")
    assert change(Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_INACTIVE
    hint(ros, "manual", Status.UNCONFIGURED, "activate")
    assert change(Transition.TRANSITION_ACTIVATE)
    hint(ros, "manual", Status.TRACKING, "")
    assert change(Transition.TRANSITION_DEACTIVATE)
    hint(ros, "manual", Status.UNCONFIGURED, "activate")
    assert change(Transition.TRANSITION_CLEANUP)
    hint(ros, "manual", Status.UNCONFIGURED, "configure")
    # And all over again: nothing is left behind that is in the way.
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    hint(ros, "manual", Status.TRACKING, "")
    pictures.stop()
