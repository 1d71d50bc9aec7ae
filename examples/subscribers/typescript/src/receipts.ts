#!/usr/bin/env node
// Follows receipts.v1, a derived topic, into a file: each receipt once, however often it is delivered.
//
// Derived topics are published at least once: after a crash the relayer publishes again what it can't be sure of. The same id
// means the same receipt, so an id that is already there is dropped. New receipts and the positions after them are stored by one
// write: a crash between the two can't be, and after any crash reading goes on where the stored receipts end.
import { Ledger } from './ledger.js';
import { Lost, read, type LogMessage } from './log.js';
import { options } from './options.js';
import { load, plain, type Plain } from './schemas.js';

interface Receipt { id: string; kind: string; content: Plain }
/** What one batch gave: next offsets by partition, and the receipts that were new. */
interface Line { next: Record<string, string>; receipts: Receipt[] }

const USAGE = `receipts.js follow --brokers HOST:PORT,… --state FILE [--topic acurast.receipts.v1] [--until-end]
receipts.js show --state FILE`;
const args = options(USAGE, 'acurast.receipts.v1');
const ledger = new Ledger<Line>(args.state);
const known = new Map<string, string>(); // id → kind
const next: Record<string, string> = {};

function remember({ next: positions, receipts }: Line): void {
  for (const { id, kind } of receipts) known.set(id, kind);
  Object.assign(next, positions);
}

const type = load('derived', 'ReceiptsEvent');

/** The receipt of a message, if it has a new id. */
function receiptOf({ value, partition, offset }: LogMessage, batch: Receipt[]): Receipt | undefined {
  let event: Plain;
  try {
    event = plain(type, type.decode(value ?? new Uint8Array()));
  } catch (error) {
    // Nothing of the relayer's. One that doesn't decode must not hold up those behind it.
    console.error(`skipped offset ${offset} of partition ${partition}: ${(error as Error).message}`);
    return undefined;
  }
  if (event.event === undefined) throw new Lost(`partition ${partition} has a kind of receipt at offset ${offset} that these schemas don't know: update them`);
  const content = event[event.event] as Plain & { id: string };
  return known.has(content.id) || batch.some(({ id }) => id === content.id) ? undefined : { id: content.id, kind: event.event, content };
}

async function follow(): Promise<void> {
  const start = (partition: number) => ({ offset: BigInt(next[partition] ?? 0) });
  for await (const batch of read({ ...args, name: 'acurast-example-receipts', start })) {
    const line: Line = { next: {}, receipts: [] };
    for (const message of batch) {
      const receipt = receiptOf(message, line.receipts);
      if (receipt) line.receipts.push(receipt);
      line.next[message.partition] = (message.offset + 1n).toString();
    }
    ledger.append(line); // with a database: here, in this transaction, goes what a receipt changes in your own tables
    remember(line);
    for (const { kind, content } of line.receipts) console.log(JSON.stringify({ [kind]: content }));
  }
}

ledger.lines().forEach(remember);
try {
  if (args.command === 'follow') await follow();
  else console.log(JSON.stringify({ positions: next, receipts: [...known].sort().map(([id, kind]) => ({ id, kind })) }));
} catch (error) {
  if (!(error instanceof Lost)) throw error;
  console.error(`stopped: ${error.message}`);
  process.exitCode = 1;
} finally {
  ledger.close();
}
