# SPDX-License-Identifier: Apache-2.0
"""Writers and readers of raw CDR."""

from __future__ import annotations

import ctypes as ct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rclpy.exceptions import destroyed
from rclpy.impl.dds.library import (
    ANY_STATE,
    RETCODE_TIMEOUT,
    SDK_DATA,
    DdsError,
    Iovec,
    SampleInfo,
    SmallIovec,
    TopicDescriptor,
    check,
    dds,
    quick,
)

# Samples up to this size are copied in and out of DDS, which is faster than keeping references.
_SMALL = 2048
_Small = ct.c_char * _SMALL
_PADDING = [bytes(-i % 4) for i in range(4)]
# How long Python may be kept from running the handler of a signal.
_SLICE_NS = 200_000_000
# Calls to write that have not returned.
_writing: dict[object, Writer] = {}


class Sample(NamedTuple):
    """One sample: encapsulated CDR, nanoseconds since 1970, handle of the writer."""

    data: memoryview | bytes
    source_timestamp: int
    publication_handle: int


class Endpoint:
    """What writers and readers share: a topic of their own, a GUID, statuses."""

    def __init__(self, participant: int, topic: str, descriptor: TopicDescriptor) -> None:
        self._topic = check(
            dds.dds_create_topic(participant, ct.byref(descriptor), topic.encode(), None, None),
            f"make topic '{topic}'",
        )
        self.topic_name = topic
        self.handle = 0

    def _identify(self) -> None:
        guid = (ct.c_char * 16)()
        check(dds.dds_get_guid(self.handle, guid), "read a GUID")
        self.guid = guid.raw

    @property
    def ros_topic(self) -> str:
        """The name that ROS has for the topic."""
        return self.topic_name.removeprefix("rt")

    def check_handle(self) -> None:
        """Raise InvalidHandle once deleted."""
        if not self.handle:
            raise destroyed()

    def set_status_mask(self, mask: int) -> None:
        """Choose which changes of status wake a waitset that this endpoint is attached to."""
        check(dds.dds_set_status_mask(self.handle, mask), "set a status mask")

    def take_status(self, kind: str, structure: Any) -> Any:
        """Read and reset a status: `dds_get_<kind>_status`."""
        status = structure()
        getattr(dds, f"dds_get_{kind}_status")(self.handle, ct.byref(status))
        return status

    def delete(self) -> None:
        """Leave the network. Later calls do nothing."""
        handle, self.handle = self.handle, 0
        if handle:
            dds.dds_delete(handle)
            dds.dds_delete(self._topic)


class Writer(Endpoint):
    """Writes samples that are already CDR."""

    def __init__(
        self, participant: int, topic: str, descriptor: TopicDescriptor, qos: ct.c_void_p
    ) -> None:
        super().__init__(participant, topic, descriptor)
        self.participant = participant
        code = dds.dds_create_writer(participant, self._topic, qos, None)
        self.handle = check(code, f"make a writer on '{topic}'")
        self._identify()
        self._sertype = ct.c_void_p()
        check(dds.dds_get_entity_sertype(self.handle, ct.byref(self._sertype)), "get a type")
        # Never given back: another thread may write while we and the whole participant go. All
        # topics of a type share one.
        dds.ddsi_sertype_ref(self._sertype)

    def write(self, parts: list[memoryview]) -> None:
        """Write the joined buffers, padded to 4 bytes. The only copy is DDS's own.

        Waits for reliable readers that do not keep up. Raises InvalidHandle once deleted, in
        another thread meanwhile too.
        """
        size = sum(map(len, parts))
        if size & 3:
            parts = [*parts, memoryview(_PADDING[size & 3])]
            size += -size % 4
        vectors: Any
        if size <= _SMALL:
            count, vectors = 1, ct.byref(SmallIovec(b"".join(parts), size))
        else:
            count, vectors = len(parts), (Iovec * len(parts))()
            for vector, part in zip(vectors, parts, strict=True):
                vector.base, vector.length = _address(part), len(part)
        sample = dds.ddsi_serdata_from_ser_iov(self._sertype, SDK_DATA, count, vectors, size)
        if not sample:
            raise DdsError(f"a sample of {size} bytes is not of the type of '{self.topic_name}'")
        call = object()
        _writing[call] = self
        try:
            code = dds.dds_writecdr(self.handle, sample)
        finally:
            del _writing[call]
        if code < 0 and not self.handle:
            raise destroyed()
        check(code, f"write to '{self.topic_name}'")

    def matched_count(self) -> int:
        """Number of readers that get what is written."""
        return max(0, dds.dds_get_matched_subscriptions(self.handle, None, 0))

    def matched_handles(self) -> set[int]:
        """Instance handles of those readers."""
        return _handles(dds.dds_get_matched_subscriptions, self.handle)

    def wait_for_acks(self, timeout_ns: int, proceed: Callable[[], bool]) -> bool:
        """Whether every reliable reader has everything, within the time, while it may proceed."""
        end = time.monotonic_ns() + timeout_ns
        while proceed():
            left = max(0, end - time.monotonic_ns())
            code = dds.dds_wait_for_acks(self.handle, min(left, _SLICE_NS))
            if code != RETCODE_TIMEOUT:
                return check(code, "wait for acknowledgements") == 0
            if left <= _SLICE_NS:
                break
        return False

    def assert_liveliness(self) -> None:
        """Say that the writer is alive (manual liveliness)."""
        check(dds.dds_assert_liveliness(self.handle), "assert liveliness")


def writers_that_wait() -> list[Writer]:
    """Writers of which a call to write goes on for a fifth of a second, which it takes to see."""
    calls = dict(_writing)
    time.sleep(_SLICE_NS * 1e-9)
    return [writer for call, writer in calls.items() if call in _writing]


class Reader(Endpoint):
    """Takes samples as CDR; `condition` is what wakes a waitset while there are any."""

    def __init__(
        self, participant: int, topic: str, descriptor: TopicDescriptor, qos: ct.c_void_p
    ) -> None:
        super().__init__(participant, topic, descriptor)
        code = dds.dds_create_reader(participant, self._topic, qos, None)
        self.handle = check(code, f"make a reader on '{topic}'")
        self._identify()
        condition = dds.dds_create_readcondition(self.handle, ANY_STATE)
        self.condition = check(condition, "make a read condition")

    def take(self) -> Sample | None:
        """Take the next sample with data, None where there is none."""
        info = SampleInfo()
        reference = ct.c_void_p()
        while True:
            count = quick.dds_takecdr(
                self.handle, ct.byref(reference), 1, ct.byref(info), ANY_STATE
            )
            if count <= 0:
                return None
            data = _own(reference)
            if info.valid_data:
                return Sample(data, info.source_timestamp, info.publication_handle)

    def matched_count(self) -> int:
        """Number of writers whose samples arrive here."""
        return max(0, dds.dds_get_matched_publications(self.handle, None, 0))

    def matched_handles(self) -> set[int]:
        """Instance handles of those writers."""
        return _handles(dds.dds_get_matched_publications, self.handle)


class _Loan:
    """Keeps DDS's memory of a sample until the last view on it is gone."""

    def __init__(self, reference: int | None, vector: Iovec) -> None:
        self._reference, self._vector = reference, vector

    def __del__(self) -> None:
        quick.ddsi_serdata_to_ser_unref(self._reference, ct.byref(self._vector))


def _own(serdata: ct.c_void_p) -> memoryview | bytes:
    """The bytes of a sample, of which one reference is given over."""
    size = quick.ddsi_serdata_size(serdata)
    if size <= _SMALL:
        room = _Small()
        quick.ddsi_serdata_to_ser(serdata, 0, size, room)
        quick.ddsi_serdata_unref(serdata)
        return ct.string_at(room, size)
    vector = Iovec()
    reference = quick.ddsi_serdata_to_ser_ref(serdata, 0, size, ct.byref(vector))
    quick.ddsi_serdata_unref(serdata)
    array = (ct.c_ubyte * vector.length).from_address(vector.base)
    array.loan = _Loan(reference, vector)
    return memoryview(array).cast("B").toreadonly()


def _address(part: memoryview) -> int | None:
    if not len(part):
        return None
    return np.frombuffer(part, np.uint8).__array_interface__["data"][0]


def _handles(function: Any, entity: int) -> set[int]:
    room = max(0, function(entity, None, 0)) + 8
    handles = (ct.c_uint64 * room)()
    return set(handles[: max(0, min(room, function(entity, handles, room)))])
