//! Answers of Foundry's anvil. All of them are recorded.

use super::Reading::{AlreadyKnown, FeeTooLow, InsufficientFunds, Open, Rejected, SlotTooLow};
use super::Text::Whole;
use super::{Client, Doubt, Family, Never, Reading, Row, Source, Text};

const RECORDED: Source = Source::Recorded { client: "anvil", version: "v1.7.1" };

/// What is known of anvil.
pub(super) const CLIENT: Client = Client { family: Family::Anvil, name: "anvil", source: RECORDED, rows: ROWS };

const fn row(code: i64, text: Text, reading: Reading) -> Row {
    Row { code, text, reading, source: RECORDED }
}

const ROWS: &[Row] = &[
    row(-32003, Whole("nonce too low"), SlotTooLow),
    row(-32003, Whole("transaction already imported"), AlreadyKnown),
    row(-32003, Whole("replacement transaction underpriced"), FeeTooLow),
    row(-32003, Whole("max fee per gas less than block base fee"), FeeTooLow),
    row(-32003, Whole("Insufficient funds for gas * price + value"), InsufficientFunds),
    row(-32000, Whole("intrinsic gas too low"), Rejected(Never::GasBelowIntrinsic)),
    row(-32000, Whole("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit"), Rejected(Never::GasAboveLimit)),
    row(-32003, Whole("max priority fee per gas higher than max fee per gas"), Rejected(Never::TipAboveFee)),
    row(-32003, Whole("invalid chain id for signer"), Open(Doubt::OtherChain)),
    row(-32602, Whole("Empty transaction data"), Open(Doubt::Garbled)),
    row(-32602, Whole("Failed to decode transaction"), Open(Doubt::Garbled)),
    row(-32602, Whole("Failed to recover the signer"), Open(Doubt::Garbled)),
];
