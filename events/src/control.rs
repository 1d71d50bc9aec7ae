//! Events of `control.v1`, an input topic: operators' commands, with who gave them and why (R15, PROTOCOL §8).
//!
//! Keyed by target and partitioned like `jobs.v1`, so that the owner of a jobs partition reads its own. What a command came to is in
//! the partition that took it: `DeadLetterRequeued`, `DeadLetterResolved` or `CommandRefused`. A command names what it is
//! about apart from what is to be done, so that commands for lanes, jobs and accounts come as further variants of both.

use crate::bytes::EventId;
use crate::units::Timestamp;

crate::wire_enum! {
    /// Which way a command came.
    pub enum CommandVia {
        /// The command line wrote it to the topic.
        1 Cli,
        /// The relayer's admin interface took it.
        2 Http,
    }
}

crate::message! {
    /// A dead letter of a jobs partition.
    pub struct DeadLetterTarget {
        /// Its id, as in `dead-letters.v1`.
        1 id: EventId,
        /// The partition of `jobs.v1` that it derives from; the command stands in this partition of `control.v1`.
        2 partition: u32,
    }

    /// What failed is to be tried again.
    pub struct Requeue {}

    /// It was looked at, and nothing more is to be done.
    pub struct Resolve {}
}

crate::events! {
    /// What a command is about.
    pub enum CommandTarget {
        1 DeadLetterTarget,
    }
}

crate::events! {
    /// What is to be done.
    pub enum Command {
        1 Requeue,
        2 Resolve,
    }
}

crate::message! {
    /// Who gave a command, when, why, and which way.
    pub struct CommandGiven {
        /// The command's id.
        1 id: EventId,
        /// Who: a name that the operator's side vouches for.
        2 who: String,
        /// Why, in his words.
        3 why: String,
        /// When he gave it, by the clock of the program that took it.
        4 at: Timestamp,
        /// Which way it came.
        5 via: CommandVia,
    }

    /// One record of the topic. The same id again is the same command, and changes nothing.
    pub struct ControlCommand {
        /// Chosen at random by whoever writes it; the same when he is not sure whether it arrived, and writes it again.
        1 id: EventId,
        /// What it is about.
        2 target: CommandTarget,
        /// What is to be done.
        3 command: Command,
        /// Who: a name that the operator's side vouches for.
        4 who: String,
        /// Why, in his words.
        5 why: String,
        /// When he gave it, by the clock of the program that took it.
        6 at: Timestamp,
        /// Which way it came.
        7 via: CommandVia,
    }
}

impl ControlCommand {
    /// Who gave it, when, why, and which way.
    pub fn given(&self) -> CommandGiven {
        CommandGiven { id: self.id, who: self.who.clone(), why: self.why.clone(), at: self.at, via: self.via }
    }

    /// The record's key in the topic: what it is about.
    pub fn key(&self) -> Vec<u8> {
        match &self.target {
            CommandTarget::DeadLetterTarget(target) => target.id.0.to_vec(),
        }
    }

    /// The partition of the topic that it belongs to.
    pub fn partition(&self) -> u32 {
        match &self.target {
            CommandTarget::DeadLetterTarget(target) => target.partition,
        }
    }
}
