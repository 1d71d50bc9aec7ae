//! Numbers of JSON-RPC: `0x` and hexadecimal digits. A wrong type or a value out of range is an error, never a guess.

use acurast_events::amount::Amount;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A quantity of up to 128 bits; more than any amount of money that this project counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(pub u128);

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 0x and 1 to {digits} hexadecimal digits, got {text:?}")]
pub struct QuantityError {
    digits: usize,
    text: String,
}

const DIGITS_128: usize = 32;
const DIGITS_64: usize = 16;

fn parse(text: &str, digits: usize) -> Result<u128, QuantityError> {
    let error = || QuantityError { digits, text: text.chars().take(80).collect() };
    let number = text.strip_prefix("0x").ok_or_else(error)?;
    // `from_str_radix` would take a sign.
    if number.is_empty() || number.len() > digits || !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(error());
    }
    u128::from_str_radix(number, 16).map_err(|_| error())
}

impl Quantity {
    /// The value as an amount.
    pub fn amount(self) -> Amount {
        Amount(self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(&String::deserialize(deserializer)?, DIGITS_128).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A quantity of up to 64 bits: heights, nonces, gas, times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity64(pub u64);

impl<'de> Deserialize<'de> for Quantity64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = parse(&String::deserialize(deserializer)?, DIGITS_64).map_err(serde::de::Error::custom)?;
        u64::try_from(value).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `value` as a JSON-RPC quantity.
pub fn quantity(value: u128) -> Value {
    Value::String(format!("{value:#x}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn other_types_and_forms_are_refused() {
        for json in ["1", "null", "\"1\"", "\"0x\"", "\"0xg\"", "\"0x+1\"", "\"0x-1\"", "\" 0x1\"", "true", "[]"] {
            assert!(read::<Quantity>(json).is_err(), "{json}");
            assert!(read::<Quantity64>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_value_beyond_its_width_is_refused_not_cut() {
        assert_eq!(read::<Quantity>("\"0xffffffffffffffffffffffffffffffff\"").unwrap().0, u128::MAX);
        assert!(read::<Quantity>("\"0x100000000000000000000000000000000\"").is_err());
        assert_eq!(read::<Quantity64>("\"0xffffffffffffffff\"").unwrap().0, u64::MAX);
        assert!(read::<Quantity64>("\"0x10000000000000000\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value: u128) {
            prop_assert_eq!(read::<Quantity>(&quantity(value).to_string()).unwrap().0, value);
        }
    }
}
