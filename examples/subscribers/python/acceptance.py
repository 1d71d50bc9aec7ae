"""Which records of an authoritative partition count (events/README.md, "Acceptance"). No I/O.

Anybody's stale writer can append to a log, so a record counts only if its place in the chain says so. Every reader skips the
same records, so all of them see one history.
"""

import hashlib
import struct
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from log import Start


class Halt(Exception):
    """Writer and reader saw different logs. Going on would fold a history that others don't have: stop, and tell an operator."""


@dataclass(frozen=True)
class Frontier:
    """Where a reader stands: just after the last record that it accepted. Store it with what was made of that record."""

    offset: int = -1  # of that record; -1: none yet
    term: int = 0  # of the claim that it was written under; 0 before any
    writer: bytes = b""
    sequence: int = 0  # that the next record must have
    head: bytes = bytes(32)  # hash of that record, which the next one must name
    skipped: int = 0  # entries before it that don't count


def record_hash(topic, partition, record, value):
    """The hash that chains records; over the bytes as stored, never over an encoding of one's own."""
    place = struct.pack(">IQ16sQ32s", partition, record.term, record.writer, record.sequence, record.previous)
    return hashlib.sha256(b"acurast/record/1" + topic.encode() + b"\0" + place + value).digest()


class Partition:
    """The rule for one partition, from a stored frontier on. `entry` is the topic's class `Entry`."""

    def __init__(self, entry, topic, partition, frontier=Frontier()):
        self.entry, self.topic, self.partition, self.frontier = entry, topic, partition, frontier
        self.term, self.writer, self.skipped = frontier.term, frontier.writer, frontier.skipped
        self.anchored = frontier.offset < 0
        self.next_offset = self.start.offset

    @property
    def start(self):
        """Where to read from: at the last accepted record once more, to see that the log still is the one that was read."""
        return Start(max(self.frontier.offset, 0), exists=self.frontier.offset >= 0)

    def take(self, offset, value):
        """The record at `offset` if it counts, else None. `frontier` then stands after it."""
        if offset != self.next_offset:
            raise Halt(f"{self._at(offset)} follows where {self.next_offset} should; records of this log were removed")
        self.next_offset += 1
        entry = self._entry(value)
        if not self.anchored:
            return self._anchor(offset, entry, value)
        kind = entry and entry.WhichOneof("event")
        if kind == "claim" and entry.claim.term > self.term and len(entry.claim.writer) == 16:
            self.term, self.writer = entry.claim.term, entry.claim.writer  # a claim is no link of the chain
            return None
        if kind == "record" and self._is_next(entry.record):
            return self._accept(offset, entry.record, value)
        # A zombie's record, a lost claim, a repetition, or nothing that any version understands.
        self.skipped += 1
        return None

    def _entry(self, value):
        try:
            return self.entry.FromString(value or b"")
        except DecodeError:
            return None

    def _is_next(self, record):
        owned = (record.term, record.writer) == (self.term, self.writer) and self.term > 0
        return owned and record.sequence == self.frontier.sequence and len(record.previous) == 32

    def _accept(self, offset, record, value):
        if record.previous != self.frontier.head:
            raise Halt(
                f"{self._at(offset)}: record {record.sequence} names {record.previous.hex()} as the one before it,"
                f" but {self.frontier.head.hex()} is; its writer saw another log"
            )
        head = record_hash(self.topic, self.partition, record, value)
        self.frontier = Frontier(offset, self.term, self.writer, record.sequence + 1, head, self.skipped)
        return record

    def _anchor(self, offset, entry, value):
        record = entry.record if entry and entry.WhichOneof("event") == "record" else None
        whole = record is not None and (len(record.writer), len(record.previous)) == (16, 32)
        if not whole or record_hash(self.topic, self.partition, record, value) != self.frontier.head:
            raise Halt(f"{self._at(offset)}: another record stands where the last accepted one stood; the log was written anew")
        self.anchored = True
        return None

    def _at(self, offset):
        return f"{self.topic}/{self.partition}: offset {offset}"
