//! Money: an amount of an asset's smallest unit (wei, mutez, satoshi, planck), never a float, never negative.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An amount in the smallest unit of its asset; a decimal string on the wire and in JSON.
///
/// 128 bits hold 3.4·10²⁰ ether; a larger value on a chain is refused where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or nothing when it leaves 128 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
    /// The difference, or nothing when it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
    /// The product with a count, or nothing when it leaves 128 bits.
    #[must_use]
    pub fn checked_mul(self, count: u128) -> Option<Self> {
        self.0.checked_mul(count).map(Self)
    }
    /// The sum of `amounts`, or nothing when it leaves 128 bits.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
    /// The difference, or zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no amount or number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal number below 2^128 in its shortest form, got {0:?}")]
pub struct DecimalError(String);

/// The number that `text` writes in its only form: "007" and "+7" are refused, so that equal numbers have equal texts.
pub(crate) fn parse_decimal(text: &str) -> Result<u128, DecimalError> {
    let shortest = match text.as_bytes() {
        [b'0'] => true,
        [first, ..] => first.is_ascii_digit() && *first != b'0',
        [] => false,
    };
    // `parse` takes a sign before the first digit, and no other character but digits.
    let number = if shortest { text.parse::<u128>().ok() } else { None };
    number.ok_or_else(|| DecimalError(text.chars().take(80).collect()))
}

impl std::str::FromStr for Amount {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        parse_decimal(text).map(Self)
    }
}

impl crate::wire::Wire for Amount {
    const WIRE_TYPE: crate::wire::WireType = crate::wire::WireType::LengthDelimited;
    fn type_name() -> String {
        "string".into()
    }
    crate::scalar!(Amount, "An amount in the smallest unit of its asset (wei, planck, …): a decimal number below 2¹²⁸, never negative.");
    fn write(&self, out: &mut Vec<u8>) {
        crate::wire::write_text(self, out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, crate::wire::WireError> {
        let text = crate::wire::read_text(buf)?;
        text.parse().map_err(|error: DecimalError| crate::wire::WireError::Invalid { what: "Amount", reason: error.to_string() })
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { serializer.serialize_u128(self.0) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}
