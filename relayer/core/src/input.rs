//! What settle decides about, and what a decision is: one record's worth of events for one subject (R11).

use crate::letters::{ControlInput, Unreadable};
use acurast_events::bytes::{Bytes, EscrowId, JobKey};
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::lanes::LanesEvent;
use acurast_events::outputs::OutputSubmitted;
use acurast_events::source::{BlockSealed, SourceEvent};
use std::fmt;

/// One input of settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A fact of a block whose seal was read.
    Fact {
        /// The fact.
        event: SourceEvent,
        /// Its block, as the seal says.
        block: BlockRef,
    },
    /// The seal of a block, after all of its facts. A seal of the Acurast chain moves the clock of job windows, one of
    /// a destination that of expiries.
    ///
    /// Before a seal or a removal is decided, the shell has decided all that the outputs partition held when that
    /// record was read: an output that is there counts before the window that ends (PROTOCOL §5).
    Seal {
        /// The chain.
        chain: ChainId,
        /// The seal.
        seal: BlockSealed,
    },
    /// An output that the API took.
    Output(OutputSubmitted),
    /// An operator's command, with what it is about.
    Control(Box<ControlInput>),
    /// A record of `outputs.v1` or `control.v1` that doesn't decode, or that isn't this partition's.
    Unreadable(Unreadable),
    /// What a lane saw.
    Lane {
        /// The lane.
        lane: AccountId,
        /// Its event.
        event: LanesEvent,
    },
    /// No input: what the state by itself allows now, such as planning what waited for money that is there. Asked after
    /// each batch of inputs until it decides nothing; its records name no input.
    Ready,
}

/// Whom a record is about; with its input the key of deduplication.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A job, and the account that pays for it.
    Job(JobKey),
    /// An escrow account alone.
    Account(EscrowId),
    /// A lane, for what it cost without any job.
    Lane(AccountId),
    /// The partition itself, for records of its inputs that can't be decided and for commands that change no job.
    Partition,
}

/// A record's subject names nothing that settle knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no subject of the jobs topic; it was written by another version or for another topic")]
pub struct SubjectError(Bytes);

impl Subject {
    /// The subject's bytes in a record: `j`, `a` or `l`, then the key; `p` alone for the partition.
    pub fn to_bytes(&self) -> Bytes {
        let (tag, key) = match self {
            Self::Partition => (b'p', &[][..]),
            Self::Job(key) => (b'j', key.as_bytes()),
            Self::Account(id) => (b'a', id.as_bytes()),
            Self::Lane(lane) => (b'l', lane.as_str().as_bytes()),
        };
        let mut bytes = vec![tag];
        bytes.extend_from_slice(key);
        Bytes(bytes)
    }

    /// The subject of these bytes.
    ///
    /// # Errors
    /// When they name none.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, SubjectError> {
        let error = || SubjectError(bytes.clone());
        match bytes.0.split_first().ok_or_else(error)? {
            (b'j', key) => JobKey::try_from(key).map(Self::Job).map_err(|_| error()),
            (b'a', id) => EscrowId::try_from(id).map(Self::Account).map_err(|_| error()),
            (b'l', lane) => {
                let text = std::str::from_utf8(lane).map_err(|_| error())?;
                text.parse().map(Self::Lane).map_err(|_| error())
            }
            (b'p', []) => Ok(Self::Partition),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(key) => write!(f, "job {key}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Partition => f.write_str("the partition"),
        }
    }
}

/// One record's worth: all events that one input causes for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The subject.
    pub subject: Subject,
    /// The events, in order; never empty.
    pub events: Vec<JobsEvent>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_comes_back_from_its_bytes() {
        let lane: AccountId = "eip155:1:0x00000000000000000000000000000000000000aa".parse().unwrap();
        for subject in [Subject::Job(JobKey([1; 32])), Subject::Account(EscrowId([2; 32])), Subject::Lane(lane), Subject::Partition] {
            assert_eq!(Subject::from_bytes(&subject.to_bytes()), Ok(subject));
        }
    }

    #[test]
    fn bytes_that_name_nothing_are_refused() {
        for bytes in [&b""[..], b"x", b"j123", b"lnot a lane", b"p1"] {
            assert!(Subject::from_bytes(&Bytes(bytes.to_vec())).is_err());
        }
    }
}
