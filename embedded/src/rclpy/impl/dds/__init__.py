# SPDX-License-Identifier: Apache-2.0
"""Cyclone DDS through ctypes: raw CDR in and out, no Python object ever touched by a C thread.

The C library of the `cyclonedds` wheel is used directly. Calls through ctypes release the GIL, so a
write that waits for a slow reader stops one thread and not the process; there are no listeners,
whose callbacks would need the GIL inside DDS's own threads.
"""
