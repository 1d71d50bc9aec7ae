// The world that a workload runs in: the settlement contract with its roles, consumers with their bound targets and escrow
// accounts on the EVM side; funded and attested accounts on the Acurast side. Set up once, before the relayer starts.
import { u8aToHex } from '@polkadot/util';
import { encodeAbiParameters, keccak256, parseEther, zeroHash } from 'viem';

import { hex, ownerKey, scaleOrigin } from '../protocol.mjs';
import { EvmSender, artifact } from './evm.mjs';

const UNIT = 10n ** 12n;
const GWEI = 10n ** 9n;
const DAY_S = 86_400n;
/** Consumers of each origin that plain jobs share. */
const SHARED_CONSUMERS = 3;
/** Jobs driven at once, where a world says no other. */
const WAVE = 12;
/** Jobs of this world that are driven at once. */
export const waveOf = ({ wave = WAVE }) => wave;
/** The most processors that a wave of these plans needs. */
const processorsFor = ({ plans, ...world }) => waveOf(world) * Math.max(...plans.map(({ slots }) => slots.length));

const CAPS = { maxFeePerGas: 100n * GWEI, maxPriorityFee: 2n * GWEI, callGasLimit: 400_000n, maxPayload: 1_024, maxCharge: parseEther('0.2'), modes: 1 };
/** A hostile target gets enough gas to do its worst, and its account must be able to pay for it. */
const HOSTILE_CAPS = { ...CAPS, callGasLimit: 3_000_000n, maxCharge: parseEther('1') };
const DEPOSIT = parseEther('50');
/** Too small for one delivery: the job waits for a top-up. */
const SMALL_DEPOSIT = 1_000n;

/** The accounts of the Acurast side, the same in every run: matcher, owner by consumer, and the first `count` processors. */
export const actors = (chain) => ({
  matcher: chain.account('//Matcher'),
  owners: (i) => chain.account(`//Consumer//${i}`),
  processors: (count) => Array.from({ length: count }, (_, i) => chain.account(`//Processor//${i}`)),
});

/** Assigns a consumer to every plan: its owner's, else shared ones for plain jobs, an own one where account or target is special. */
function consumersOf(plans) {
  const consumers = [];
  const shared = new Map();
  for (const job of plans) {
    const own = job.hostile || job.escrow !== 'open';
    const key = own ? `${job.index}` : `${job.origin} ${job.owner ?? job.index % SHARED_CONSUMERS}`;
    if (!shared.has(key)) {
      shared.set(key, consumers.length);
      consumers.push({ index: consumers.length, origin: job.origin, hostile: job.hostile, escrow: job.escrow });
    }
    job.consumer = shared.get(key);
  }
  return consumers;
}

const escrowIdOf = (chainId, settlement, opener, target, owner) => keccak256(encodeAbiParameters(
  ['uint256', 'address', 'address', 'address', 'bytes32', 'bytes32'].map((type) => ({ type })),
  [BigInt(chainId), settlement, opener, target, owner, zeroHash],
));

/**
 * Sets everything up and returns the world as plain data. `options`: plans, seed, deployer (account), relayer, lane, furtherLanes,
 * attesters, threshold, ringSize, closeDelay (s), wave (jobs at once, 12). `say(step, details)` tells of progress.
 */
export async function setUp({ chain, clock, client }, options, say) {
  const { plans, wave } = options;
  const consumers = consumersOf(plans);
  const sender = new EvmSender(client, options.deployer, clock);
  const processors = processorsFor({ plans, wave });
  await fundAcurast(chain, clock, consumers, processors);
  say('acurast accounts funded', { processors });
  await fundDeployer(client, options.deployer.address, consumers);

  const settlementArtifact = artifact('AcurastSettlement');
  const deployed = await sender.send([EvmSender.deployment(settlementArtifact, [
    options.deployer.address, options.attesters, options.threshold, options.ringSize, options.closeDelay,
  ])]);
  const settlement = deployed[0].contractAddress;
  say('settlement contract deployed', { address: settlement });
  const lanes = [{ relayer: options.relayer, lane: options.lane }, ...options.furtherLanes ?? []];
  for (const { relayer: address } of lanes) {
    if (await client.getBalance({ address }) === 0n) await client.request({ method: 'anvil_setBalance', params: [address, `0x${parseEther('1000').toString(16)}`] });
  }

  const receipts = await sender.send([
    ...lanes.map(({ relayer, lane }) => EvmSender.call(settlementArtifact, settlement, 'grantRelayer', [relayer, lane])),
    ...consumers.map(({ hostile }) => EvmSender.deployment(artifact(hostile ?? 'Consumer'), [settlement])),
  ]);
  for (const [i, consumer] of consumers.entries()) describe(chain, consumer, receipts[lanes.length + i].contractAddress, { options, client, settlement });
  await sender.send(consumers.map(({ hostile, target, owner_key: owner }) => (hostile
    ? EvmSender.call(settlementArtifact, settlement, 'bindTarget', [target, owner])
    : EvmSender.call(artifact('Consumer'), target, 'bind', [owner]))));
  const now = (await client.getBlock()).timestamp;
  await sender.send(consumers.filter(({ escrow }) => escrow !== 'late').map((consumer) => opening(consumer, settlement, now)));
  await sender.send(consumers.filter(({ hostile }) => hostile === 'ReenteringTarget').map(({ target, escrow_id: id }) =>
    EvmSender.call(artifact('ReenteringTarget'), target, 'setEscrow', [id])));
  say('consumers bound, accounts opened', { consumers: consumers.length });

  // What was set up has to be final before the relayer reads it.
  for (let i = 0; i < 3; i++) await clock.mine();
  return {
    seed: options.seed, wave: waveOf({ wave }), processors,
    acurast: { genesis: chain.genesis, caip2: `polkadot:${chain.genesis.slice(2, 34)}`, height: await chain.height() },
    evm: {
      chain_id: client.chain.id, caip2: `eip155:${client.chain.id}`, genesis: (await client.getBlock({ blockNumber: 0n })).hash,
      settlement, deployed_at: Number(deployed[0].blockNumber), height: Number(await client.getBlockNumber()), relayer: options.relayer, lane: options.lane,
      ...lanes.length > 1 ? { further_lanes: lanes.slice(1) } : {},
      attesters: options.attesters, threshold: options.threshold, ring_size: options.ringSize, close_delay_seconds: options.closeDelay,
    },
    routes: consumers.filter(({ origin }) => origin === 'acurast').map((consumer) => ({
      owner: consumer.address, owner_ss58: consumer.owner, chain: `eip155:${client.chain.id}`, settlement, target: consumer.target, escrow_id: consumer.escrow_id,
    })),
    consumers,
    plans,
  };
}

/** Completes a consumer once its target's address is known. */
function describe(chain, consumer, target, { options, client, settlement }) {
  const native = consumer.origin === 'acurast';
  const owner = native ? actors(chain).owners(consumer.index) : null;
  const origin = native ? { variant: 'Acurast', address: u8aToHex(owner.publicKey) } : { variant: 'Ethereum20', address: target };
  const key = ownerKey(chain.genesis, origin);
  const opener = consumer.hostile ? options.deployer.address : target;
  Object.assign(consumer, {
    variant: origin.variant, address: origin.address, owner: owner?.address ?? null, owner_uri: native ? `//Consumer//${consumer.index}` : null,
    scale_origin: hex(scaleOrigin(origin.variant, origin.address)), owner_key: key, target: target.toLowerCase(), opener: opener.toLowerCase(),
    escrow_id: escrowIdOf(client.chain.id, settlement, opener, target, key),
    deposit: (consumer.escrow === 'small' ? SMALL_DEPOSIT : DEPOSIT).toString(),
  });
}

function opening(consumer, settlement, nowSeconds) {
  const caps = consumer.hostile ? HOSTILE_CAPS : CAPS;
  const expiry = nowSeconds + 365n * DAY_S;
  const value = BigInt(consumer.deposit);
  return consumer.hostile
    ? EvmSender.call(artifact('AcurastSettlement'), settlement, 'openEscrow', [consumer.target, consumer.owner_key, caps, expiry, zeroHash], value)
    : EvmSender.call(artifact('Consumer'), consumer.target, 'openEscrow', [consumer.owner_key, caps, expiry, zeroHash], value);
}

/** Opens an account that was to be opened late, or tops up one that is too small. */
export async function provideEscrow({ client, sender }, world, consumer) {
  if (consumer.escrow === 'late') {
    const now = (await client.getBlock()).timestamp;
    await sender.send([opening(consumer, world.evm.settlement, now)]);
  } else {
    await sender.send([EvmSender.call(artifact('AcurastSettlement'), world.evm.settlement, 'topUp', [consumer.escrow_id], DEPOSIT)]);
  }
}

/** The deployer pays every deposit; more of them than it has ether for are given to it. */
async function fundDeployer(client, address, consumers) {
  const needed = DEPOSIT * BigInt(2 * consumers.length);
  if (await client.getBalance({ address }) < needed) await client.request({ method: 'anvil_setBalance', params: [address, `0x${needed.toString(16)}`] });
}

async function fundAcurast(chain, clock, consumers, count) {
  const { matcher, owners, ...of } = actors(chain);
  const processors = of.processors(count);
  const everybody = [matcher, ...processors, ...consumers.filter(({ origin }) => origin === 'acurast').map(({ index }) => owners(index))];
  await chain.fund(everybody, 1_000_000n * UNIT);
  const attestation = fakeAttestation(await chain.now());
  await chain.setStorage({ Acurast: { StoredAttestation: processors.map((p) => [[p.address], attestation]) } });
  const offer = {
    pricing: { feePerMillisecond: 1_000, feePerStorageByte: 0, baseFeePerExecution: 0, schedulingWindow: { Delta: 864e5 } },
    maxMemory: 1e9, networkRequestQuota: 8, storageCapacity: 1e6, allowedConsumers: null, availableModules: [],
  };
  await clock.mineAll(processors.map((p) => [chain.api.tx.acurastMarketplace.advertise(offer), p]));
}

/** A key attestation that the runtime's barrier accepts, standing in for a real device's certificate chain. */
function fakeAttestation(now) {
  const none = { noAuthRequired: false, allowWhileOnBody: false };
  const packageName = `0x${Buffer.from('com.acurast.attested.executor.mainnet').toString('hex')}`;
  const digest = '0xec70c2a4e072a0f586552a68357b23697c9d45f1e1257a8c4d29a25ac4982433';
  const application = { packageInfos: [{ packageName, version: 1 }], signatureDigests: [digest] };
  const rootOfTrust = { verifiedBootKey: '0x00', deviceLocked: true, verifiedBootState: 'Verified', verifiedBootHash: null };
  return {
    certIds: [],
    content: { KeyDescription: {
      attestationSecurityLevel: 'TrustedEnvironemnt', keyMintSecurityLevel: 'TrustedEnvironemnt', // spelt so by the runtime
      softwareEnforced: { ...none, attestationApplicationId: application },
      teeEnforced: { ...none, rootOfTrust },
    } },
    validity: { notBefore: 0, notAfter: now + 10 * 365 * 864e5 },
  };
}
