// What a workload makes its jobs go through: a list of plans, each the whole intended life of one job.
//
// A plan says who registers it and how, what each slot does in each execution, and where it is cancelled. The first plans cover
// every path once; further ones repeat them with actions drawn from the seed, so a seed always gives the same jobs.

/** What a processor does in one execution of its slot. */
export const ACTION = { output: 'output', fail: 'fail', miss: 'miss' };
const { output, fail, miss } = ACTION;

/**
 * kind: name of the path · origin: acurast or ethereum · slots[slot][execution]: actions, `null` for a slot that never
 * acknowledges · via: register, deploy, or instant (registered with its processors, matched in the same extrinsic) · cancel:
 * open, matched, assigned (before the first execution) or running (after the first execution) · escrow: late (opened after the
 * first output was accepted) or small (topped up then) · matched: false when nobody ever matches it · competing: matched and
 * acknowledged execution by execution · removed: deregistered by its owner once its last window is over
 */
const PATHS = [
  { kind: 'success', origin: 'ethereum', slots: [[output]] },
  { kind: 'success', origin: 'acurast', slots: [[output, output], [output, output]], removed: true },
  { kind: 'failure', origin: 'acurast', slots: [[fail]] },
  { kind: 'miss', origin: 'acurast', slots: [[miss, output]], removed: true },
  { kind: 'cancelled-open', origin: 'acurast', slots: [[output]], cancel: 'open' },
  { kind: 'cancelled-matched', origin: 'acurast', slots: [[output]], cancel: 'matched' },
  { kind: 'cancelled-assigned', origin: 'acurast', slots: [[output, output]], cancel: 'assigned' },
  { kind: 'cancelled-running', origin: 'acurast', slots: [[output, output, output]], cancel: 'running' },
  { kind: 'slot-never-acknowledged', origin: 'ethereum', slots: [[output, output], null] },
  { kind: 'competing', origin: 'acurast', slots: [[output, output]], competing: true },
  { kind: 'instant-match', origin: 'acurast', slots: [[output, fail]], via: 'instant' },
  { kind: 'deployed', origin: 'acurast', slots: [[output], [output]], via: 'deploy' },
  { kind: 'success', origin: 'ethereum', slots: [[output, output, output]] },
  { kind: 'mixed', origin: 'acurast', slots: [[output, miss, fail], [fail, output, output]], removed: true },
  { kind: 'miss', origin: 'ethereum', slots: [[miss]] },
  { kind: 'failure', origin: 'ethereum', slots: [[output, fail]] },
  { kind: 'never-matched', origin: 'acurast', slots: [[output]], matched: false },
  { kind: 'late-escrow', origin: 'ethereum', slots: [[output]], escrow: 'late' },
  { kind: 'small-escrow', origin: 'ethereum', slots: [[output, output]], escrow: 'small' },
  { kind: 'success', origin: 'ethereum', slots: [[output], [output], [output]] },
  { kind: 'mixed', origin: 'ethereum', slots: [[fail, output], [output, miss]] },
  { kind: 'success', origin: 'acurast', slots: [[output]] },
];

const HOSTILE = ['RevertingTarget', 'GasBurningTarget', 'ReenteringTarget', 'MegabyteTarget'].map((hostile) => ({
  kind: 'hostile', origin: 'acurast', slots: [[output, output]], hostile,
}));

/** Small seeded generator of numbers in [0, 1): xorshift32 over a hash of the seed. */
export function random(seed) {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ (seed >>> 13)) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** The plans of `count` jobs; with `hostile`, a job for each hostile target comes after the first ten. */
export function plan({ count, seed, hostile = false }) {
  const next = random(seed);
  const draw = (action) => {
    const n = next();
    if (action === null) return null;
    return n < 0.75 ? output : n < 0.9 ? fail : miss;
  };
  const paths = hostile ? [...PATHS.slice(0, 10), ...HOSTILE, ...PATHS.slice(10)] : PATHS;
  return Array.from({ length: count }, (_, i) => {
    const path = paths[i % paths.length];
    const again = i >= paths.length;
    // A path whose name says what its executions do keeps its actions, and so does one that waits for an output.
    const drawn = again && ['success', 'mixed', 'deployed'].includes(path.kind);
    const slots = drawn ? path.slots.map((actions) => actions?.map(draw) ?? null) : path.slots;
    return {
      via: 'register', cancel: null, escrow: 'open', matched: true, competing: false, removed: false, hostile: null,
      ...path, kind: drawn ? 'mixed' : path.kind, index: i, slots, executions: Math.max(...path.slots.map((actions) => actions?.length ?? 0)),
    };
  });
}

/** A job of nothing but deliverable outputs has at most so many slots and executions. */
const DELIVERIES = { slots: 3, executions: 15 };
/** How such jobs come to the chain, one after the other. */
const WAYS = [{ origin: 'ethereum', via: 'register' }, { origin: 'acurast', via: 'register' }, { origin: 'acurast', via: 'deploy' }, { origin: 'acurast', via: 'instant' }];

/** Plans with exactly `count` executions in all, each of which is to be delivered: large jobs first, the last ones take what is left. */
export function deliveries(count) {
  const plans = [];
  for (let left = count; left > 0;) {
    const slots = Math.min(DELIVERIES.slots, left);
    const executions = Math.min(DELIVERIES.executions, Math.floor(left / slots));
    plans.push({
      kind: 'deliveries', ...WAYS[plans.length % WAYS.length], cancel: null, escrow: 'open', matched: true, competing: false, removed: false, hostile: null,
      index: plans.length, slots: Array.from({ length: slots }, () => Array.from({ length: executions }, () => output)), executions,
    });
    left -= slots * executions;
  }
  return plans;
}

/** Of a crowd's jobs, one in so many: two outputs, and as often none (its processor fails or misses); an owner of origin Ethereum; a patient processor. */
const CROWD = { special: 20, ethereum: 10, patient: 10 };
/** How a crowd's jobs of origin Acurast come to the chain, by job: nearly all matched at once, as every other match fills most of a block. */
const crowdWay = (index) => ({ 7: 'register', 13: 'deploy' })[index % 40] ?? 'instant';

/**
 * Plans of many small jobs of many owners, who take turns. As many have two outputs as have none, so there are as many outputs as jobs;
 * which ones is drawn from the seed. Most processors are impatient: they report the settlement id and don't wait for the hash.
 */
export function crowd({ count, owners, seed }) {
  const next = random(seed);
  const order = Array.from({ length: count }, (_, index) => ({ index, at: next() })).sort((a, b) => a.at - b.at).map(({ index }) => index);
  const share = Math.floor(count / CROWD.special);
  const special = new Map(order.slice(0, 2 * share).map((index, i) => [index, i < share ? [output, output] : [i % 2 ? fail : miss]]));
  return Array.from({ length: count }, (_, index) => {
    const owner = index % owners;
    const ethereum = owner % CROWD.ethereum === 0;
    const slots = [special.get(index) ?? [output]];
    return {
      kind: 'crowd', origin: ethereum ? 'ethereum' : 'acurast', owner, via: ethereum ? 'register' : crowdWay(index), cancel: null, escrow: 'open', matched: true,
      competing: false, removed: false, hostile: null, impatient: Math.floor(index / owners) % CROWD.patient !== 0, index, slots, executions: slots[0].length,
    };
  });
}

/**
 * What must come of one execution: fulfilled (delivered, taken), refused (delivered, the target failed),
 * reported_failure, missed or cancelled; `null` when there is no assignment.
 */
export function expectedOutcome(plan, slot, execution) {
  const action = plan.slots[slot]?.[execution];
  if (action === undefined || !plan.matched || ['open', 'matched'].includes(plan.cancel)) return null;
  if (plan.cancel === 'assigned' || (plan.cancel === 'running' && execution > 0)) return 'cancelled';
  if (action === fail) return 'reported_failure';
  if (action === miss) return 'missed';
  const refused = ['RevertingTarget', 'GasBurningTarget'].includes(plan.hostile) || (plan.hostile === 'MegabyteTarget' && execution > 0);
  return refused ? 'refused' : 'fulfilled';
}

/** The bytes that a slot's processor outputs in one execution, 0x-hex. */
export function payloadOf(plan, slot, execution) {
  const text = Buffer.from(`job ${plan.index} slot ${slot} execution ${execution}: ${'.'.repeat((plan.index * 37 + execution * 11) % 97)}`);
  // The megabyte target returns one for a payload that starts with a zero byte, and reverts with one for any other.
  const lead = plan.hostile === 'MegabyteTarget' && execution === 0 ? Buffer.from([0]) : Buffer.alloc(0);
  return `0x${Buffer.concat([lead, text]).toString('hex')}`;
}
