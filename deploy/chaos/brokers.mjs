// Three real brokers that are killed, paused and brought back, each by deploy/kafka/kafka.sh, and what they say of their partitions.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { KafkaClient } from '../kafka/client.mjs';

const SH = fileURLToPath(new URL('../kafka/kafka.sh', import.meta.url));
const LOOK_MS = 250;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Brokers {
  /** Who isn't well: broker → `dead` or `paused`. */
  unwell = new Map();

  /** `home` and `port` as kafka.sh has them; `addresses`: `host:port,…` of brokers 1, 2, …. */
  constructor({ home, port, addresses }) {
    Object.assign(this, { home, port, ids: addresses.split(',').map((_, i) => i + 1), client: new KafkaClient(addresses) });
  }

  #sh(...args) {
    // No pipe of ours: a revived broker would keep it open.
    const child = spawn(SH, args.map(String), { env: { ...process.env, KAFKA_HOME: this.home, KAFKA_PORT: String(this.port) }, stdio: ['ignore', 'ignore', 'inherit'] });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`kafka.sh ${args.join(' ')} ended with ${code}`))));
    });
  }

  async kill(id) { await this.#sh('kill', id); this.unwell.set(id, 'dead'); }
  async pause(id) { await this.#sh('pause', id); this.unwell.set(id, 'paused'); }

  /** Brings one back, however it is unwell. */
  async heal(id) {
    const how = this.unwell.get(id);
    if (!how) return;
    await this.#sh(how === 'dead' ? 'revive' : 'resume', id);
    this.unwell.delete(id);
  }

  /** All at once: of two, one alone has no quorum to come up with. */
  async healAll() { await Promise.all([...this.unwell.keys()].map((id) => this.heal(id))); }

  /** Resolves once every replica of every partition is in sync; fails when that takes longer than `limitMs`. False when `given()` came first. */
  async untilInSync({ limitMs, given = () => false }) {
    const begun = performance.now();
    for (let behind = 'nobody answers'; !given();) {
      try {
        const { partitions } = await this.client.partitions();
        const late = partitions.filter(({ leader, replicas, isr }) => leader < 0 || isr.length < replicas.length);
        if (partitions.length > 0 && late.length === 0) return true;
        behind = `${late.length} of ${partitions.length} partitions, first ${late[0]?.topic}/${late[0]?.partition}`;
      } catch (error) {
        behind = error.message;
      }
      if (performance.now() - begun > limitMs) throw new Error(`the brokers are not in sync after ${limitMs} ms: ${behind}`);
      await pause(LOOK_MS);
    }
    return false;
  }
}
