# SPDX-License-Identifier: Apache-2.0
"""Interfaces at run time: `<package>.msg` and `<package>.srv` made from their text when imported.

finder.py makes the modules, registry.py knows where definitions are, definition.py reads them,
message_class.py makes the Python classes, cdr.py their codec, type_hash.py their RIHS01 hashes.
"""
