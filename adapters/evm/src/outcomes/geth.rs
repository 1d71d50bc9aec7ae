//! Answers of go-ethereum. What a node of the recorded version can be brought to say is recorded; the rest is quoted from
//! the source text of a release. All answers have the default code of its JSON-RPC server.
//!
//! Unless it runs with `--txpool.nolocals`, geth keeps the bytes it was sent by itself: then it answers with a hash where
//! the pool says *underpriced*, *full*, *future* or *delegated*, and tries again later
//! (`eth/api_backend.go`, `core/txpool/locals/errors.go`).

use super::Reading::{AlreadyKnown, FeeTooLow, InsufficientFunds, Open, Rejected, SlotTooHigh, SlotTooLow};
use super::Text::{Start, Whole};
use super::{Client, Doubt, Family, Never, Quote, Reading, Row, Source, Text};

const RECORDED: Source = Source::Recorded { client: "Geth", version: "v1.16.9-stable" };

const fn quote(revision: &'static str, file: &'static str) -> Quote {
    Quote { project: "ethereum/go-ethereum", revision, file }
}

const POOL: Source =
    Source::Quoted(&[quote("v1.17.10", "core/txpool/legacypool/legacypool.go"), quote("v1.17.10", "core/txpool/errors.go")]);
const VALIDATION: Source = Source::Quoted(&[quote("v1.17.10", "core/txpool/validation.go"), quote("v1.17.10", "core/error.go")]);
const VALIDATION_BEFORE: Source =
    Source::Quoted(&[quote("v1.14.13", "core/txpool/validation.go"), quote("v1.14.13", "core/txpool/errors.go")]);

/// What is known of go-ethereum.
pub(super) const CLIENT: Client = Client { family: Family::Geth, name: "Geth", source: RECORDED, rows: ROWS };

const fn seen(text: Text, reading: Reading) -> Row {
    quoted(text, reading, RECORDED)
}

const fn quoted(text: Text, reading: Reading, source: Source) -> Row {
    Row { code: -32000, text, reading, source }
}

const ROWS: &[Row] = &[
    seen(Whole("already known"), AlreadyKnown),
    seen(Start("nonce too low: next nonce "), SlotTooLow),
    seen(Whole("replacement transaction underpriced"), FeeTooLow),
    seen(Start("transaction gas price below minimum: gas tip cap "), FeeTooLow),
    seen(Whole("transaction underpriced"), FeeTooLow),
    seen(Start("insufficient funds for gas * price + value: balance "), InsufficientFunds),
    seen(Start("intrinsic gas too low: gas "), Rejected(Never::GasBelowIntrinsic)),
    seen(Start("insufficient gas for floor data gas cost: gas "), Rejected(Never::GasBelowIntrinsic)),
    seen(Whole("exceeds block gas limit"), Rejected(Never::GasAboveLimit)),
    seen(Start("transaction gas limit too high (cap: "), Rejected(Never::GasAboveLimit)),
    seen(Whole("max priority fee per gas higher than max fee per gas"), Rejected(Never::TipAboveFee)),
    seen(Start("oversized data: transaction size "), Rejected(Never::TooLarge)),
    seen(Whole("nonce has max value"), Rejected(Never::LastNonce)),
    seen(Start("tx fee ("), Open(Doubt::NodeFeeCap)),
    seen(Whole("txpool is full"), Open(Doubt::NoRoom)),
    seen(Whole("future transaction tries to replace pending"), Open(Doubt::NoRoom)),
    seen(Start("invalid sender: invalid chain id for signer: have "), Open(Doubt::OtherChain)),
    seen(Whole("invalid sender: invalid transaction v, r, s values"), Open(Doubt::Garbled)),
    seen(Whole("typed transaction too short"), Open(Doubt::Garbled)),
    // The kind that lanes send is known to every release; this is said of a byte that was another one.
    seen(Whole("transaction type not supported"), Open(Doubt::Garbled)),
    seen(Whole("rlp: too few elements for types.DynamicFeeTx"), Open(Doubt::Garbled)),
    seen(Whole("rlp: value size exceeds available input length"), Open(Doubt::Garbled)),
    seen(Whole("rlp: input contains more than one value"), Open(Doubt::Garbled)),
    quoted(Whole("gapped-nonce tx from delegated accounts"), SlotTooHigh, POOL),
    quoted(Whole("in-flight transaction limit reached for delegated accounts"), Open(Doubt::NoRoom), POOL),
    quoted(Whole("address already reserved"), Open(Doubt::NoRoom), POOL),
    quoted(Whole("insufficient funds for gas * price + value"), InsufficientFunds, VALIDATION),
    quoted(Start("insufficient gas for floor data gas cost: intrinsic cost "), Rejected(Never::TooLarge), VALIDATION),
    quoted(Start("transaction underpriced: gas tip cap "), FeeTooLow, VALIDATION_BEFORE),
];
