//! How a node's answer to `eth_sendRawTransaction` is read (R6): a table of data per client family.
//!
//! An answer that no row knows is `Indeterminate`, which keeps the slot: the safe reading, because the bytes may be on
//! their way all the same. So is every refusal of a client that has no table. An operator sees that his client has none by
//! the warning `… answers of this client: what it refuses counts as indeterminate` when it is first asked its version, and
//! by outcomes whose reason begins with `unknown_client`; `unknown_answer` says that a known client has new words. Programs
//! that keep a family's name and change its words (forks, gateways of providers) lose rows that way and gain none: nothing
//! is guessed from a part of a text.
//!
//! Each row is recorded from the client itself or quoted from its source text, and is a test either way
//! (`tests/evm/outcomes.rs`, `tests/recorded/README.md` tells how to record). The tables know what a lane can meet: calls of
//! EIP-1559. Answers about blobs, authorizations and contract creations have no rows.
//!
//! # What no answer proves
//!
//! *Accepted* and *known* say that the node was told, not that its pool holds the bytes: geth answers with a hash, too,
//! when its pool is full, and tries again by itself later; erigon and nethermind know bytes that they threw away. A lane
//! therefore observes what it sent, whatever the answer was.

mod anvil;
mod erigon;
mod geth;
mod nethermind;
mod reth;
mod table;

pub use table::{Doubt, Never, Quote, Reading, Row, Source, Text};

use crate::endpoint::RpcError;
use acurast_adapter_api::SendOutcome;

/// The program that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Foundry's anvil.
    Anvil,
    /// go-ethereum.
    Geth,
    /// Paradigm's reth.
    Reth,
    /// Erigon.
    Erigon,
    /// Nethermind.
    Nethermind,
    /// One without rows: all that it refuses is indeterminate.
    Unknown,
}

/// What is known of one client family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The family.
    pub family: Family,
    /// How `web3_clientVersion` begins, up to the first `/`.
    pub name: &'static str,
    /// Where that is known from.
    pub source: Source,
    /// Its answers.
    pub rows: &'static [Row],
}

/// All client families with rows.
pub const CLIENTS: &[Client] = &[anvil::CLIENT, geth::CLIENT, reth::CLIENT, erigon::CLIENT, nethermind::CLIENT];

impl Family {
    /// The family by the words of `web3_clientVersion`.
    pub fn of(client_version: &str) -> Self {
        let name = client_version.split('/').next();
        CLIENTS.iter().find(|client| Some(client.name) == name).map_or(Self::Unknown, |client| client.family)
    }
}

/// Reads a failed send. Whatever was not an answer of the node leaves open whether the bytes arrived.
///
/// The reason of an `Indeterminate` or `Rejected` begins with the label of its [`Doubt`] or [`Never`], and a colon.
pub fn read(family: Family, error: &RpcError) -> SendOutcome {
    // What the node itself did not say is about the way there and back.
    let RpcError::Node { code, message, .. } = error else {
        let doubt = if matches!(error, RpcError::Malformed { .. }) { Doubt::Malformed } else { Doubt::Unreachable };
        return doubt.outcome(&error.to_string());
    };
    let words = format!("error {code}: {message}");
    let Some(client) = CLIENTS.iter().find(|client| client.family == family) else {
        return Doubt::UnknownClient.outcome(&words);
    };
    let row = client.rows.iter().find(|row| row.code == *code && row.text.is(message));
    match row.map(|row| row.reading) {
        Some(Reading::AlreadyKnown) => SendOutcome::AlreadyKnown,
        Some(Reading::Rejected(never)) => never.outcome(&words),
        Some(Reading::SlotTooLow) => SendOutcome::SlotTooLow,
        Some(Reading::SlotTooHigh) => SendOutcome::SlotTooHigh,
        Some(Reading::FeeTooLow) => SendOutcome::FeeTooLow,
        Some(Reading::InsufficientFunds) => SendOutcome::InsufficientFunds,
        Some(Reading::Open(doubt)) => doubt.outcome(&words),
        None => Doubt::UnknownAnswer.outcome(&words),
    }
}
