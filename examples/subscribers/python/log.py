"""Reads all partitions of a topic, each from a position that the reader keeps itself.

No consumer group: where to go on is stored with what was made of the records, in one transaction, so the two can't differ.
A group's committed offsets would be a second truth beside it. (To share a topic's partitions between several processes, let a
group assign them, and seek each to its own stored position.)
"""

from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


class Start(NamedTuple):
    """Where to begin in a partition."""

    offset: int
    # Whether a record was read there before, so that it must still be there.
    exists: bool = False


class Lost(Exception):
    """The log doesn't hold what was read before, or not what comes next. Nothing a reader can mend."""


def read(brokers, topic, start, *, until_end=False, batch_max=500, settings=None):
    """Yields lists of messages, in order within each partition; `start(partition)` says where to begin.

    Ends at the end of all partitions with `until_end`, else never.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "acurast-example",  # the library wants a name; no group is joined, nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # a position that the log doesn't have is no reason to jump elsewhere
            "enable.partition.eof": until_end,
            **(settings or {}),
        }
    )
    try:
        partitions = _partitions(consumer, topic)
        consumer.assign([TopicPartition(topic, p, _checked(consumer, topic, p, start(p))) for p in partitions])
        ended = set()
        while not (until_end and len(ended) == len(partitions)):
            batch = []
            for message in consumer.consume(batch_max, timeout=1.0):
                error = message.error()
                if error is None:
                    batch.append(message)
                    ended.discard(message.partition())
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise KafkaException(error)
            if batch:
                yield batch
    finally:
        consumer.close()


def _partitions(consumer, topic):
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _checked(consumer, topic, partition, start):
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    if start.offset < low:
        raise Lost(f"{topic}/{partition}: the log begins at offset {low}, and {start.offset} is to be read next; records were removed")
    if start.offset + start.exists > high:
        raise Lost(f"{topic}/{partition}: the log ends at offset {high}, and all before {start.offset + start.exists} was read; it lost records")
    return start.offset
