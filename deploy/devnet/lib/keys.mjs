// The key pairs of the devnet's processors. Real devices keep theirs in secure hardware; these are derived from the account's
// address, so that any program of the devnet can sign an output for a processor and every run shows the same keys.
import { ed25519 } from '@noble/curves/ed25519';
import { p256 } from '@noble/curves/p256';
import { secp256k1 } from '@noble/curves/secp256k1';
import { u8aToHex } from '@polkadot/util';
import { blake2AsU8a } from '@polkadot/util-crypto';

const CURVES = { SECP256r1: p256, SECP256k1: secp256k1, ED25519: ed25519 };

/** The 32-byte secret of a processor on one curve: BLAKE2b-256 of `acurast-devnet/CURVE/ADDRESS`. */
export const secretKey = (curve, address) => blake2AsU8a(`acurast-devnet/${curve}/${address}`, 256);

const revealed = new Map();

/** What a processor reveals when it acknowledges: compressed points, 33 bytes (32 for ED25519), in the pallet's order. Derived once. */
export function publicKeys({ address }) {
  if (!revealed.has(address)) revealed.set(address, derive(address));
  return revealed.get(address);
}

const derive = (address) =>
  Object.entries(CURVES).map(([curve, { getPublicKey }]) => ({ [curve]: u8aToHex(getPublicKey(secretKey(curve, address), true)) }));
