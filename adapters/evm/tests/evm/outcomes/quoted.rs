//! Messages built as the quoted source texts build them, and what they mean.

use acurast_adapter_evm::outcomes::Family::{self, Erigon, Geth, Nethermind, Reth};

/// Family, code, message, outcome.
pub type Example = (Family, i64, String, String);

const SLOT_TOO_LOW: &str = "slot too low";
const SLOT_TOO_HIGH: &str = "slot too high";
const FEE_TOO_LOW: &str = "fee too low";
const NO_FUNDS: &str = "insufficient funds";
const KNOWN: &str = "already known";
const NO_ROOM: &str = "indeterminate: no_room";
const SEEN_BEFORE: &str = "indeterminate: seen_before";
const GARBLED: &str = "indeterminate: garbled";
const OTHER_CHAIN: &str = "indeterminate: other_chain";
const NODE_FEE_CAP: &str = "indeterminate: node_fee_cap";
const GAS_BELOW: &str = "rejected: gas_below_intrinsic";
const GAS_ABOVE: &str = "rejected: gas_above_limit";
const TOO_LARGE: &str = "rejected: too_large";
const OVERFLOW: &str = "rejected: overflow";
const SENDER_HAS_CODE: &str = "rejected: sender_has_code";
const KIND: &str = "rejected: kind";

pub fn examples() -> Vec<Example> {
    [geth(), reth(), erigon(), nethermind()].concat()
}

fn of(family: Family, code: i64, examples: Vec<(String, &str)>) -> Vec<Example> {
    examples.into_iter().map(|(message, outcome)| (family, code, message, outcome.to_owned())).collect()
}

/// Go wraps an error as `<error>: <details>`.
fn geth() -> Vec<Example> {
    let floor = "insufficient gas for floor data gas cost";
    of(
        Geth,
        -32000,
        vec![
            ("gapped-nonce tx from delegated accounts".into(), SLOT_TOO_HIGH),
            ("in-flight transaction limit reached for delegated accounts".into(), NO_ROOM),
            ("address already reserved".into(), NO_ROOM),
            ("insufficient funds for gas * price + value".into(), NO_FUNDS),
            (format!("{floor}: intrinsic cost {}, floor: {}", 21_000, 17_000_000), TOO_LARGE),
            (format!("transaction underpriced: gas tip cap {}, minimum needed {}", 0, 1_000_000_000), FEE_TOO_LOW),
        ],
    )
}

fn reth() -> Vec<Example> {
    let invalid_input = vec![
        ("already known".into(), KNOWN),
        ("transaction underpriced".into(), FEE_TOO_LOW),
        ("replacement transaction underpriced".into(), FEE_TOO_LOW),
        ("exceeds block gas limit".into(), GAS_ABOVE),
        ("exceeds max transaction gas limit".into(), GAS_ABOVE),
        (format!("oversized data: transaction size {}, limit {}", 131_200, 131_072), TOO_LARGE),
        (
            format!("tx fee ({} wei) exceeds the configured cap ({} wei)", 2_100_000_000_000_000_000_u128, 1_000_000_000_000_000_000_u128),
            NODE_FEE_CAP,
        ),
        ("address already reserved".into(), NO_ROOM),
        (format!("nonce too low: next nonce {}, tx nonce {}", 8, 7), SLOT_TOO_LOW),
        ("max fee per gas less than block base fee".into(), FEE_TOO_LOW),
        ("intrinsic gas too low".into(), GAS_BELOW),
        ("intrinsic gas too high".into(), GAS_ABOVE),
        ("invalid chain ID".into(), OTHER_CHAIN),
    ];
    let rejected = vec![
        ("txpool is full".into(), NO_ROOM),
        (format!("insufficient funds for gas * price + value: have {} want {}", 5, 21_000), NO_FUNDS),
        (format!("transaction priority fee below minimum required priority fee {}", 1_000_000), FEE_TOO_LOW),
        ("gas limit too high".into(), GAS_ABOVE),
        ("max priority fee per gas higher than max fee per gas".into(), "rejected: tip_above_fee"),
        ("nonce has max value".into(), "rejected: last_nonce"),
        ("transaction type not supported".into(), KIND),
        ("sender is not an EOA".into(), SENDER_HAS_CODE),
        ("gas uint64 overflow".into(), OVERFLOW),
    ];
    let invalid_params = vec![
        ("empty transaction data".into(), GARBLED),
        ("failed to decode signed transaction".into(), GARBLED),
        ("invalid transaction signature".into(), GARBLED),
    ];
    [of(Reth, -32000, invalid_input), of(Reth, -32003, rejected), of(Reth, -32602, invalid_params)].concat()
}

/// `<import result>: <discard reason>`, by `SendRawTransaction`.
fn erigon() -> Vec<Example> {
    let refused = |result: &str, reason: &str| format!("{result}: {reason}");
    of(
        Erigon,
        -32000,
        vec![
            (refused("ALREADY_EXISTS", "already known"), SEEN_BEFORE),
            (refused("INTERNAL_ERROR", "existing txn with same hash"), KNOWN),
            (refused("INTERNAL_ERROR", "nonce too low"), SLOT_TOO_LOW),
            (refused("INTERNAL_ERROR", "insufficient funds"), NO_FUNDS),
            (refused("FEE_TOO_LOW", "underpriced"), FEE_TOO_LOW),
            (refused("FEE_TOO_LOW", "fee too low"), FEE_TOO_LOW),
            (refused("FEE_TOO_LOW", "replacement transaction underpriced"), FEE_TOO_LOW),
            (refused("INTERNAL_ERROR", "could not replace existing tx"), FEE_TOO_LOW),
            (refused("INTERNAL_ERROR", "IntrinsicGas"), GAS_BELOW),
            (refused("INTERNAL_ERROR", "gas limit is too high"), GAS_ABOVE),
            (refused("INTERNAL_ERROR", "GasUintOverflow"), OVERFLOW),
            (refused("INVALID", "RLPTooLong"), TOO_LARGE),
            (refused("INVALID", "oversized data"), TOO_LARGE),
            (refused("INVALID", "invalid sender"), GARBLED),
            (refused("INTERNAL_ERROR", "spammer"), NO_ROOM),
            (refused("INTERNAL_ERROR", "pending sub-pool is full"), NO_ROOM),
            (refused("INTERNAL_ERROR", "baseFee sub-pool is full"), NO_ROOM),
            (refused("INTERNAL_ERROR", "queued sub-pool is full"), NO_ROOM),
            (format!("tx fee ({:.2} ether) exceeds the configured cap ({:.2} ether)", 2.1, 1.0), NODE_FEE_CAP),
            (format!("invalid chain id, expected: {} got: {}", 1, 31_337), OTHER_CHAIN),
            ("fee cap is lower than the base fee".into(), FEE_TOO_LOW),
        ],
    )
}

/// `AcceptTxResult.ToString()`: the code, and details behind a comma where the filter gives some.
fn nethermind() -> Vec<Example> {
    let detailed = |code: &str, details: String| format!("{code}, {details}");
    let nonces = format!("Current nonce: {}, nonce of rejected tx: {}", 8, 7);
    let future = format!("Future nonce. Expected nonce: {}", 8);
    let balance = format!("Account balance: {}, cumulative cost: {}", 5, 21_000);
    let gas = format!("Gas limit: {}, gas limit of rejected tx: {}", 30_000_000, 40_000_000);
    let price = format!("FeePerGas needs to be higher than {} to be added to the TxPool. FeePerGas of rejected tx: {}.", 7, 6);
    let names = vec![
        ("OldNonce".into(), SLOT_TOO_LOW),
        (detailed("OldNonce", nonces.clone()), SLOT_TOO_LOW),
        ("NonceGap".into(), SLOT_TOO_HIGH),
        (detailed("NonceGap", future.clone()), SLOT_TOO_HIGH),
        ("FeeTooLow".into(), FEE_TOO_LOW),
        (detailed("FeeTooLow", price.clone()), FEE_TOO_LOW),
        ("FeeTooLowToCompete".into(), FEE_TOO_LOW),
        (detailed("FeeTooLowToCompete", price.clone()), FEE_TOO_LOW),
        ("ReplacementNotAllowed".into(), FEE_TOO_LOW),
        ("InsufficientFunds".into(), NO_FUNDS),
        (detailed("InsufficientFunds", "Balance is zero, cannot pay gas".into()), NO_FUNDS),
        (detailed("InsufficientFunds", balance.clone()), NO_FUNDS),
        ("GasLimitExceeded".into(), GAS_ABOVE),
        (detailed("GasLimitExceeded", gas.clone()), GAS_ABOVE),
        ("Int256Overflow".into(), OVERFLOW),
        ("SenderIsContract".into(), SENDER_HAS_CODE),
        ("AlreadyKnown".into(), SEEN_BEFORE),
        ("PendingTxsOfOtherType".into(), NO_ROOM),
        ("FailedToResolveSender".into(), GARBLED),
        ("Invalid RLP.".into(), GARBLED),
        ("Invalid".into(), "indeterminate: unknown_answer"),
    ];
    let words = vec![
        ("nonce too low".into(), SLOT_TOO_LOW),
        (detailed("nonce too low", nonces), SLOT_TOO_LOW),
        ("nonce too high".into(), SLOT_TOO_HIGH),
        (detailed("nonce too high", future), SLOT_TOO_HIGH),
        ("nonce too far in future".into(), SLOT_TOO_HIGH),
        ("delegation nonce gap".into(), SLOT_TOO_HIGH),
        ("transaction underpriced".into(), FEE_TOO_LOW),
        (detailed("transaction underpriced", price), FEE_TOO_LOW),
        ("replacement transaction underpriced".into(), FEE_TOO_LOW),
        ("insufficient funds for gas * price + value".into(), NO_FUNDS),
        (detailed("insufficient funds for gas * price + value", balance), NO_FUNDS),
        ("gas limit reached".into(), GAS_ABOVE),
        (detailed("gas limit reached", gas), GAS_ABOVE),
        ("transaction too large".into(), TOO_LARGE),
        ("transaction cost overflow".into(), OVERFLOW),
        ("unsupported transaction type".into(), KIND),
        ("sender not an eoa".into(), SENDER_HAS_CODE),
        ("already known".into(), SEEN_BEFORE),
        ("pending transaction type conflict".into(), NO_ROOM),
        ("delegation authority has pending transaction".into(), NO_ROOM),
        ("failed to recover sender".into(), GARBLED),
        ("node is syncing".into(), "indeterminate: syncing"),
        ("transaction invalid".into(), "indeterminate: unknown_answer"),
    ];
    [of(Nethermind, -32010, names), of(Nethermind, -32000, words)].concat()
}
