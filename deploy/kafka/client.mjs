// What the fault tests do to a Kafka cluster beside killing its brokers: see who leads and who is in sync, move leaders, and write what
// no relayer would. It speaks the protocol itself, so that neither a Java process per question nor a client library is needed.
import { connect } from 'node:net';

import { Answer, NO_TAGS, blob, compactList, compactText, i16, i32, i8, list, recordBatch, text } from './wire.mjs';

const ANSWER_MS = 5_000;
const ELECTION_MS = 10_000;
const CLIENT = 'acurast-devnet';
const METADATA = { key: 3, version: 1 };
const PRODUCE = { key: 0, version: 3 };
const CREATE = { key: 19, version: 2 };
const ELECT = { key: 43, version: 1 };
const REASSIGN = { key: 45, version: 0, flexible: true };
const PREFERRED = 0;
const TOPIC_EXISTS = 36;

/** One question to one broker over a connection of its own, which every question can afford here. */
function ask({ host, port }, { key, version, flexible = false }, body, answerMs = ANSWER_MS) {
  const header = Buffer.concat([i16(key), i16(version), i32(1), text(CLIENT), ...flexible ? [NO_TAGS] : []]);
  const message = Buffer.concat([header, body]);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const chunks = [];
    const fail = (error) => { socket.destroy(); reject(new Error(`broker ${host}:${port}: ${error.message}`)); };
    socket.setTimeout(answerMs, () => fail(new Error(`no answer within ${answerMs} ms`)));
    socket.once('error', fail).once('close', () => fail(new Error('it closed the connection')));
    socket.on('data', (data) => {
      chunks.push(data);
      const all = Buffer.concat(chunks);
      if (all.length < 4 || all.length < 4 + all.readInt32BE(0)) return;
      socket.destroy();
      const answer = new Answer(all.subarray(8));
      if (flexible) answer.tags();
      resolve(answer);
    });
    socket.write(Buffer.concat([i32(message.length), message]));
  });
}

const place = (address) => { const [host, port] = address.split(':'); return { host, port: Number(port) }; };

export class KafkaClient {
  /** `brokers`: `host:port,host:port`, any of which may be down. */
  constructor(brokers) {
    this.places = brokers.split(',').map(place);
  }

  /** Asks one broker after the other until one answers. */
  async #any(kind, body, answerMs) {
    let last;
    for (const broker of this.places) {
      try {
        return await ask(broker, kind, body, answerMs);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  /** All partitions: `{ topic, partition, leader, replicas, isr }`, internal topics left out; `brokers` maps ids to places. */
  async partitions() {
    const answer = await this.#any(METADATA, i32(-1));
    const brokers = new Map(answer.list((of) => {
      const [id, host, port] = [of.i32(), of.text(), of.i32()];
      of.text(); // rack
      return [id, { host, port }];
    }));
    answer.i32(); // controller
    const topics = answer.list((of) => {
      of.i16();
      const [topic, internal] = [of.text(), of.i8() !== 0];
      const partitions = of.list(() => {
        of.i16();
        return { topic, internal, partition: of.i32(), leader: of.i32(), replicas: of.list(() => of.i32()), isr: of.list(() => of.i32()) };
      });
      return partitions.filter((partition) => !partition.internal);
    });
    return { brokers, partitions: topics.flat() };
  }

  /** Makes a topic; one that is there is left alone. */
  async createTopic(topic, partitions, replication) {
    const body = Buffer.concat([list([topic], () => Buffer.concat([text(topic), i32(partitions), i16(replication), i32(0), i32(0)])), i32(ELECTION_MS), i8(0)]);
    const answer = await this.#any(CREATE, body, ELECTION_MS);
    answer.i32();
    const [{ error, message }] = answer.list((of) => { of.text(); return { error: of.i16(), message: of.text() }; });
    if (error !== 0 && error !== TOPIC_EXISTS) throw new Error(`topic ${topic} could not be made: error ${error} ${message ?? ''}`);
  }

  /** Appends records `{ key, value }` (buffers or null) to one partition, believed when all in sync have them. Returns the first one's offset. */
  async produce(topic, partition, records) {
    const { brokers, partitions } = await this.partitions();
    const leader = brokers.get(partitions.find((of) => of.topic === topic && of.partition === partition)?.leader);
    if (!leader) throw new Error(`${topic}/${partition} has no leader now`);
    const data = list([topic], () => Buffer.concat([text(topic), list([partition], () => Buffer.concat([i32(partition), blob(recordBatch(records, Date.now()))]))]));
    const answer = await ask(leader, PRODUCE, Buffer.concat([text(null), i16(-1), i32(ANSWER_MS), data]), 2 * ANSWER_MS);
    const [[{ error, offset }]] = answer.list((of) => { of.text(); return of.list(() => { of.i32(); const result = { error: of.i16(), offset: of.i64() }; of.i64(); return result; }); });
    if (error !== 0) throw new Error(`${topic}/${partition} did not take the records: error ${error}`);
    return offset;
  }

  /**
   * Moves the leadership of partitions (as `partitions()` has them, with their replicas in another order) to the first replica of each.
   * Returns how many moved; those whose new leader isn't in sync stay where they are.
   */
  async lead(partitions) {
    if (partitions.length === 0) return 0;
    const byTopic = [...byTopicOf(partitions)];
    const replicas = ({ partition, replicas: order }) => Buffer.concat([i32(partition), compactList(order, i32), NO_TAGS]);
    const orders = compactList(byTopic, ([topic, of]) => Buffer.concat([compactText(topic), compactList(of, replicas), NO_TAGS]));
    const reassigned = await this.#any(REASSIGN, Buffer.concat([i32(ELECTION_MS), orders, NO_TAGS]), ELECTION_MS);
    reassigned.i32();
    const error = reassigned.i16();
    if (error !== 0) throw new Error(`the replicas' order was not taken: error ${error} ${reassigned.compactText() ?? ''}`);
    const chosen = list(byTopic, ([topic, of]) => Buffer.concat([text(topic), list(of, ({ partition }) => i32(partition))]));
    const elected = await this.#any(ELECT, Buffer.concat([i8(PREFERRED), chosen, i32(ELECTION_MS)]), ELECTION_MS);
    elected.i32();
    const refused = elected.i16();
    if (refused !== 0) throw new Error(`no election: error ${refused}`);
    const results = elected.list((of) => { of.text(); return of.list(() => { of.i32(); const code = of.i16(); of.text(); return code; }); }).flat();
    return results.filter((code) => code === 0).length;
  }
}

function byTopicOf(partitions) {
  const groups = new Map();
  for (const partition of partitions) groups.set(partition.topic, [...groups.get(partition.topic) ?? [], partition]);
  return groups;
}
