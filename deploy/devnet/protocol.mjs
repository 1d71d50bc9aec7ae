// The ids, proofs and signatures of the protocol (docs/protocol.md §3–§5), as a consumer or a processor computes them.
//
// A second implementation on purpose: it shares nothing with the relayer but the document, so that a test or an observer that
// agrees with the relayer proves something. Bytes go in as Uint8Array or 0x-hex and come out as 0x-hex; numbers as bigint or number.
import { p256 } from '@noble/curves/p256';
import { secp256k1 } from '@noble/curves/secp256k1';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2';
import { keccak_256 } from '@noble/hashes/sha3';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils';

/** The execution of an assignment of all executions, and of a settlement of kind 0. */
export const ALL_EXECUTIONS = 2n ** 64n - 1n;
/** `settlement_id` kinds. */
export const KIND = { root: 0, fulfillment: 1 };

/** Bytes of a 0x-hex string; bytes stay as they are. */
export const bytes = (value) => (value instanceof Uint8Array ? value : hexToBytes(value.replace(/^0x/, '')));
/** 0x-hex of bytes. */
export const hex = (value) => `0x${bytesToHex(value)}`;
const join = (...parts) => concatBytes(...parts.map((part) => (typeof part === 'string' && !part.startsWith('0x') ? utf8ToBytes(part) : bytes(part))));
/** keccak-256 of the joined parts; a string without 0x counts as ASCII. */
export const keccak = (...parts) => hex(keccak_256(join(...parts)));
const sha256 = (...parts) => hex(nobleSha256(join(...parts)));

function integer(value, width, littleEndian = false) {
  let rest = BigInt(value);
  if (rest < 0n || rest >= 1n << BigInt(8 * width)) throw new RangeError(`${value} doesn't fit in ${width} bytes`);
  const out = new Uint8Array(width);
  for (let i = 0; i < width; i++, rest >>= 8n) out[littleEndian ? i : width - 1 - i] = Number(rest & 0xffn);
  return out;
}
const u8 = (n) => integer(n, 1);
const u16 = (n) => integer(n, 2);
const u32 = (n) => integer(n, 4);
const u64 = (n) => integer(n, 8);
const word = (n) => integer(n, 32);

// ---- SCALE ------------------------------------------------------------------------------------------------------------------

const ORIGINS = { Acurast: [0, 32], Tezos: [1, null], Ethereum: [2, null], AlephZero: [3, 32], Vara: [4, 32], Ethereum20: [5, 20], Solana: [6, 32], AcurastCanary: [7, 32] };

/** SCALE of `MultiOrigin::<variant>(address)`; fails on an unknown variant or a wrong length. */
export function scaleOrigin(variant, address) {
  const [index, length] = ORIGINS[variant] ?? (() => { throw new Error(`unknown origin ${variant}`); })();
  const raw = bytes(address);
  if (length === null) {
    if (raw.length > 36) throw new RangeError(`an origin of ${raw.length} bytes is too long`);
    return concatBytes(u8(index), u8(raw.length << 2), raw);
  }
  if (raw.length !== length) throw new RangeError(`${variant} has ${length} bytes, not ${raw.length}`);
  return concatBytes(u8(index), raw);
}
/** SCALE of `JobId`. */
export const scaleJobId = (origin, number) => concatBytes(scaleOrigin(origin.variant, origin.address), integer(number, 16, true));

// ---- §3 identifiers ---------------------------------------------------------------------------------------------------------

export const jobKey = (genesis, origin, number) => keccak(genesis, scaleJobId(origin, number));
export const ownerKey = (genesis, origin) => keccak(genesis, scaleOrigin(origin.variant, origin.address));
export const destId = (caip2, settlementBytes, targetBytes) =>
  keccak('acurast/destination/1', keccak(caip2), keccak(settlementBytes), keccak(targetBytes));
export const assignmentId = (jobKeyHex, processor, destIdHex, execution = ALL_EXECUTIONS) =>
  keccak('acurast/assignment/1', jobKeyHex, processor, destIdHex, u64(execution));
export const settlementId = (assignment, execution, kind = KIND.fulfillment) =>
  keccak('acurast/settlement/1', assignment, u64(execution), u8(kind));

export const chainFactId = (genesis, blockHash, number, index, n) =>
  sha256('acurast/event/1', genesis, blockHash, u64(number), u32(index), u32(n));
export const storageFactId = (genesis, blockHash, number, key) => sha256('acurast/storage/1', genesis, blockHash, u64(number), key);
export const derivedId = (input, aggregate, kind, n) => sha256('acurast/derived/1', input, aggregate, u16(kind), u32(n));
/** Hash of a journal record that is not a claim. */
export const recordHash = ({ topic, partition, term, writer, sequence, previous, value }) =>
  sha256('acurast/record/1', topic, u8(0), u32(partition), u64(term), writer, u64(sequence), previous, value);

/** Kafka's murmur2 of the raw key bytes, unsigned. */
export function murmur2(key) {
  const data = bytes(key);
  const m = 0x5bd1e995;
  let h = (0x9747b28c ^ data.length) | 0;
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    let k = data[i] | (data[i + 1] << 8) | (data[i + 2] << 16) | (data[i + 3] << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const left = data.length - i;
  if (left >= 3) h ^= data[i + 2] << 16;
  if (left >= 2) h ^= data[i + 1] << 8;
  if (left >= 1) h = Math.imul(h ^ data[i], m);
  h = Math.imul(h ^ (h >>> 13), m);
  return (h ^ (h >>> 15)) >>> 0;
}
export const partitionOf = (key, partitions) => (murmur2(key) & 0x7fffffff) % partitions;

// ---- §4 proofs --------------------------------------------------------------------------------------------------------------

const LEAVES = {
  assignment: ['assignmentId', 'escrowId', 'jobId', 'keyType', 'signerKey', 'firstExecution', 'executions', 'notAfter', 'bit'],
  output: ['assignmentId', 'execution', 'payloadHash', 'outcome'],
  checkpoint: ['originHash', 'size', 'root'],
};
const abiWord = (value) => (typeof value === 'string' && value.startsWith('0x') ? bytes(value) : word(value));
/** The kind that a leaf's first field holds. */
export const leafKind = (kind) => keccak(`acurast/leaf/${kind}/1`);
/** Hash of a leaf given by its fields, the kind included. All fields are words, so abi.encode is their concatenation. */
export const leafHashOfFields = (fields) => keccak(keccak(concatBytes(...fields.map(abiWord))));
/** Hash of a leaf of `kind` (assignment, output or checkpoint) given by its named fields. */
export const leafHash = (kind, leaf) => leafHashOfFields([leafKind(kind), ...LEAVES[kind].map((name) => leaf[name])]);

const node = (a, b) => (a < b ? keccak(a, b) : keccak(b, a));
/** Root over leaf hashes in the given order, in the layout of OpenZeppelin's standard tree: an array heap, leaves at its end, backwards. */
export function merkle(leaves) {
  if (leaves.length === 0) throw new Error('a tree needs a leaf');
  const size = 2 * leaves.length - 1;
  const heap = new Array(size);
  leaves.forEach((leaf, i) => { heap[size - 1 - i] = leaf; });
  for (let i = size - 1 - leaves.length; i >= 0; i--) heap[i] = node(heap[2 * i + 1], heap[2 * i + 2]);
  const proof = (i) => {
    const path = [];
    for (let at = size - 1 - i; at > 0; at = (at - 1) >> 1) path.push(heap[at % 2 === 0 ? at - 1 : at + 1]);
    return path;
  };
  return { root: heap[0], proofs: leaves.map((_, i) => proof(i)) };
}
/** The root that a leaf and its proof lead to. */
export const rootOfProof = (leaf, proof) => proof.reduce(node, leaf);

// ---- EIP-712 ----------------------------------------------------------------------------------------------------------------

const DOMAIN_TYPE = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)';
const OUTPUT_TYPE = 'Output(bytes32 assignmentId,uint64 execution,bytes32 payloadHash)';
const ROOT_TYPE = 'Root(bytes32 root,uint64 batch,uint32 leaves,uint64 lockedUntil,uint64 sourceBlock,bytes32 sourceBlockHash)';
const address = (value) => concatBytes(new Uint8Array(12), bytes(value));

export const domainSeparator = ({ chainId, contract }) =>
  keccak(keccak(DOMAIN_TYPE), keccak('Acurast Settlement'), keccak('1'), word(chainId), address(contract));
export const outputStructHash = (assignment, execution, payload) =>
  keccak(keccak(OUTPUT_TYPE), assignment, word(execution), keccak(bytes(payload)));
export const outputDigest = (domain, assignment, execution, payload) =>
  keccak('0x1901', domainSeparator(domain), outputStructHash(assignment, execution, payload));
export const rootStructHash = ({ root, batch, leaves, lockedUntil, sourceBlock, sourceBlockHash }) =>
  keccak(keccak(ROOT_TYPE), root, word(batch), word(leaves), word(lockedUntil), word(sourceBlock), sourceBlockHash);
export const rootDigest = (domain, root) => keccak('0x1901', domainSeparator(domain), rootStructHash(root));
/** What is signed for destinations other than EVM. */
export const outputMessage = (assignment, execution, payload) => keccak('acurast/output/1', assignment, u64(execution), keccak(bytes(payload)));

/** r‖s‖v over a 32-byte digest, s low, v 27 or 28. */
export function signSecp256k1(digest, secret) {
  const signature = secp256k1.sign(bytes(digest), bytes(secret), { lowS: true });
  return hex(concatBytes(signature.toCompactRawBytes(), u8(27 + signature.recovery)));
}
/** The EVM address of a compressed or uncompressed secp256k1 public key, lower case. */
export const evmAddress = (publicKey) =>
  `0x${keccak(secp256k1.ProjectivePoint.fromHex(bytes(publicKey)).toRawBytes(false).slice(1)).slice(-40)}`;
/** `signer_key` of key type 0 (EVM address, left-padded) of a secp256k1 public key. */
export const secp256k1SignerKey = (publicKey) => hex(address(evmAddress(publicKey)));
/** `signer_key` of key type 1 (keccak of x‖y) of a P-256 public key. */
export const p256SignerKey = (publicKey) => keccak(p256.ProjectivePoint.fromHex(bytes(publicKey)).toRawBytes(false).slice(1));
