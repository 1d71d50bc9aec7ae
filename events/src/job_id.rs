//! `JobId = (MultiOrigin, u128)`: Acurast's name of a job, with its SCALE bytes and a text form (PROTOCOL §1).
//!
//! The number alone is not unique: every origin chain counts its own jobs.

use crate::amount::parse_decimal;
use crate::wire::{Wire, WireError, WireType, read_delimited, write_delimited};
use std::fmt;
use std::str::FromStr;

/// The account that owns a job, on the chain that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MultiOrigin {
    /// An Acurast account.
    Acurast([u8; 32]),
    /// A Tezos address, at most 36 bytes; 22 in its binary form.
    Tezos(Vec<u8>),
    /// An Ethereum address of the old form, at most 20 bytes.
    Ethereum(Vec<u8>),
    /// An Aleph Zero account.
    AlephZero([u8; 32]),
    /// A Vara account.
    Vara([u8; 32]),
    /// An Ethereum address.
    Ethereum20([u8; 20]),
    /// A Solana account.
    Solana([u8; 32]),
    /// An account of the canary network.
    AcurastCanary([u8; 32]),
}

/// Why bytes or text name no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobIdError {
    /// SCALE bytes end early or go on.
    #[error("SCALE bytes of a job id have the wrong length")]
    Length,
    /// An origin that this version does not know.
    #[error("unknown origin {0}")]
    UnknownOrigin(String),
    /// An account outside of its bounds.
    #[error("the account of the origin is malformed: {0}")]
    Account(String),
    /// The text form is `origin:0x…/number`.
    #[error("expected origin:0x…/number, got {0:?}")]
    Text(String),
}

impl MultiOrigin {
    /// The variant's name in lower case, as in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Acurast(_) => "acurast",
            Self::Tezos(_) => "tezos",
            Self::Ethereum(_) => "ethereum",
            Self::AlephZero(_) => "alephzero",
            Self::Vara(_) => "vara",
            Self::Ethereum20(_) => "ethereum20",
            Self::Solana(_) => "solana",
            Self::AcurastCanary(_) => "acurastcanary",
        }
    }

    /// The account's bytes.
    pub fn account(&self) -> &[u8] {
        match self {
            Self::Tezos(bytes) | Self::Ethereum(bytes) => bytes,
            Self::Ethereum20(bytes) => bytes,
            Self::Acurast(bytes) | Self::AlephZero(bytes) | Self::Vara(bytes) | Self::Solana(bytes) | Self::AcurastCanary(bytes) => bytes,
        }
    }

    /// The origin of `name` with these account bytes.
    ///
    /// # Errors
    /// When the name is unknown or the account has the wrong length.
    pub fn from_parts(name: &str, account: &[u8]) -> Result<Self, JobIdError> {
        let fixed = || <[u8; 32]>::try_from(account).map_err(|_| JobIdError::Account(format!("{} bytes instead of 32", account.len())));
        let bounded = |limit: usize| {
            if account.len() <= limit {
                Ok(account.to_vec())
            } else {
                Err(JobIdError::Account(format!("{} bytes, at most {limit}", account.len())))
            }
        };
        match name {
            "acurast" => fixed().map(Self::Acurast),
            "tezos" => bounded(36).map(Self::Tezos),
            "ethereum" => bounded(20).map(Self::Ethereum),
            "alephzero" => fixed().map(Self::AlephZero),
            "vara" => fixed().map(Self::Vara),
            "ethereum20" => {
                account.try_into().map(Self::Ethereum20).map_err(|_| JobIdError::Account(format!("{} bytes instead of 20", account.len())))
            }
            "solana" => fixed().map(Self::Solana),
            "acurastcanary" => fixed().map(Self::AcurastCanary),
            other => Err(JobIdError::UnknownOrigin(other.to_owned())),
        }
    }

    /// The EVM address of an Ethereum origin, or nothing for another chain's.
    pub fn evm_address(&self) -> Option<[u8; 20]> {
        match self {
            Self::Ethereum20(address) => Some(*address),
            Self::Ethereum(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        }
    }

    /// SCALE bytes.
    pub fn scale(&self) -> Vec<u8> {
        let tag: u8 = match self {
            Self::Acurast(_) => 0,
            Self::Tezos(_) => 1,
            Self::Ethereum(_) => 2,
            Self::AlephZero(_) => 3,
            Self::Vara(_) => 4,
            Self::Ethereum20(_) => 5,
            Self::Solana(_) => 6,
            Self::AcurastCanary(_) => 7,
        };
        let mut out = vec![tag];
        if let Self::Tezos(bytes) | Self::Ethereum(bytes) = self {
            // SCALE's compact length in its one-byte mode: `from_parts` lets at most 36 bytes pass, below 64. What was
            // put together past it ends as 255, which no decoder takes for a one-byte length.
            out.push(u8::try_from(bytes.len().saturating_mul(4)).unwrap_or(u8::MAX));
        }
        out.extend_from_slice(self.account());
        out
    }

    /// Takes an origin off the front of SCALE bytes.
    ///
    /// # Errors
    /// When the bytes are short, the origin unknown or its account out of bounds.
    pub fn take_scale(bytes: &mut &[u8]) -> Result<Self, JobIdError> {
        let name = match take(bytes, 1)? {
            [0] => "acurast",
            [1] => "tezos",
            [2] => "ethereum",
            [3] => "alephzero",
            [4] => "vara",
            [5] => "ethereum20",
            [6] => "solana",
            [7] => "acurastcanary",
            other => return Err(JobIdError::UnknownOrigin(hex::encode(other))),
        };
        let length = match name {
            "tezos" | "ethereum" => match take(bytes, 1)? {
                [compact] if compact & 3 == 0 => usize::from(compact / 4),
                other => return Err(JobIdError::Account(format!("compact length {}", hex::encode(other)))),
            },
            "ethereum20" => 20,
            _ => 32,
        };
        Self::from_parts(name, take(bytes, length)?)
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], JobIdError> {
    let (head, rest) = bytes.split_at_checked(length).ok_or(JobIdError::Length)?;
    *bytes = rest;
    Ok(head)
}

impl fmt::Display for MultiOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:0x{}", self.name(), hex::encode(self.account()))
    }
}

impl FromStr for MultiOrigin {
    type Err = JobIdError;
    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let error = || JobIdError::Text(text.chars().take(120).collect());
        let (name, account) = text.split_once(':').ok_or_else(error)?;
        let account = hex::decode(account.strip_prefix("0x").ok_or_else(error)?).map_err(|_| error())?;
        Self::from_parts(name, &account)
    }
}

crate::wire_as_string!(MultiOrigin, "The account that owns a job, on the chain that it comes from: `origin:0x…`.");

/// A job of an Acurast chain: its owner and the number that the owner's chain gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// Who owns the job.
    pub origin: MultiOrigin,
    /// The number, unique per origin chain only.
    pub number: u128,
}

impl JobId {
    /// SCALE bytes: the origin, then the number in 16 bytes, little-endian.
    pub fn scale(&self) -> Vec<u8> {
        let mut out = self.origin.scale();
        out.extend_from_slice(&self.number.to_le_bytes());
        out
    }

    /// The job of exactly these SCALE bytes.
    ///
    /// # Errors
    /// When the bytes are not exactly a job id.
    pub fn from_scale(mut bytes: &[u8]) -> Result<Self, JobIdError> {
        let origin = MultiOrigin::take_scale(&mut bytes)?;
        let number = bytes.try_into().map(u128::from_le_bytes).map_err(|_| JobIdError::Length)?;
        Ok(Self { origin, number })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.number)
    }
}

impl FromStr for JobId {
    type Err = JobIdError;
    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let error = || JobIdError::Text(text.chars().take(120).collect());
        let (origin, number) = text.rsplit_once('/').ok_or_else(error)?;
        Ok(Self { origin: origin.parse()?, number: parse_decimal(number).map_err(|_| error())? })
    }
}

impl serde::Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

// On the wire a job id is its SCALE bytes, what Acurast itself uses.
impl Wire for JobId {
    const WIRE_TYPE: WireType = WireType::LengthDelimited;
    fn type_name() -> String {
        "bytes".into()
    }
    crate::scalar!(JobId, "A job of an Acurast chain: SCALE bytes of `(MultiOrigin, u128)`, in JSON `origin:0x…/number`.");
    fn write(&self, out: &mut Vec<u8>) {
        write_delimited(&self.scale(), out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, WireError> {
        Self::from_scale(read_delimited(buf)?).map_err(|error| WireError::Invalid { what: "JobId", reason: error.to_string() })
    }
}
