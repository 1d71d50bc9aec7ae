// Reads all partitions of a topic, each from a position that the reader keeps itself.
//
// Where to go on is stored with what was made of the records, in one write, so the two can't differ; committed offsets would be a
// second truth beside it. The client library reads in a consumer group only: it has one member here, whose fixed name lets a
// restarted process take its place at once, and commits nothing. (To share partitions between processes, let the group assign
// them, and start each at its own stored position.)
import { Consumer, ListOffsetTimestamps, MessagesStreamModes, type Message } from '@platformatic/kafka';

/** Where to begin in a partition; `exists`: a record was read there before, so it must still be there. */
export interface Start {
  offset: bigint;
  exists?: boolean;
}

export type LogMessage = Message<Buffer, Buffer, Buffer, Buffer>;

/** The log doesn't hold what was read before, or not what comes next. Nothing a reader can mend. */
export class Lost extends Error {}

export interface ReadOptions {
  brokers: string[];
  topic: string;
  /** Name of this subscriber; one process of it reads at a time. */
  name: string;
  start: (partition: number) => Start;
  /** Ends at the end of all partitions, else never. */
  untilEnd?: boolean;
  batchMax?: number;
}

/** Yields batches of messages, in order within each partition. */
export async function* read({ brokers, topic, name, start, untilEnd = false, batchMax = 500 }: ReadOptions): AsyncGenerator<LogMessage[]> {
  // `tls` and `sasl` go here where brokers ask for them.
  const consumer = new Consumer({ clientId: name, groupId: name, groupInstanceId: 'only', bootstrapBrokers: brokers, autocommit: false, maxWaitTime: 500 });
  try {
    const [low, high] = [await bounds(consumer, topic, ListOffsetTimestamps.EARLIEST), await bounds(consumer, topic, ListOffsetTimestamps.LATEST)];
    const offsets = high.map((end, partition) => ({ topic, partition, offset: checked(topic, partition, start(partition), low[partition] ?? 0n, end) }));
    if (untilEnd && offsets.every(({ partition, offset }) => offset >= (high[partition] ?? 0n))) return;
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.MANUAL, offsets });
    // The last offsets may be markers of transactions, which are no messages: so the stream is asked how far it is.
    const isAtEnd = (): boolean => stream.readableLength === 0 && high.every((end, partition) => (stream.offsetsToFetch.get(`${topic}:${partition}`) ?? 0n) >= end);
    const atEnd = new Promise<undefined>((resolve) => {
      if (untilEnd) stream.on('fetch', () => { if (isAtEnd()) resolve(undefined); });
    });
    const messages = stream[Symbol.asyncIterator]() as AsyncIterator<LogMessage>;
    for (;;) {
      const first = await Promise.race([messages.next(), atEnd]);
      if (first === undefined || first.done === true) return;
      const batch = [first.value];
      // What is already here comes along, so that it is stored by one write.
      for (let next; batch.length < batchMax && (next = stream.read() as LogMessage | null) !== null;) batch.push(next);
      yield batch;
    }
  } finally {
    await consumer.close(true);
  }
}

/** The first, or the next, offset of every partition. */
async function bounds(consumer: Consumer<Buffer, Buffer, Buffer, Buffer>, topic: string, timestamp: bigint): Promise<bigint[]> {
  const found = (await consumer.listOffsets({ topics: [topic], timestamp })).get(topic);
  if (found === undefined) throw new Error(`no topic ${topic}`);
  return found;
}

function checked(topic: string, partition: number, { offset, exists = false }: Start, low: bigint, high: bigint): bigint {
  const read = offset + (exists ? 1n : 0n);
  if (offset < low) throw new Lost(`${topic}/${partition}: the log begins at offset ${low}, and ${offset} is to be read next; records were removed`);
  if (read > high) throw new Lost(`${topic}/${partition}: the log ends at offset ${high}, and all before ${read} was read; it lost records`);
  return offset;
}
