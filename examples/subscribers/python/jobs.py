#!/usr/bin/env python3
"""Folds jobs.v1, an authoritative topic, into an SQLite database: the state of every job, by the records that count.

The rule of acceptance.py says which do. A record holds all that one input caused, so its events are applied together or not at
all. What was applied and the frontier after it are stored in one transaction; a restart goes on from there.
"""

import argparse
import json
import sqlite3
import sys
from dataclasses import asdict

import log
from acceptance import Frontier, Halt, Partition
from schemas import load

TABLES = """
CREATE TABLE IF NOT EXISTS frontier (
  partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL, term INTEGER NOT NULL, writer BLOB NOT NULL, sequence INTEGER NOT NULL,
  head BLOB NOT NULL, skipped INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS job (subject BLOB PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outcome (subject BLOB, outcome TEXT, executions INTEGER NOT NULL, PRIMARY KEY (subject, outcome)) STRICT;
CREATE TABLE IF NOT EXISTS event (name TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT;
"""

# What a job's events say of its life cycle on Acurast, and its end here.
STATES = {"job_opened": "OPEN", "job_matched": "MATCHED", "job_assigned": "ASSIGNED", "job_removed": "REMOVED", "job_done": "DONE", "job_closed": "CLOSED"}


def apply(db, record):
    """Applies one decision; returns the names of its events. Runs in the caller's transaction."""
    names = [event.WhichOneof("event") for event in record.events]
    if None in names:
        # Leaving an event out would fold another state than newer readers do.
        raise Halt(f"record {record.sequence} has an event that these schemas don't know: update them")
    for name, event in zip(names, record.events):
        db.execute("INSERT INTO event VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1", (name,))
        if name in STATES:
            db.execute("INSERT INTO job VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state", (record.subject, STATES[name]))
        elif name == "execution_ended":
            ended = event.execution_ended
            outcome = ended.DESCRIPTOR.fields_by_name["outcome"].enum_type.values_by_number[ended.outcome].name
            db.execute(
                "INSERT INTO outcome VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET executions = executions + excluded.executions",
                (record.subject, outcome, ended.executions),
            )
    return names


def frontiers(db):
    rows = db.execute("SELECT partition, offset, term, writer, sequence, head, skipped FROM frontier ORDER BY partition")
    return {partition: Frontier(*frontier) for partition, *frontier in rows}


def store(db, partition, frontier):
    db.execute("INSERT OR REPLACE INTO frontier VALUES (?, ?, ?, ?, ?, ?, ?)", (partition, *asdict(frontier).values()))


def follow(args, db):
    entry, stored, partitions = load("jobs", "Entry"), frontiers(db), {}

    def start(partition):
        partitions[partition] = Partition(entry, args.topic, partition, stored.get(partition, Frontier()))
        return partitions[partition].start

    for batch in log.read(args.brokers, args.topic, start, until_end=args.until_end, settings=dict(args.settings)):
        decisions, halt = [], None
        with db:
            for message in batch:
                partition = partitions[message.partition()]
                try:
                    record = partition.take(message.offset(), message.value())
                    if record is not None:
                        decisions.append({"partition": message.partition(), "sequence": record.sequence, "subject": f"0x{record.subject.hex()}", "events": apply(db, record)})
                        store(db, message.partition(), partition.frontier)
                except Halt as error:
                    halt = error  # what came before it counts
                    break
        for decision in decisions:
            print(json.dumps(decision), flush=True)
        if halt is not None:
            raise halt


def show(db):
    """What is stored, for people and tests."""
    standing = {
        partition: {"term": str(of.term), "next_sequence": str(of.sequence), "head": f"0x{of.head.hex()}", "skipped": of.skipped}
        for partition, of in frontiers(db).items()
    }
    outcomes = {}
    for subject, outcome, executions in db.execute("SELECT subject, outcome, executions FROM outcome ORDER BY subject, outcome"):
        outcomes.setdefault(f"0x{subject.hex()}", {})[outcome] = executions
    jobs = {f"0x{subject.hex()}": state for subject, state in db.execute("SELECT subject, state FROM job ORDER BY subject")}
    print(json.dumps({"partitions": standing, "jobs": jobs, "outcomes": outcomes, "events": dict(db.execute("SELECT name, times FROM event"))}))


def main():
    parser = argparse.ArgumentParser(description="Keeps the jobs of an acurast-relayer in an SQLite database.")
    parser.add_argument("command", choices=["follow", "show"])
    parser.add_argument("--state", required=True, help="the database")
    parser.add_argument("--brokers", help="host:port,…")
    parser.add_argument("--topic", default="acurast.jobs.v1", help="its full name, which record hashes cover")
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
    except (Halt, log.Lost) as halt:
        sys.exit(f"halted: {halt}")


if __name__ == "__main__":
    main()
