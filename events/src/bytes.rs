//! Byte-string newtypes: ids and hashes of 32 bytes, the writer id of 16, and plain bytes. Hexadecimal with `0x` for people.

use crate::wire::{Wire, WireError, WireType, read_delimited, write_delimited};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Why a text is not such a byte string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 0x and {expected} hexadecimal digits, got {got:?}")]
pub struct HexError {
    expected: String,
    got: String,
}

impl HexError {
    fn new(expected: impl fmt::Display, text: &str) -> Self {
        Self { expected: expected.to_string(), got: text.chars().take(80).collect() }
    }
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let error = || HexError::new(N.saturating_mul(2), text);
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").ok_or_else(error)?, &mut bytes).map_err(|_| error())?;
    Ok(bytes)
}

/// Bytes turned into digits at once.
const HEX_CHUNK: usize = 32;

/// Writes 0x and digits. Every record names itself and its predecessor in hexadecimal, so this is on the hot path: no
/// allocation, and a table instead of an iterator over characters.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    let mut digits = [0; 2 * HEX_CHUNK];
    for chunk in bytes.chunks(HEX_CHUNK) {
        let Some(digits) = digits.get_mut(..chunk.len().saturating_mul(2)) else { return Err(fmt::Error) };
        hex::encode_to_slice(chunk, digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

macro_rules! fixed_bytes {
    ($( $(#[doc = $doc:literal])+ $name:ident, $length:literal; )*) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// All bytes zero.
            pub const ZERO: Self = Self([0; $length]);
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8] { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write_hex(f, &self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl std::str::FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<Self, HexError> { from_hex(text).map(Self) }
        }
        impl TryFrom<&[u8]> for $name {
            type Error = WireError;
            fn try_from(bytes: &[u8]) -> Result<Self, WireError> {
                bytes.try_into().map(Self).map_err(|_| WireError::Invalid {
                    what: stringify!($name), reason: format!("{} bytes instead of {}", bytes.len(), $length),
                })
            }
        }
        impl Wire for $name {
            const WIRE_TYPE: WireType = WireType::LengthDelimited;
            fn type_name() -> String { "bytes".into() }
            crate::scalar!($name, $($doc)+);
            fn write(&self, out: &mut Vec<u8>) { write_delimited(&self.0, out); }
            fn read(buf: &mut &[u8]) -> Result<Self, WireError> { Self::try_from(read_delimited(buf)?) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    let bytes = Vec::<u8>::deserialize(deserializer)?;
                    Self::try_from(&bytes[..]).map_err(serde::de::Error::custom)
                }
            }
        }
    )* };
}

fixed_bytes! {
    /// Genesis block hash of a chain.
    Genesis, 32;
    /// Hash of a block.
    BlockHash, 32;
    /// Hash of a transaction on a destination chain.
    TxHash, 32;
    /// keccak(genesis ‖ SCALE(JobId)): one job of one Acurast chain (PROTOCOL §3).
    JobKey, 32;
    /// keccak(genesis ‖ SCALE(MultiOrigin)): the owner of jobs and escrow accounts (PROTOCOL §3).
    OwnerKey, 32;
    /// A destination: chain, settlement contract and target (PROTOCOL §3).
    DestId, 32;
    /// The unit of settlement: (job, processor, destination[, execution]) (PROTOCOL §3).
    AssignmentId, 32;
    /// One effect on a destination: a root share or a fulfilment (PROTOCOL §3).
    SettlementId, 32;
    /// An escrow account of a settlement contract (PROTOCOL §6).
    EscrowId, 32;
    /// Identity of a fact or derived event; subscribers drop an id they have (PROTOCOL §3).
    EventId, 32;
    /// Hash that chains the records of an authoritative partition (PROTOCOL §3).
    RecordHash, 32;
    /// Digest of a partition's folded state (PROTOCOL §10).
    StateHash, 32;
    /// keccak-256 of a payload.
    PayloadHash, 32;
    /// sha256 of a value as it stands on a topic.
    ContentHash, 32;
    /// A Merkle root or node.
    MerkleNode, 32;
    /// An Acurast account that processes jobs (public key bytes).
    ProcessorId, 32;
    /// The key that a leaf names, in the form of its key type (PROTOCOL §4).
    SignerKey, 32;
    /// Random identity of one claim of a partition (R12).
    WriterId, 16;
    /// An EVM address.
    EvmAddress, 20;
}

/// Bytes of any length; `0x…` for people.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Bytes {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        let error = || HexError::new("an even number of", text);
        hex::decode(text.strip_prefix("0x").ok_or_else(error)?).map(Self).map_err(|_| error())
    }
}

impl Wire for Bytes {
    const WIRE_TYPE: WireType = WireType::LengthDelimited;
    fn type_name() -> String {
        "bytes".into()
    }
    crate::scalar!(Bytes, "Bytes of any length.");
    fn write(&self, out: &mut Vec<u8>) {
        write_delimited(&self.0, out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, WireError> {
        Ok(Self(read_delimited(buf)?.to_vec()))
    }
    fn is_default(&self) -> bool {
        self.0.is_empty()
    }
    fn absent(_field: &'static str) -> Result<Self, WireError> {
        Ok(Self::default())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            Vec::deserialize(deserializer).map(Self)
        }
    }
}
