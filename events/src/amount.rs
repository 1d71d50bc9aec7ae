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

impl std::str::FromStr for Amount {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl crate::wire::Wire for Amount {
    const WIRE_TYPE: crate::wire::WireType = crate::wire::WireType::LengthDelimited;
    fn type_name() -> String {
        "string".into()
    }
    fn write(&self, out: &mut Vec<u8>) {
        crate::wire::write_delimited(self.to_string().as_bytes(), out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, crate::wire::WireError> {
        let text = String::read(buf)?;
        let invalid = |reason: &str| crate::wire::WireError::Invalid { what: "Amount", reason: format!("{reason}: {text:?}") };
        // One amount has one form: "007" and "+7" are refused.
        let amount: Self = text.parse().map_err(|_| invalid("not a decimal number of 128 bits"))?;
        if amount.to_string() == text { Ok(amount) } else { Err(invalid("not in its shortest form")) }
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
