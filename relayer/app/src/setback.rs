//! Which errors a partition recovers from in this process, by rebuilding from the log, and which end it (R12).
//!
//! | error | then |
//! |---|---|
//! | a higher claim was read | stand down: follow, and claim again only when assigned anew |
//! | an append is in doubt, was refused or cancelled, or a record of ours doesn't count | rebuild, claim a new term |
//! | the journal can't be read now | rebuild, try again |
//! | anything else: the log isn't what it was, lost records, or doesn't fold; the store fails | the process ends with the error |

use crate::dispatch::DispatchError;
use crate::ingest::IngestError;
use crate::owned::OwnedError;
use crate::publish::PublishError;
use crate::recall::RecallError;
use crate::settle::SettleError;
use acurast_relayer_journal::{AppendError, ClaimError, FollowError, InputError, Lost, Owner, ReadError, Refusal, WriteError};
use acurast_relayer_store::StoreError;

/// What ended the work on a partition without being the partition's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setback {
    /// Somebody else owns it.
    Superseded(Owner),
    /// It has to be rebuilt from the log.
    Rebuild,
}

/// An error that may be a setback.
pub trait Recoverable {
    /// What to do about it here; nothing when the process must end with it.
    fn setback(&self) -> Option<Setback>;
}

impl Recoverable for ReadError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Unavailable { .. } => Some(Setback::Rebuild),
            Self::NoSuchPartition(_) | Self::Truncated { .. } | Self::Corrupted { .. } | Self::Snapshot(_) => None,
        }
    }
}

impl Recoverable for AppendError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Uncertain { .. } => Some(Setback::Rebuild),
            Self::Refused { reason, .. } => match reason {
                Refusal::Unavailable(_) => Some(Setback::Rebuild),
                Refusal::NoSuchPartition | Refusal::RecordTooLong { .. } | Refusal::AppendTooLarge { .. } | Refusal::ReadOnly => None,
            },
        }
    }
}

impl Recoverable for FollowError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Read(error) => error.setback(),
            Self::Halt(_) => None,
        }
    }
}

impl Recoverable for InputError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Read(error) => error.setback(),
            Self::Lost { .. } => None,
        }
    }
}

impl Recoverable for ClaimError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Superseded { by, .. } => Some(Setback::Superseded(*by)),
            Self::Append(error) => error.setback(),
            Self::Follow(error) => error.setback(),
            Self::NoTermLeft(_) | Self::Unfinished(_) => None,
        }
    }
}

impl Recoverable for WriteError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Lost { reason, .. } => match reason {
                Lost::Superseded(owner) => Some(Setback::Superseded(*owner)),
                Lost::Uncertain(_) | Lost::Skipped | Lost::Cancelled => Some(Setback::Rebuild),
                Lost::Unread(error) => error.setback(),
            },
            Self::Refused(error) => error.setback(),
            Self::Stamp { .. } => None,
        }
    }
}

impl Recoverable for StoreError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Journal(error) => error.setback(),
            _ => None,
        }
    }
}

impl Recoverable for OwnedError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Claim(error) => error.setback(),
            Self::Write(error) => error.setback(),
            Self::Store(error) => error.setback(),
            Self::Follow(error) => error.setback(),
            Self::Fold { .. } => None,
        }
    }
}

impl Recoverable for PublishError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Append(error) => error.setback(),
            Self::Follow(error) => error.setback(),
            Self::Owned(error) => error.setback(),
            Self::Version(_) => None,
        }
    }
}

impl Recoverable for IngestError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Owned(error) => error.setback(),
            Self::Source(_) | Self::Version(_) => None,
        }
    }
}

impl Recoverable for RecallError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Follow(error) => error.setback(),
            Self::Event { .. } | Self::Learn { .. } => None,
        }
    }
}

impl Recoverable for DispatchError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Owned(error) => error.setback(),
            Self::Follow(error) => error.setback(),
            Self::Recall(error) => error.setback(),
            Self::Core(_) | Self::Refused(_) | Self::Version(_) | Self::InputLost(_) | Self::Action(_) | Self::OtherLane { .. } => None,
        }
    }
}

impl Recoverable for SettleError {
    fn setback(&self) -> Option<Setback> {
        match self {
            Self::Owned(error) => error.setback(),
            Self::Follow(error) => error.setback(),
            Self::Input(error) => error.setback(),
            Self::Publish(error) => error.setback(),
            Self::Store(error) => error.setback(),
            Self::Decide(_) | Self::Evolve(_) | Self::Seal(_) | Self::Version(_) | Self::InputLost(_) => None,
        }
    }
}
