//! The faults that a request can meet, by name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The connection is closed; the node never sees the request.
    DropRequest,
    /// The node gets the request; the connection is closed instead of answering.
    DropAnswer,
    /// The node gets the request late.
    Delay,
    /// The node gets the request twice.
    Duplicate,
    /// The answer ends in the middle of its JSON.
    Truncate,
    /// The answer's result has another type.
    WrongType,
    /// The answer's numbers fit into nothing.
    HugeNumber,
    /// The answer is to another request.
    WrongId,
    /// A question for the head is answered with an earlier head.
    StaleHead,
    /// 429 with `Retry-After`; the node never sees the request.
    TooMany,
    /// The connection is reset (RST); the node never sees the request.
    Reset,
    /// A question for the chain id is answered with another one.
    OtherChain,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::DropRequest,
        Self::DropAnswer,
        Self::Delay,
        Self::Duplicate,
        Self::Truncate,
        Self::WrongType,
        Self::HugeNumber,
        Self::WrongId,
        Self::StaleHead,
        Self::TooMany,
        Self::Reset,
        Self::OtherChain,
    ];

    /// Its name in options, requests and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropRequest => "drop-request",
            Self::DropAnswer => "drop-answer",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::Truncate => "truncate",
            Self::WrongType => "wrong-type",
            Self::HugeNumber => "huge-number",
            Self::WrongId => "wrong-id",
            Self::StaleHead => "stale-head",
            Self::TooMany => "too-many",
            Self::Reset => "reset",
            Self::OtherChain => "other-chain",
        }
    }

    /// The faults that a word stands for: one by its name, or a kind of them (`all`, `drop`, `corrupt`).
    ///
    /// # Errors
    /// When the word is no name.
    pub fn named(word: &str) -> Result<Vec<Self>, UnknownFault> {
        match word {
            "all" => Ok(Self::ALL.to_vec()),
            "drop" => Ok(vec![Self::DropRequest, Self::DropAnswer]),
            "corrupt" => Ok(vec![Self::Truncate, Self::WrongType, Self::HugeNumber, Self::WrongId]),
            name => name.parse().map(|fault| vec![fault]),
        }
    }

    /// Whether a request with this method can meet it.
    pub fn applies_to(self, method: &str) -> bool {
        match self {
            Self::StaleHead => super::heads::METHODS.contains(&method),
            Self::OtherChain => matches!(method, "eth_chainId" | "net_version"),
            Self::DropRequest
            | Self::DropAnswer
            | Self::Delay
            | Self::Duplicate
            | Self::Truncate
            | Self::WrongType
            | Self::HugeNumber
            | Self::WrongId
            | Self::TooMany
            | Self::Reset => true,
        }
    }
}

/// A word that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no fault is called {0:?}; there are all, drop, corrupt, {names}", names = Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;
    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
