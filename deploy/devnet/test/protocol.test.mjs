// The vectors were computed by another implementation; PROTOCOL_VECTORS=FILE takes another file of the same form.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { secp256k1 } from '@noble/curves/secp256k1';
import * as protocol from '../protocol.mjs';

const file = process.env.PROTOCOL_VECTORS ?? new URL('../fixtures/protocol.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file));

test('every id of every vector is computed to the byte', () => {
  assert.ok(vectors.ids.length > 0);
  for (const v of vectors.ids) {
    const origin = { variant: v.origin, address: v.origin_bytes };
    const job = protocol.jobKey(v.genesis, origin, v.number);
    const destination = protocol.destId(v.chain, v.settlement_bytes, v.target_bytes);
    const assignment = protocol.assignmentId(job, v.processor, destination, v.assignment_execution);
    assert.equal(protocol.hex(protocol.scaleOrigin(v.origin, v.origin_bytes)), v.scale_origin);
    assert.equal(protocol.hex(protocol.scaleJobId(origin, v.number)), v.scale_job_id);
    assert.equal(job, v.job_key);
    assert.equal(protocol.ownerKey(v.genesis, origin), v.owner_key);
    assert.equal(destination, v.dest_id);
    assert.equal(assignment, v.assignment_id);
    assert.equal(protocol.settlementId(assignment, protocol.ALL_EXECUTIONS, protocol.KIND.root), v.root_settlement_id);
    assert.equal(protocol.settlementId(assignment, v.execution), v.fulfillment_settlement_id);
    assert.equal(protocol.chainFactId(v.genesis, v.block_hash, v.block_number, v.event_index, v.n), v.chain_fact_id);
    assert.equal(protocol.storageFactId(v.genesis, v.block_hash, v.block_number, v.storage_key), v.storage_fact_id);
    assert.equal(protocol.recordHash(v.record), v.record.hash);
    assert.equal(protocol.murmur2(job), Number(v.murmur2_of_job_key));
    assert.equal(protocol.partitionOf(job, 12), Number(v.partition_of_12));
  }
});

test('outputs have the digests, signatures and signer keys of the vectors', () => {
  assert.ok(vectors.outputs.some((v) => v.evm));
  for (const v of vectors.outputs) {
    assert.equal(protocol.keccak(protocol.bytes(v.payload)), v.payload_hash);
    assert.equal(protocol.outputMessage(v.assignment_id, v.execution, v.payload), v.message);
    if (!v.evm) continue; // an output for another kind of chain
    const domain = { chainId: v.evm.chain_id, contract: v.evm.contract };
    assert.equal(protocol.domainSeparator(domain), v.evm.domain_separator);
    assert.equal(protocol.outputStructHash(v.assignment_id, v.execution, v.payload), v.evm.struct_hash);
    const digest = protocol.outputDigest(domain, v.assignment_id, v.execution, v.payload);
    assert.equal(digest, v.evm.digest);
    assert.equal(protocol.signSecp256k1(digest, v.evm.secret), v.evm.secp256k1_signature);
    const publicKey = secp256k1.getPublicKey(protocol.bytes(v.evm.secret), true);
    assert.equal(protocol.evmAddress(publicKey), v.evm.address);
    assert.equal(protocol.secp256k1SignerKey(publicKey), v.evm.signer_key_0);
    assert.equal(protocol.p256SignerKey(v.evm.p256_compressed), v.evm.signer_key_1);
  }
});

test('leaves, trees and proofs are those of the standard tree', () => {
  for (const v of vectors.assignment_trees) {
    const leaves = v.rows.map(protocol.leafHashOfFields);
    const { root, proofs } = protocol.merkle(leaves);
    assert.deepEqual(leaves, v.leaves);
    assert.equal(root, v.root);
    assert.deepEqual(proofs, v.proofs);
    leaves.forEach((leaf, i) => assert.equal(protocol.rootOfProof(leaf, proofs[i]), root));
  }
  for (const v of vectors.other_leaves) {
    assert.equal(v.fields[0], protocol.leafKind(v.kind));
    assert.equal(protocol.leafHashOfFields(v.fields), v.leaf);
  }
});

test('an attester signs the digest of the vectors', () => {
  for (const v of vectors.root_attestations) {
    const [root, batch, leaves, lockedUntil, sourceBlock, sourceBlockHash] = v.fields;
    const fields = { root, batch, leaves, lockedUntil, sourceBlock, sourceBlockHash };
    assert.equal(protocol.rootStructHash(fields), v.struct_hash);
    const digest = protocol.rootDigest({ chainId: v.chain_id, contract: v.contract }, fields);
    assert.equal(digest, v.digest);
    assert.equal(protocol.signSecp256k1(digest, v.secret), v.signature);
    assert.equal(protocol.evmAddress(secp256k1.getPublicKey(protocol.bytes(v.secret))), v.attester);
  }
});

test('values that do not fit are refused, not cut', () => {
  assert.throws(() => protocol.settlementId(`0x${'00'.repeat(32)}`, 2n ** 64n), RangeError);
  assert.throws(() => protocol.scaleOrigin('Ethereum20', '0x00'), RangeError);
  assert.throws(() => protocol.scaleOrigin('Mars', '0x00'), /unknown origin/);
});
