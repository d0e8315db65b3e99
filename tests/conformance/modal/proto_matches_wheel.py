#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Thaw's schema of the Modal protocol with an installed `modal` package.

Every message, field and enum value that Thaw declares must exist in the package's descriptor with
the same number, type, label, presence, oneof, packing and map layout. What Thaw leaves out is not
an error. Run it with an interpreter that has `modal`; with any other it finds the pinned one:

    python3 tests/conformance/modal/proto_matches_wheel.py [--protoc protoc]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "thaw" / "dialect" / "modal" / "proto"


def compile_ours(protoc):
    from google.protobuf import descriptor_pb2

    protos = sorted(str(path.relative_to(ROOT)) for path in FOLDER.glob("*.proto"))
    if not protos:
        sys.exit(f"no .proto files in {FOLDER}")
    with tempfile.NamedTemporaryFile(suffix=".desc") as out:
        command = [protoc, "-I", str(ROOT), f"--descriptor_set_out={out.name}", *protos]
        subprocess.run(command, cwd=ROOT, check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    return list(files.file)


def enter_client_environment():
    """Starts again with the Python that has the pinned client."""
    if os.environ.get("THAW_CLIENT_ENTERED"):
        sys.exit("the client's environment has no modal package")
    command = [str(ROOT / "tools" / "client"), "tests/clients/modal.txt"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    python = os.path.join(found.stdout.strip().splitlines()[-1], "python")
    os.environ["THAW_CLIENT_ENTERED"] = "1"
    os.execv(python, [python, *sys.argv])


def load_theirs():
    """The package's files, by the name of their protobuf package."""
    from google.protobuf import descriptor_pb2
    from modal_proto import api_pb2, task_command_router_pb2

    files = {}
    for module in (api_pb2, task_command_router_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files[file.package] = file
    return files


class Comparison:
    def __init__(self):
        self.faults = []
        self.messages = self.fields = self.values = 0

    def fault(self, where, text):
        self.faults.append(f"{where}: {text}")

    def enum(self, where, ours, theirs):
        if theirs is None:
            return self.fault(where, "no such enum in the package")
        numbers = {value.name: value.number for value in theirs.value}
        for value in ours.value:
            self.values += 1
            wheel = numbers.get(value.name)
            if wheel != value.number:
                self.fault(where, f"{value.name} = {value.number}, package {wheel}")

    def message(self, where, ours, theirs):
        if theirs is None:
            return self.fault(where, "no such message in the package")
        self.messages += 1
        if ours.options.map_entry != theirs.options.map_entry:
            self.fault(where, "one side is a map entry")
        fields = {field.name: field for field in theirs.field}
        for field in ours.field:
            self.fields += 1
            self.field(f"{where}.{field.name}", ours, field, theirs, fields.get(field.name))
        nested = {message.name: message for message in theirs.nested_type}
        for message in ours.nested_type:
            self.message(f"{where}.{message.name}", message, nested.get(message.name))
        enums = {enum.name: enum for enum in theirs.enum_type}
        for enum in ours.enum_type:
            self.enum(f"{where}.{enum.name}", enum, enums.get(enum.name))

    def field(self, where, ours_in, ours, theirs_in, theirs):
        if theirs is None:
            return self.fault(where, "no such field in the package")
        for what in ("number", "type", "type_name", "label", "proto3_optional", "default_value"):
            mine, wheel = getattr(ours, what), getattr(theirs, what)
            if mine != wheel:
                self.fault(where, f"{what} is {mine!r}, package {wheel!r}")
        if oneof_name(ours_in, ours) != oneof_name(theirs_in, theirs):
            mine, wheel = oneof_name(ours_in, ours), oneof_name(theirs_in, theirs)
            self.fault(where, f"oneof is {mine!r}, package {wheel!r}")
        if packed(ours) != packed(theirs):
            self.fault(where, f"packed is {packed(ours)}, package {packed(theirs)}")


def oneof_name(message, field):
    if not field.HasField("oneof_index") or field.proto3_optional:
        return None
    return message.oneof_decl[field.oneof_index].name


def packed(field):
    """In proto3 a repeated scalar is packed unless the schema says otherwise."""
    scalar = field.type not in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE)
    if field.label != field.LABEL_REPEATED or not scalar:
        return None
    return field.options.packed if field.options.HasField("packed") else True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protoc", default="protoc")
    options = parser.parse_args()
    try:
        theirs = load_theirs()
    except ImportError:
        enter_client_environment()
    comparison = Comparison()
    for file in compile_ours(options.protoc):
        wheel = theirs.get(file.package)
        if wheel is None or file.syntax != wheel.syntax:
            comparison.fault(file.name, f"is {file.package} {file.syntax}")
            continue
        messages = {message.name: message for message in wheel.message_type}
        enums = {enum.name: enum for enum in wheel.enum_type}
        for message in file.message_type:
            comparison.message(message.name, message, messages.get(message.name))
        for enum in file.enum_type:
            comparison.enum(enum.name, enum, enums.get(enum.name))
    for fault in comparison.faults:
        print(f"FAIL {fault}")
    print(
        f"{comparison.messages} messages, {comparison.fields} fields and {comparison.values} enum "
        f"values compared, {len(comparison.faults)} differ"
    )
    return 1 if comparison.faults else 0


if __name__ == "__main__":
    sys.exit(main())
