//! Answers of reth, from its source text. `RpcInvalidTransactionError::error_code` and the two conversions into error
//! objects in the file of errors give the codes: -32000 for the pool's own refusals and for some of the transaction's,
//! -32003 for the rest of them, -32602 for what could not be read.

use super::Reading::{AlreadyKnown, FeeTooLow, InsufficientFunds, Open, Rejected, SlotTooLow};
use super::Text::{Start, Whole};
use super::{Client, Doubt, Family, Never, Quote, Reading, Row, Source, Text};

const PROJECT: &str = "paradigmxyz/reth";

const NAME: Source = Source::Quoted(&[Quote {
    project: PROJECT,
    revision: "15999e5349b1cd07afdab98a2017cbf3e8bc6452",
    file: "crates/node/core/src/version.rs",
}]);

const ERRORS: Source = Source::Quoted(&[
    Quote { project: PROJECT, revision: "00971c293727f911179155e07cf5f1a3f48481a7", file: "crates/rpc/rpc-eth-types/src/error/mod.rs" },
    Quote { project: "alloy-rs/alloy", revision: "59174912873b337ea5868c295cefa70997596f29", file: "crates/rpc-types-eth/src/error.rs" },
]);

/// What is known of reth.
pub(super) const CLIENT: Client = Client { family: Family::Reth, name: "reth", source: NAME, rows: ROWS };

const fn row(code: i64, text: Text, reading: Reading) -> Row {
    Row { code, text, reading, source: ERRORS }
}

const ROWS: &[Row] = &[
    // The pool's own words.
    row(-32000, Whole("already known"), AlreadyKnown),
    row(-32000, Whole("transaction underpriced"), FeeTooLow),
    row(-32000, Whole("replacement transaction underpriced"), FeeTooLow),
    row(-32000, Whole("exceeds block gas limit"), Rejected(Never::GasAboveLimit)),
    row(-32000, Whole("exceeds max transaction gas limit"), Rejected(Never::GasAboveLimit)),
    row(-32000, Start("oversized data: transaction size "), Rejected(Never::TooLarge)),
    row(-32000, Start("tx fee ("), Open(Doubt::NodeFeeCap)),
    // A sender with too many, or thrown out for its price: it doesn't say which.
    row(-32003, Whole("txpool is full"), Open(Doubt::NoRoom)),
    row(-32000, Whole("address already reserved"), Open(Doubt::NoRoom)),
    // The transaction's.
    row(-32000, Start("nonce too low: next nonce "), SlotTooLow),
    row(-32003, Start("insufficient funds for gas * price + value: have "), InsufficientFunds),
    row(-32000, Whole("max fee per gas less than block base fee"), FeeTooLow),
    row(-32003, Start("transaction priority fee below minimum required priority fee "), FeeTooLow),
    row(-32000, Whole("intrinsic gas too low"), Rejected(Never::GasBelowIntrinsic)),
    row(-32000, Whole("intrinsic gas too high"), Rejected(Never::GasAboveLimit)),
    row(-32003, Whole("gas limit too high"), Rejected(Never::GasAboveLimit)),
    row(-32003, Whole("max priority fee per gas higher than max fee per gas"), Rejected(Never::TipAboveFee)),
    row(-32003, Whole("nonce has max value"), Rejected(Never::LastNonce)),
    row(-32003, Whole("transaction type not supported"), Rejected(Never::Kind)),
    row(-32003, Whole("sender is not an EOA"), Rejected(Never::SenderHasCode)),
    row(-32003, Whole("gas uint64 overflow"), Rejected(Never::Overflow)),
    row(-32000, Whole("invalid chain ID"), Open(Doubt::OtherChain)),
    // What could not be read.
    row(-32602, Whole("empty transaction data"), Open(Doubt::Garbled)),
    row(-32602, Whole("failed to decode signed transaction"), Open(Doubt::Garbled)),
    row(-32602, Whole("invalid transaction signature"), Open(Doubt::Garbled)),
];
