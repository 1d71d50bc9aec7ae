//! The pure side of an EVM destination: which key of a processor signs for it, and whether an output's signature holds.

use acurast_adapter_api::{DestinationRules, OutputRefusal, UsableKey};
use acurast_events::bytes::{Bytes, EscrowId, EvmAddress, OwnerKey, SignerKey};
use acurast_events::eip712::{digest, domain_separator, output_struct_hash};
use acurast_events::ids::{keccak, payload_hash};
use acurast_events::leaves::KeyType;
use acurast_events::outputs::Output;
use acurast_events::source::{Curve, PublicKey};
use alloy::primitives::U256;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

/// Rules of the EVM chain with this EIP-155 id.
///
/// Only secp256k1 keys are chosen: PROTOCOL §4 lets P-256 follow where the contract verifies it, and settlement contracts
/// of version 1 refuse key type 1, so a leaf with such a key could never be fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvmRules {
    /// The chain's EIP-155 id, part of what processors sign.
    pub chain_id: u64,
}

/// The address of a key: the last 20 bytes of keccak(x ‖ y).
fn address_of(key: &VerifyingKey) -> EvmAddress {
    let point = key.to_encoded_point(false);
    // The first byte says that the point is uncompressed.
    let hash = keccak(&[point.as_bytes().get(1..).unwrap_or_default()]);
    let mut address = EvmAddress::ZERO;
    for (to, from) in address.0.iter_mut().rev().zip(hash.iter().rev()) {
        *to = *from;
    }
    address
}

fn left_padded(address: &EvmAddress) -> SignerKey {
    let mut key = SignerKey::ZERO;
    for (to, from) in key.0.iter_mut().rev().zip(address.0.iter().rev()) {
        *to = *from;
    }
    key
}

/// Who signed `digest`: 65 bytes r ‖ s ‖ v with v 27 or 28 and low s, as the contract's ECDSA library takes them.
///
/// # Errors
/// `Malformed` for another form, `Signature` when no key fits.
pub fn recover(digest: &[u8; 32], signature: &[u8]) -> Result<EvmAddress, OutputRefusal> {
    let malformed = |reason: &str| OutputRefusal::Malformed(reason.to_owned());
    let Some((v, rs)) = signature.split_last().filter(|(_, rs)| rs.len() == 64) else {
        return Err(malformed(&format!("expected 65 bytes r‖s‖v, got {}", signature.len())));
    };
    let recovery = match v {
        27 => RecoveryId::new(false, false),
        28 => RecoveryId::new(true, false),
        other => return Err(malformed(&format!("v is {other}, expected 27 or 28"))),
    };
    let signature = Signature::from_slice(rs).map_err(|_| malformed("r or s is zero or not below the order of the curve"))?;
    if signature.normalize_s().is_some() {
        return Err(malformed("s is in the upper half of its range"));
    }
    VerifyingKey::recover_from_prehash(digest, &signature, recovery)
        .map(|key| address_of(&key))
        .map_err(|_| OutputRefusal::Signature("no key fits it".into()))
}

impl DestinationRules for EvmRules {
    fn choose_key(&self, keys: &[PublicKey]) -> Option<UsableKey> {
        keys.iter().filter(|key| key.curve == Curve::Secp256k1).find_map(|key| {
            let address = address_of(&VerifyingKey::from_sec1_bytes(&key.bytes.0).ok()?);
            Some(UsableKey { key_type: KeyType::Secp256k1, signer_key: left_padded(&address) })
        })
    }

    fn verify_output(&self, settlement: &Bytes, key: &UsableKey, output: &Output) -> Result<(), OutputRefusal> {
        if key.key_type != KeyType::Secp256k1 {
            return Err(OutputRefusal::KeyType(key.key_type));
        }
        let contract = EvmAddress::try_from(settlement.as_bytes())
            .map_err(|error| OutputRefusal::Malformed(format!("the settlement contract's address: {error}")))?;
        let struct_hash = output_struct_hash(&output.assignment_id, output.execution, &payload_hash(&output.payload.0));
        let signer = recover(&digest(&domain_separator(self.chain_id, &contract), &struct_hash), &output.signature.0)?;
        // All 32 bytes count, and zero is nobody's key (PROTOCOL §4).
        if key.signer_key != SignerKey::ZERO && left_padded(&signer) == key.signer_key {
            Ok(())
        } else {
            Err(OutputRefusal::Signature(format!("signed by {signer}, the assignment's key is {}", key.signer_key)))
        }
    }

    /// keccak(abi.encode(chainid, contract, opener, target, ownerKey, salt)); nothing when one of them is no address.
    fn escrow_id(&self, settlement: &Bytes, opener: &Bytes, target: &Bytes, owner: &OwnerKey, salt: &[u8; 32]) -> Option<EscrowId> {
        let word = |bytes: &Bytes| EvmAddress::try_from(bytes.as_bytes()).ok().map(|address| left_padded(&address).0);
        let chain_id = U256::from(self.chain_id).to_be_bytes::<32>();
        let words = [chain_id, word(settlement)?, word(opener)?, word(target)?, owner.0, *salt];
        Some(EscrowId(keccak(&[words.as_flattened()])))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::signer::LocalKey;
    use acurast_events::bytes::AssignmentId;
    use acurast_events::units::Execution;

    const RULES: EvmRules = EvmRules { chain_id: 31_337 };
    const CONTRACT: EvmAddress = EvmAddress([0x42; 20]);
    /// Order of secp256k1.
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn key() -> LocalKey {
        LocalKey::from_hex(&"22".repeat(32)).unwrap()
    }

    fn usable(key: &LocalKey) -> UsableKey {
        UsableKey { key_type: KeyType::Secp256k1, signer_key: left_padded(&key.address()) }
    }

    fn output(payload: &[u8], chain_id: u64) -> Output {
        let (assignment_id, execution) = (AssignmentId([5; 32]), Execution(3));
        let hash = digest(&domain_separator(chain_id, &CONTRACT), &output_struct_hash(&assignment_id, execution, &payload_hash(payload)));
        Output { assignment_id, execution, payload: Bytes(payload.to_vec()), signature: Bytes(key().sign_rsv(&hash).unwrap()) }
    }

    fn verify(output: &Output) -> Result<(), OutputRefusal> {
        RULES.verify_output(&Bytes(CONTRACT.0.to_vec()), &usable(&key()), output)
    }

    fn point(curve: Curve, secret: u8) -> PublicKey {
        let key = k256::ecdsa::SigningKey::from_slice(&[secret; 32]).unwrap();
        PublicKey { curve, bytes: Bytes(key.verifying_key().to_encoded_point(true).as_bytes().to_vec()) }
    }

    #[test]
    fn the_processors_signature_over_exactly_this_output_is_accepted() {
        assert_eq!(verify(&output(b"result", 31_337)), Ok(()));
    }

    #[test]
    fn any_other_output_chain_or_contract_is_refused() {
        let good = output(b"result", 31_337);
        let others = [
            Output { payload: Bytes(b"resulT".to_vec()), ..good.clone() },
            Output { execution: Execution(4), ..good.clone() },
            Output { assignment_id: AssignmentId([6; 32]), ..good.clone() },
            output(b"result", 1),
        ];
        for other in others {
            assert!(matches!(verify(&other), Err(OutputRefusal::Signature(_))), "{other:?}");
        }
        let elsewhere = RULES.verify_output(&Bytes(vec![0x43; 20]), &usable(&key()), &good);
        assert!(matches!(elsewhere, Err(OutputRefusal::Signature(_))));
        assert!(matches!(RULES.verify_output(&Bytes(vec![1; 19]), &usable(&key()), &good), Err(OutputRefusal::Malformed(_))));
    }

    #[test]
    fn a_second_form_of_a_good_signature_is_refused() {
        let good = output(b"result", 31_337);
        let (v, rs) = good.signature.0.split_last().unwrap();
        let (r, s) = rs.split_at(32);
        // (r, n − s) with the other parity is the same signature to the curve.
        let order = U256::from_str_radix(ORDER, 16).unwrap();
        let high = order.checked_sub(U256::from_be_slice(s)).unwrap().to_be_bytes::<32>();
        let flipped = if *v == 27 { 28 } else { 27 };
        let forms = [
            [r, &high, &[flipped]].concat(),
            [r, s, &[v.wrapping_sub(27)]].concat(),
            [r, s].concat(),
            [r, s, &[*v], &[0]].concat(),
            [&[0; 32], s, &[*v]].concat(),
            Vec::new(),
        ];
        for form in forms {
            let output = Output { signature: Bytes(form), ..good.clone() };
            assert!(matches!(verify(&output), Err(OutputRefusal::Malformed(_))), "{:?}", output.signature);
        }
    }

    #[test]
    fn all_bytes_of_the_key_count_and_its_kind_too() {
        let good = output(b"result", 31_337);
        let mut padded = usable(&key());
        padded.signer_key.0[0] = 1;
        let zero = UsableKey { key_type: KeyType::Secp256k1, signer_key: SignerKey::ZERO };
        for wrong in [padded, zero] {
            let refused = RULES.verify_output(&Bytes(CONTRACT.0.to_vec()), &wrong, &good);
            assert!(matches!(refused, Err(OutputRefusal::Signature(_))));
        }
        let p256 = UsableKey { key_type: KeyType::P256, ..usable(&key()) };
        assert_eq!(RULES.verify_output(&Bytes(CONTRACT.0.to_vec()), &p256, &good), Err(OutputRefusal::KeyType(KeyType::P256)));
    }

    #[test]
    fn the_first_secp256k1_key_is_chosen_whatever_stands_before_it() {
        let keys = [
            point(Curve::Secp256k1Encryption, 9),
            PublicKey { curve: Curve::Ed25519, bytes: Bytes(vec![1; 32]) },
            PublicKey { curve: Curve::P256, bytes: Bytes(vec![2; 33]) },
            point(Curve::Secp256k1, 0x22),
            point(Curve::Secp256k1, 0x23),
        ];
        assert_eq!(RULES.choose_key(&keys), Some(usable(&key())));
    }

    #[test]
    fn encryption_keys_other_curves_and_malformed_points_never_sign() {
        let keys = [
            point(Curve::Secp256k1Encryption, 9),
            PublicKey { curve: Curve::P256, bytes: Bytes(vec![2; 33]) },
            PublicKey { curve: Curve::Secp256k1, bytes: Bytes(vec![0xff; 33]) },
        ];
        assert_eq!(RULES.choose_key(&keys), None);
        assert_eq!(RULES.choose_key(&[]), None);
    }
}
