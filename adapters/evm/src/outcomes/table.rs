//! What a row of the outcome tables says: the answer, what it means to a lane, and where it is known from.

use acurast_adapter_api::SendOutcome;

/// How a row's text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// All of the message.
    Whole(&'static str),
    /// Its beginning; what follows are values of the case.
    Start(&'static str),
}

impl Text {
    /// Whether this is the message.
    pub fn is(self, message: &str) -> bool {
        match self {
            Self::Whole(text) => message == text,
            Self::Start(text) => message.starts_with(text),
        }
    }

    /// Whether some message is both this and `other`.
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(text), other) | (other, Self::Whole(text)) => other.is(text),
            (Self::Start(one), Self::Start(two)) => one.starts_with(two) || two.starts_with(one),
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// These bytes are in the node's pool.
    AlreadyKnown,
    /// The node will never take these bytes, for this reason.
    Rejected(Never),
    /// The nonce is used in the chain.
    SlotTooLow,
    /// A nonce before it is missing.
    SlotTooHigh,
    /// It pays too little to enter, or to replace.
    FeeTooLow,
    /// The signer can't pay for it.
    InsufficientFunds,
    /// The client says this, and it decides nothing, for this reason.
    Open(Doubt),
}

/// Why a node will never take these bytes. Each is a property of the bytes against rules that hold for block after block;
/// what waiting, money, another price or another endpoint would cure is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Never {
    /// Less gas than the bytes alone cost. They don't get cheaper.
    GasBelowIntrinsic,
    /// More gas than a block, or a transaction, may have, or than the node is set to take. The lane reads the block's limit
    /// when it connects and stays below it; a node with a lower limit of its own needs a lower `transaction_gas_max`.
    GasAboveLimit,
    /// The priority fee is higher than the fee it is part of: no block may contain that.
    TipAboveFee,
    /// Longer than nodes of this kind pass on.
    TooLarge,
    /// The nonce is the last there is (EIP-2681).
    LastNonce,
    /// The chain has no transactions of this kind.
    Kind,
    /// The signer's address has code of its own (EIP-3607), which can't be a key's any more.
    SenderHasCode,
    /// Gas times price is more than any number can say.
    Overflow,
}

impl Never {
    /// A short name for journals and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::GasBelowIntrinsic => "gas_below_intrinsic",
            Self::GasAboveLimit => "gas_above_limit",
            Self::TipAboveFee => "tip_above_fee",
            Self::TooLarge => "too_large",
            Self::LastNonce => "last_nonce",
            Self::Kind => "kind",
            Self::SenderHasCode => "sender_has_code",
            Self::Overflow => "overflow",
        }
    }

    /// The outcome; its reason is `<label>: <the node's words>`.
    pub fn outcome(self, words: &str) -> SendOutcome {
        SendOutcome::Rejected(format!("{}: {words}", self.label()))
    }
}

/// Why a send decides nothing. The slot is kept, and the same bytes are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Not reached, or no answer in time: the bytes may be on their way.
    Unreachable,
    /// The answer makes no sense.
    Malformed,
    /// Nothing is known of this client's answers.
    UnknownClient,
    /// The client is known, this answer isn't.
    UnknownAnswer,
    /// The pool, or the sender's part of it, has no room now.
    NoRoom,
    /// Above the most that this node is set to let anybody pay. Another setting, endpoint or a cheaper hour cures it.
    NodeFeeCap,
    /// The node is of another chain than the one that was identified at the start: the node is wrong, not the bytes.
    OtherChain,
    /// The node read something that is no transaction, or bears no signature: not the bytes that were sent.
    Garbled,
    /// The node has seen these bytes before. It says so of bytes that it threw away, too.
    SeenBefore,
    /// The node is not up to date.
    Syncing,
}

impl Doubt {
    /// A short name for journals and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed",
            Self::UnknownClient => "unknown_client",
            Self::UnknownAnswer => "unknown_answer",
            Self::NoRoom => "no_room",
            Self::NodeFeeCap => "node_fee_cap",
            Self::OtherChain => "other_chain",
            Self::Garbled => "garbled",
            Self::SeenBefore => "seen_before",
            Self::Syncing => "syncing",
        }
    }

    /// The outcome; its reason is `<label>: <the node's words>`.
    pub fn outcome(self, words: &str) -> SendOutcome {
        SendOutcome::Indeterminate(format!("{}: {words}", self.label()))
    }
}

/// Where a row is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client was run and asked: request and answer stand in `tests/recorded`.
    Recorded {
        /// The program, as its version string names it.
        client: &'static str,
        /// The version, as that string has it.
        version: &'static str,
    },
    /// The client's own source text defines it.
    Quoted(&'static [Quote]),
}

/// A place in the source text of a client's project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Repository.
    pub project: &'static str,
    /// Commit, or the tag of a release.
    pub revision: &'static str,
    /// File within it.
    pub file: &'static str,
}

/// One known answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// JSON-RPC code.
    pub code: i64,
    /// The message.
    pub text: Text,
    /// What it means.
    pub reading: Reading,
    /// Where that is known from.
    pub source: Source,
}
