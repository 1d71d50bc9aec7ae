"""The published schemas (events/proto) as Protobuf classes, and messages as plain values for people."""

import subprocess
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = Path(__file__).resolve().parents[3] / "events" / "proto"


def load(family, name, folder=PROTO):
    """The class of message `name` in `<family>.proto`, such as ("derived", "ReceiptsEvent").

    Compiled at start, so that there is nothing to generate and commit; `protoc --python_out` at build time does as well.
    """
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"--descriptor_set_out={out.name}", "-I", folder, f"{family}.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"acurast.{family}.v1.{name}"))


def plain(message):
    """The fields that are there: bytes in hexadecimal, 64-bit numbers as strings, enums by their names."""
    return {field.name: _plain(field, value) for field, value in message.ListFields()}


def _plain(field, value):
    if field.is_repeated:
        return [_one(field, item) for item in value]
    return _one(field, value)


def _one(field, value):
    if field.type == field.TYPE_MESSAGE:
        return plain(value)
    if field.type == field.TYPE_BYTES:
        return f"0x{value.hex()}"
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    if field.type == field.TYPE_UINT64:
        return str(value)
    return value
