//! Counters, heights and times. Each has its own type, so that a height is never taken for a time or a slot.

use crate::wire::{Wire, WireError, WireType, read_varint, write_varint};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! uint64 {
    ($( $(#[doc = $doc:literal])+ $name:ident; )*) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The value plus `n`, or nothing past 2⁶⁴ − 1.
            #[must_use]
            pub fn checked_add(self, n: u64) -> Option<Self> { self.0.checked_add(n).map(Self) }
            /// The next value; stays at 2⁶⁴ − 1, which no counter reaches.
            #[must_use]
            pub fn next(self) -> Self { Self(self.0.saturating_add(1)) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl Wire for $name {
            const WIRE_TYPE: WireType = WireType::Varint;
            fn type_name() -> String { "uint64".into() }
            crate::scalar!($name, $($doc)+);
            fn write(&self, out: &mut Vec<u8>) { write_varint(self.0, out); }
            fn read(buf: &mut &[u8]) -> Result<Self, WireError> { read_varint(buf).map(Self) }
            fn is_default(&self) -> bool { self.0 == 0 }
            fn absent(_field: &'static str) -> Result<Self, WireError> { Ok(Self(0)) }
        }
        // 64-bit integers are decimal strings in JSON, as in the proto3 mapping: JavaScript rounds above 2⁵³.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { serializer.serialize_u64(self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }
    )* };
}

uint64! {
    /// Milliseconds since the Unix epoch.
    Timestamp;
    /// A length of time in milliseconds.
    Millis;
    /// Height of a block.
    BlockNumber;
    /// Index of an execution within a job's schedule; 2⁶⁴ − 1 stands for all of them in ids.
    Execution;
    /// Position of an accepted record in its authoritative partition, from 0.
    Sequence;
    /// Position of a raw record in a log, accepted or not.
    Offset;
    /// Term of a claim (R12); 0 before any claim.
    Term;
    /// A slot of a lane: EVM nonce, Tezos counter.
    Slot;
    /// Index of a bit in a settlement contract's settled bitmap: lane number u16 ‖ counter u48.
    Bit;
    /// Number of a posted root: lane number u16 ‖ counter u48.
    Batch;
    /// Gas, in units of gas.
    Gas;
    /// A count.
    Count;
}

impl Execution {
    /// Stands for all executions of an assignment, in ids.
    pub const ALL: Self = Self(u64::MAX);
}

impl Timestamp {
    /// This time plus `span`; saturates at the end of time.
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// A lane's number, as its settlement contract knows the lane's key by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneNumber(pub u16);

const COUNTER_BITS: u32 = 48;

impl LaneNumber {
    /// The lane's range starts here: number ‖ 0u48.
    pub fn first(self) -> u64 {
        u64::from(self.0) << COUNTER_BITS
    }
    /// Number `counter` of the lane's range, or nothing when the range is used up.
    pub fn nth(self, counter: u64) -> Option<u64> {
        (counter >> COUNTER_BITS == 0).then(|| self.first() | counter)
    }
}

impl Batch {
    /// The lane that alone may post this batch.
    pub fn lane(self) -> u64 {
        self.0 >> COUNTER_BITS
    }
}
