//! How a node's answer to `eth_sendRawTransaction` is read (R6): a table of data per client family.
//!
//! An answer that no row knows is `Indeterminate`, which keeps the slot: the safe reading, because the bytes may be on
//! their way all the same. Every row has a recorded answer of the real client as its test (`tests/recorded`); families
//! are added together with their recordings.

use crate::endpoint::RpcError;
use acurast_adapter_api::SendOutcome;

/// The program that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Foundry's anvil.
    Anvil,
    /// One without rows: all that it refuses is indeterminate.
    Unknown,
}

impl Family {
    /// The family by the words of `web3_clientVersion`.
    pub fn of(client_version: &str) -> Self {
        match client_version.split('/').next() {
            Some("anvil") => Self::Anvil,
            _ => Self::Unknown,
        }
    }
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The node had these bytes.
    AlreadyKnown,
    /// The node will never take these bytes.
    Rejected,
    /// The nonce is used in the chain.
    SlotTooLow,
    /// It pays too little to enter, or to replace.
    FeeTooLow,
    /// The signer can't pay for it.
    InsufficientFunds,
}

/// How a row's text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// All of the message.
    Whole(&'static str),
    /// Its beginning; what follows are numbers of the case.
    Start(&'static str),
}

/// One known answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Who says it.
    pub family: Family,
    /// JSON-RPC code.
    pub code: i64,
    /// The message.
    pub text: Text,
    /// What it means.
    pub reading: Reading,
}

const fn anvil(code: i64, text: Text, reading: Reading) -> Row {
    Row { family: Family::Anvil, code, text, reading }
}

/// The table.
pub const ROWS: &[Row] = &[
    anvil(-32003, Text::Whole("nonce too low"), Reading::SlotTooLow),
    anvil(-32003, Text::Whole("transaction already imported"), Reading::AlreadyKnown),
    anvil(-32003, Text::Whole("replacement transaction underpriced"), Reading::FeeTooLow),
    anvil(-32003, Text::Whole("max fee per gas less than block base fee"), Reading::FeeTooLow),
    anvil(-32003, Text::Whole("Insufficient funds for gas * price + value"), Reading::InsufficientFunds),
    anvil(-32000, Text::Whole("intrinsic gas too low"), Reading::Rejected),
    anvil(-32000, Text::Start("intrinsic gas too high"), Reading::Rejected),
    anvil(-32003, Text::Whole("max priority fee per gas higher than max fee per gas"), Reading::Rejected),
    anvil(-32003, Text::Whole("invalid chain id for signer"), Reading::Rejected),
    anvil(-32602, Text::Whole("Failed to decode transaction"), Reading::Rejected),
];

/// Reads a failed send. Whatever was not an answer of the node leaves open whether the bytes arrived.
pub fn read(family: Family, error: &RpcError) -> SendOutcome {
    let RpcError::Node { code, message, .. } = error else {
        return SendOutcome::Indeterminate(error.to_string());
    };
    let row = ROWS.iter().find(|row| {
        row.family == family
            && row.code == *code
            && match row.text {
                Text::Whole(text) => message == text,
                Text::Start(text) => message.starts_with(text),
            }
    });
    match row.map(|row| row.reading) {
        Some(Reading::AlreadyKnown) => SendOutcome::AlreadyKnown,
        Some(Reading::Rejected) => SendOutcome::Rejected(message.clone()),
        Some(Reading::SlotTooLow) => SendOutcome::SlotTooLow,
        Some(Reading::FeeTooLow) => SendOutcome::FeeTooLow,
        Some(Reading::InsufficientFunds) => SendOutcome::InsufficientFunds,
        None => SendOutcome::Indeterminate(format!("unknown answer {code} of this client: {message}")),
    }
}
