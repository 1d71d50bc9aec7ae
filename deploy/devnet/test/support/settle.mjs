// Settles what a manifest expects on the real contract, with nothing but protocol.mjs: one root, one attestation, batches of items.
// So the tests hold the contract, the second implementation, the workload and the observer against each other.
import { EvmSender, anvilAccount, artifact } from '../../lib/evm.mjs';
import { secretKey } from '../../lib/keys.mjs';
import { secp256k1 } from '@noble/curves/secp256k1';
import { hex, leafHash, merkle, outputDigest, rootDigest, secp256k1SignerKey, signSecp256k1 } from '../../protocol.mjs';

const ITEMS_PER_BATCH = 6;
const DAY_MS = 86_400_000;

/** Posts one root over all assignments and fulfils every execution that is to be settled. Returns how many items were sent. */
export async function settle({ client, clock }, manifest) {
  const { evm } = manifest;
  const domain = { chainId: evm.chain_id, contract: evm.settlement };
  const batch = BigInt(evm.lane) << 48n;
  let bit = batch;
  const assignments = manifest.jobs.flatMap((job) => job.slots.flatMap((slot) => slot.assignments.map((assignment) => {
    const all = assignment.execution === 'all';
    const leaf = {
      assignmentId: assignment.assignment_id, escrowId: job.escrow_id, jobId: BigInt(job.number), keyType: 0,
      signerKey: secp256k1SignerKey(secp256k1.getPublicKey(secretKey('SECP256k1', slot.processor_ss58), true)),
      firstExecution: all ? 0n : BigInt(assignment.execution), executions: all ? BigInt(job.executions) : 1n,
      notAfter: BigInt(job.start_ms + job.executions * job.interval_ms + DAY_MS), bit,
    };
    bit += leaf.executions + 1n;
    return { job, slot, assignment, leaf };
  })));
  assignments.sort((a, b) => (a.leaf.escrowId === b.leaf.escrowId ? Number(a.leaf.bit - b.leaf.bit) : a.leaf.escrowId < b.leaf.escrowId ? -1 : 1));
  const { root, proofs } = merkle(assignments.map(({ leaf }) => leafHash('assignment', leaf)));
  const posted = {
    root, batch, leaves: assignments.length, lockedUntil: assignments.reduce((latest, { leaf }) => (leaf.notAfter > latest ? leaf.notAfter : latest), 0n),
    sourceBlock: 1n, sourceBlockHash: manifest.acurast.genesis,
  };
  const attestation = signSecp256k1(rootDigest(domain, posted), hex(anvilAccount(2).getHdKey().privateKey));
  const sender = new EvmSender(client, anvilAccount(1), clock);
  const contract = artifact('AcurastSettlement');
  await sender.send([EvmSender.call(contract, evm.settlement, 'postRoot', [posted, [attestation]])]);

  const items = assignments.flatMap(({ slot, assignment, leaf }, i) => assignment.executions
    .filter(({ expected }) => expected === 'fulfilled' || expected === 'refused')
    .map(({ execution, payload }) => ({
      batch, assignment: leaf, proof: proofs[i], execution: BigInt(execution), payload,
      signature: signSecp256k1(outputDigest(domain, assignment.assignment_id, execution, payload), secretKey('SECP256k1', slot.processor_ss58)),
    })));
  for (let at = 0; at < items.length; at += ITEMS_PER_BATCH) {
    await sender.send([EvmSender.call(contract, evm.settlement, 'fulfillBatch', [items.slice(at, at + ITEMS_PER_BATCH)])]);
  }
  return items.length;
}
