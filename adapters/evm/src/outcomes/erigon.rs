//! Answers of erigon, from its source text. A refusal of its pool is `<result>: <reason>`; all answers have the default
//! code of its JSON-RPC server.
//!
//! `already known` is also said of bytes whose refusal, or eviction, the pool remembers (`idHashKnown` asks the list of
//! discarded ones first), so it decides nothing; `existing txn with same hash` is said of those in the pool alone.

use super::Reading::{AlreadyKnown, FeeTooLow, InsufficientFunds, Open, Rejected, SlotTooLow};
use super::Text::{Start, Whole};
use super::{Client, Doubt, Family, Never, Quote, Reading, Row, Source, Text};

const PROJECT: &str = "erigontech/erigon";

const NAME: Source = Source::Quoted(&[Quote {
    project: PROJECT,
    revision: "8e7e73385ebfc1acd3f8b67adbfa1411d284a006",
    file: "ethdb/privateapi/ethbackend.go",
}]);

const CODE: Quote = Quote { project: PROJECT, revision: "058c521b5cf32eba41af8b3706000a92238e567b", file: "rpc/errors.go" };
const RESULTS: Quote =
    Quote { project: "erigontech/interfaces", revision: "5ffe29c38f827f1ec0d44827f42331ac7d2396b7", file: "txpool/txpool.proto" };
const SEND: Quote =
    Quote { project: PROJECT, revision: "00769ff3eba015d24c31431662a844c94894e5c1", file: "rpc/jsonrpc/send_transaction.go" };
const SEND_BEFORE: Quote =
    Quote { project: PROJECT, revision: "8a321b3650cb5669ec130a0aafa61b664b175e4d", file: "rpc/jsonrpc/send_transaction.go" };
const MAPPING: Quote =
    Quote { project: PROJECT, revision: "0958eb38092403de651e87897b31b12ec6fd451e", file: "txnprovider/txpool/txpool_grpc_server.go" };
const REASONS: Quote =
    Quote { project: PROJECT, revision: "05916db28a59395b3ff58c9a8290733e7e502da9", file: "txnprovider/txpool/txpoolcfg/txpoolcfg.go" };
const POOL: Quote = Quote { project: PROJECT, revision: "868f57366b95c8abae6fac09d73dd5f2f5911a88", file: "txnprovider/txpool/pool.go" };

/// What is known of erigon.
pub(super) const CLIENT: Client = Client { family: Family::Erigon, name: "erigon", source: NAME, rows: ROWS };

/// Of the pool.
const fn pool(text: &'static str, reading: Reading) -> Row {
    Row { code: -32000, text: Whole(text), reading, source: Source::Quoted(&[REASONS, MAPPING, RESULTS, SEND, POOL, CODE]) }
}

/// Of the JSON-RPC method, before the pool is asked.
const fn method(text: Text, reading: Reading, source: Source) -> Row {
    Row { code: -32000, text, reading, source }
}

const ROWS: &[Row] = &[
    pool("INTERNAL_ERROR: existing txn with same hash", AlreadyKnown),
    pool("ALREADY_EXISTS: already known", Open(Doubt::SeenBefore)),
    pool("INTERNAL_ERROR: nonce too low", SlotTooLow),
    pool("INTERNAL_ERROR: insufficient funds", InsufficientFunds),
    pool("FEE_TOO_LOW: underpriced", FeeTooLow),
    pool("FEE_TOO_LOW: fee too low", FeeTooLow),
    pool("FEE_TOO_LOW: replacement transaction underpriced", FeeTooLow),
    pool("INTERNAL_ERROR: could not replace existing tx", FeeTooLow),
    pool("INTERNAL_ERROR: IntrinsicGas", Rejected(Never::GasBelowIntrinsic)),
    pool("INTERNAL_ERROR: gas limit is too high", Rejected(Never::GasAboveLimit)),
    pool("INTERNAL_ERROR: GasUintOverflow", Rejected(Never::Overflow)),
    pool("INVALID: RLPTooLong", Rejected(Never::TooLarge)),
    pool("INVALID: oversized data", Rejected(Never::TooLarge)),
    pool("INVALID: invalid sender", Open(Doubt::Garbled)),
    pool("INTERNAL_ERROR: spammer", Open(Doubt::NoRoom)),
    pool("INTERNAL_ERROR: pending sub-pool is full", Open(Doubt::NoRoom)),
    pool("INTERNAL_ERROR: baseFee sub-pool is full", Open(Doubt::NoRoom)),
    pool("INTERNAL_ERROR: queued sub-pool is full", Open(Doubt::NoRoom)),
    method(Start("tx fee ("), Open(Doubt::NodeFeeCap), Source::Quoted(&[SEND, CODE])),
    method(Start("invalid chain id, expected: "), Open(Doubt::OtherChain), Source::Quoted(&[SEND, CODE])),
    method(Whole("fee cap is lower than the base fee"), FeeTooLow, Source::Quoted(&[SEND_BEFORE, CODE])),
];
