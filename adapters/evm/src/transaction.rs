//! From a lane's call to signed bytes: one EIP-1559 transaction with the nonce and the fees that it was told.

use crate::contract::{address, fulfill_calldata, root_calldata};
use crate::signer::{LocalKey, SignerError};
use acurast_adapter_api::{Call, SignedAttempt};
use acurast_events::bytes::{Bytes, EvmAddress, TxHash};
use acurast_events::ids::keccak;
use acurast_events::lanes::FeeBid;
use acurast_events::units::Slot;
use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Signature, TxKind, U256};

/// Bytes of a signed transaction beside its calldata, at most: type, list headers, eight numbers, callee, signature.
const ENVELOPE_BYTES_MAX: usize = 256;

/// Callee and calldata of a call. A no-op is a transfer of nothing to oneself.
pub fn encode(call: &Call, signer: &EvmAddress, settlement: &EvmAddress) -> (EvmAddress, Vec<u8>) {
    match call {
        Call::Root { statement, signatures } => (*settlement, root_calldata(statement, signatures)),
        Call::Fulfill(items) => (*settlement, fulfill_calldata(items)),
        Call::NoOp => (*signer, Vec::new()),
    }
}

/// Upper bound of a signed transaction's length.
pub fn length_bound(calldata: &[u8]) -> u32 {
    u32::try_from(calldata.len().saturating_add(ENVELOPE_BYTES_MAX)).unwrap_or(u32::MAX)
}

/// A transaction that only lacks its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned(TxEip1559);

impl Unsigned {
    /// `calldata` to `to` at `slot`, with the fees that it was told and nothing of value.
    pub fn new(chain_id: u64, slot: Slot, to: &EvmAddress, calldata: Vec<u8>, fee: &FeeBid) -> Self {
        Self(TxEip1559 {
            chain_id,
            nonce: slot.0,
            gas_limit: fee.gas_limit.0,
            max_fee_per_gas: fee.max_fee_per_gas.0,
            max_priority_fee_per_gas: fee.max_priority_fee.0,
            to: TxKind::Call(address(to)),
            value: U256::ZERO,
            access_list: Default::default(),
            input: calldata.into(),
        })
    }

    /// What is signed Keccak-256 of: 0x02 ‖ rlp of its fields (EIP-1559).
    pub fn message(&self) -> Vec<u8> {
        self.0.encoded_for_signing()
    }

    /// The transaction with a signature over [`Self::message`], which is not checked here.
    pub fn with_signature(self, signature: Signature) -> SignedAttempt {
        let signed = self.0.into_signed(signature);
        SignedAttempt { tx: TxHash(signed.hash().0), bytes: Bytes(signed.encoded_2718()) }
    }
}

/// Signs `calldata` to `to` at `slot` with a key of this process: the same arguments give the same bytes and hash.
///
/// # Errors
/// When the key does not sign.
pub fn sign(
    key: &LocalKey,
    chain_id: u64,
    slot: Slot,
    to: &EvmAddress,
    calldata: Vec<u8>,
    fee: &FeeBid,
) -> Result<SignedAttempt, SignerError> {
    let unsigned = Unsigned::new(chain_id, slot, to, calldata, fee);
    let signature = key.sign_digest(&keccak(&[&unsigned.message()]))?;
    Ok(unsigned.with_signature(signature))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::rules::recover;
    use acurast_events::amount::Amount;
    use acurast_events::units::Gas;
    use alloy::consensus::TxEnvelope;
    use alloy::eips::eip2718::Decodable2718;

    fn key() -> LocalKey {
        LocalKey::from_hex(&"11".repeat(32)).unwrap()
    }

    #[test]
    fn the_same_call_at_the_same_slot_is_the_same_transaction() {
        let fee = FeeBid { max_fee_per_gas: Amount(u128::from(u64::MAX)), max_priority_fee: Amount(3), gas_limit: Gas(21_000) };
        let (to, data) = encode(&Call::NoOp, &key().address(), &EvmAddress([9; 20]));
        let attempt = sign(&key(), 31_337, Slot(u64::MAX - 1), &to, data.clone(), &fee).unwrap();
        assert_eq!(attempt, sign(&key(), 31_337, Slot(u64::MAX - 1), &to, data.clone(), &fee).unwrap());
        assert_eq!(attempt.tx.0, keccak(&[&attempt.bytes.0]));
        assert!(attempt.bytes.0.len() <= usize::try_from(length_bound(&data)).unwrap());
        let Ok(TxEnvelope::Eip1559(signed)) = TxEnvelope::decode_2718(&mut attempt.bytes.0.as_slice()) else {
            panic!("not an EIP-1559 transaction");
        };
        assert_eq!(signed.tx().nonce, u64::MAX - 1);
        let signer = recover(&signed.signature_hash().0, &signed.signature().as_bytes()).unwrap();
        assert_eq!(signer, key().address());
    }
}
