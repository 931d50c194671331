# SPDX-License-Identifier: Apache-2.0
"""YAML of parameters: what cannot be read is refused by name, what is dumped is read back."""

import pytest
from rclpy._rclpy_pybind11 import RCLError
from rclpy.context import Context
from rclpy.parameter import parameter_dict_from_yaml_file

pytest.importorskip("rclpy.impl.arguments", reason="about the embedded runtime's own reader")
from rclpy.impl.arguments import RCLInvalidROSArgsError, parse_arguments, read_parameter_file
from rclpy.impl.yaml_text import dump_parameters, load_parameters, load_standard, load_yaml

LOADERS = [load_yaml, load_parameters, load_standard]
# 9 values in 9 values in ..., 8 times: 43 million.
BOMB = "{a0: &a0 [1], " + ", ".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)
) + "}"  # fmt: skip
MERGED = "{a0: &a0 {k: 1}, " + ", ".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)
) + "}"  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('!!int ""', "'' is no value of tag:yaml.org,2002:int"),
        ("!!bool x", "'x' is no value of tag:yaml.org,2002:bool"),
        ("!!timestamp x", "'x' is no value of tag:yaml.org,2002:timestamp"),
        ('!!float ""', "'' is no value of tag:yaml.org,2002:float"),
        (r'"\UFFFFFFFF"', "cannot be read"),
        ("[" * 600, "nested too deep"),
        ("&a {b: *a}", "nested deeper than 100 levels"),
        ("&a [*a]", "nested deeper than 100 levels"),
        (BOMB, "more than 100000 values"),
    ],
)
def test_text_that_is_no_value_is_refused_with_a_reason(tmp_path, text, reason):
    """By each loader, in a file, and on the command line."""
    for load in LOADERS:
        with pytest.raises(ValueError, match=reason):
            load(text)
    file = tmp_path / "p.yaml"
    file.write_text(f"/**:\n  ros__parameters: {text}\n")
    for arguments in (["--params-file", str(file)], ["-p", f"a:={text}"]):
        with pytest.raises(RCLInvalidROSArgsError, match=reason):
            parse_arguments(["--ros-args", *arguments])


@pytest.mark.parametrize("load", LOADERS)
def test_mappings_that_are_merged_often_are_merged_once(load):
    """And a later one before an earlier one, as ever."""
    assert load(MERGED)["a8"] == {"k": 1}
    merged = load("{a: &a {k: 1, j: 2}, b: &b {k: 3}, c: {<<: [*b, *a, *b], j: 5}}")["c"]
    assert merged == {"k": 3, "j": 5}


@pytest.mark.parametrize("text", ["5", "[a]", "abc", "false"])
def test_parameters_of_a_file_have_names(tmp_path, text):
    """Nothing at all is no parameters; anything else but a mapping is refused."""
    file = tmp_path / "p.yaml"
    file.write_text(f"/**:\n  ros__parameters: {text}\n")
    with pytest.raises(RCLInvalidROSArgsError, match=r"'ros__parameters' of '/\*\*' holds no"):
        read_parameter_file(file)
    file.write_text("/**:\n  ros__parameters:\n")
    assert read_parameter_file(file) == [("/**", {})]


@pytest.mark.parametrize("text", ["[1, x]", "[[1]]", "2001-01-01", "!!int 99999999999999999999"])
def test_values_that_no_parameter_has_are_named(tmp_path, text):
    """In a file that is loaded into a node."""
    file = tmp_path / "p.yaml"
    file.write_text(f"/**:\n  ros__parameters: {{a: {text}}}\n")
    with pytest.raises(RuntimeError, match="parameter 'a' cannot be"):
        parameter_dict_from_yaml_file(str(file), use_wildcard=True)


def test_override_that_no_parameter_has_is_named(graph):
    """Where a context is initialised."""
    with pytest.raises(RCLError, match="parameter 'a' cannot be"):
        graph.init("--ros-args", "-p", "a:=[1, x]")


def test_parameter_without_a_value_is_refused(graph, tmp_path):
    """As by rcl: the default was unset without a word. And where a file is loaded."""
    file = tmp_path / "p.yaml"
    file.write_text("/**:\n  ros__parameters:\n    a:\n")
    for arguments in (["-p", "a:="], ["--params-file", str(file)]):
        with pytest.raises(RCLError, match="'a' has no value: give it one"):
            Context().init(args=["--ros-args", *arguments])
    with pytest.raises(RuntimeError, match="'a' has no value: give it one"):
        parameter_dict_from_yaml_file(str(file), use_wildcard=True)
    node = graph.init("--ros-args", "-p", "a:=''").node()
    assert node.declare_parameter("a", "given").value == ""


@pytest.mark.parametrize(
    ("text", "value"), [("7e31a9f0", "7e31a9f0"), ("1e3:2", "1e3:2"), ("-.5E-3", -0.5e-3)]
)
def test_text_that_begins_as_a_number_is_text(text, value):
    """A hash, for example."""
    assert load_yaml(text) == load_parameters(text) == value


@pytest.mark.parametrize(
    "text",
    ["y", "N", "on", "09", "017", "1e6", "1e999", "7e31a9f0", "inf", "nan", ".nan", "0X1", "1_000",
     "12:30", "2001-01-01", "null", "~", "", " a", "a: b", "#", "\x85", "é", "<<", "="],
)  # fmt: skip
def test_dumped_text_reads_back_as_text(text):
    """As a value, in an array, and as a name."""
    tree = {"/node": {"ros__parameters": {"v": text, "l": [text, "z"], text: 1.5}}}
    dumped = dump_parameters(tree)
    assert load_yaml(dumped) == load_parameters(dumped) == tree


def test_dump_quotes_only_what_needs_it():
    """The rest is as people write it."""
    assert dump_parameters({"b": "front", "c": "1e6"}) == "b: front\nc: '1e6'\n"
