//! The world around the processes: chain, assignments, attesters, faults, and what is noted against the relayer meanwhile.

use crate::assignments::Assignments;
use crate::boundary::Boundaries;
use crate::chain::{Chain, Node};
use crate::clock::WorldClock;
use crate::journal::finish;
use crate::mutant::Mutant;
use crate::random::Random;
use crate::violation::Violation;
use acurast_events::bytes::{Bytes, TxHash};
use acurast_events::lanes::LanesEvent;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Slot;
use acurast_relayer_journal::{EventJournal, Frontier, PartitionReader, SimulatedJournal};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What nodes, signer and attesters do wrong now. Chances in thousandths of calls.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// A call has no answer.
    pub no_answer: u64,
    /// An answer comes ticks later, at most so many.
    pub delay_max: u64,
    /// Chance of a delay.
    pub delay: u64,
    /// An answer comes twice.
    pub twice: u64,
    /// Chance that another node than the honest one answers.
    pub other_node: u64,
    /// Which one.
    pub node: Option<Node>,
    /// The signer can't be reached.
    pub signer_offline: bool,
    /// Attesters can't be reached.
    pub attesters_offline: bool,
}

/// Reads the lane's partition apart from the shell: what the journal has, by a reader of its own.
#[derive(Clone)]
pub struct Auditor {
    journal: Arc<SimulatedJournal>,
    reader: Option<PartitionReader>,
    at: TopicPartition,
    prepared: BTreeSet<Bytes>,
}

impl Auditor {
    /// A reader of the lane's partition from its start.
    pub fn new(journal: Arc<SimulatedJournal>, at: TopicPartition) -> Self {
        Self { journal, reader: None, at, prepared: BTreeSet::new() }
    }

    /// Whether the journal has these bytes as a prepared attempt, in a record that counts.
    pub fn has(&mut self, bytes: &Bytes) -> bool {
        if !self.prepared.contains(bytes) {
            self.read_on();
        }
        self.prepared.contains(bytes)
    }

    fn read_on(&mut self) {
        let journal: Arc<dyn EventJournal> = self.journal.clone();
        if self.reader.is_none() {
            self.reader = finish(PartitionReader::open(journal, self.at.clone(), Frontier::START)).ok().and_then(Result::ok);
        }
        let Some(reader) = &mut self.reader else { return };
        // A read may stall: the log's end tells.
        while self.journal.end_now(&self.at).is_ok_and(|end| reader.next_offset() < end) {
            let Ok(Ok(batch)) = finish(reader.next_batch()) else { return };
            for record in batch.records {
                for event in record.record.decode_events::<LanesEvent>().unwrap_or_default() {
                    if let LanesEvent::AttemptPrepared(attempt) = event {
                        self.prepared.insert(attempt.bytes);
                    }
                }
            }
        }
    }
}

/// What kinds of faults a run met, for the report and for the proof that it met any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// Calls without an answer, late, doubled or wrong ones.
    pub answers: u64,
    /// Chains that went back, pools that forgot, prices that jumped, blocks that stopped.
    pub chain: u64,
    /// Machines: kills, freezes, clocks.
    pub machine: u64,
    /// The journal's.
    pub journal: u64,
}

impl Met {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.answers + self.chain + self.machine + self.journal
    }
}

/// The world around the processes.
#[derive(Clone)]
pub struct Env {
    /// The time.
    pub clock: Arc<WorldClock>,
    /// The destination.
    pub chain: Chain,
    /// What is true on Acurast.
    pub assignments: Assignments,
    /// What goes wrong now.
    pub trouble: Trouble,
    /// Draws of trouble.
    pub random: Random,
    /// The crash points of the process that runs.
    pub boundaries: Arc<Boundaries>,
    /// Reads what the journal has.
    pub auditor: Auditor,
    /// What is wrong with the shell, on purpose.
    pub mutant: Option<Mutant>,
    /// The highest slot that a pool ever had; only a bug knows it.
    pub highest: Slot,
    /// Transactions of which some node said that it doesn't know them.
    pub not_found: BTreeSet<TxHash>,
    /// What was seen to be wrong on the way.
    pub violations: Vec<Violation>,
    /// Faults met.
    pub met: Met,
    /// Whether to tell what happens.
    pub trace: bool,
}

impl Env {
    /// The node that answers this call.
    pub fn node(&mut self) -> Node {
        match self.trouble.node {
            Some(node) if self.random.chance(self.trouble.other_node) => {
                self.met.answers += 1;
                node
            }
            Some(_) | None => Node::Honest,
        }
    }

    /// Notes what must not be.
    pub fn blame(&mut self, violation: Violation) {
        self.tell(|| format!("VIOLATION {violation}"));
        self.violations.push(violation);
    }

    /// A line of the trace.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9} #{:<5} {}", self.clock.now(), self.boundaries.passed(), line());
        }
    }
}
