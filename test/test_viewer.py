# SPDX-License-Identifier: Apache-2.0
"""The web view: what is sent, what is refused, and the real page in a real browser."""

from __future__ import annotations

import http.client
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import launch_pytest
import msgspec
import numpy as np
import pytest
import viser
from browser import Browser, find_chromium
from diagnostic_msgs.msg import KeyValue
from geometry_msgs.msg import PoseStamped, TransformStamped
from launch import LaunchDescription
from launch_pytest.actions import ReadyToTest
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rosbench import (
    CAMERA,
    EVERY_FRAME,
    LATCHED,
    PATIENCE_S,
    WILD,
    Bench,
    Pictures,
    bench,
    image,
    launch_file,
    parameter_file,
    scene,
    tiny_checkpoint,
    until,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_ros import StaticTransformBroadcaster
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from zipmap_ros.geometry import Camera, invert, look_at, quaternion_from_matrix
from zipmap_ros.msg import Status
from zipmap_ros.nodes import convert
from zipmap_ros.nodes.viewer_cloud import MAX_BLOCKS, Ball, CloudSettings, MapCloud
from zipmap_ros.nodes.viewer_node import MOST_IMAGES, PARAMETERS, TICK_S, Eye, ViewerNode
from zipmap_ros.nodes.viewer_panel import CHOSEN, PICTURE, depth_words, status_html
from zipmap_ros.nodes.viewer_pictures import beside, depth_picture, fit, shrink
from zipmap_ros.nodes.viewer_scene import MAX_POSES, PATH_CHUNK, Budget, Scene, Settings
from zipmap_ros.nodes.viewer_server import Server, ViewerError, is_local, open_server
from zipmap_ros.nodes.viewer_services import pose_request
from zipmap_ros.nodes.viewer_visitor import Visitor, view_pose, words
from zipmap_ros.srv import GetTrajectory, QueryView

DOMAIN = 62
ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "out" / "viewer"
GIVEN = {**WILD, **EVERY_FRAME, "tf_mode": "camera", "query_timeout_s": 60.0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wall(n: int, x: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on a plane, one in each cell of 0.1; colours and confidences."""
    grid = (np.mgrid[:n, :n].reshape(2, -1).T + 0.5) * 0.1
    points = np.concatenate([np.full((n * n, 1), x + 0.05), grid], axis=1).astype(np.float32)
    colors = np.full((n * n, 3), 100, np.uint8)
    return points, colors, np.full(n * n, 2.0, np.float32)


def blocks(cloud: MapCloud) -> list:
    return list(iter(cloud.next_block, None))


@pytest.fixture
def cloud() -> MapCloud:
    made = MapCloud(max_points=100_000)
    made.settings = CloudSettings(voxel=0.1, min_confidence=1.0)
    return made


# -- the map


def test_the_first_map_is_sent_whole_and_where_it_is(cloud: MapCloud) -> None:
    points, colors, confidence = wall(64)
    cloud.update(points, colors, confidence, 0.0)
    sent = blocks(cloud)
    assert len(sent) == 16  # 64 / 16 voxels, squared
    placed = np.concatenate([b.points + b.origin for b in sent])
    order = np.lexsort(placed.T)
    np.testing.assert_allclose(placed[order], points[np.lexsort(points.T)], atol=1e-5)


@pytest.mark.parametrize("step", [0.04, -0.04])
def test_only_what_changed_is_sent_again(cloud: MapCloud, step: float) -> None:
    points, colors, confidence = wall(64)
    cloud.update(points, colors, confidence, 0.0)
    whole = sum(b.nbytes for b in blocks(cloud))
    cloud.update(points, colors, confidence, 1.0)
    assert blocks(cloud) == []
    points[:3, 0] += step  # nearly half a voxel
    cloud.update(points, colors, confidence, 2.0)
    changed = blocks(cloud)
    assert len(changed) == 1
    assert sum(b.nbytes for b in changed) == whole / 16


@pytest.mark.parametrize(("step", "sent"), [(5, 0), (-5, 0), (40, 1), (-40, 1)])
def test_a_block_is_sent_again_for_colours_that_differ_visibly(
    cloud: MapCloud, step: int, sent: int
) -> None:
    points, colors, confidence = wall(16)
    cloud.update(points, colors, confidence, 0.0)
    blocks(cloud)
    cloud.update(points, (colors.astype(int) + step).astype(np.uint8), confidence, 1.0)
    assert len(blocks(cloud)) == sent


def test_what_is_gone_is_removed_after_the_new_is_there(cloud: MapCloud) -> None:
    cloud.update(*wall(16), 0.0)
    (old,) = blocks(cloud)
    cloud.update(*wall(16, x=5.0), 1.0)
    new, removed = blocks(cloud)
    assert len(new.points) == 256
    assert removed.name == old.name
    assert not len(removed.points)


def test_a_waiting_block_is_sent_once_with_its_newest_points(cloud: MapCloud) -> None:
    points, colors, confidence = wall(16)
    cloud.update(points, colors, confidence, 0.0)
    colors[:] = 200
    cloud.update(points, colors, confidence, 1.0)
    (block,) = blocks(cloud)
    assert (block.colors == 200).all()


def test_too_many_points_are_thinned_not_cut_off() -> None:
    cloud = MapCloud(max_points=1100)
    cloud.settings = CloudSettings(voxel=0.1, min_confidence=1.0)
    cloud.update(*wall(64), 0.0)  # 4096 points
    sent = np.concatenate([b.points + b.origin for b in blocks(cloud)])
    assert cloud.shown_voxel == pytest.approx(0.2)
    assert len(sent) == 1024
    assert sent.max() > 6.1


def test_a_wide_map_has_few_blocks(cloud: MapCloud) -> None:
    points = np.random.default_rng(1).uniform(-500, 500, (20_000, 3)).astype(np.float32)
    cloud.update(points, np.zeros((20_000, 3), np.uint8), np.full(20_000, 2, np.float32), 0.0)
    assert 0 < len(blocks(cloud)) <= MAX_BLOCKS


def test_sliders_do_not_change_when_a_point_was_first_seen(cloud: MapCloud) -> None:
    points, _, _ = wall(2)
    points = np.concatenate([points, [[np.inf, 0, 0]]]).astype(np.float32)
    colors, confidence = np.zeros((5, 3), np.uint8), np.full(5, 2.0, np.float32)
    cloud.settings.mode = "Age"
    cloud.update(points[:1], colors[:1], confidence[:1], 0.0)

    def shown(**settings: float) -> list:
        cloud.settings = replace(cloud.settings, **settings)
        cloud.update(points, colors, confidence, 20.0)
        return [block for block in blocks(cloud) if len(block.points)]

    (before,) = shown()
    assert len(np.unique(before.colors, axis=0)) == 2
    for name, there, back in (("voxel", 1.0, 0.1), ("min_confidence", 3.0, 1.0)):
        shown(**{name: there})
        (after,) = shown(**{name: back})
        np.testing.assert_array_equal(after.colors, before.colors)


def test_the_confidence_slider_hides_and_the_best_of_a_voxel_shows(cloud: MapCloud) -> None:
    points = np.array([[0.01, 0, 0], [0.02, 0, 0], [5, 5, 5]], np.float32)
    colors = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.uint8)
    cloud.update(points, colors, np.array([2, 3, 1.2], np.float32), 0.0)
    assert sorted(int(c[0]) for b in blocks(cloud) for c in b.colors) == [2, 3]
    cloud.settings.min_confidence = 1.5
    cloud.update(points, colors, np.array([2, 3, 1.2], np.float32), 1.0)
    assert [len(b.points) for b in blocks(cloud)] == [0]


def test_age_tells_old_points_from_new(cloud: MapCloud) -> None:
    cloud.settings.mode = "Age"
    cloud.update(*wall(16), 0.0)
    old = blocks(cloud)[0].colors[0]
    both = [np.concatenate(pair) for pair in zip(wall(16), wall(16, x=5.0), strict=True)]
    cloud.update(*both, 20.0)
    (new,) = blocks(cloud)
    assert np.abs(new.colors[0].astype(int) - old).max() > 50


def test_an_empty_map_and_points_that_are_none(cloud: MapCloud) -> None:
    cloud.update(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0), 0.0)
    assert blocks(cloud) == []
    points = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [1e30, 0, 0]], np.float32)
    cloud.update(points, np.zeros((3, 3), np.uint8), np.full(3, 2, np.float32), 1.0)
    assert blocks(cloud) == []


def test_a_ball_grows_no_more_than_it_must() -> None:
    ball = Ball(np.zeros(3), 1.0)
    assert ball.reaching(np.array([0.0, 0.5, 0.0])) is ball
    centre, radius = ball.reaching(np.array([3.0, 0.0, 0.0]))
    assert ([*centre], radius) == ([1.0, 0.0, 0.0], 2.0)


# -- bytes, browsers


def test_the_budget_holds_over_time() -> None:
    budget = Budget(1000.0)
    start_s = time.monotonic()
    for tick in range(100):  # 10 s in steps of 0.1
        budget.refill(start_s + tick * 0.1)
        while budget.open:
            budget.spend(300)
    assert 9_000 <= budget.spent <= 10_300


@pytest.fixture
def server() -> Iterator[Server]:
    made = open_server("127.0.0.1", free_port())
    yield made
    made.stop()


def look(browser: ClientConnection, position: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
    """Say where the browser's camera is, as its page does first of all."""
    x, y, z = (float(v) for v in position)
    fields = {"wxyz": (1, 0, 0, 0), "position": (x, y, z), "look_at": (x, y, z + 1)}
    fields |= {"up_direction": (0, 0, 1), "fov": 1.0, "near": 0.1, "far": 100.0}
    fields |= {"image_width": 800, "image_height": 600, "type": "ViewerCameraMessage"}
    browser.send(msgspec.msgpack.encode(fields))


def join(server: Server, origin: str | None = None, host: str = "127.0.0.1") -> ClientConnection:
    """A browser's WebSocket."""
    port = server.get_port()
    sock = socket.create_connection(("127.0.0.1", port))
    return connect(
        f"ws://{host}:{port}",
        sock=sock,
        origin=origin or f"http://{host}:{port}",
        subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
        max_size=None,
    )


def test_pages_of_others_and_names_of_others_are_refused(server: Server) -> None:
    join(server).close()
    join(server, host="localhost").close()
    for stranger in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        with pytest.raises(InvalidStatus) as refused:
            join(server, **stranger)
        assert refused.value.response.status_code == 403
    # A page on another port of this machine is another page.
    with pytest.raises(InvalidStatus):
        join(server, origin="http://127.0.0.1:1")


def test_no_page_shows_the_viewer_inside_itself(server: Server) -> None:
    """Unseen under another page, its buttons could be pressed by whoever presses that page's."""
    for destination, code in (("document", 200), ("script", 200), ("iframe", 403), ("embed", 403)):
        page = http.client.HTTPConnection("127.0.0.1", server.get_port(), timeout=PATIENCE_S)
        page.request("GET", "/", headers={"Sec-Fetch-Dest": destination})
        answer = page.getresponse()
        assert answer.status == code, destination
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert answer.getheader("Content-Security-Policy") == "frame-ancestors 'none'"
        page.close()


def test_nothing_is_passed_on_to_servers_elsewhere(server: Server) -> None:
    assert server.request_share_url() is None


def test_a_port_that_is_taken_is_said(server: Server) -> None:
    with pytest.raises(ViewerError, match=r"cannot listen on .* set viewer_port"):
        open_server("127.0.0.1", server.get_port())


def test_what_is_sent_to_a_page_that_has_gone_is_no_trouble() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        server = open_server("127.0.0.1", free_port())
        with join(server) as browser:
            look(browser)
            (client,) = until(server.get_clients).values()
        until(lambda: not server.get_clients())
        client.gui.add_markdown("too late")
        server.stop()
    assert [str(warning.message) for warning in seen] == []


def test_ipv6_has_a_loopback_too() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        port = probe.getsockname()[1]
    server = open_server("::1", port)
    try:
        page = http.client.HTTPConnection("::1", port, timeout=20)
        page.request("GET", "/")
        assert page.getresponse().status == 200
        page.close()
    finally:
        server.stop()


def test_which_hosts_are_this_machine_alone() -> None:
    assert all(map(is_local, ("127.0.0.1", "127.8.0.1", "::1", "localhost")))
    assert not any(map(is_local, ("0.0.0.0", "192.168.1.4", "robot.local", "")))


def test_a_browser_that_does_not_read_slows_nothing_and_costs_no_memory(server: Server) -> None:
    budget = Budget(1e9)
    settings = Settings(CloudSettings(voxel=0.1, min_confidence=1.0))
    scene = Scene(server, settings, budget, 100_000)
    sleeper = join(server)  # connected; recv is never called
    points, colors, confidence = wall(128)
    slowest_s = 0.0
    for step in range(20):
        colors[:] = (step % 2) * 200
        scene.cloud.update(points, colors, confidence, float(step))
        began_s = time.monotonic()
        budget.refill(began_s)
        scene.send_map()
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    messages = server._websock_server.get_message_buffer().message_from_id
    held = sum(
        m.props.points.nbytes + m.props.colors.nbytes
        for m in messages.values()
        if hasattr(getattr(m, "props", None), "points")
    )
    sleeper.socket.close()
    assert budget.spent == 20 * 9 * len(points), "every step was a change"
    assert held == 9 * len(points), "one copy waits, not all that were sent"
    # A browser that nobody waits for costs milliseconds, one that is waited for never returns.
    assert slowest_s < 10.0


def test_a_browser_that_comes_late_gets_the_whole_scene(server: Server) -> None:
    scene = Scene(
        server, Settings(CloudSettings(voxel=0.1, min_confidence=1.0)), Budget(1e9), 100_000
    )
    points, colors, confidence = wall(128)
    for step in range(5):
        colors[:] = (step % 2) * 200
        scene.cloud.update(points, colors, confidence, float(step))
        scene._budget.refill(time.monotonic() + step)
        scene.send_map()
    with join(server) as late:
        received = 0
        until(lambda: scene.cloud.next_block() is None)
        while received < 9 * len(points):
            received += len(late.recv(timeout=PATIENCE_S))
    assert received < 2 * 9 * len(points), "as it is, not all that it ever was"


# -- what is shown and asked


def test_the_view_that_is_queried_is_the_browsers_camera(server: Server) -> None:
    map_T_view = look_at([1.0, 2.0, 3.0], [4.0, 4.0, 1.0])

    class BrowserCamera:
        wxyz = np.roll(quaternion_from_matrix(map_T_view), 1)
        position = map_T_view[:3, 3]

    np.testing.assert_allclose(view_pose(BrowserCamera()), map_T_view, atol=1e-9)
    request = pose_request(map_T_view, "world")
    assert request.pose.header.frame_id == "world"
    np.testing.assert_allclose(convert.pose_to_matrix(request.pose.pose), map_T_view, atol=1e-9)
    assert request.want_rgb
    assert request.want_cloud
    assert request.camera.width == 0  # the stream's camera, which the network was trained for


def test_pictures_fit() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    assert shrink(image, 320).shape == (240, 320, 3)
    assert shrink(image, 1000).shape == image.shape
    assert fit(image[:48, :64], 320).shape == (240, 320, 3)
    assert fit(image, 400).shape == (300, 400, 3)
    assert beside(image, image[:240, :320]).shape == (480, 1280, 3)
    depth = np.array([[1.0, 2.0], [3.0, np.nan]], np.float32)
    near, unknown = depth_picture(depth)[0, 0], depth_picture(depth)[1, 1]
    assert near[0] > near[2]  # warm
    assert (unknown == 30).all()
    assert (depth_picture(np.full((2, 2), np.nan, np.float32)) == 30).all()


def test_the_span_of_a_depth_picture_is_said() -> None:
    confidence = np.array([[1.0, 4.25]], np.float32)
    assert depth_words(np.array([[2.0, 2.0]], np.float32), confidence) == (
        "Depth 2.0 to 2.0 | confidence up to 4.2"
    )
    assert "nowhere" in depth_words(np.full((1, 2), np.nan, np.float32), confidence)


def test_what_nodes_say_cannot_run_in_the_page() -> None:
    evil = "<img src=x onerror=alert(1)>"
    status = Status(hint=evil, variant=evil, device=evil, state=Status.LOST, scale_source=evil)
    status.frames_dropped = [KeyValue(key=evil, value="3")]
    status.metric = True
    page = status_html(status)
    assert "<img" not in page
    assert page.count("&lt;img") >= 4
    assert "lost" in page


def test_the_path_is_sent_in_pieces_and_follows_a_new_anchor(server: Server) -> None:
    budget = Budget(1e6)
    scene = Scene(server, Settings(CloudSettings()), budget, 1000)
    budget.refill(time.monotonic() + 1)
    for i in range(200):
        scene.add_pose([i, 0, 0])
    scene.send_path()
    sent = budget.spent
    scene.send_path()
    assert budget.spent == sent, "nothing new, nothing sent"
    scene.add_pose([200, 0, 0])
    scene.send_path()
    assert budget.spent - sent < sent / 2, "only the last piece"
    scene.set_path(np.zeros((3, 3)))
    scene.send_path()
    paths = {
        m.name
        for m in server._websock_server.get_message_buffer().message_from_id.values()
        if type(m).__name__ == "LineSegmentsMessage"
    }
    assert paths == {"/path/0"}


def test_a_path_stays_small_however_long_the_way(server: Server) -> None:
    scene = Scene(server, Settings(CloudSettings()), Budget(1e12), 1000)
    for i in range(5 * MAX_POSES):
        scene.add_pose([i, 0, 0])
        if i % 1000 == 0:
            scene._budget.refill(time.monotonic() + 1)
            scene.send_path()
    scene.send_path()
    assert MAX_POSES / 2 <= len(scene._path) <= MAX_POSES
    assert len(scene._lines) <= MAX_POSES / PATH_CHUNK
    xs = np.array(scene._path)[:, 0]
    assert xs[0] == 0
    assert xs[-1] == 5 * MAX_POSES - 1, "it ends where the robot is"
    assert np.diff(xs).max() <= 16, "old and new parts are drawn alike"
    drawn = np.concatenate([line.points for line in scene._lines.values()])
    np.testing.assert_array_equal(drawn[:, 0, 0], xs[:-1])
    np.testing.assert_array_equal(drawn[:, 1, 0], xs[1:])
    places = np.zeros((3 * MAX_POSES, 3))
    places[-1] = 1.0
    scene.set_path(places)
    assert len(scene._path) <= MAX_POSES
    assert scene._path[-1].tolist() == [1.0, 1.0, 1.0]


def test_what_was_placed_in_another_map_goes(server: Server) -> None:
    scene = Scene(server, Settings(CloudSettings()), Budget(1e9), 1000)
    scene.see_depth(1.0)
    picture, camera = np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48, 70.0)
    points, colors, _ = wall(4)
    spacing = scene._spacing

    def show() -> None:
        for i in range(100):
            scene.show_camera(look_at([i, 0, 0], [i + 1, 0, 0]), camera, picture)
        scene.show_newest(points, colors)

    show()
    assert scene._spacing > spacing
    scene.forget()
    scene.forget()  # nothing is left to remove
    kept = {h.name for h in server.scene._handle_from_node_name.values()}
    assert not [n for n in kept if n.startswith(("/camera", "/newest", "/keyframes/"))]
    assert scene._spacing == spacing
    show()
    assert {"/camera", "/newest"} <= {h.name for h in server.scene._handle_from_node_name.values()}


def test_frusta_stay_few_however_long_the_way(server: Server) -> None:
    scene = Scene(server, Settings(CloudSettings()), Budget(1e9), 1000)
    scene.see_depth(1.0)
    picture = np.zeros((48, 64, 3), np.uint8)
    for i in range(300):
        scene.show_camera(look_at([i, 0, 0], [i + 1, 0, 0]), Camera.from_fov(64, 48, 70.0), picture)
    assert 10 < len(scene._frusta) <= 32


def test_every_parameter_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "viewer.md").read_text()
    for name, (default, _, description) in PARAMETERS.items():
        shown = f'"{default}"' if isinstance(default, str) else f"{default}"
        assert f"| `{name}` | {shown} | {description} |" in page


def test_an_answer_from_outside_of_the_map_is_called_a_guess() -> None:
    ball = Ball(np.array([1.0, 2.0, 3.0]), 2.0)
    assert ball.holds(np.array([1.0, 3.9, 3.0]))
    assert not ball.holds(np.array([1.0, 2.0, 0.9]))
    answer = QueryView.Response(duration=0.1, message="so it says")
    said = "From the memory of the scene in 100 ms, 7 points. so it says"
    assert words(answer, 7, is_outside=False) == said
    assert words(answer, 7, is_outside=True).startswith(
        f"{said} **From outside of what has been mapped"
    )
    answer.message = "<script>"  # the page would run it
    assert "&lt;script&gt;" in words(answer, 7, is_outside=False)


# -- the node


@pytest.fixture
def viewer(ros_here: Bench) -> Iterator[ViewerNode]:
    """The node in this process, with nobody looking."""
    overrides = [Parameter("viewer_port", value=free_port())]
    node = ViewerNode(context=ros_here.context, parameter_overrides=overrides)
    ros_here.executor.add_node(node)
    yield node
    ros_here.executor.remove_node(node)
    node.destroy_node()


@pytest.fixture(scope="module")
def ros_here() -> Iterator[Bench]:
    with bench(DOMAIN + 1) as made:
        yield made


def test_nothing_but_the_status_is_heard_while_nobody_looks(
    ros_here: Bench, viewer: ViewerNode
) -> None:
    heard = [f"/zipmap/{t}" for t in ("map", "points", "odometry", "depth/image")] + ["/image"]

    def listeners() -> list[int]:
        return [ros_here.node.count_subscribers(topic) for topic in heard]

    until(lambda: ros_here.node.count_subscribers("/zipmap/status") == 1)
    assert listeners() == [0] * 5
    with join(viewer.server) as browser:
        look(browser)
        until(lambda: listeners() == [1] * 5)
    until(lambda: listeners() == [0] * 5)


def test_what_is_watched_is_in_a_new_callback_group_each_time(viewer: ViewerNode) -> None:
    """In ROS 2 Humble it may be stuck by what was destroyed."""
    groups = set()
    for _ in range(2):
        with join(viewer.server) as browser:
            look(browser)
            until(lambda: viewer._watching)
            groups |= {subscription.callback_group for subscription in viewer._watching}
        until(lambda: not viewer._watching)
    assert len(groups) == 2 and viewer.default_callback_group not in groups


def test_the_page_lives_on_where_simulated_time_stands(ros_here: Bench) -> None:
    given = {"viewer_port": free_port(), "use_sim_time": True}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = ViewerNode(context=ros_here.context, parameter_overrides=overrides)
    ros_here.executor.add_node(node)
    assert node.get_clock().now().nanoseconds == 0
    with join(node.server) as browser:
        look(browser)
        until(lambda: node._watching)
    ros_here.executor.remove_node(node)
    node.destroy_node()


def test_a_node_that_says_little_is_there_until_it_goes(
    ros_here: Bench, viewer: ViewerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zipmap_ros.nodes.viewer_node.SILENT_S", 0.5)
    said = ros_here.node.create_publisher(Status, "zipmap/status", LATCHED)
    said.publish(Status(state=Status.TRACKING))
    until(lambda: "last heard of 2 s ago" in viewer._panel._shown)
    assert "tracking" in viewer._panel._shown
    ros_here.node.destroy_publisher(said)
    until(lambda: "no node" in viewer._panel._shown)


def test_a_status_that_cannot_be_shown_ends_nothing(ros_here: Bench, viewer: ViewerNode) -> None:
    odd = Status(state=Status.TRACKING, frames_dropped=[KeyValue(key="jump", value="many")])
    viewer._on_status(odd)
    viewer._tick()
    viewer._on_status(Status(state=Status.TRACKING))
    viewer._tick()
    assert "tracking" in viewer._panel._shown


def test_a_column_of_pixels_is_no_large_picture() -> None:
    assert fit(np.zeros((20_000, 1, 3), np.uint8), 400).size < 4_000_000
    assert fit(np.zeros((3, 4, 3), np.uint8), 400).shape == (300, 400, 3)


def test_a_node_that_was_started_again_is_asked_for_its_trajectory(viewer: ViewerNode) -> None:
    """Its gauge may have the number that the one before had."""
    viewer._gauge_id = 1
    for received in (10, 20):
        viewer._on_status(Status(frames_received=received, gauge_id=1))
    assert viewer._gauge_id == 1
    viewer._on_status(Status(frames_received=3, gauge_id=1))
    assert viewer._gauge_id is None


def test_the_button_of_the_mode_that_is_on_is_marked(viewer: ViewerNode) -> None:
    panel = viewer._panel
    for mode, marked in ((Status.MAPPING, 0), (Status.LOCALIZATION, 1), (None, None)):
        panel.show_status(None if mode is None else Status(mode=mode))
        shown = [option.startswith(CHOSEN) for option in panel._mode.options]
        assert shown == [marked == 0, marked == 1]


@pytest.mark.parametrize("radius", [0.1, 1e3])
def test_an_answer_does_not_cover_the_scene_of_who_asked(viewer: ViewerNode, radius: float) -> None:
    """From outside of the map its points would, too."""
    with join(viewer.server) as browser:
        look(browser, (10.0, 0.0, 0.0))
        visitor = until(lambda: list(viewer._visitors.values()))[0]
        visitor.moved = True
        viewer._scene.cloud.ball = Ball(np.zeros(3), radius)
        until(lambda: visitor.ball)
        response = answer_of(scene(0))
        response.depth_camera = convert.camera_to_camera_info(CAMERA, response.depth.header)
        view = np.eye(4)
        view[0, 3] = 10.0
        with visitor._lock:
            visitor._show(view, response)
        (answer,) = visitor._answers
        assert not answer.camera.visible
        assert answer.points.visible == (radius > 10)
        assert ("From outside" in visitor._said.content) == (radius < 10)
        look(browser, (11.0, 0.0, 0.0))
        until(lambda: answer.camera.visible and answer.points.visible)
        look(browser, (10.0, 0.0, 0.0))
        until(lambda: not answer.camera.visible)
        visitor.forget()
        look(browser, (11.0, 0.0, 0.0))


def the_visitor(viewer: ViewerNode) -> Visitor:
    return until(lambda: list(viewer._visitors.values()))[0]


def test_a_query_refused_before_there_is_a_map_leaves_the_page_free(viewer: ViewerNode) -> None:
    with join(viewer.server) as browser:
        look(browser)
        visitor = the_visitor(viewer)
        visitor._ask()  # there is no node
        assert not visitor.moved
        visitor.overlook(Ball(np.zeros(3), 1.0))
        assert np.linalg.norm(visitor.client.camera.position) > 1.0


def test_a_camera_that_stands_still_can_be_followed_and_left(viewer: ViewerNode) -> None:
    viewer._scene.depth = 1.0
    viewer._scene.cloud.ball = Ball(np.zeros(3), 10.0)
    viewer.eye = Eye(look_at([5.0, 0.0, 0.0], [6.0, 0.0, 0.0]), 7)
    with join(viewer.server) as browser:
        look(browser, (50.0, 0.0, 0.0))
        visitor = the_visitor(viewer)
        visitor.moved = True
        place = visitor.client.camera

        def follow() -> None:
            visitor.follow.value = True
            until(lambda: np.linalg.norm(place.position - [5.0, 0.0, 0.0]) < 1.0)

        follow()
        look(browser, (50.0, 0.0, 0.0))
        until(lambda: place.position[0] == 50.0)
        time.sleep(5 * TICK_S)
        assert place.position[0] == 50.0, "its user may look around"
        visitor.follow.value = False
        follow()
        visitor._step_back()
        until(lambda: np.linalg.norm(place.position) > 10.0)
        assert not visitor.follow.value


def test_who_steps_back_while_the_camera_is_followed_sees_the_whole_map(
    viewer: ViewerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with join(viewer.server) as browser:
        look(browser, (50.0, 0.0, 0.0))
        visitor = the_visitor(viewer)
        monkeypatch.setattr(visitor, "_stand", lambda *_: visitor._step_back())
        visitor.follow_camera(np.eye(4), 1.0)
        assert not visitor.moved


def test_a_page_that_is_opened_again_finds_the_camera_and_those_of_before(
    ros_here: Bench, viewer: ViewerNode
) -> None:
    """Nothing need come any more: the node may be paused, or the video over."""
    said = ros_here.node.create_publisher(Status, "zipmap/status", LATCHED)
    header = convert.make_header(9, "map")

    def answer(_: object, response: GetTrajectory.Response) -> GetTrajectory.Response:
        there = look_at([3.0, 0.0, 0.0], [4.0, 0.0, 0.0])
        response.path.poses = [PoseStamped(header=header, pose=convert.matrix_to_pose(there))]
        return response

    path = ros_here.node.create_service(GetTrajectory, "zipmap/get_trajectory", answer)
    said.publish(Status(header=header, gauge_id=1))
    viewer._body = "lens"
    for _ in range(2):
        with join(viewer.server) as browser:
            look(browser)
            until(lambda: viewer.eye is not None and viewer.eye.stamp_ns == 9)
            assert viewer.eye.map_T_camera[0, 3] == 3.0
            if not viewer._scene._frusta:
                viewer._scene.see_depth(1.0)
                viewer._scene.show_camera(np.eye(4), CAMERA, scene(0))
                viewer._scene.show_newest(*wall(4)[:2])
        until(lambda: not viewer._watching)
        viewer.eye = None
    assert len(viewer._scene._frusta) == 1
    assert viewer._scene._newest is None, "others may be newer by now"
    ros_here.node.destroy_service(path)
    ros_here.node.destroy_publisher(said)


def test_images_that_wait_for_their_pose_are_few(viewer: ViewerNode) -> None:
    """Of a driver that publishes them without data they were ever more."""
    for _ in range(MOST_IMAGES + 5):
        viewer._on_image(Image())
    assert len(viewer._images) == MOST_IMAGES


@pytest.mark.filterwarnings("ignore:Queued a")
def test_a_page_that_is_gone_before_it_is_known_is_no_visitor(viewer: ViewerNode) -> None:
    """Of a page that is closed at once the server may say that it went, then that it came."""
    browser = join(viewer.server)
    look(browser)
    until(lambda: viewer._visitors)
    (client,) = viewer.server.get_clients().values()
    browser.close()
    until(lambda: not viewer._visitors and not viewer.server.get_clients())
    viewer._on_connect(client)
    until(lambda: not viewer._visitors)
    until(lambda: not viewer._watching)


def test_a_view_is_asked_for_in_the_frame_that_the_status_names(
    ros_here: Bench, viewer: ViewerNode
) -> None:
    """A node that is paused says nothing else."""
    said = ros_here.node.create_publisher(Status, "zipmap/status", LATCHED)
    said.publish(Status(header=convert.make_header(1, "world")))
    until(lambda: viewer._robot.map_frame == "world")
    ros_here.node.destroy_publisher(said)


def test_an_unknown_image_transport_is_refused(ros_here: Bench) -> None:
    overrides = [Parameter("image_transport", value="theora")]
    with pytest.raises(ViewerError, match="'theora': use one of raw, compressed"):
        ViewerNode(context=ros_here.context, parameter_overrides=overrides)


def test_compressed_pictures_are_shown(ros_here: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"viewer_port": free_port(), "image_transport": "compressed"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = ViewerNode(context=ros_here.context, parameter_overrides=overrides)
    ros_here.executor.add_node(node)
    shown: list[np.ndarray] = []
    monkeypatch.setattr(node._panel, "show_image", lambda rgb: shown.append(rgb) or 0)
    images = ros_here.node.create_publisher(CompressedImage, "image/compressed", 5)
    data = cv2.imencode(".png", np.full((4, 6, 3), (255, 0, 0), np.uint8))[1].tobytes()
    message = CompressedImage(header=convert.make_header(7, "lens"), format="png", data=data)
    timer = ros_here.node.create_timer(0.1, lambda: images.publish(message))
    with join(node.server) as browser:
        look(browser)
        until(lambda: shown)
    timer.cancel()
    assert (shown[0] == (0, 0, 255)).all()
    ros_here.executor.remove_node(node)
    node.destroy_node()


def answer_of(rgb: np.ndarray) -> QueryView.Response:
    """What a node says of a queried view, without a camera."""
    points, colors, confidence = wall(4)
    header, depth = convert.make_header(1, "map"), np.ones(rgb.shape[:2], np.float32)
    return QueryView.Response(
        success=True,
        rgb=convert.rgb_to_image(rgb, header),
        depth=convert.depth_to_image(depth, header),
        cloud=convert.points_to_cloud(points, colors, confidence, header),
    )


def test_a_new_gauge_takes_away_what_is_shown_of_the_old(
    ros_here: Bench, viewer: ViewerNode
) -> None:
    said = ros_here.node.create_publisher(Status, "zipmap/status", LATCHED)
    path = ros_here.node.create_service(
        GetTrajectory, "zipmap/get_trajectory", lambda _, response: response
    )
    odometry = ros_here.node.create_publisher(Odometry, "zipmap/odometry", 10)
    images = ros_here.node.create_publisher(Image, "image", 5)
    newest = ros_here.node.create_publisher(PointCloud2, "zipmap/points", 1)
    header = convert.make_header(7, "map")
    said.publish(Status(header=header, gauge_id=1))
    with join(viewer.server) as browser:
        look(browser)
        until(lambda: viewer._gauge_id == 1)

        def publish() -> None:
            images.publish(image(7, scene(0), "lens"))
            odometry.publish(Odometry(header=header, child_frame_id="lens"))
            newest.publish(convert.points_to_cloud(*wall(4), header))

        timer = ros_here.node.create_timer(0.1, publish)
        until(lambda: viewer.eye and viewer._images and viewer._scene._newest)
        timer.cancel()
        (visitor,) = viewer._visitors.values()
        with visitor._lock:
            visitor._show(np.eye(4), answer_of(scene(0)))
        assert visitor._answers
        said.publish(Status(header=header, gauge_id=2))
        until(lambda: viewer._gauge_id == 2)
        until(lambda: not visitor._answers)
        assert viewer.eye is None
        assert not viewer._images
        assert viewer._scene._newest is None
        assert not visitor._pictures.visible
    ros_here.node.destroy_service(path)
    for publisher in (said, odometry, images, newest):
        ros_here.node.destroy_publisher(publisher)


def test_pictures_are_as_wide_before_the_first_image(viewer: ViewerNode) -> None:
    image, depth = viewer._panel._image.image, viewer._panel._depth.image
    assert image.shape[1] == depth.shape[1] == PICTURE


def test_sliders_and_boxes_are_for_all_browsers(viewer: ViewerNode) -> None:
    server = viewer.server
    shown = server._websock_server.get_message_buffer().message_from_id.values()
    controls = {
        m.props.label: m.uuid
        for m in shown
        if type(m).__name__.startswith("Gui")
        if hasattr(getattr(m, "props", None), "label")
    }
    settings = viewer._settings
    with join(server) as browser:
        look(browser)

        def put(label: str, value: object) -> None:
            fields = {"type": "GuiUpdateMessage", "uuid": controls[label]}
            browser.send(msgspec.msgpack.encode({**fields, "updates": {"value": value}}))

        for label, value, read in (
            ("Point size", 2.0, lambda: settings.point_size),
            ("Voxel", 0.2, lambda: settings.cloud.voxel),
            ("Confidence", 3.0, lambda: settings.cloud.min_confidence),
            ("Colour", "Age", lambda: settings.cloud.mode),
            ("Trajectory", False, lambda: settings.show_path),
            ("Past cameras", False, lambda: settings.show_frusta),
            ("Newest points", False, lambda: settings.show_newest),
        ):
            assert read() != value
            put(label, value)
            until(lambda read=read, value=value: read() == value, label)


def test_the_camera_is_where_tf_mounts_it(ros_here: Bench, viewer: ViewerNode) -> None:
    """Poses are those of the base; what is drawn is the camera, also where images do not come."""
    base_T_camera = look_at([0.4, 0.0, 0.3], [2.0, 0.0, 0.3])
    map_T_base = look_at([5.0, 1.0, 0.0], [6.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    static = StaticTransformBroadcaster(ros_here.node)
    mount = TransformStamped(child_frame_id="lens", header=convert.make_header(0, "base"))
    mount.transform = convert.matrix_to_transform(base_T_camera)
    static.sendTransform(mount)
    infos = ros_here.node.create_publisher(CameraInfo, "zipmap/depth/camera_info", 5)
    info = convert.camera_to_camera_info(CAMERA, convert.make_header(7, "lens"))
    poses = ros_here.node.create_publisher(Odometry, "zipmap/odometry", 10)
    odometry = Odometry(header=convert.make_header(7, "world"), child_frame_id="base")
    odometry.pose.pose = convert.matrix_to_pose(map_T_base)

    def publish() -> None:
        infos.publish(info)
        poses.publish(odometry)

    timer = ros_here.node.create_timer(0.1, publish)
    with join(viewer.server) as browser:
        look(browser)
        there = map_T_base @ base_T_camera
        until(lambda: viewer.eye and np.allclose(viewer.eye.map_T_camera, there))
        assert viewer.eye.stamp_ns == 7
    timer.cancel()


def test_a_page_looks_at_the_whole_map_until_its_user_moves(
    ros_here: Bench, viewer: ViewerNode
) -> None:
    maps = ros_here.node.create_publisher(PointCloud2, "zipmap/map", LATCHED)
    points, colors, confidence = wall(32, x=5.0)

    def show(size: float) -> Ball:
        header = convert.make_header(1, "map")
        maps.publish(convert.points_to_cloud(size * points, colors, confidence, header))
        return Ball.around(size * points)

    def stands_at(ball: Ball) -> bool:
        """Outside of it, looking at its middle, and all of it is in view."""
        view = view_pose(camera)
        seen = invert(view) @ [*ball.centre, 1.0]
        return ball.radius < seen[2] < 4 * ball.radius and np.allclose(seen[:2], 0, atol=1e-6)

    def in_view(size: float) -> float:
        corners = np.concatenate([size * points, np.ones((len(points), 1))], axis=1)
        seen = corners @ invert(view_pose(camera)).T
        return float((np.abs(seen[:, :2] / seen[:, 2:3]) < np.tan(camera.fov / 2)).mean())

    ball = show(1.0)  # there before the page is opened
    with join(viewer.server) as browser:
        look(browser)
        camera = until(lambda: list(viewer._visitors.values()))[0].client.camera
        until(lambda: stands_at(ball))
        assert in_view(1.0) > 0.95
        look(browser, camera.position)  # the page says that it is where it was put
        ball = show(3.0)
        until(lambda: stands_at(ball))
        assert in_view(3.0) > 0.95
        visitor = next(iter(viewer._visitors.values()))
        assert not visitor.moved
        look(browser, (100.0, 0.0, 0.0))
        until(lambda: visitor.moved)
        ball = show(9.0)
        until(lambda: viewer._scene.cloud.ball.is_like(ball, 1.1))
        visitor.overlook(ball)
        assert camera.position.tolist() == [100.0, 0.0, 0.0]
    ros_here.node.destroy_publisher(maps)


# -- the page, in a browser


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


@launch_pytest.fixture(scope="module")
def launched(
    tmp_path_factory: pytest.TempPathFactory, port: int, maps: Path
) -> Iterator[LaunchDescription]:
    if find_chromium() is None:
        pytest.skip("no Chromium here: apt install chromium")
    folder = tmp_path_factory.mktemp("viewer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        yield LaunchDescription(
            [
                launch_file(
                    checkpoint=str(tiny_checkpoint(folder)),
                    device="cpu",
                    viewer="true",
                    viewer_port=str(port),
                    params_file=str(parameter_file(folder, "*", map_directory=str(maps), **GIVEN)),
                ),
                ReadyToTest(),
            ]
        )


@pytest.fixture(scope="module")
def status(ros: Bench) -> list[Status]:
    return ros.listen(Status, "zipmap/status", LATCHED)


@pytest.fixture(scope="module")
def page(
    ros: Bench, status: list[Status], port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """The page, while the node tracks."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(ros, rate_hz=5.0)
    until(lambda: status and status[-1].state == Status.TRACKING, f"{status[-1:]}")
    until(lambda: listens(port), "the viewer does not listen")
    browser = Browser(str(find_chromium()), tmp_path_factory.mktemp("profile"))
    browser.open(f"http://127.0.0.1:{port}")
    yield browser
    browser.close()
    pictures.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def scene_of(screenshot: np.ndarray) -> np.ndarray:
    """The part of the page that is 3D alone: no panel, no messages."""
    return screenshot[180:, :-340].astype(np.int16)


def is_scene(screenshot: np.ndarray) -> bool:
    """Whether there is more than background and grid: many bright pixels of many colours."""
    pixels = scene_of(screenshot).reshape(-1, 3)
    bright = pixels[pixels.max(axis=1) > 90]
    return len(bright) > 0.01 * len(pixels) and len(np.unique(bright // 8, axis=0)) > 20


def press(page: Browser, button: str, done: Callable[[], object]) -> None:
    """Press a button until something is done: a page that is being laid out may lose a click."""
    again_s = 0.0

    def pressed() -> bool:
        nonlocal again_s
        if time.monotonic() > again_s and page.click(button):
            again_s = time.monotonic() + 10.0
        return bool(done())

    until(pressed, f"{button!r} did nothing: {page.text()}")


def wait_for_shot(
    page: Browser, name: str, accept: Callable[[np.ndarray], bool], what: str
) -> np.ndarray:
    """The first screenshot that is accepted."""
    shots: list[np.ndarray] = []

    def accepted() -> bool:
        shots[:] = [page.screenshot(SCREENSHOTS / f"{name}.png")]
        return accept(shots[0])

    until(accepted, what)
    return shots[0]


def wait_for_still(page: Browser, name: str) -> np.ndarray:
    """The first screenshot whose scene is that of a second before."""
    last = page.screenshot(SCREENSHOTS / f"{name}.png")

    def is_still(shot: np.ndarray) -> bool:
        nonlocal last
        before, last = last, shot
        time.sleep(1.0)
        return is_scene(shot) and differ(before, shot) < 1e-4

    return wait_for_shot(page, name, is_still, "the scene does not come to rest")


def differ(one: np.ndarray, other: np.ndarray) -> float:
    """The share of pixels of the scene that changed."""
    changed = np.abs(scene_of(one) - scene_of(other)).max(axis=2) > 20
    return float(changed.mean())


def test_a_page_says_that_the_viewer_is_gone_and_comes_back(tmp_path: Path) -> None:
    if find_chromium() is None:
        pytest.skip("no Chromium here: apt install chromium")
    server = open_server("127.0.0.1", free_port())
    page = Browser(str(find_chromium()), tmp_path)
    page.send("Emulation.setFocusEmulationEnabled", enabled=True)
    page.open(f"http://127.0.0.1:{server.get_port()}")
    try:
        until(lambda: "Connected" in page.text(), "the page does not come")
        server.stop()
        until(lambda: "Connecting..." in page.text(), f"it says nothing: {page.text()}")
        server = open_server("127.0.0.1", server.get_port())
        until(lambda: "Connected" in page.text(), "it does not come back")
    finally:
        page.close()
        server.stop()


@pytest.mark.launch(fixture=launched)
def test_the_page_shows_a_growing_scene(
    page: Browser, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    until(page.text, "the page stays empty")
    page.screenshot(SCREENSHOTS / "opened.png")
    until(lambda: "tracking" in page.text(), "the status is not on the page")
    before = wait_for_shot(page, "scene", is_scene, "no points on the page")
    what = "the scene stands still while the camera moves"
    wait_for_shot(page, "later", lambda shot: differ(before, shot) > 0.001, what)
    strange = [
        url
        for url in page.requests
        if not url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:"))
    ]
    assert strange == [], "the page works without internet"
    with capsys.disabled():
        print(f"\nscreenshots: {SCREENSHOTS}")


@pytest.mark.launch(fixture=launched)
def test_query_this_view_answers_and_can_be_taken_away(page: Browser) -> None:
    until(lambda: "tracking" in page.text(), "the status is not on the page")
    wait_for_shot(page, "before_query", is_scene, "no points on the page")
    press(page, "Pause", lambda: "Resume" in page.text())
    before = wait_for_still(page, "before_query")
    press(page, "Query this view", lambda: "From the memory of the scene in" in page.text())
    assert "From outside of what has been mapped" in page.text(), "the page looks at the whole map"
    # A message that goes, and what was on its way when it was paused, changes some of it.
    assert differ(before, wait_for_still(page, "queried")) < 0.25, "the answer covers the scene"
    page.drag((300, 400), (420, 430))
    aside = wait_for_still(page, "answer_from_aside")
    press(page, "Remove answers", lambda: "Remove answers" not in page.text())
    what = "the answer was not in the scene"
    wait_for_shot(page, "removed", lambda shot: differ(aside, shot) > 0.05, what)
    press(page, "Resume", lambda: "Pause" in page.text())


@pytest.mark.launch(fixture=launched)
def test_the_buttons_reach_the_node(page: Browser, status: list[Status], maps: Path) -> None:
    press(page, "Pause", lambda: status[-1].state == Status.PAUSED)
    until(lambda: "paused" in page.text() and "Resume" in page.text(), page.text())
    page.screenshot(SCREENSHOTS / "paused.png")
    press(page, "Resume", lambda: status[-1].state == Status.TRACKING)
    press(page, "localisation", lambda: status[-1].mode == Status.LOCALIZATION)
    press(page, "mapping", lambda: status[-1].mode == Status.MAPPING)
    press(page, "Save map", lambda: list(maps.glob("map-*/manifest.json")))


@pytest.mark.launch(fixture=launched)
def test_reset_asks_first(page: Browser, status: list[Status]) -> None:
    gauge_id = status[-1].gauge_id
    press(page, "Reset", lambda: "Forget everything" in page.text())
    press(page, "Forget everything", lambda: status[-1].gauge_id != gauge_id)
