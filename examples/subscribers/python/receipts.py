#!/usr/bin/env python3
"""Follows receipts.v1, a derived topic, into an SQLite database: each receipt once, however often it is delivered.

Derived topics are published at least once: after a crash the relayer publishes again what it can't be sure of. The same id
means the same receipt, so an id that is already stored is dropped. A receipt and the position after it are stored in one
transaction: a crash between the two can't be, and after any crash reading goes on where the stored receipts end.
"""

import argparse
import json
import sqlite3
import sys

from google.protobuf.message import DecodeError

import log
from schemas import load, plain

TABLES = """
CREATE TABLE IF NOT EXISTS position (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS receipt (id BLOB PRIMARY KEY, kind TEXT NOT NULL, content TEXT NOT NULL) STRICT;
"""


def take(db, event_type, message):
    """Stores the receipt of a message, with the position after it; returns it if it is new."""
    new = None
    try:
        event = event_type.FromString(message.value() or b"")
    except DecodeError as error:
        # Nothing of the relayer's. One that doesn't decode must not hold up those behind it.
        print(f"skipped offset {message.offset()} of partition {message.partition()}: {error}", file=sys.stderr)
    else:
        kind = event.WhichOneof("event")
        if kind is None:
            raise SystemExit(f"partition {message.partition()} has a kind of receipt at offset {message.offset()} that these schemas don't know: update them")
        receipt = getattr(event, kind)
        content = plain(receipt)
        stored = db.execute("INSERT INTO receipt VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (receipt.id, kind, json.dumps(content)))
        if stored.rowcount == 1:
            new = {kind: content}  # here, in the same transaction, goes what a receipt changes in your own tables
    db.execute(
        "INSERT INTO position VALUES (?, ?) ON CONFLICT DO UPDATE SET next = excluded.next", (message.partition(), message.offset() + 1)
    )
    return new


def follow(args, db):
    event_type = load("derived", "ReceiptsEvent")
    position = dict(db.execute("SELECT partition, next FROM position"))
    batches = log.read(
        args.brokers, args.topic, lambda partition: log.Start(position.get(partition, 0)), until_end=args.until_end, settings=dict(args.settings)
    )
    for batch in batches:
        with db:
            new = [receipt for receipt in (take(db, event_type, message) for message in batch) if receipt]
        for receipt in new:
            print(json.dumps(receipt), flush=True)


def show(db):
    """What is stored, for people and tests."""
    receipts = [{"id": f"0x{id.hex()}", "kind": kind} for id, kind in db.execute("SELECT id, kind FROM receipt ORDER BY id")]
    print(json.dumps({"positions": dict(db.execute("SELECT partition, next FROM position")), "receipts": receipts}))


def main():
    parser = argparse.ArgumentParser(description="Keeps the receipts of an acurast-relayer in an SQLite database.")
    parser.add_argument("command", choices=["follow", "show"])
    parser.add_argument("--state", required=True, help="the database")
    parser.add_argument("--brokers", help="host:port,…")
    parser.add_argument("--topic", default="acurast.receipts.v1")
    parser.add_argument("--until-end", action="store_true", help="stop at the end of the log")
    parser.add_argument("-X", dest="settings", metavar="KEY=VALUE", action="append", default=[], type=lambda text: text.split("=", 1), help="of librdkafka, such as security.protocol=SSL")
    args = parser.parse_args()
    db = sqlite3.connect(args.state)
    db.executescript(TABLES)
    if args.command == "show":
        return show(db)
    if args.brokers is None:
        parser.error("--brokers is needed")
    try:
        follow(args, db)
    except log.Lost as lost:
        sys.exit(f"stopped: {lost}")


if __name__ == "__main__":
    main()
