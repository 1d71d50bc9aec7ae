#!/usr/bin/env python3
"""Puts a journal onto a broker, by the lines of its standard input, in order.

Makes topics: {"topics": {name: partitions}}. Produces: {topic, partition, key, value, headers}, byte strings in hexadecimal.
Line `{"delete": name}` removes a topic, `{"trim": name, "partition": n, "before": offset}` the records before an offset,
`{"transaction": name}` writes one record into partition 0 by a transaction, whose end takes an offset, too.
Prints {topic/partition: next offset} at its end.
"""

import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def unhex(text):
    return bytes.fromhex(text.removeprefix("0x"))


def done(futures):
    for future in futures.values():
        future.result()


brokers = sys.argv[1]
admin = AdminClient({"bootstrap.servers": brokers})
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5})
ends, failures = {}, []


def delivered(error, message):
    if error is not None:
        failures.append(str(error))
    else:
        ends[f"{message.topic()}/{message.partition()}"] = message.offset() + 1


def transaction(topic):
    """One record, and the marker of its end, which comes some time after the commit."""
    writer = Producer({"bootstrap.servers": brokers, "transactional.id": "stranger"})
    writer.init_transactions()
    writer.begin_transaction()
    writer.produce(topic, b"\xff", partition=0)
    writer.commit_transaction()
    reader, before = Consumer({"bootstrap.servers": brokers, "group.id": "feed"}), ends[f"{topic}/0"]
    while reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1] < before + 2:
        time.sleep(0.05)
    reader.close()


for line in map(json.loads, sys.stdin):
    if "topics" in line:
        config = {"retention.ms": "-1", "cleanup.policy": "delete"}
        done(admin.create_topics([NewTopic(name, count, 1, config=config) for name, count in line["topics"].items()]))
    elif "delete" in line:
        done(admin.delete_topics([line["delete"]]))
    elif "transaction" in line:
        producer.flush(60)
        transaction(line["transaction"])
    elif "trim" in line:
        done(admin.delete_records([TopicPartition(line["trim"], line["partition"], line["before"])]))
    else:
        headers = [(name, value.encode()) for name, value in line.get("headers", {}).items()]
        producer.produce(line["topic"], unhex(line["value"]), unhex(line["key"]), line["partition"], on_delivery=delivered, headers=headers)
        producer.poll(0)
producer.flush(60)
if failures:
    sys.exit(f"not delivered: {failures[:3]}")
print(json.dumps(ends))
