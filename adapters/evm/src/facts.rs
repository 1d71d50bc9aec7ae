//! The settlement contract's escrow events as source facts.

use crate::chain::seconds;
use crate::contract::Settlement;
use crate::node::Log;
use crate::report::{ReportError, amount, event};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, Bytes, EscrowId, Genesis, OwnerKey};
use acurast_events::caip::AssetId;
use acurast_events::ids::chain_fact_id;
use acurast_events::source::{
    AssignmentRevoked, EscrowCaps, EscrowCloseRequested, EscrowOpened, EscrowRefunded, EscrowToppedUp, FactMeta, SourceEvent, TargetBound,
};
use acurast_events::units::{BlockNumber, Gas, Timestamp};
use alloy::primitives::Address;
use alloy::sol_types::SolEvent;

/// Signature hashes of the events that become facts; the first topic of the query.
pub const FACT_EVENTS: [[u8; 32]; 6] = [
    Settlement::TargetBound::SIGNATURE_HASH.0,
    Settlement::EscrowOpened::SIGNATURE_HASH.0,
    Settlement::EscrowToppedUp::SIGNATURE_HASH.0,
    Settlement::EscrowCloseRequested::SIGNATURE_HASH.0,
    Settlement::EscrowRefunded::SIGNATURE_HASH.0,
    Settlement::AssignmentRevoked::SIGNATURE_HASH.0,
];

/// A fact, or what has to be read before it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// All of it is in the event.
    Whole(Box<SourceEvent>),
    /// A revocation: the event doesn't name the account's owner, which the contract knows.
    Revocation {
        /// Where.
        meta: FactMeta,
        /// The account.
        escrow_id: EscrowId,
        /// The assignment.
        assignment_id: AssignmentId,
    },
}

impl Fact {
    /// The revocation with its owner.
    pub fn revocation(meta: FactMeta, escrow_id: EscrowId, assignment_id: AssignmentId, owner: OwnerKey) -> SourceEvent {
        AssignmentRevoked { meta, escrow_id, owner, assignment_id }.into()
    }
}

fn bytes(address: &Address) -> Bytes {
    Bytes(address.to_vec())
}

fn time(log: &Log, value: u64) -> Result<Timestamp, ReportError> {
    seconds(value).ok_or_else(|| ReportError::Event { index: log.log_index.0, reason: format!("time {value} s") })
}

fn narrow(log: &Log, value: u64, what: &str) -> Result<u32, ReportError> {
    u32::try_from(value).map_err(|_| ReportError::Event { index: log.log_index.0, reason: format!("{what} {value}") })
}

/// Where a log stands; its fact id is PROTOCOL §3's with the log's index in the block.
fn meta(genesis: &Genesis, log: &Log) -> Result<FactMeta, ReportError> {
    let index = narrow(log, log.log_index.0, "log index")?;
    Ok(FactMeta {
        id: chain_fact_id(genesis, &log.block_hash, BlockNumber(log.block_number.0), index, 0),
        index,
        extrinsic: Some(narrow(log, log.transaction_index.0, "transaction index")?),
    })
}

/// Reads one event of the contract.
///
/// # Errors
/// When it is none of [`FACT_EVENTS`], doesn't decode strictly, or holds money or times that the contract can't hold.
pub fn read(genesis: &Genesis, asset: &AssetId, log: &Log) -> Result<Fact, ReportError> {
    let meta = meta(genesis, log)?;
    let signature = log.topics.first().map(|topic| topic.0).unwrap_or_default();
    let fact: SourceEvent = if signature == Settlement::TargetBound::SIGNATURE_HASH.0 {
        let bound: Settlement::TargetBound = event(log)?;
        TargetBound { meta, settlement: Bytes(log.address.0.to_vec()), target: bytes(&bound.target), owner: OwnerKey(bound.ownerKey.0) }
            .into()
    } else if signature == Settlement::EscrowOpened::SIGNATURE_HASH.0 {
        let opened: Settlement::EscrowOpened = event(log)?;
        EscrowOpened {
            meta,
            settlement: Bytes(log.address.0.to_vec()),
            escrow_id: EscrowId(opened.escrowId.0),
            owner: OwnerKey(opened.ownerKey.0),
            target: bytes(&opened.target),
            opener: bytes(&opened.opener),
            caps: caps(&opened.caps),
            expiry: time(log, opened.expiry)?,
            asset: asset.clone(),
            amount: amount(log, opened.amount)?,
        }
        .into()
    } else if signature == Settlement::EscrowToppedUp::SIGNATURE_HASH.0 {
        let added: Settlement::EscrowToppedUp = event(log)?;
        EscrowToppedUp {
            meta,
            escrow_id: EscrowId(added.escrowId.0),
            owner: OwnerKey(added.ownerKey.0),
            amount: amount(log, added.amount)?,
        }
        .into()
    } else if signature == Settlement::EscrowCloseRequested::SIGNATURE_HASH.0 {
        let closing: Settlement::EscrowCloseRequested = event(log)?;
        EscrowCloseRequested {
            meta,
            escrow_id: EscrowId(closing.escrowId.0),
            owner: OwnerKey(closing.ownerKey.0),
            refundable_at: time(log, closing.refundableAt)?,
        }
        .into()
    } else if signature == Settlement::EscrowRefunded::SIGNATURE_HASH.0 {
        let refunded: Settlement::EscrowRefunded = event(log)?;
        EscrowRefunded {
            meta,
            escrow_id: EscrowId(refunded.escrowId.0),
            owner: OwnerKey(refunded.ownerKey.0),
            to: bytes(&refunded.to),
            amount: amount(log, refunded.amount)?,
        }
        .into()
    } else if signature == Settlement::AssignmentRevoked::SIGNATURE_HASH.0 {
        let revoked: Settlement::AssignmentRevoked = event(log)?;
        return Ok(Fact::Revocation { meta, escrow_id: EscrowId(revoked.escrowId.0), assignment_id: AssignmentId(revoked.assignmentId.0) });
    } else {
        return Err(ReportError::Event { index: log.log_index.0, reason: "an event that was not asked for".into() });
    };
    Ok(Fact::Whole(Box::new(fact)))
}

fn caps(caps: &Settlement::Caps) -> EscrowCaps {
    EscrowCaps {
        max_fee_per_gas: Amount(caps.maxFeePerGas),
        max_priority_fee: Amount(caps.maxPriorityFee),
        call_gas_limit: Gas(caps.callGasLimit),
        max_payload: caps.maxPayload,
        max_charge: Amount(caps.maxCharge),
        modes: caps.modes,
    }
}
