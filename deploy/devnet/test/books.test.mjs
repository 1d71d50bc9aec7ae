import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Books, compareMoney, compareOutcomes } from '../lib/books.mjs';
import { eventTypes } from '../lib/journal.mjs';
import { bytes, hex, jobKey, scaleJobId } from '../protocol.mjs';

const EVENTS = new URL('../../../events/', import.meta.url);
const A = `0x${'aa'.repeat(32)}`;
const TX = `0x${'11'.repeat(32)}`;
const account = (kind, escrow) => ({ kind: `LEDGER_ACCOUNT_KIND_${kind}`, ...(escrow && { escrow_id: escrow }) });
const move = (from, to, amount, escrow = A) => ({ book: 'BOOK_ESCROW', credit: account(from, escrow), debit: account(to, escrow), amount: String(amount) });
const signer = (from, to, amount) => ({ book: 'BOOK_SIGNER', credit: account(from), debit: account(to), amount: String(amount) });
const posted = (...entries) => ({ posted: { reason: 'POSTING_REASON_LOCKED', entries }, event: 'posted' });
const fold = (family, ...events) => ({ family, events });

/** An account of 100 of which 30 was spent on a transaction that cost 33. */
function settledBooks() {
  const books = new Books();
  books.visit(fold('jobs', posted(move('CONSUMER', 'LOCKED', 100)), posted(move('LOCKED', 'RESERVED', 40))));
  books.visit(fold('lanes', { slot_final: { tx: TX, cost: '33', outcome: 'SLOT_OUTCOME_SUCCESS' }, event: 'slot_final' }));
  books.visit(fold('jobs', posted(move('RESERVED', 'SPENT', 30)), posted(signer('SIGNER', 'SIGNER_COST', 33), signer('MARGIN', 'SIGNER', 3))));
  books.visit(fold('jobs', posted(move('RESERVED', 'LOCKED', 10)), posted(move('LOCKED', 'CONSUMER', 5))));
  return books;
}
const chain = ({ locked = 100n, charged = 30n, refunded = 5n, cost = 33n } = {}) => ({ accounts: new Map([[A, { locked, charged, refunded }]]), paid: new Map([[TX, cost]]) });

test('a ledger that says what the chain says has no difference', () => {
  const { figures, failures } = compareMoney(settledBooks(), chain());
  assert.deepEqual(failures, []);
  assert.deepEqual([figures.ledger_difference, figures.signer_difference, figures.reserved_wei, figures.margin_wei], [0, 0, '0', '-3']);
});

test('every unit by which an account differs is counted, whichever side has more', () => {
  for (const [of, value, difference] of [['locked', 99n, 1], ['charged', 35n, 5], ['refunded', 0n, 5]]) {
    const { figures, failures } = compareMoney(settledBooks(), chain({ [of]: value }));
    assert.equal(figures.ledger_difference, difference);
    assert.match(failures[0], new RegExp(`the chain says ${of} ${value} wei`));
  }
  const unknown = chain();
  unknown.accounts.set(`0x${'bb'.repeat(32)}`, { locked: 7n, charged: 0n, refunded: 0n });
  assert.equal(compareMoney(settledBooks(), unknown).figures.ledger_difference, 7);
  assert.equal(compareMoney(settledBooks(), { accounts: new Map(), paid: new Map([[TX, 33n]]) }).figures.ledger_difference, 135);
});

test('a difference beyond 53 bits stays exact', () => {
  const { figures } = compareMoney(settledBooks(), chain({ locked: 10n ** 20n }));
  assert.equal(figures.ledger_difference, '99999999999999999900');
});

test('a transaction that cost something else, or a cost in no book, is found', () => {
  assert.equal(compareMoney(settledBooks(), chain({ cost: 40n })).figures.signer_difference, 7);
  const books = settledBooks();
  books.visit(fold('lanes', { slot_final: { tx: `0x${'22'.repeat(32)}`, cost: '9', outcome: 'SLOT_OUTCOME_REVERTED' } }));
  const { failures } = compareMoney(books, chain());
  assert.ok(failures.some((text) => text.includes('final slots cost 42')), failures.join('\n'));
});

test("somebody else's transaction at our slot is no cost of ours", () => {
  const books = settledBooks();
  books.visit(fold('lanes', { slot_final: { tx: `0x${'22'.repeat(32)}`, outcome: 'SLOT_OUTCOME_FOREIGN' } }));
  assert.deepEqual(compareMoney(books, chain()).failures, []);
});

test('an overdrawn account, a posting between two accounts, money left in reserve and an alarm of the relayer are failures', () => {
  const overdrawn = settledBooks();
  overdrawn.visit(fold('jobs', posted(move('LOCKED', 'RESERVED', 1_000))));
  assert.ok(compareMoney(overdrawn, chain()).failures.some((text) => text.includes('LOCKED is overdrawn by 935 wei')));
  assert.ok(compareMoney(overdrawn, chain()).failures.some((text) => text.includes('still reserved')));
  const crossing = settledBooks();
  const entry = move('LOCKED', 'RESERVED', 1);
  crossing.visit(fold('jobs', posted({ ...entry, debit: account('RESERVED', `0x${'bb'.repeat(32)}`) })));
  assert.ok(compareMoney(crossing, chain()).failures.some((text) => text.includes('moves 1 wei between accounts')));
  const alarmed = settledBooks();
  alarmed.visit(fold('jobs', { ledger_differs: { what: 'charge' } }));
  assert.equal(compareMoney(alarmed, chain()).figures.ledger_alarms, 1);
});

const GENESIS = `0x${'0e'.repeat(32)}`;
const ORIGIN = { variant: 'Ethereum20', address: `0x${'5a'.repeat(20)}` };
const ASSIGNMENT = `0x${'cc'.repeat(32)}`;
const manifest = {
  acurast: { genesis: GENESIS },
  jobs: [{
    index: 0, kind: 'mixed', job_key: jobKey(GENESIS, ORIGIN, 7n), slots: [{ slot: 0, assignments: [{
      assignment_id: ASSIGNMENT, executions: ['fulfilled', 'missed', 'missed'].map((expected, execution) => ({ execution, expected })),
    }] }],
  }],
};
const ended = (execution, outcome, executions) => ({ execution_ended: { assignment_id: ASSIGNMENT, ...(execution && { execution: String(execution) }), outcome: `OUTCOME_${outcome}`, ...(executions && { executions: String(executions) }) } });
const closed = { job_closed: { job: hex(scaleJobId(ORIGIN, 7n)) } };
const outcomes = (...events) => {
  const books = new Books();
  books.visit(fold('jobs', ...events));
  return compareOutcomes(books, manifest);
};

test('every execution has its planned outcome, alone or in a run, and the job is closed', () => {
  const { figures, failures } = outcomes(ended(0, 'FULFILLED'), ended(1, 'MISSED', 2), closed);
  assert.deepEqual(failures, []);
  assert.deepEqual([figures.jobs, figures.closed, figures.fulfilled, figures.missed], [1, 1, 1, 2]);
});

test('an execution without outcome, with two, or with another one, and an open job are found', () => {
  const { figures, failures } = outcomes(ended(0, 'FULFILLED'), ended(0, 'FULFILLED'), ended(1, 'CANCELLED'));
  assert.deepEqual([figures.closed, figures.ended_twice, figures.contradicting, figures.without_outcome], [0, 1, 1, 1]);
  assert.equal(failures.length, 4);
});

test('what the relayer publishes is folded by the names of the published schemas', () => {
  const type = eventTypes(new URL('proto', EVENTS).pathname).get('jobs');
  const golden = readFileSync(new URL('tests/golden/jobs/Posted.hex', EVENTS), 'utf8').trim().split('\n').find((line) => line.startsWith('filled'));
  const event = type.toObject(type.decode(bytes(golden.split(' ').at(-1))), { longs: String, enums: String, oneofs: true });
  const [cost, between] = event.posted.entries;
  assert.deepEqual([cost.book, cost.debit.kind, cost.amount], ['BOOK_SIGNER', 'LEDGER_ACCOUNT_KIND_SIGNER_COST', '42010000000000000000042010']);
  assert.equal(between.book, 'BOOK_ESCROW');
  const books = new Books();
  books.visit({ family: 'jobs', events: [event] });
  assert.equal(books.signer.cost, 42010000000000000000042010n);
});
