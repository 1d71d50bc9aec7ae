//! One value of every type with every field filled, and one with nothing in it, always the same.

use crate::amount::Amount;
use crate::bytes::*;
use crate::caip::{AccountId, AssetId, ChainId};
use crate::control::{Command, CommandTarget, ControlCommand, Requeue, Resolve};
use crate::derived::{DeadLetter, Receipt, ReputationObserved};
use crate::job_id::{JobId, MultiOrigin};
use crate::leaves::JobNumber;
use crate::outputs::OutputSubmitted;
use crate::record::{Claim, Record};
use crate::units::*;
use crate::wire::Message;

/// Where sample values come from: a counter, so that no two fields of a message are equal, or nothing at all.
pub(crate) struct Seed {
    next: u64,
    bare: bool,
}

impl Seed {
    /// Every field is filled, by numbers that depend on `kind`.
    pub(crate) fn filled(kind: u64) -> Self {
        Self { next: kind * 1_000 + 1, bare: false }
    }
    /// Optional and repeated fields are empty, numbers zero.
    pub(crate) fn bare(_kind: u64) -> Self {
        Self { next: 0, bare: true }
    }
    fn draw(&mut self) -> u64 {
        let drawn = self.next;
        if !self.bare {
            self.next += 1;
        }
        drawn
    }
    /// One of `all`; the first when bare.
    pub(crate) fn choose<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[(self.draw() % all.len() as u64) as usize]
    }
}

/// A type that has sample values.
pub(crate) trait Sample: Sized {
    /// The value that `seed` gives.
    fn sample(seed: &mut Seed) -> Self;
}

/// The events of a topic.
pub(crate) trait SampleEvents: Sized {
    /// One of each, its seed made from its number, so that an event's sample does not depend on the others.
    fn samples(seed: fn(u64) -> Seed) -> Vec<Self>;
}

macro_rules! fixed_samples {
    ($($name:ident)*) => { $(
        impl Sample for $name {
            fn sample(seed: &mut Seed) -> Self {
                let mut value = Self::ZERO;
                if !seed.bare {
                    let n = seed.draw();
                    value.0.iter_mut().enumerate().for_each(|(at, byte)| *byte = (n + 7 * at as u64) as u8);
                }
                value
            }
        }
    )* };
}
fixed_samples! {
    Genesis BlockHash TxHash JobKey OwnerKey DestId AssignmentId SettlementId EscrowId EventId RecordHash StateHash PayloadHash ContentHash
    MerkleNode ProcessorId SignerKey WriterId EvmAddress
}

macro_rules! number_samples {
    ($($name:ident)*) => { $(
        impl Sample for $name {
            fn sample(seed: &mut Seed) -> Self {
                // Beyond 2⁵³, where a JSON number would be rounded.
                if seed.bare { Self(0) } else { Self(9_007_199_254_740_993 + seed.draw()) }
            }
        }
    )* };
}
number_samples! { Timestamp Millis BlockNumber Execution Sequence Offset Term Slot Bit Batch Gas Count }

impl Sample for bool {
    fn sample(seed: &mut Seed) -> Self {
        !seed.bare
    }
}
impl Sample for u32 {
    fn sample(seed: &mut Seed) -> Self {
        seed.draw() as u32 * 101
    }
}
impl Sample for String {
    fn sample(seed: &mut Seed) -> Self {
        if seed.bare { Self::new() } else { format!("sample {}: \"ü\\\"\n", seed.draw()) }
    }
}
impl Sample for Bytes {
    fn sample(seed: &mut Seed) -> Self {
        if seed.bare {
            return Self::default();
        }
        let n = seed.draw();
        Self((0..4 + n % 5).map(|at| (n * 31 + at * 67) as u8).collect())
    }
}
impl Sample for Amount {
    fn sample(seed: &mut Seed) -> Self {
        Self(u128::from(seed.draw()) * 1_000_000_000_000_000_000_001)
    }
}
impl Sample for JobNumber {
    fn sample(seed: &mut Seed) -> Self {
        if seed.bare { Self(0) } else { Self(u128::MAX - u128::from(seed.draw())) }
    }
}
impl Sample for CommandTarget {
    fn sample(seed: &mut Seed) -> Self {
        Self::DeadLetterTarget(Sample::sample(seed))
    }
}
impl Sample for Command {
    fn sample(seed: &mut Seed) -> Self {
        seed.choose(&[Self::Requeue(Requeue {}), Self::Resolve(Resolve {})]).clone()
    }
}
impl Sample for MultiOrigin {
    fn sample(seed: &mut Seed) -> Self {
        let account = ProcessorId::sample(seed).0;
        seed.choose(&[
            Self::Acurast(account),
            Self::Tezos(account[..22].to_vec()),
            Self::Ethereum(account[..20].to_vec()),
            Self::AlephZero(account),
            Self::Vara(account),
            Self::Ethereum20(account[..20].try_into().unwrap()),
            Self::Solana(account),
            Self::AcurastCanary(account),
        ])
        .clone()
    }
}
impl Sample for JobId {
    fn sample(seed: &mut Seed) -> Self {
        Self { origin: Sample::sample(seed), number: u128::from(seed.draw()) << 60 }
    }
}
impl Sample for ChainId {
    fn sample(seed: &mut Seed) -> Self {
        Self::evm(seed.draw())
    }
}
impl Sample for AccountId {
    fn sample(seed: &mut Seed) -> Self {
        ChainId::sample(seed).account(&EvmAddress::sample(seed).to_string()).unwrap()
    }
}
impl Sample for AssetId {
    fn sample(seed: &mut Seed) -> Self {
        ChainId::sample(seed).asset("slip44:60").unwrap()
    }
}
impl<T: Sample> Sample for Option<T> {
    fn sample(seed: &mut Seed) -> Self {
        if seed.bare { None } else { Some(T::sample(seed)) }
    }
}
impl<T: Sample> Sample for Vec<T> {
    fn sample(seed: &mut Seed) -> Self {
        if seed.bare { Self::new() } else { vec![T::sample(seed), T::sample(seed)] }
    }
}

/// A record that holds one of each event of `E`.
pub(crate) fn record_of<E: SampleEvents + Message>(seed: fn(u64) -> Seed) -> Record {
    let mut record = Record::sample(&mut seed(2));
    record.events = E::samples(seed).iter().map(|event| Bytes(event.encode())).collect();
    record
}

/// A claim.
pub(crate) fn claim(seed: fn(u64) -> Seed) -> Claim {
    Claim::sample(&mut seed(1))
}

/// A receipt, an observation and a dead letter.
pub(crate) fn derived(seed: fn(u64) -> Seed) -> (Receipt, ReputationObserved, DeadLetter) {
    (Sample::sample(&mut seed(1)), Sample::sample(&mut seed(2)), Sample::sample(&mut seed(3)))
}

/// A command.
pub(crate) fn control(seed: fn(u64) -> Seed) -> ControlCommand {
    Sample::sample(&mut seed(1))
}

/// A submitted output.
pub(crate) fn output(seed: fn(u64) -> Seed) -> OutputSubmitted {
    Sample::sample(&mut seed(1))
}
