//! Deliberate bugs. Each is one that real relayers had; a simulator that doesn't catch it proves nothing.
//!
//! All but those of the cores break the shell or its adapter, in this crate alone. None can be chosen by anything but a test
//! or `make sim`.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Bytes are sent when they are signed, before their record was read back (R1).
    BroadcastBeforeCommit,
    /// An append whose outcome is uncertain is taken for done, and applied (R11).
    ApplyBeforeReadBack,
    /// The next slot is the highest that the pool ever had, not that of the mined state (R3).
    SlotFromPending,
    /// No answer counts as *not found* (R4).
    UnknownIsNotFound,
    /// A transaction's cost is recorded only when it settles something (R10).
    CostOncePerIntent,
    /// The newest block counts as final (R7).
    FinalAtInclusion,
    /// What comes back from a slot goes into a new one unasked (R2).
    EffectNotAsked,
    /// A process that lost its term goes on sending what it signs (R12).
    StaleTermSends,
    /// A hole before an open slot is left (R3).
    HoleNotFilled,
    /// The fee ladder knows no cap (R5).
    LadderWithoutCap,
    /// A Progress passes inputs before they are decided (R11).
    ProgressPassesUndecided,
    /// Receipts are published anew, under new ids, after every restart (PROTOCOL §8).
    ReceiptsWithoutIdentity,
    /// A replacement carries an item that the attempt before it didn't (PROTOCOL §7).
    ReplacementAddsItem,
    /// That an item died is not told to settle: what was reserved stays (R10).
    DeathUntold,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BroadcastBeforeCommit,
        Self::ApplyBeforeReadBack,
        Self::SlotFromPending,
        Self::UnknownIsNotFound,
        Self::CostOncePerIntent,
        Self::FinalAtInclusion,
        Self::EffectNotAsked,
        Self::StaleTermSends,
        Self::HoleNotFilled,
        Self::LadderWithoutCap,
        Self::ProgressPassesUndecided,
        Self::ReceiptsWithoutIdentity,
        Self::ReplacementAddsItem,
        Self::DeathUntold,
    ];
}

/// No bug has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no mutant is called {0:?}; known are {known:?}", known = Mutant::ALL)]
pub struct UnknownMutant(String);

impl std::str::FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, UnknownMutant> {
        Self::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name).ok_or_else(|| UnknownMutant(name.to_owned()))
    }
}
