# SPDX-License-Identifier: Apache-2.0
"""The C library: where it is, its structures, the prototypes of what is used of it."""

from __future__ import annotations

import ctypes as ct
import importlib.util
from pathlib import Path

INFINITY = 2**63 - 1
ANY_STATE = 127
ALIVE = 16
BUILTIN_PARTICIPANT = 0x7FFF0001
BUILTIN_PUBLICATION = 0x7FFF0003
BUILTIN_SUBSCRIPTION = 0x7FFF0004
SDK_DATA = 2

RETCODE_TIMEOUT = -10
RETCODE_PRECONDITION_NOT_MET = -4


class DdsError(RuntimeError):
    """A call into Cyclone DDS failed."""


class Iovec(ct.Structure):
    """A piece of memory."""

    _fields_ = [("base", ct.c_void_p), ("length", ct.c_size_t)]


class SmallIovec(ct.Structure):
    """An `Iovec` of a bytes object, which it keeps alive."""

    _fields_ = [("base", ct.c_char_p), ("length", ct.c_size_t)]


class SampleInfo(ct.Structure):
    """What DDS knows of a sample; times in nanoseconds since 1970."""

    _fields_ = [
        ("sample_state", ct.c_uint),
        ("view_state", ct.c_uint),
        ("instance_state", ct.c_uint),
        ("valid_data", ct.c_bool),
        ("source_timestamp", ct.c_int64),
        ("instance_handle", ct.c_uint64),
        ("publication_handle", ct.c_uint64),
        ("disposed_generation_count", ct.c_uint32),
        ("no_writers_generation_count", ct.c_uint32),
        ("sample_rank", ct.c_uint32),
        ("generation_rank", ct.c_uint32),
        ("absolute_generation_rank", ct.c_uint32),
    ]


class TopicDescriptor(ct.Structure):
    """`dds_topic_descriptor_t`, without XTypes information: ROS announces none."""

    _fields_ = [
        ("size", ct.c_uint32),
        ("align", ct.c_uint32),
        ("flagset", ct.c_uint32),
        ("nkeys", ct.c_uint32),
        ("typename", ct.c_char_p),
        ("keys", ct.c_void_p),
        ("nops", ct.c_uint32),
        ("ops", ct.POINTER(ct.c_uint32)),
        ("meta", ct.c_char_p),
        ("type_information", ct.c_void_p),
        ("type_information_size", ct.c_uint32),
        ("type_mapping", ct.c_void_p),
        ("type_mapping_size", ct.c_uint32),
        ("restrict_data_representation", ct.c_uint32),
    ]


class BuiltinEndpoint(ct.Structure):
    """A sample of the built-in topics of publications and subscriptions."""

    _fields_ = [
        ("key", ct.c_ubyte * 16),
        ("participant_key", ct.c_ubyte * 16),
        ("participant_instance_handle", ct.c_uint64),
        ("topic_name", ct.c_char_p),
        ("type_name", ct.c_char_p),
        ("qos", ct.c_void_p),
    ]


class BuiltinParticipant(ct.Structure):
    """A sample of the built-in topic of participants."""

    _fields_ = [("key", ct.c_ubyte * 16), ("qos", ct.c_void_p)]


_entity, _ret, _pointer, _int, _u32 = ct.c_int32, ct.c_int32, ct.c_void_p, ct.c_int, ct.c_uint32
_time = ct.c_int64
_PROTOTYPES: dict[str, tuple] = {
    "dds_create_domain": (_entity, _u32, ct.c_char_p),
    "dds_create_participant": (_entity, _u32, _pointer, _pointer),
    "dds_create_topic": (_entity, _entity, ct.POINTER(TopicDescriptor), ct.c_char_p, _pointer,
                         _pointer),
    "dds_create_writer": (_entity, _entity, _entity, _pointer, _pointer),
    "dds_create_reader": (_entity, _entity, _entity, _pointer, _pointer),
    "dds_delete": (_ret, _entity),
    "dds_get_guid": (_ret, _entity, ct.c_char * 16),
    "dds_get_entity_sertype": (_ret, _entity, ct.POINTER(_pointer)),
    "dds_get_instance_handle": (_ret, _entity, ct.POINTER(ct.c_uint64)),
    "dds_get_matched_subscriptions": (_ret, _entity, _pointer, ct.c_size_t),
    "dds_get_matched_publications": (_ret, _entity, _pointer, ct.c_size_t),
    "dds_writecdr": (_ret, _entity, _pointer),
    "dds_wait_for_acks": (_ret, _entity, _time),
    "dds_assert_liveliness": (_ret, _entity),
    "dds_take": (_ret, _entity, _pointer, ct.POINTER(SampleInfo), ct.c_size_t, _u32),
    "dds_return_loan": (_ret, _entity, _pointer, _u32),
    "ddsi_sertype_ref": (_pointer, _pointer),
    "ddsi_serdata_from_ser_iov": (_pointer, _pointer, _int, ct.c_size_t, _pointer, ct.c_size_t),
    "dds_create_readcondition": (_entity, _entity, _u32),
    "dds_create_guardcondition": (_entity, _entity),
    "dds_set_guardcondition": (_ret, _entity, ct.c_bool),
    "dds_take_guardcondition": (_ret, _entity, ct.POINTER(ct.c_bool)),
    "dds_create_waitset": (_entity, _entity),
    "dds_waitset_attach": (_ret, _entity, _entity, ct.c_ssize_t),
    "dds_waitset_detach": (_ret, _entity, _entity),
    "dds_waitset_wait": (_ret, _entity, _pointer, ct.c_size_t, _time),
    "dds_set_status_mask": (_ret, _entity, _u32),
    "dds_create_qos": (_pointer,),
    "dds_delete_qos": (None, _pointer),
    "dds_qset_reliability": (None, _pointer, _int, _time),
    "dds_qset_durability": (None, _pointer, _int),
    "dds_qset_history": (None, _pointer, _int, ct.c_int32),
    "dds_qset_deadline": (None, _pointer, _time),
    "dds_qset_lifespan": (None, _pointer, _time),
    "dds_qset_liveliness": (None, _pointer, _int, _time),
    "dds_qset_writer_data_lifecycle": (None, _pointer, ct.c_bool),
    "dds_qset_durability_service": (None, _pointer, _time, _int, ct.c_int32, ct.c_int32,
                                    ct.c_int32, ct.c_int32),
    "dds_qset_ignorelocal": (None, _pointer, _int),
    "dds_qset_userdata": (None, _pointer, ct.c_char_p, ct.c_size_t),
    "dds_qget_reliability": (ct.c_bool, _pointer, ct.POINTER(_int), ct.POINTER(_time)),
    "dds_qget_durability": (ct.c_bool, _pointer, ct.POINTER(_int)),
    "dds_qget_history": (ct.c_bool, _pointer, ct.POINTER(_int), ct.POINTER(ct.c_int32)),
    "dds_qget_deadline": (ct.c_bool, _pointer, ct.POINTER(_time)),
    "dds_qget_lifespan": (ct.c_bool, _pointer, ct.POINTER(_time)),
    "dds_qget_liveliness": (ct.c_bool, _pointer, ct.POINTER(_int), ct.POINTER(_time)),
    "dds_qget_userdata": (ct.c_bool, _pointer, ct.POINTER(_pointer), ct.POINTER(ct.c_size_t)),
    "dds_free": (None, _pointer),
    "dds_strretcode": (ct.c_char_p, _ret),
}  # fmt: skip
# A few instructions each: letting other threads run meanwhile would cost more.
_QUICK_PROTOTYPES: dict[str, tuple] = {
    "dds_takecdr": (_ret, _entity, _pointer, _u32, ct.POINTER(SampleInfo), _u32),
    "ddsi_serdata_unref": (None, _pointer),
    "ddsi_serdata_size": (_u32, _pointer),
    "ddsi_serdata_to_ser": (None, _pointer, ct.c_size_t, ct.c_size_t, _pointer),
    "ddsi_serdata_to_ser_ref": (_pointer, _pointer, ct.c_size_t, ct.c_size_t, ct.POINTER(Iovec)),
    "ddsi_serdata_to_ser_unref": (None, _pointer, ct.POINTER(Iovec)),
}


def _find() -> str:
    """Path of the library that the cyclonedds wheel carries, without importing its Python half."""
    spec = importlib.util.find_spec("cyclonedds")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "Cyclone DDS is not installed: pip install cyclonedds (3.14: see embedded/README.md)"
        )
    record = Path(spec.submodule_search_locations[0]) / "__library__.py"
    location = importlib.util.spec_from_file_location("_cyclonedds_library", record)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return str(module.library_path)


def _declare(library: ct.CDLL, prototypes: dict[str, tuple]) -> ct.CDLL:
    for name, (result, *arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


dds = _declare(ct.CDLL(_find()), _PROTOTYPES)
quick = _declare(ct.PyDLL(dds._name), _QUICK_PROTOTYPES)


def check(code: int, action: str) -> int:
    """Return a non-negative code; raise DdsError that says what failed and why."""
    if code < 0:
        reason = dds.dds_strretcode(code).decode()
        raise DdsError(f"DDS could not {action}: {reason} ({code})")
    return code
