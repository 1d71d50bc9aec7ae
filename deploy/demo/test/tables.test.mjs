import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Told, differences, reasons, rowOf } from '../tables.mjs';

const block = (number) => ({ chain: 'polkadot:ab', number, hash: '0x01', timestamp: '1' });
const settlement = (tx) => ({
  settlement_id: '0x51', stage: 'final', waits: null, needs: null, tx, block: block('7'), batch: '3', late_root: false, reserved: '0', charge: tx.slice(2), root_share: '1', cost: '9', reason: null,
});
const known = (execution, outcome, more = {}) => ({
  execution, executions: '1', reported: null, payload_hash: null, fulfillment: null, equivocations: 0, outcome, fault: 'nobody', latency: '5', detail: '', ...more,
});
const job = (tx, executions) => ({
  job: 'acurast:0x01/1', job_key: '0xaa', state: 'DONE', opened_by: 'registered', opened: block(tx), matched: block('2'), assigned: null, done: block('9'), removed: null, closed: true, rule: 'route',
  chain: 'eip155:1', escrow_id: '0xee', tracked_because: null, reserved: '0', reserved_ever: '8', spent: tx, cost: '1', margin_gain: '0', margin_loss: '3', waits: [],
  escrow: { escrow_id: '0xee', asset: 'eip155:1/slip44:60', locked: '50', free: tx, reserved: '0', spent: '5', refunded: '0', closing: false },
  assignments: [{
    processor: '0x0b', slot: 0, only: null, assignment_id: '0xa1', acknowledged: block('4'), lane: 'eip155:1:0x02', not_after: tx, root: settlement(tx), executions: '3', ended: '3', known: executions,
  }],
});
const delivered = (tx) => known('0', 'fulfilled', { fulfillment: settlement(tx), payload_hash: '0x77', reported: { outcome: 'success', block: block(tx) } });

test('two runs of one demo are equal whatever their times, transactions, gas shares, and however runs of executions are cut', () => {
  const one = rowOf(job('0x11', [delivered('0x11'), { ...known('1', 'missed'), executions: '2' }]));
  const other = rowOf(job('0x22', [known('2', 'missed'), known('1', 'missed'), delivered('0x22')]));
  assert.deepEqual(differences(one, other), []);
  assert.deepEqual(one.reached, ['opened', 'matched', 'done']);
  assert.equal(one.assignments[0].known.length, 3);
});

test('another outcome, payload, account or state is a difference, named by its place', () => {
  const one = rowOf(job('0x11', [delivered('0x11')]));
  const changed = (change) => {
    const value = job('0x11', [delivered('0x11')]);
    change(value);
    return differences(one, rowOf(value));
  };
  assert.deepEqual(changed((value) => { value.assignments[0].known[0].outcome = 'failed'; }), ['assignments[0].known[0].outcome: "fulfilled" and "failed"']);
  assert.deepEqual(changed((value) => { value.escrow.locked = '51'; }), ['escrow.locked: "50" and "51"']);
  assert.deepEqual(changed((value) => { value.assigned = block('3'); }), ['reached: ["opened","matched","done"] and ["opened","matched","assigned","done"]']);
  assert.equal(changed((value) => { value.assignments[0].known = []; }).length, 1);
  assert.equal(changed((value) => { value.assignments[0].known[0].reported = null; }).length, 1);
});

test('a field that is neither compared nor excused is told', () => {
  const unknown = new Set();
  const value = job('0x11', [delivered('0x11')]);
  Object.assign(value, { colour: 'red' });
  Object.assign(value.assignments[0].root, { shade: 'dark' });
  rowOf(value, unknown);
  assert.deepEqual([...unknown].sort(), ['assignments[].root.shade', 'colour']);
  assert.ok([...reasons().keys()].every((reason) => reason.length > 10));
});

test('the journal tells states, outcomes and money; what is published twice counts once', () => {
  const told = new Told();
  const receipt = { event: 'receipt', receipt: { id: '0x01', job_key: '0xaa', outcome: 'OUTCOME_MISSED', fault: 'FAULT_PROCESSOR', executions: '2' } };
  told.visit({ family: 'jobs', subject: '0x6aaa', events: [
    { event: 'job_opened', job_opened: {} }, { event: 'execution_ended', execution_ended: { assignment_id: '0xa1', execution: '1', executions: '2', outcome: 'OUTCOME_MISSED', fault: 'FAULT_PROCESSOR' } },
    { event: 'posted', posted: { entries: [{ debit: { kind: 'LEDGER_ACCOUNT_KIND_LOCKED', escrow_id: '0xee' }, credit: { kind: 'LEDGER_ACCOUNT_KIND_CONSUMER', escrow_id: '0xee' }, amount: '50' }] } },
  ] });
  told.derived(receipt);
  told.derived(receipt);
  told.derived({ event: 'job_receipt', job_receipt: { id: '0x02', job_key: '0xaa' } });
  told.derived({ id: '0x03', job_key: '0xaa', outcome: 'OUTCOME_MISSED', fault: 'FAULT_PROCESSOR', executions: '2' });
  const counts = { 'OUTCOME_MISSED FAULT_PROCESSOR': 2 };
  assert.deepEqual(told.row('0xaa'), {
    states: ['OPEN'], outcomes: { '0xa1': { 1: 'OUTCOME_MISSED FAULT_PROCESSOR', 2: 'OUTCOME_MISSED FAULT_PROCESSOR' } }, receipts: counts, job_receipts: 1, reputation: counts,
  });
  assert.deepEqual(told.accounts.get('0xee'), { locked: 50n, refunded: 0n });
});
