#!/usr/bin/env node
// The relayer's configuration for a world of the devnet: a file and its keys, from nothing but what workload.mjs setup wrote.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { anvilAccount } from '../devnet/lib/evm.mjs';
import { hex } from '../devnet/protocol.mjs';

const USAGE = `config.mjs --world FILE --out DIR [options]
Writes DIR/relayer.toml, DIR/relayer.key (relayer-N.key for further lanes) and DIR/attester-N.key (mode 600) for a world that workload.mjs setup made.

  --acurast URL   Acurast dev node (ws://127.0.0.1:\${ACURAST_PORT:-9944})
  --anvil URL     EVM node (http://127.0.0.1:\${ANVIL_PORT:-8545})
  --api HOST:PORT where the relayer listens (127.0.0.1:8080)

The devnet's keys are anvil's deterministic ones, known to everybody: account 1 relays (with accounts from 6 on for further lanes),
accounts from 2 on attest.`;

/** The world's keys must be among these accounts, or nothing here can sign for it. */
const ACCOUNTS = 10;
/** Blocks come every 200 ms on the devnet: batches close soon, and a block is final two blocks later. */
const PACE = { poll_ms: 200, finality_depth: 2, root_age_ms_max: 800, item_age_ms_max: 400 };

// JSON's strings are TOML's basic strings for everything that stands here: addresses, URLs and paths.
const text = (value) => JSON.stringify(String(value));
const table = (name, values) => [`[${name}]`, ...Object.entries(values).map(([key, value]) => `${key} = ${value}`), ''].join('\n');

/**
 * The file's text. Pure: the same world and places always give the same bytes. `finalityDepth` (blocks), `fees` and `batch` (by the names of
 * the configuration) differ from a quiet devnet's where a run makes it less quiet. `journal` (`brokers`, and what else the configuration has there)
 * keeps the journal on Kafka, `checkpoints` (`directory`, `every_ms`) copies of the state outside `directory`.
 */
export function relayerConfig({
  world, acurast, anvil, api, directory, keys, finalityDepth = PACE.finality_depth, fees = {}, batch = {}, journal = null, checkpoints = null,
}) {
  const { evm } = world;
  const file = (name) => `{ file = ${text(join(directory, name))} }`;
  return [
    `data_dir = ${text(join(directory, 'data'))}\n`,
    // What the world's jobs need comes after the block that its set-up ended with.
    table('acurast', { url: text(acurast), genesis: text(world.acurast.genesis), start: world.acurast.height }),
    table('[evm]', {
      chain: text(evm.caip2), endpoints: `[${[anvil].flat().map((url) => `{ url = ${text(url)}, trusted = true }`).join(', ')}]`,
      settlement: text(evm.settlement.toLowerCase()), start_block: evm.deployed_at,
      finality: `{ depth = ${finalityDepth} }`, poll_ms: PACE.poll_ms, block_time_ms: PACE.poll_ms,
      lanes: `[${lanesOf(world).map(({ lane }, i) => `{ number = ${lane}, partition = ${i}, signer = ${file(keys.lanes[i])} }`).join(', ')}]`,
      attesters: `[${keys.attesters.map(file).join(', ')}]`,
    }),
    ...Object.keys(fees).length > 0 ? [table('evm.fees', fees)] : [],
    table('evm.batch', { root_age_ms_max: PACE.root_age_ms_max, item_age_ms_max: PACE.item_age_ms_max, ...batch }),
    table('[origins]', { origin: text('ethereum20'), chain: text(evm.caip2) }),
    ...world.routes.map(({ owner, chain, target, escrow_id: escrow }) => table('[routes]', {
      owner: text(`acurast:${owner}`), chain: text(chain), target: text(target), escrow_id: text(escrow),
    })),
    ...journal ? kafkaTables(journal) : [],
    ...checkpoints ? [table('checkpoints', { place: `{ directory = ${text(checkpoints.directory)} }`, every_ms: checkpoints.every_ms })] : [],
    table('api', { listen: text(api) }),
  ].join('\n');
}

/** The journal's tables: `group` is a table of its own, all but the brokers stands in the first one. */
const kafkaTables = ({ brokers, group = {}, ...journal }) => [
  table('journal', { kind: text('kafka'), ...journal }),
  table('journal.kafka', { brokers: `[${brokers.map(text).join(', ')}]` }),
  ...Object.keys(group).length > 0 ? [table('journal.kafka.group', group)] : [],
];

/** The lanes of a world: relayer (address) and lane (number). */
export const lanesOf = ({ evm }) => [{ relayer: evm.relayer, lane: evm.lane }, ...evm.further_lanes ?? []];

/** Which of the devnet's accounts has this address; fails when none has. */
function accountOf(address) {
  for (let index = 0; index < ACCOUNTS; index++) {
    if (anvilAccount(index).address.toLowerCase() === address.toLowerCase()) return anvilAccount(index);
  }
  throw new Error(`${address} is none of anvil's first ${ACCOUNTS} accounts, so its key isn't known here; set the world up with one of them`);
}

/** The key files of a world: name → secret, 0x-hex. */
export function keyFiles(world) {
  const secret = (address) => hex(accountOf(address).getHdKey().privateKey);
  const attesters = Object.fromEntries(world.evm.attesters.map((address, i) => [`attester-${i + 1}.key`, secret(address)]));
  const lanes = Object.fromEntries(lanesOf(world).map(({ relayer }, i) => [i ? `relayer-${i + 1}.key` : 'relayer.key', secret(relayer)]));
  return { lanes, attesters };
}

function writeSecret(file, value) {
  writeFileSync(file, `${value}\n`, { mode: 0o600 });
  chmodSync(file, 0o600); // an older file keeps its mode otherwise
}

/** Writes the configuration and its keys; returns the path of relayer.toml. `attester`: the only one of the world's that signs here, by index. */
export function writeConfig({ world, out, attester, ...options }) {
  const directory = resolve(out);
  mkdirSync(directory, { recursive: true });
  const { lanes, attesters: all } = keyFiles(world);
  const attesters = Object.fromEntries(Object.entries(all).filter((_, i) => attester === undefined || i === attester));
  for (const [name, value] of Object.entries({ ...lanes, ...attesters })) writeSecret(join(directory, name), value);
  const keys = { lanes: Object.keys(lanes), attesters: Object.keys(attesters) };
  const file = join(directory, 'relayer.toml');
  writeFileSync(file, relayerConfig({ world, directory, keys, ...options }));
  return file;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values: args } = parseArgs({ options: {
    world: { type: 'string' }, out: { type: 'string' }, api: { type: 'string', default: '127.0.0.1:8080' },
    acurast: { type: 'string', default: `ws://127.0.0.1:${process.env.ACURAST_PORT ?? 9944}` },
    anvil: { type: 'string', default: `http://127.0.0.1:${process.env.ANVIL_PORT ?? 8545}` }, help: { type: 'boolean', short: 'h', default: false },
  } });
  if (args.help || !args.world || !args.out) {
    (args.help ? console.log : console.error)(USAGE);
    process.exit(args.help ? 0 : 2);
  }
  try {
    console.log(writeConfig({ ...args, world: JSON.parse(readFileSync(args.world)) }));
  } catch (error) {
    console.error(`config: ${error.message}`);
    process.exit(1);
  }
}
