// The Acurast development node as seen by a test: accounts, storage, time, and blocks of signed calls.
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

/** Calls that surely fit in one block beside its inherents, by the weights of the runtime; more are spread over the next blocks. */
const PER_BLOCK = { 'acurast.register': 100, 'acurastMarketplace.deploy': 100, 'acurastMarketplace.advertise': 100, 'acurastMarketplace.acknowledgeMatch': 80, 'acurastMarketplace.report': 80 };
const PER_BLOCK_OTHERS = 8;
const RPC_TIMEOUT_MS = 60_000;

export class AcurastChain {
  #nonces = new Map();
  #accounts = new Map();
  #queue = Promise.resolve();

  /** Connects to a running node; fails when it doesn't answer within `timeoutMs`. */
  static async connect(url, { timeoutMs = 20_000 } = {}) {
    const chain = new AcurastChain();
    chain.url = url;
    chain.ws = new WsProvider(url, 1_000, {}, RPC_TIMEOUT_MS);
    // The first refused connection is reported by the provider on the console and retried; a timeout is the error.
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no answer from the Acurast node at ${url}`)), timeoutMs); });
    try {
      chain.api = await Promise.race([ApiPromise.create({ provider: chain.ws, noInitWarn: true }), late]);
    } catch (error) {
      await chain.ws.disconnect();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    chain.keyring = new Keyring({ type: 'sr25519' });
    chain.genesis = chain.api.genesisHash.toHex();
    chain.slotMs = (await chain.api.call.auraApi.slotDuration()).toNumber();
    return chain;
  }

  /** The account of that URI, derived once. */
  account(uri) {
    if (!this.#accounts.has(uri)) this.#accounts.set(uri, this.keyring.addFromUri(uri));
    return this.#accounts.get(uri);
  }
  /** Timestamp of the head, ms. */
  async now() {
    const head = await this.ws.send('chain_getBlockHash', []);
    return this.#timestamp(head);
  }
  async #timestamp(hash) {
    const raw = await this.ws.send('state_getStorage', [this.api.query.timestamp.now.key(), hash]);
    return Number(Buffer.from(raw.slice(2), 'hex').readBigUInt64LE());
  }
  /** Number of the newest block. */
  async height() { return Number((await this.ws.send('chain_getHeader', [])).number); }

  /** Runs `work` alone: nothing else mines or sets storage meanwhile. */
  exclusively(work) {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {}); // the caller sees the failure; the queue goes on
    return result;
  }

  /**
   * Overwrites storage in the head block: `{ Pallet: { Item: [[keys, value], …] | value } }`. The hash stays the same, so
   * set what a block's facts depend on before that block is mined.
   */
  async setStorage(values) {
    const pairs = [];
    for (const [pallet, items] of Object.entries(values)) {
      for (const [item, given] of Object.entries(items)) {
        const entry = this.api.query[lower(pallet)][lower(item)];
        const { type } = entry.creator.meta;
        const valueType = this.api.registry.createLookupType(type.isPlain ? type.asPlain : type.asMap.value);
        for (const [keys, value] of type.isPlain ? [[[], given]] : given) {
          pairs.push([entry.key(...keys), this.api.registry.createType(valueType, value).toHex()]);
        }
      }
    }
    return this.exclusively(() => this.ws.send('dev_setStorage', [pairs]));
  }

  /** Gives each account `amount` planck. */
  fund(accounts, amount) {
    const info = { providers: 1, data: { free: amount.toString() } };
    return this.setStorage({ System: { Account: accounts.map((a) => [[a.address], info]) } });
  }

  /** Sets the clock so that the next block has exactly this timestamp, if that is later than the next slot. */
  travelTo(timestampMs) {
    return this.exclusively(async () => {
      const clock = timestampMs - this.slotMs;
      if (clock > (await this.now())) await this.ws.send('dev_timeTravel', [clock]);
    });
  }

  /**
   * Builds one block of the given [call, signer] pairs and returns `{ number, hash, timestamp, events, results }`, one result
   * per call: `ok`, the name of its dispatch error, or `left out` when the runtime refused or could not fit it.
   */
  mine(calls = []) {
    return this.exclusively(async () => {
      const transactions = [];
      for (const [call, who] of calls) transactions.push(await this.#sign(call, who));
      const hash = await this.ws.send('dev_newBlock', [{ transactions }]);
      const [header, raw, timestamp] = await Promise.all([
        this.ws.send('chain_getHeader', [hash]),
        this.ws.send('state_getStorage', [this.api.query.system.events.key(), hash]),
        this.#timestamp(hash),
      ]);
      const block = { number: Number(header.number), hash, timestamp, events: [], results: [] };
      if (transactions.length === 0) return block;
      block.events = this.api.registry.createType('Vec<FrameSystemEventRecord>', raw);
      const { block: { extrinsics } } = await this.ws.send('chain_getBlock', [hash]);
      block.results = transactions.map((transaction) => this.#result(block, extrinsics.indexOf(transaction)));
      for (const [i, [, who]] of calls.entries()) {
        // A call that was left out used no nonce; the next one of this account must ask the chain again.
        if (block.results[i] === 'left out') this.#nonces.delete(who.address);
      }
      return block;
    });
  }

  /**
   * Mines all calls in as few blocks as they fit in; fails on the first one that doesn't succeed. Returns the blocks.
   * `mine` is what mines one of them.
   */
  async mineAll(calls, mine = (some) => this.mine(some)) {
    const blocks = [];
    for (const fitting of byBlock(calls)) {
      let rest = fitting;
      while (rest.length > 0) {
        const block = await mine(rest);
        blocks.push(block);
        const failed = block.results.find((result) => result !== 'ok' && result !== 'left out');
        if (failed) throw new Error(`block ${block.number}: ${describe(rest[block.results.indexOf(failed)])} failed: ${failed}`);
        const left = rest.filter((_, i) => block.results[i] === 'left out');
        if (left.length === rest.length) throw new Error(`block ${block.number}: the runtime refuses ${describe(rest[0])}`);
        rest = left;
      }
    }
    return blocks;
  }

  /** Signs with the next local nonce, so that several calls of one account fit in one block. */
  async #sign(call, who) {
    const nonce = this.#nonces.get(who.address) ?? (await this.api.query.system.account(who.address)).nonce.toNumber();
    this.#nonces.set(who.address, nonce + 1);
    return (await call.signAsync(who, { nonce, era: 0 })).toHex();
  }

  #result(block, extrinsic) {
    if (extrinsic < 0) return 'left out';
    const own = block.events.filter(({ phase }) => phase.isApplyExtrinsic && phase.asApplyExtrinsic.toNumber() === extrinsic);
    const failed = own.find(({ event }) => event.section === 'system' && event.method === 'ExtrinsicFailed');
    if (!failed) return own.find(({ event }) => event.method === 'BatchInterrupted')?.event.data.toString() ?? 'ok';
    const [error] = failed.event.data;
    if (!error.isModule) return error.toString();
    const { section, name } = this.api.registry.findMetaError(error.asModule);
    return `${section}.${name}`;
  }

  async close() { await this.api.disconnect(); }
}

const nameOf = ([call]) => `${call.method.section}.${call.method.method}`;

/** The calls in their order, as many together as surely fit in one block. */
function byBlock(calls) {
  const blocks = [];
  let room = 0;
  for (const call of calls) {
    const share = 1 / (PER_BLOCK[nameOf(call)] ?? PER_BLOCK_OTHERS);
    if (room < share) {
      blocks.push([]);
      room = 1 + share / 2; // sums of shares aren't exact
    }
    blocks.at(-1).push(call);
    room -= share;
  }
  return blocks;
}

const lower = (name) => name[0].toLowerCase() + name.slice(1);
const describe = ([call, who]) => `${nameOf([call])} of ${who.address}`;
