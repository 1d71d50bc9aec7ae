#!/usr/bin/env node
// Writes lifecycle.json: the development-node calls that take jobs through every path of their lives, with signed extrinsics.
// The node is deterministic when it starts from a given clock, so the tests replay the calls without Node or keys:
//   acurast-devnode --spec SPEC --port 9944 --clock-ms 1795000000000
//   node make.mjs ws://127.0.0.1:9944 lifecycle.json
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { AcurastChain } from '../../../../deploy/devnet/lib/chain.mjs';
import { publicKeys } from '../../../../deploy/devnet/lib/keys.mjs';

const require = createRequire(new URL('../../../../deploy/devnet/package.json', import.meta.url));
const { stringToHex, stringToU8a, u8aToHex } = require('@polkadot/util');
const { base58Encode, blake2AsHex, blake2AsU8a } = require('@polkadot/util-crypto');

const [url, out] = process.argv.slice(2);
const UNIT = 10n ** 12n;
const chain = await AcurastChain.connect(url);
const { api, slotMs } = chain;
const { acurast, acurastMarketplace: market, utility, system, multisig } = api.tx;

// Everything that changes the chain goes through `send`; that is the scenario.
const steps = [];
let calls = [];
const send = chain.ws.send.bind(chain.ws);
chain.ws.send = (method, params, ...rest) => {
  if (method.startsWith('dev_')) calls.push({ method, params });
  return send(method, params, ...rest);
};
const step = async (label, pairs = []) => {
  const block = await chain.mine(pairs);
  const failed = block.results.filter((result) => result !== 'ok');
  if (failed.length > 0) throw new Error(`${label}: ${failed.join(', ')}`);
  const events = pairs.length === 0 ? [] : block.events.filter(({ event }) => /^(acurast|acurastMarketplace)$/.test(event.section) || event.method === 'Remarked');
  console.log(`#${block.number} ${label}: ${events.map(({ event }) => event.method).join(', ')} ${failed.join(', ')}`);
  steps.push({ label, number: block.number, hash: block.hash, calls });
  calls = [];
};

const [owner, other, matcher, ...processors] = ['//Owner', '//Other', '//Matcher', '//P0', '//P1', '//P2', '//P3'].map((uri) => chain.account(uri));
const [p0, p1, p2, p3] = processors;
const scriptOf = (label) => u8aToHex(stringToU8a(`ipfs://${base58Encode(new Uint8Array([0x12, 0x20, ...blake2AsU8a(label, 256)]))}`));
const registration = (label, { startTime, slots = 1, executions = 1, interval = slotMs, strategy = { Single: null } }) => ({
  script: scriptOf(label), allowedSources: null, allowOnlyVerifiedSources: true,
  schedule: { duration: slotMs - 1000, startTime, endTime: startTime + (executions - 1) * interval + 1, interval, maxStartDelay: 0 },
  memory: 1000, networkRequests: 1, storage: 0, requiredModules: [],
  extra: { requirements: { assignmentStrategy: strategy, slots, reward: UNIT / 100n, minReputation: null, processorVersion: null, runtime: 'NodeJS' } },
});
const native = (who, number) => [{ Acurast: who.address }, number.toString()];
const sources = (...who) => who.map((p) => ({ source: p.address, startDelay: 0 }));
const match = (jobId, ...who) => ({ jobId, sources: sources(...who) });
const success = (text) => ({ Success: blake2AsHex(text, 256) });
const failure = (text) => ({ Failure: stringToHex(text) });
const soon = async (slots) => (await chain.now()) + slots * slotMs;
let sequence = 0n;
const next = (who) => native(who, ++sequence);

// Accounts, key attestations and advertisements.
const now = await chain.now();
await chain.fund([owner, other, matcher, ...processors], 1_000_000n * UNIT);
const none = { noAuthRequired: false, allowWhileOnBody: false };
const attestation = {
  certIds: [],
  content: { KeyDescription: {
    attestationSecurityLevel: 'TrustedEnvironemnt', keyMintSecurityLevel: 'TrustedEnvironemnt', // spelt so by the runtime
    softwareEnforced: { ...none, attestationApplicationId: {
      packageInfos: [{ packageName: stringToHex('com.acurast.attested.executor.mainnet'), version: 1 }],
      signatureDigests: ['0xec70c2a4e072a0f586552a68357b23697c9d45f1e1257a8c4d29a25ac4982433'],
    } },
    teeEnforced: { ...none, rootOfTrust: { verifiedBootKey: '0x00', deviceLocked: true, verifiedBootState: 'Verified', verifiedBootHash: null } },
  } },
  validity: { notBefore: 0, notAfter: now + 10 * 365 * 864e5 },
};
await chain.setStorage({ Acurast: { StoredAttestation: processors.map((p) => [[p.address], attestation]) } });
const offer = {
  pricing: { feePerMillisecond: 1_000_000, feePerStorageByte: 0, baseFeePerExecution: 0, schedulingWindow: { Delta: 864e5 } },
  maxMemory: 1e9, networkRequestQuota: 8, storageCapacity: 1e6, allowedConsumers: null, availableModules: [],
};
await step('advertised', processors.map((p) => [market.advertise(offer), p]));

// One slot; two slots; cancelled while open; cancelled while matched.
let start = await soon(5);
const [a, b, c, d] = [next(owner), next(owner), next(other), next(other)];
await step('open', [
  [acurast.register(registration('a', { startTime: start })), owner],
  [market.deploy(registration('b', { startTime: start, slots: 2, executions: 2 }), { Mutable: null }, null, null), owner],
  [acurast.register(registration('c', { startTime: start })), other],
  [acurast.register(registration('d', { startTime: start })), other],
]);
await step('matched', [[market.proposeMatching([match(a, p0), match(b, p1, p2), match(d, p3)]), matcher]]);
await step('some acknowledged, two cancelled', [
  [market.acknowledgeMatch(a, publicKeys(p0)), p0], [market.acknowledgeMatch(b, publicKeys(p1)), p1],
  [acurast.deregister(c[1]), other], [acurast.deregister(d[1]), other],
]);
await step('the last slot acknowledged, keys replaced', [
  [market.acknowledgeMatch(b, publicKeys(p2)), p2], [market.acknowledgeMatch(a, publicKeys(p3)), p0],
]);
await step('empty');
await step('reported', [
  [market.report(a, success('a')), p0], [market.report(b, success('b 0 1')), p1], [market.report(b, failure('connection refused')), p2],
]);
await step('edited, removed', [[market.editScript(b, scriptOf('b2')), owner], [acurast.deregister(a[1]), owner]]);
await step('removed with a slot unreported', [[acurast.deregister(b[1]), owner]]);

// Windows missed between two reports.
start = await soon(3);
const e = next(owner);
const interval = 30 * slotMs; // longer than the tolerance for late reports
await step('open: six executions', [[acurast.register(registration('e', { startTime: start, executions: 6, interval })), owner]]);
await step('matched: six executions', [[market.proposeMatching([match(e, p0)]), matcher]]);
await step('assigned: six executions', [[market.acknowledgeMatch(e, publicKeys(p0)), p0]]);
await step('first execution reported', [[market.report(e, success('e 0')), p0]]);
await chain.travelTo(start + 3 * interval);
await step('two missed, the fourth reported', [[market.report(e, failure('e 3')), p0]]);
await step('removed: six executions', [[acurast.deregister(e[1]), owner]]);

// Several reports within one block, of which only the first finds its counter in the state before it.
start = await soon(3);
const i = next(owner);
await step('open: short intervals', [[acurast.register(registration('i', { startTime: start, executions: 4 })), owner]]);
await step('matched: short intervals', [[market.proposeMatching([match(i, p0)]), matcher]]);
await step('assigned: short intervals', [[market.acknowledgeMatch(i, publicKeys(p0)), p0]]);
await chain.travelTo(start + 2 * slotMs);
await step('three reported in one block', [[utility.batchAll(['i 0', 'i 1', 'i 2'].map((text) => market.report(i, success(text)))), p0]]);
await step('the last reported', [[market.report(i, success('i 3')), p0]]);

// Details lost: registered and deregistered in one block; acknowledged and deregistered in one block.
start = await soon(4);
const [f, g] = [next(owner), next(other)];
await step('created and removed in one block, another opened', [
  [utility.batchAll([acurast.register(registration('f', { startTime: start })), acurast.deregister(f[1])]), owner],
  [acurast.register(registration('g', { startTime: start })), other],
]);
await step('matched: to be acknowledged and removed at once', [[market.proposeMatching([match(g, p1)]), matcher]]);
await step('acknowledged and removed in one block', [[market.acknowledgeMatch(g, publicKeys(p1)), p1], [acurast.deregister(g[1]), other]]);

// Matched while it is registered; acknowledged and reported in one block.
start = await soon(3);
const h = next(owner);
await step('instant match', [[acurast.register(registration('h', { startTime: start, executions: 2, strategy: { Single: sources(p2) } })), owner]]);
await step('acknowledged and reported in one block', [[utility.batchAll([market.acknowledgeMatch(h, publicKeys(p2)), market.report(h, success('h 0'))]), p2]]);
await chain.travelTo(start + slotMs);
await step('reported after it', [[market.report(h, success('h 1')), p2]]);

// Competing: one processor per execution.
start = await soon(4);
const k = next(owner);
await step('open: competing', [[acurast.register(registration('k', { startTime: start, executions: 3, interval: 300_000, strategy: { Competing: null } })), owner]]);
await step('execution 0 matched', [[market.proposeExecutionMatching([{ ...match(k, p0), executionIndex: 0 }]), matcher]]);
await step('execution 0 acknowledged', [[market.acknowledgeExecutionMatch(k, 0, publicKeys(p0)), p0]]);
await chain.travelTo(start);
await step('execution 0 reported', [[market.report(k, success('k 0')), p0]]);
await chain.travelTo(start + 300_000 - 3 * slotMs);
await step('execution 1 matched', [[market.proposeExecutionMatching([{ ...match(k, p1), executionIndex: 1 }]), matcher]]);
await step('execution 1 acknowledged', [[market.acknowledgeExecutionMatch(k, 1, publicKeys(p1)), p1]]);

// A job of an Ethereum owner: no OPEN is ever emitted for it.
start = await soon(3);
const m = [{ Ethereum20: blake2AsHex('an Ethereum owner', 256).slice(0, 42) }, '1'];
const { acurast: stored, acurastMarketplace: state } = api.query;
const put = (entry, keys, value) => {
  const type = api.registry.createLookupType(entry.creator.meta.type.asMap.value);
  return [entry.key(...keys), u8aToHex(api.registry.createType(type, value).toU8a())];
};
await chain.ws.send('dev_setStorage', [[
  put(stored.storedJobRegistration, m, registration('m', { startTime: start })), put(state.storedJobStatus, m, 'Open'), put(state.jobBudgets, [m], UNIT),
]]);
await step('matched: of an Ethereum owner', [[market.proposeMatching([match(m, p3)]), matcher]]);

// Remarks: plain, nested in batches, and by a multisig of one.
const remark = (text) => system.remarkWithEvent(stringToHex(text));
start = await soon(6);
sequence++;
await step('remarks', [
  [remark('plain'), owner],
  [utility.batchAll([
    acurast.register(registration('n', { startTime: start })), remark('beside a registration'),
    utility.batch([remark('twice'), utility.forceBatch([remark('nested'), remark('twice')])]),
  ]), other],
  [multisig.asMultiThreshold1([other.address], remark('by a multisig')), matcher],
]);

writeFileSync(out, `${JSON.stringify({ clock_ms: 1795000000000, genesis: chain.genesis, steps }, null, 1)}\n`);
console.log(`${steps.length} steps written to ${out}`);
await chain.close();
