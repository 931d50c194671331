# SPDX-License-Identifier: Apache-2.0
"""QoS events beside the incompatible ones, and profiles that parameters change."""

import pytest
from rcl_interfaces.msg import Log, SetParametersResult
from rclpy.duration import Duration, Infinite
from rclpy.event_handler import (
    PublisherEventCallbacks,
    QoSMessageLostInfo,
    SubscriptionEventCallbacks,
)
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    InvalidQoSProfileException,
    LivelinessPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSPresetProfiles,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from std_msgs.msg import String


def test_match_events_count_peers(graph):
    """Each side hears that the other came, and that it went."""
    node = graph.init().node()
    at_publisher, at_subscription = [], []
    publisher = node.create_publisher(
        String, "met", 10, event_callbacks=PublisherEventCallbacks(matched=at_publisher.append)
    )
    subscription = node.create_subscription(
        String, "met", print, 10,
        event_callbacks=SubscriptionEventCallbacks(matched=at_subscription.append),
    )  # fmt: skip
    graph.spin_until(lambda: at_publisher and at_subscription)
    assert at_publisher[-1].current_count == at_subscription[-1].current_count == 1
    node.destroy_subscription(subscription)
    graph.spin_until(lambda: at_publisher[-1].current_count == 0)
    assert at_publisher[-1].current_count_change == -1
    assert at_publisher[-1].total_count == 1
    assert publisher.get_subscription_count() == 0


def test_events_have_coroutine_functions_too(graph):
    """And what publishers and subscriptions were given is what they tell."""
    node, matched = graph.init().node(), []

    async def hear(event):
        matched.append(event.current_count)

    profile = QoSPresetProfiles.BEST_AVAILABLE.value
    publisher = node.create_publisher(
        String, "met", profile, event_callbacks=PublisherEventCallbacks(matched=hear)
    )
    subscription = node.create_subscription(String, "met", print, 10)
    graph.spin_until(lambda: matched == [1])
    assert publisher.qos_profile is profile
    assert profile.reliability == ReliabilityPolicy.BEST_AVAILABLE
    assert subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_incompatible_qos_is_in_the_log_of_the_node(graph):
    node, heard = graph.init().node("warned"), []
    log = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(Log, "/rosout", heard.append, log)
    node.create_publisher(String, "sensor", QoSPresetProfiles.SENSOR_DATA.value)
    node.create_subscription(String, "sensor", print, 10)
    graph.spin_until(lambda: len(heard) > 1)
    assert {entry.name for entry in heard} == {"warned"}
    assert all("on topic 'sensor'" in entry.msg for entry in heard)


def test_missed_deadlines_are_heard_on_both_sides(graph):
    """After one message, nothing comes within the 50 ms that were promised."""
    node = graph.init().node()
    profile = QoSProfile(depth=1, deadline=Duration(seconds=0.05))
    missed_by_us, missed_by_them = [], []
    publisher = node.create_publisher(
        String,
        "late",
        profile,
        event_callbacks=PublisherEventCallbacks(deadline=missed_by_us.append),
    )
    node.create_subscription(
        String, "late", lambda message: None, profile,
        event_callbacks=SubscriptionEventCallbacks(deadline=missed_by_them.append),
    )  # fmt: skip
    graph.spin_until(publisher.get_subscription_count)
    publisher.publish(String())
    graph.spin_until(lambda: missed_by_us and missed_by_them)
    assert missed_by_us[-1].total_count >= 1 and missed_by_them[-1].total_count >= 1


def test_liveliness_that_is_not_asserted_is_lost(graph):
    """A publisher that has to say that it is alive says so once."""
    node = graph.init().node()
    profile = QoSProfile(
        depth=1,
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
        liveliness_lease_duration=Duration(seconds=0.1),
    )
    lost, changes = [], []
    publisher = node.create_publisher(
        String, "alive", profile, event_callbacks=PublisherEventCallbacks(liveliness=lost.append)
    )
    node.create_subscription(
        String, "alive", lambda message: None, profile,
        event_callbacks=SubscriptionEventCallbacks(liveliness=changes.append),
    )  # fmt: skip
    graph.spin_until(publisher.get_subscription_count)
    publisher.assert_liveliness()
    graph.spin_until(lambda: lost and changes and changes[-1].not_alive_count == 1)
    assert lost[0].total_count >= 1 and changes[-1].alive_count == 0


def test_parameters_override_profiles_where_that_is_allowed(graph):
    """Depth and reliability come from parameters, which then are read-only and described."""
    name = "qos_overrides./images.publisher"
    graph.init("--ros-args", "-p", f"{name}.depth:=3", "-p", f"{name}.reliability:=best_effort")
    node = graph.node()
    options = QoSOverridingOptions.with_default_policies()
    publisher = node.create_publisher(String, "images", 10, qos_overriding_options=options)
    assert publisher.qos_profile.depth == 3
    assert publisher.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
    assert node.get_parameter(f"{name}.history").value == "keep_last"
    assert node.describe_parameter(f"{name}.depth").read_only
    plain = node.create_publisher(String, "images", 10)
    assert plain.qos_profile.depth == 10


def test_overrides_can_be_refused(graph):
    """By the callback that looks at the whole profile; its reason is in the error."""
    node = graph.init().node()

    def judge(profile):
        return SetParametersResult(successful=profile.depth > 10, reason="too short")

    options = QoSOverridingOptions([QoSPolicyKind.DEPTH], callback=judge, entity_id="left")
    with pytest.raises(InvalidQosOverridesError, match="too short"):
        node.create_subscription(String, "images", print, 10, qos_overriding_options=options)
    assert node.has_parameter("qos_overrides./images.subscription_left.depth")


@pytest.mark.embedded
def test_lost_messages_are_told(graph, monkeypatch):
    """What DDS counts is heard. It seldom counts any, so its answer is made up here."""
    node = graph.init().node()
    heard = []
    subscription = node.create_subscription(
        String, "lossy", print, 10,
        event_callbacks=SubscriptionEventCallbacks(message_lost=heard.append),
    )  # fmt: skip
    (watch,) = subscription.event_handlers
    assert watch._take() is None
    monkeypatch.setattr(
        subscription.handle,
        "take_status",
        lambda kind, structure: structure(*((3, 2) if kind == "sample_lost" else ())),
    )
    watch._execute(watch._take())
    assert heard == [QoSMessageLostInfo(3, 2)]
    assert (heard[0].total_count, heard[0].total_count_change) == (3, 2)


@pytest.mark.parametrize(
    ("name", "depth", "reliability", "durability"),
    [
        ("default", 10, "RELIABLE", "VOLATILE"),
        ("sensor_data", 5, "BEST_EFFORT", "VOLATILE"),
        ("services_default", 10, "RELIABLE", "VOLATILE"),
        ("parameters", 1000, "RELIABLE", "VOLATILE"),
        ("parameter_events", 1000, "RELIABLE", "VOLATILE"),
        ("action_status_default", 1, "RELIABLE", "TRANSIENT_LOCAL"),
        ("system_default", 0, "SYSTEM_DEFAULT", "SYSTEM_DEFAULT"),
        ("best_available", 10, "BEST_AVAILABLE", "BEST_AVAILABLE"),
    ],
)
def test_presets(name, depth, reliability, durability):
    """As ROS has them, by the names that command lines use."""
    profile = QoSPresetProfiles.get_from_short_key(name)
    assert name in QoSPresetProfiles.short_keys()
    assert (profile.depth, profile.reliability.name, profile.durability.name) == (
        depth, reliability, durability,
    )  # fmt: skip


def test_profiles_are_checked():
    """Depth and history belong together; policies have types and short names."""
    with pytest.raises(InvalidQoSProfileException):
        QoSProfile()
    with pytest.raises(InvalidQoSProfileException):
        QoSProfile(history=HistoryPolicy.KEEP_LAST)
    with pytest.raises(AssertionError):
        QoSProfile(depth="many")
    with pytest.raises((AssertionError, TypeError)):  # of Jazzy and of Kilted
        QoSProfile(deepness=3)
    assert QoSProfile(depth=3) == QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=3)
    assert QoSProfile(depth=3) != QoSProfile(depth=4) and QoSProfile(depth=3) != 3
    with pytest.warns(UserWarning, match="zero depth with KEEP_LAST"):
        QoSProfile(depth=0)
    assert str(QoSProfile(depth=3)).startswith("QoSProfile(history=1, depth=3, reliability=1, ")
    assert QoSProfile(history=HistoryPolicy.KEEP_ALL).depth == 10
    assert ReliabilityPolicy.get_from_short_key("best_effort") == ReliabilityPolicy.BEST_EFFORT
    assert HistoryPolicy.KEEP_ALL.short_key == "keep_all"
    assert DurabilityPolicy.short_keys() == [
        "system_default", "transient_local", "volatile", "unknown", "best_available"
    ]  # fmt: skip
    assert "unknown" in QoSPresetProfiles.short_keys()


def _profile(**policies):
    return QoSProfile(**{"depth": 1, "liveliness": LivelinessPolicy.AUTOMATIC, **policies})


def _lasting(*seconds):
    return [{"liveliness_lease_duration": Duration(seconds=s)} for s in seconds]


@pytest.mark.parametrize(
    ("publisher", "subscription", "word"),
    [
        ({}, {}, ""),
        ({}, {"reliability": ReliabilityPolicy.BEST_EFFORT}, ""),
        ({"reliability": ReliabilityPolicy.BEST_EFFORT}, {}, "eliable"),
        ({}, {"durability": DurabilityPolicy.TRANSIENT_LOCAL}, "olatile"),
        ({}, {"deadline": Duration(seconds=1)}, "deadline"),
        ({"deadline": Duration(seconds=2)}, {"deadline": Duration(seconds=1)}, "deadline"),
        ({"deadline": Duration(seconds=1)}, {"deadline": Duration(seconds=1)}, ""),
        (
            {"liveliness": LivelinessPolicy.AUTOMATIC},
            {"liveliness": LivelinessPolicy.MANUAL_BY_TOPIC},
            "liveliness",
        ),
        ({"liveliness": LivelinessPolicy.MANUAL_BY_TOPIC}, {}, ""),
        ({}, {"liveliness_lease_duration": Duration(seconds=1)}, "lease"),
        (*_lasting(2, 1), "lease duration is less"),
        (*_lasting(1, 1), ""),
        (*_lasting(1, 2), ""),
        ({"durability": DurabilityPolicy.TRANSIENT_LOCAL}, {}, ""),
        ({"deadline": Duration(seconds=1)}, {}, ""),
        ({}, {"deadline": Infinite}, "publisher does not"),
        ({"deadline": Infinite}, {"deadline": Duration(seconds=1)}, "deadline is less"),
    ],
)
def test_compatibility(publisher, subscription, word):
    """A publisher must offer at least what a subscription asks for; the reason names what it is."""
    compatible, reason = qos_check_compatible(_profile(**publisher), _profile(**subscription))
    assert compatible == (QoSCompatibility.ERROR if word else QoSCompatibility.OK)
    assert word in reason and bool(reason) == bool(word)


@pytest.mark.parametrize("unset", ["SYSTEM_DEFAULT", "UNKNOWN"])
@pytest.mark.parametrize(
    ("policy", "weak", "strong"),
    [
        (ReliabilityPolicy, "BEST_EFFORT", "RELIABLE"),
        (DurabilityPolicy, "VOLATILE", "TRANSIENT_LOCAL"),
        (LivelinessPolicy, "AUTOMATIC", "MANUAL_BY_TOPIC"),
    ],
)
def test_policies_that_are_left_open_may_be_incompatible(policy, unset, weak, strong):
    """Where a policy that there may be in their place would be; errors come before warnings."""
    name = policy.__name__.removesuffix("Policy").lower()

    def check(offered, asked, **others):
        publisher, subscription = (
            _profile(**{name: policy[offered]}, **others),
            _profile(**{name: policy[asked]}, deadline=Duration(seconds=1)),
        )
        return qos_check_compatible(publisher, subscription)

    within = {"deadline": Duration(seconds=1)}
    for pair in ((unset, unset), (unset, strong), (weak, unset)):
        compatibility, reason = check(*pair, **within)
        assert compatibility == QoSCompatibility.WARNING
        assert reason.startswith("WARNING: ") and unset.lower() in reason
        assert check(*pair)[0] == QoSCompatibility.ERROR
    for pair in ((unset, weak), (strong, unset), (unset, "BEST_AVAILABLE")):
        assert check(*pair, **within) == (QoSCompatibility.OK, "")


def test_best_available_takes_what_is_there(graph):
    """As reliable and as latched as all publishers of the topic are."""
    node = graph.init().node()
    best = QoSPresetProfiles.BEST_AVAILABLE.value
    node.create_publisher(String, "weak", _profile(reliability=ReliabilityPolicy.BEST_EFFORT))
    node.create_publisher(String, "latched", _profile(durability=DurabilityPolicy.TRANSIENT_LOCAL))
    graph.spin_until(lambda: node.count_publishers("weak") and node.count_publishers("latched"))
    for topic, reliability, durability in (
        ("weak", ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
        ("latched", ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL),
    ):
        node.create_subscription(String, topic, print, best)
        graph.spin_until(lambda topic=topic: node.get_subscriptions_info_by_topic(topic))
        (info,) = node.get_subscriptions_info_by_topic(topic)
        assert info.qos_profile.reliability == reliability
        assert info.qos_profile.durability == durability


def test_a_publisher_with_the_best_available_is_reliable_and_latched(graph):
    """Which matches every subscription, also one that comes later."""
    node = graph.init().node()
    publisher = node.create_publisher(String, "best", QoSPresetProfiles.BEST_AVAILABLE.value)
    publisher.publish(String(data="early"))
    got = []
    late = _profile(durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(String, "best", got.append, late)
    graph.spin_until(lambda: got)


@pytest.mark.embedded
def test_a_system_default_is_reliable_on_both_sides(graph):
    """As in rmw_cyclonedds; the reader was best-effort, DDS's own default."""
    node = graph.init().node()
    default = QoSPresetProfiles.SYSTEM_DEFAULT.value
    node.create_publisher(String, "plain", default)
    node.create_subscription(String, "plain", print, default)
    for seen in (node.get_publishers_info_by_topic, node.get_subscriptions_info_by_topic):
        graph.spin_until(lambda seen=seen: seen("plain"))
        (info,) = seen("plain")
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert info.qos_profile.durability == DurabilityPolicy.VOLATILE
