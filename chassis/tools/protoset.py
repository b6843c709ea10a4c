#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the C code of all .proto files, and their descriptors as C data for server reflection.

It exists because Meson names no outputs in subfolders, while the protos (and so protobuf-c's files) live in some. One run writes, into one
folder: the .pb-c.c/.pb-c.h files under their own paths, contracts.c (all of that code), contracts.h (all of those headers) and protoset.c
(`ch_proto_files` of ch/grpc.h). It reads the descriptor set by hand: no Python package is needed to build. It must never change a contract.
"""
import argparse
import os
import subprocess
import sys
import tempfile


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """(number, value) of one serialized message: bytes for length-delimited fields, int for the others."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, value


def all_of(data, number):
    return [value for n, value in fields(data) if n == number]


def text_of(data, number):
    return (all_of(data, number) or [b""])[-1].decode()


def message_symbols(scope, message):
    name = scope + text_of(message, 1)
    yield name
    for nested in all_of(message, 3):
        yield from message_symbols(name + ".", nested)
    for enum in all_of(message, 4):
        yield name + "." + text_of(enum, 1)


def file_symbols(file):
    """Numbers are those of google/protobuf/descriptor.proto."""
    package = text_of(file, 2)
    scope = package + "." if package else ""
    for message in all_of(file, 4):
        yield from message_symbols(scope, message)
    for enum in all_of(file, 5):
        yield scope + text_of(enum, 1)
    for service in all_of(file, 6):
        name = scope + text_of(service, 1)
        yield name
        for method in all_of(service, 2):
            yield name + "." + text_of(method, 1)


def c_strings(name, values):
    quoted = "".join(f'"{value}", ' for value in values)
    return f"static const char *const {name}[] = {{{quoted}NULL}};\n"


def protoset_c(descriptor_set):
    files = all_of(descriptor_set, 1)
    out = ['// Made by protoset.py from contracts/proto.\n#include "ch/grpc.h"\n\n']
    rows = []
    for i, file in enumerate(files):
        hexes = "".join(f"0x{byte:02x}," + ("\n" if k % 24 == 23 else "") for k, byte in enumerate(file))
        out.append(f"static const uint8_t bytes_{i}[] = {{\n{hexes}}};\n")
        out.append(c_strings(f"symbols_{i}", file_symbols(file)))
        out.append(c_strings(f"imports_{i}", [name.decode() for name in all_of(file, 3)]))
        rows.append(f'    {{"{text_of(file, 1)}", bytes_{i}, sizeof(bytes_{i}), symbols_{i}, imports_{i}}},\n')
    out.append("\nconst struct ch_proto_file ch_proto_files[] = {\n" + "".join(rows) + "    {0},\n};\n")
    return "".join(out)


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protoc", required=True)
    parser.add_argument("--protoc-c", required=True)
    parser.add_argument("--proto-path", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("protos", nargs="+")
    args = parser.parse_args()
    # protoc wants each file to begin with the very text of the path.
    args.proto_path = os.path.realpath(args.proto_path)
    args.protos = [os.path.realpath(proto) for proto in args.protos]

    with tempfile.NamedTemporaryFile(suffix=".set") as descriptor_set:
        path = "--proto_path=" + args.proto_path
        subprocess.run([args.protoc_c, path, "--c_out=" + args.out, *args.protos], check=True)
        subprocess.run([args.protoc, path, "--include_imports", "--descriptor_set_out=" + descriptor_set.name, *args.protos], check=True)
        write(args.out, "protoset.c", protoset_c(descriptor_set.read()))

    stems = [os.path.splitext(os.path.relpath(proto, args.proto_path))[0] for proto in args.protos]
    include = "// Made by protoset.py: {}.\n"
    write(args.out, "contracts.c", include.format("all code") + "".join(f'#include "{stem}.pb-c.c"\n' for stem in stems))
    write(args.out, "contracts.h", include.format("all headers") + "".join(f'#include "{stem}.pb-c.h"\n' for stem in stems))
    return 0


if __name__ == "__main__":
    sys.exit(main())
