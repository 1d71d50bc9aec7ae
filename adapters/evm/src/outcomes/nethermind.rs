//! Answers of nethermind, from its source text: `AcceptTxResult.ToString()` is the code of the result, alone or followed
//! by `, ` and details, and the JSON-RPC method hands it on as *transaction rejected*. Releases until 2025 name the result
//! as in the program and have -32010 for it; later ones have geth's words and -32000.
//!
//! *Already known* is also said of bytes that were refused earlier within the same block (`AlreadyKnownTxFilter`), so it
//! decides nothing. *Invalid* may hide that the node is of another chain, so it has no row.

use super::Reading::{FeeTooLow, InsufficientFunds, Open, Rejected, SlotTooHigh, SlotTooLow};
use super::Text::{Start, Whole};
use super::{Client, Doubt, Family, Never, Quote, Reading, Row, Source, Text};

const PROJECT: &str = "NethermindEth/nethermind";

const fn quote(revision: &'static str, file: &'static str) -> Quote {
    Quote { project: PROJECT, revision, file }
}

const NAME: Source = Source::Quoted(&[quote("05927326a9a230ded9390b6e25687f4086bcbbc4", "src/Nethermind/Nethermind.Core/ProductInfo.cs")]);

const NAMES: Source = Source::Quoted(&[
    quote("07870f1eb508f2ac106702544be7c75b72a113c2", "src/Nethermind/Nethermind.TxPool/AcceptTxResult.cs"),
    quote("3d565b3588d581b365b691b661e2c97d8701143e", "src/Nethermind/Nethermind.JsonRpc/Modules/Eth/EthRpcModule.cs"),
    quote("e4a3214834528897113986aa47483d20614478fd", "src/Nethermind/Nethermind.JsonRpc/ErrorCodes.cs"),
]);

const WORDS: Source = Source::Quoted(&[
    quote("030cbd1bc4aed56a81464d97c73337e6e358e3dc", "src/Nethermind/Nethermind.TxPool/AcceptTxResult.cs"),
    quote("cbea1e0df0d72beb044980af5bb8bf6319509bd0", "src/Nethermind/Nethermind.TxPool/TxPoolErrorMessages.cs"),
    quote("01d0a0d8cdf38d2d23182b4f40192ed0c2a22868", "src/Nethermind/Nethermind.JsonRpc/ErrorCodes.cs"),
]);

/// What is known of nethermind.
pub(super) const CLIENT: Client = Client { family: Family::Nethermind, name: "Nethermind", source: NAME, rows: ROWS };

const fn name(text: Text, reading: Reading) -> Row {
    Row { code: -32010, text, reading, source: NAMES }
}

const fn words(text: Text, reading: Reading) -> Row {
    Row { code: -32000, text, reading, source: WORDS }
}

const ROWS: &[Row] = &[
    name(Whole("OldNonce"), SlotTooLow),
    name(Start("OldNonce, "), SlotTooLow),
    name(Whole("NonceGap"), SlotTooHigh),
    name(Start("NonceGap, "), SlotTooHigh),
    name(Whole("FeeTooLow"), FeeTooLow),
    name(Start("FeeTooLow, "), FeeTooLow),
    name(Whole("FeeTooLowToCompete"), FeeTooLow),
    name(Start("FeeTooLowToCompete, "), FeeTooLow),
    name(Whole("ReplacementNotAllowed"), FeeTooLow),
    name(Whole("InsufficientFunds"), InsufficientFunds),
    name(Start("InsufficientFunds, "), InsufficientFunds),
    name(Whole("GasLimitExceeded"), Rejected(Never::GasAboveLimit)),
    name(Start("GasLimitExceeded, "), Rejected(Never::GasAboveLimit)),
    name(Whole("Int256Overflow"), Rejected(Never::Overflow)),
    name(Whole("SenderIsContract"), Rejected(Never::SenderHasCode)),
    name(Whole("AlreadyKnown"), Open(Doubt::SeenBefore)),
    name(Whole("PendingTxsOfOtherType"), Open(Doubt::NoRoom)),
    name(Whole("FailedToResolveSender"), Open(Doubt::Garbled)),
    name(Whole("Invalid RLP."), Open(Doubt::Garbled)),
    words(Whole("nonce too low"), SlotTooLow),
    words(Start("nonce too low, "), SlotTooLow),
    words(Whole("nonce too high"), SlotTooHigh),
    words(Start("nonce too high, "), SlotTooHigh),
    words(Whole("nonce too far in future"), SlotTooHigh),
    words(Whole("delegation nonce gap"), SlotTooHigh),
    words(Whole("transaction underpriced"), FeeTooLow),
    words(Start("transaction underpriced, "), FeeTooLow),
    words(Whole("replacement transaction underpriced"), FeeTooLow),
    words(Whole("insufficient funds for gas * price + value"), InsufficientFunds),
    words(Start("insufficient funds for gas * price + value, "), InsufficientFunds),
    words(Whole("gas limit reached"), Rejected(Never::GasAboveLimit)),
    words(Start("gas limit reached, "), Rejected(Never::GasAboveLimit)),
    words(Whole("transaction too large"), Rejected(Never::TooLarge)),
    words(Whole("transaction cost overflow"), Rejected(Never::Overflow)),
    words(Whole("unsupported transaction type"), Rejected(Never::Kind)),
    words(Whole("sender not an eoa"), Rejected(Never::SenderHasCode)),
    words(Whole("already known"), Open(Doubt::SeenBefore)),
    words(Whole("pending transaction type conflict"), Open(Doubt::NoRoom)),
    words(Whole("delegation authority has pending transaction"), Open(Doubt::NoRoom)),
    words(Whole("failed to recover sender"), Open(Doubt::Garbled)),
    words(Whole("node is syncing"), Open(Doubt::Syncing)),
];
