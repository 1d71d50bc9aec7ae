//! What can go wrong with one append or read, and how often it does.

use rand::Rng;

/// A fault of the simulated journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// All records are appended, the acknowledgement is lost.
    AckLost,
    /// Nothing is appended, and the writer can't know.
    Dropped,
    /// Nothing is appended yet; it lands before one of the next appends. The writer can't know.
    Late,
    /// All but one record in the middle are appended. The writer can't know.
    MiddleLost,
    /// All records are appended, one of them twice.
    Repeated,
    /// Nothing is appended, and the writer is told so.
    Refused,
    /// An earlier writer of the partition goes on writing, just before this append.
    Zombie,
    /// Somebody else's bytes land just before this append.
    Garbage,
    /// A read returns nothing, though there is more.
    Stalled,
}

/// How often faults happen, in thousandths of all appends (of all reads for `stalled`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultRates {
    /// [`Fault::AckLost`].
    pub ack_lost: u16,
    /// [`Fault::Dropped`].
    pub dropped: u16,
    /// [`Fault::Late`].
    pub late: u16,
    /// [`Fault::MiddleLost`].
    pub middle_lost: u16,
    /// [`Fault::Repeated`].
    pub repeated: u16,
    /// [`Fault::Refused`].
    pub refused: u16,
    /// [`Fault::Zombie`].
    pub zombie: u16,
    /// [`Fault::Garbage`].
    pub garbage: u16,
    /// [`Fault::Stalled`].
    pub stalled: u16,
}

impl FaultRates {
    /// Every fault at `permille`.
    pub fn all(permille: u16) -> Self {
        Self {
            ack_lost: permille,
            dropped: permille,
            late: permille,
            middle_lost: permille,
            repeated: permille,
            refused: permille,
            zombie: permille,
            garbage: permille,
            stalled: permille,
        }
    }

    /// The fault that the next append meets, if any.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<Fault> {
        let mut roll: u16 = rng.random_range(0..1_000);
        let table = [
            (self.ack_lost, Fault::AckLost),
            (self.dropped, Fault::Dropped),
            (self.late, Fault::Late),
            (self.middle_lost, Fault::MiddleLost),
            (self.repeated, Fault::Repeated),
            (self.refused, Fault::Refused),
            (self.zombie, Fault::Zombie),
            (self.garbage, Fault::Garbage),
        ];
        for (rate, fault) in table {
            match roll.checked_sub(rate) {
                None => return Some(fault),
                Some(rest) => roll = rest,
            }
        }
        None
    }
}
