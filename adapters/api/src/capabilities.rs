//! Limits and customs of a destination, as data, so that the lane core needs no chain kinds.

use acurast_events::units::{Gas, Millis};

/// What a destination allows and how it finalizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// How many slots of a lane may wait for inclusion at once; 1 where a source has one operation per block.
    pub slots_in_flight_max: u32,
    /// Most gas (or the chain's unit of work) that one transaction may use.
    pub transaction_gas_max: Gas,
    /// Most bytes that one signed transaction may have.
    pub transaction_bytes_max: u32,
    /// Most items in one transaction.
    pub items_max: u32,
    /// How long a signed transaction stays valid; nothing where it never expires.
    pub attempt_ttl: Option<Millis>,
    /// Usual time between blocks.
    pub block_time: Millis,
    /// A replacement offers at least this many thousandths of what it replaces, on every fee field (1125 = +12.5 %).
    pub replacement_permille_min: u32,
    /// Gas that a no-op, which fills a hole, uses.
    pub noop_gas: Gas,
    /// The key is elsewhere: what it is asked to sign is journaled before it is asked (R1), so that an audit knows of every
    /// signature that may exist, whether or not its bytes came back.
    pub remote_signer: bool,
    /// How many of how many attesters the settlement contract asks for.
    pub attesters_needed: u32,
    /// The number of attesters.
    pub attesters: u32,
}
