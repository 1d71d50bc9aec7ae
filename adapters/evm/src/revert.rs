//! Why a call reverted: the contract's custom errors, and which item of a batch they name.

use crate::contract::Settlement::SettlementErrors;
use crate::endpoint::RpcError;
use acurast_events::bytes::Bytes;
use alloy::sol_types::{Panic, Revert, SolError, SolInterface};
use serde_json::Value;

/// The execution API's code of a revert; its `data` is what the contract returned.
const REVERTED: i64 = 3;

/// Longest revert data that is repeated in a reason, bytes.
const EXCERPT_BYTES: usize = 64;

/// A revert, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverted {
    /// The item that the contract names as the cause.
    pub item: Option<usize>,
    /// The error with its arguments.
    pub reason: String,
}

/// Whether the node says that the call executed and reverted, which is an answer and no failure to ask.
pub fn is_revert(error: &RpcError) -> bool {
    matches!(error, RpcError::Node { code: REVERTED, .. })
}

/// The revert that an error of `eth_call` or `eth_estimateGas` tells of; nothing for any other error.
pub fn of(error: &RpcError) -> Option<Reverted> {
    let RpcError::Node { code: REVERTED, message, data, .. } = error else {
        return None;
    };
    match data.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Bytes>().ok()) {
        Some(data) if !data.0.is_empty() => Some(decode(&data.0)),
        _ => Some(Reverted { item: None, reason: format!("reverted without a reason: {message}") }),
    }
}

/// Reads revert data.
pub fn decode(data: &[u8]) -> Reverted {
    if let Ok(error) = SettlementErrors::abi_decode(data) {
        return settlement(&error);
    }
    let reason = if let Ok(error) = Revert::abi_decode(data) {
        format!("reverted: {:?}", error.reason)
    } else if let Ok(panic) = Panic::abi_decode(data) {
        format!("panicked with code {:#x}", panic.code)
    } else {
        let excerpt = Bytes(data.iter().copied().take(EXCERPT_BYTES).collect());
        format!("reverted with {} unknown bytes {excerpt}", data.len())
    };
    Reverted { item: None, reason }
}

fn settlement(error: &SettlementErrors) -> Reverted {
    use SettlementErrors as E;
    let (index, reason) = match error {
        E::WrongLane(e) => (Some(e.index), format!("WrongLane: batch {} is not of the signer's lane", e.batch)),
        E::UnknownRoot(e) => (Some(e.index), format!("UnknownRoot: no root {} in the ring, or a later one took its place", e.batch)),
        E::RevokedRoot(e) => (Some(e.index), format!("RevokedRoot: attesters revoked root {}", e.batch)),
        E::InvalidProof(e) => (Some(e.index), "InvalidProof: the proof doesn't lead from leaf to root".into()),
        E::ExecutionOutOfRange(e) => (Some(e.index), format!("ExecutionOutOfRange: the leaf doesn't cover execution {}", e.execution)),
        E::UnsupportedKeyType(e) => (Some(e.index), format!("UnsupportedKeyType: {}", e.keyType)),
        E::InvalidSignature(e) => (Some(e.index), "InvalidSignature: not the processor's, or not canonical".into()),
        E::ScatteredCalldata(e) => (Some(e.index), "ScatteredCalldata: the item's parts are not in one stretch".into()),
        E::NotEnoughGas(e) => (Some(e.index), format!("NotEnoughGas: the target needs {} gas left", e.needed)),
        E::EnforcedPause(_) => (None, "EnforcedPause: the contract is paused".into()),
        E::NotRelayer(e) => (None, format!("NotRelayer: {} has no relayer role", e.sender)),
        E::NotPlainAccount(e) => (None, format!("NotPlainAccount: {} has code", e.sender)),
        E::Locked(_) => (None, "Locked: called from within a delivery".into()),
        E::QuorumNotMet(e) => (None, format!("QuorumNotMet: {} signatures, {} needed", e.given, e.threshold)),
        E::InvalidAttestation(e) => (None, format!("InvalidAttestation: signature {} is not an attester's", e.index)),
        E::EmptyRoot(_) => (None, "EmptyRoot: a root without leaves".into()),
        E::RingSlotLocked(e) => {
            (None, format!("RingSlotLocked: the slot of root {} holds {}, locked until {} ms or not older", e.batch, e.held, e.lockedUntil))
        }
        E::EmptyBatch(_) => (None, "EmptyBatch: no items".into()),
        E::AmountTooLarge(e) => (None, format!("AmountTooLarge: {}", e.amount)),
    };
    Reverted { item: index.and_then(|index| usize::try_from(index).ok()), reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::contract::Settlement;
    use alloy::primitives::U256;

    fn node(code: i64, data: Option<Value>) -> RpcError {
        RpcError::Node { endpoint: "http://node".into(), method: "eth_call", code, message: "execution reverted".into(), data }
    }

    #[test]
    fn a_custom_error_names_its_item() {
        let data = Settlement::InvalidSignature { index: U256::from(7) }.abi_encode();
        let reverted = of(&node(REVERTED, Some(Bytes(data).to_string().into()))).unwrap();
        assert_eq!(reverted.item, Some(7));
        assert!(reverted.reason.starts_with("InvalidSignature"), "{}", reverted.reason);
    }

    #[test]
    fn an_index_that_is_no_index_names_no_item() {
        let data = Settlement::InvalidSignature { index: U256::MAX }.abi_encode();
        assert_eq!(decode(&data).item, None);
    }

    #[test]
    fn an_error_of_another_contract_is_shown_as_it_is() {
        assert_eq!(decode(&[1, 2, 3]).reason, "reverted with 3 unknown bytes 0x010203");
        assert_eq!(decode(&Revert::from("no").abi_encode()).reason, "reverted: \"no\"");
        assert_eq!(of(&node(REVERTED, None)).unwrap().item, None);
    }

    #[test]
    fn an_error_of_the_node_is_no_revert() {
        assert_eq!(of(&node(-32000, None)), None);
        assert!(!is_revert(&node(-32000, Some("0x".into()))));
    }
}
