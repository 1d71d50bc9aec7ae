#!/usr/bin/env node
// The independent observer: counts effects and money on the chain itself, and reads the journal with a reader of its own.
import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { Books, compareMoney, compareOutcomes } from './lib/books.mjs';
import { observeChain } from './lib/effects.mjs';
import { reader } from './lib/evm.mjs';
import { eventTypes, readJournal } from './lib/journal.mjs';

const USAGE = `observer.mjs [--manifest FILE] [--journal FILE]

  --manifest FILE   of the workload: counts what its contract did on the chain and compares
  --anvil URL       that chain (http://127.0.0.1:\${ANVIL_PORT:-8545})
  --journal FILE    lines of { topic, partition, offset, key, value, headers } in hex ("-": standard input)
  --proto DIR       schemas of the events (events/proto)

With both, the journal of a workload that is over is also held against the chain and the manifest: each account's locked, spent and
refunded money, what each transaction cost, the outcome of every execution, and that every job is closed.

Prints { holds, chain: figures, journal: { figures, events, partitions }, ledger: figures, outcomes: figures, failures: [text] } and
exits with 1 unless it holds. Figures whose name ends in _wei are decimal strings; ledger_difference and signer_difference are wei too.`;

const { values: args } = parseArgs({ options: {
  manifest: { type: 'string' }, journal: { type: 'string' }, anvil: { type: 'string', default: `http://127.0.0.1:${process.env.ANVIL_PORT ?? 8545}` },
  proto: { type: 'string', default: fileURLToPath(new URL('../../events/proto', import.meta.url)) }, help: { type: 'boolean', short: 'h', default: false },
} });
if (args.help || !(args.manifest || args.journal)) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

const report = { holds: false, failures: [] };
try {
  const manifest = args.manifest && JSON.parse(readFileSync(args.manifest));
  let chain;
  if (manifest) {
    chain = await observeChain(await reader(args.anvil), manifest);
    const { figures, failures } = chain;
    if (!manifest.complete) failures.push('the manifest is not complete: the workload was stopped');
    report.chain = figures;
    report.failures.push(...failures);
  }
  if (args.journal) {
    const input = args.journal === '-' ? process.stdin : createReadStream(args.journal);
    const books = new Books();
    const { figures, events, partitions, failures } = await readJournal(createInterface({ input, crlfDelay: Infinity }), {
      types: eventTypes(args.proto), visit: (record) => books.visit(record),
    });
    report.journal = { figures, events, partitions };
    report.failures.push(...failures);
    if (chain) {
      const [money, outcomes] = [compareMoney(books, chain), compareOutcomes(books, manifest)];
      report.ledger = money.figures;
      report.outcomes = outcomes.figures;
      report.failures.push(...money.failures, ...outcomes.failures);
    }
  }
} catch (error) {
  report.failures.push(`could not observe: ${error.shortMessage ?? error.message}`);
}
report.holds = report.failures.length === 0;
console.log(JSON.stringify(report, null, 1));
process.exitCode = report.holds ? 0 : 1;
