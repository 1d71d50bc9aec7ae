//! Settle as the relayer runs it: a batch of every input, decided over the speculative state, appended, read back, stored,
//! then what derives from it published.
//!
//! The core, the claim, the writer and the block assembly are the relayer's own code.

use crate::assignments::FakeRules;
use crate::env::Env;
use crate::journal::finish;
use crate::mutant::Mutant;
use crate::owned::{Owned, Stop};
use acurast_events::bytes::{Bytes, EventId, Genesis};
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::derived::ReceiptsEvent;
use acurast_events::ids::{input_record_id, job_key, sha256};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::lanes::LanesEvent;
use acurast_events::outputs::OutputSubmitted;
use acurast_events::record::{InputPosition, InputRef};
use acurast_events::topics::{DEFAULT_PREFIX, Topic, TopicPartition};
use acurast_events::units::Offset;
use acurast_events::wire::Message;
use acurast_relayer_core::{Derived, Input, Partition, Policy, Subject, Table, Unreadable, derive};
use acurast_relayer_journal::{
    AcceptedRecord, AppendError, Attributes, Draft, EventJournal, Frontier, InputError, InputReader, LogRecord, NewRecord, PartitionReader,
    SealedBlock, SealedBlocks,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most decisions in one append, as in the relayer.
const DRAFTS_MAX: usize = 2_000;

/// One input, ready to be decided.
struct Pending {
    input: Option<Input>,
    reference: Option<InputRef>,
    position: Option<InputPosition>,
    is_progress: bool,
}

fn position_after(reference: &InputRef) -> InputPosition {
    InputPosition { topic: reference.topic.clone(), partition: reference.partition, next: Offset(reference.position.0.saturating_add(1)) }
}

/// Follows a source topic, block by block.
#[derive(Clone)]
pub struct SourceFollower {
    /// The chain.
    pub chain: ChainId,
    /// Its topic.
    pub reader: PartitionReader,
    /// Blocks in the making.
    pub blocks: SealedBlocks,
    /// Sequences below were taken before the last Progress.
    pub next: Offset,
}

fn check_end(reader: &PartitionReader, caught_up: bool, taken: Offset) -> Result<(), Stop> {
    if caught_up && reader.frontier().next_sequence.0 < taken.0 {
        return Err(Stop::Lost(format!("{}: ends before what was taken from it", reader.partition())));
    }
    Ok(())
}

impl SourceFollower {
    fn next(&mut self) -> Result<Vec<Pending>, Stop> {
        let mut pending = Vec::new();
        let batch = finish(self.reader.next_batch())??;
        check_end(&self.reader, batch.caught_up, self.next)?;
        for record in batch.records {
            for block in self.blocks.push(&record).map_err(|error| Stop::Defect(error.to_string()))? {
                if block.input.position >= self.next {
                    self.take(block, &mut pending);
                }
            }
        }
        Ok(pending)
    }

    fn take(&self, block: SealedBlock, pending: &mut Vec<Pending>) {
        let seal = &block.seal;
        let at = BlockRef { chain: self.chain.clone(), number: seal.number, hash: seal.hash, timestamp: seal.timestamp };
        for fact in block.facts {
            let input = Input::Fact { event: fact.event, block: at.clone() };
            // A position never passes a fact whose seal wasn't read: only the seal moves it.
            pending.push(Pending { input: Some(input), reference: Some(fact.input), position: None, is_progress: false });
        }
        pending.push(Pending {
            input: Some(Input::Seal { chain: self.chain.clone(), seal: block.seal }),
            position: Some(position_after(&block.input)),
            reference: Some(block.input),
            is_progress: false,
        });
    }
}

/// Follows the lane's partition.
#[derive(Clone)]
pub struct LaneFollower {
    /// The lane.
    pub lane: AccountId,
    /// Its partition.
    pub reader: PartitionReader,
    /// Sequences below were taken before the last Progress.
    pub next: Offset,
}

impl LaneFollower {
    fn next(&mut self, mutant: Option<Mutant>) -> Result<Vec<Pending>, Stop> {
        let mut pending = Vec::new();
        let batch = finish(self.reader.next_batch())??;
        check_end(&self.reader, batch.caught_up, self.next)?;
        for record in batch.records {
            let sequence = Offset(record.record.sequence.0);
            if sequence < self.next {
                continue;
            }
            let at = self.reader.partition();
            if record.record.subject.0.is_empty() {
                let position = InputPosition { topic: at.topic.as_str().to_owned(), partition: at.partition, next: sequence.next() };
                pending.push(Pending { input: None, reference: None, position: Some(position), is_progress: true });
                continue;
            }
            let events = record.record.decode_events::<LanesEvent>().map_err(|error| Stop::Defect(error.to_string()))?;
            for (n, event) in (0u32..).zip(events) {
                let id = record.record.event_id(&record.hash, event.kind(), n);
                let reference = InputRef { topic: at.topic.as_str().to_owned(), partition: at.partition, position: sequence, id };
                let told = mutant != Some(Mutant::DeathUntold) || !matches!(event, LanesEvent::IntentDead(_));
                let input = told.then(|| Input::Lane { lane: self.lane.clone(), event });
                pending.push(Pending { input, position: None, reference: Some(reference), is_progress: false });
            }
            if let Some(last) = pending.last_mut() {
                last.position = last.reference.as_ref().map(position_after);
            }
        }
        Ok(pending)
    }
}

/// The settle loop.
#[derive(Clone)]
pub struct Settle {
    /// The state: speculative while a batch is decided, applied otherwise.
    pub partition: Partition,
    /// What the operator configured.
    pub policy: Policy,
    /// The partition's journal and store.
    pub owned: Owned,
    /// Source topics.
    pub sources: Vec<SourceFollower>,
    /// The lane.
    pub lane: LaneFollower,
    /// The partition of `outputs.v1`.
    pub outputs: InputReader,
    /// Publishes what derives from the partition.
    pub publisher: Publisher,
}

impl Settle {
    /// One batch of every input, decided, appended, stored and published. False: there was nothing.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn cycle(&mut self, env: &mut Env) -> Result<bool, Stop> {
        let mut blocks = Vec::new();
        for source in &mut self.sources {
            blocks.extend(source.next()?);
        }
        let outputs_end = finish(self.outputs.end())?.map_err(input_error)?;
        let mut pending = Vec::new();
        while !self.outputs.reached(outputs_end) {
            let batch = finish(self.outputs.next_batch())?.map_err(input_error)?;
            pending.extend(batch.iter().map(|record| self.output_input(record)));
        }
        pending.extend(self.lane.next(env.mutant)?);
        pending.extend(blocks);
        let worked = pending.iter().any(|item| !item.is_progress);
        let mut drafts = Vec::new();
        for item in &pending {
            self.decide(item, &mut drafts, env)?;
            if drafts.len() >= DRAFTS_MAX {
                self.write(std::mem::take(&mut drafts))?;
            }
        }
        self.decide(&Pending { input: Some(Input::Ready), reference: None, position: None, is_progress: false }, &mut drafts, env)?;
        self.write(drafts)?;
        for item in pending {
            match item.position {
                Some(position) if item.is_progress => self.owned.passed(position),
                Some(position) => self.owned.took(position),
                None => {}
            }
        }
        for source in &self.sources {
            self.owned.note_landmark(source.reader.partition().clone(), source.blocks.resume());
        }
        self.owned.note_landmark(self.lane.reader.partition().clone(), self.lane.reader.frontier());
        self.owned.digest_if_due()?;
        self.owned.progress_if_due()?;
        if !worked && self.owned.is_behind()? {
            // Somebody else wrote here: stand down if it is a higher claim.
            self.owned.look()?;
        }
        Ok(worked)
    }

    fn output_input(&self, record: &LogRecord) -> Pending {
        let at = self.outputs.partition();
        let id = input_record_id(at, record.offset);
        let reference = InputRef { topic: at.topic.as_str().to_owned(), partition: at.partition, position: record.offset, id };
        let input = match OutputSubmitted::decode(&record.value) {
            Ok(output) => Some(Input::Output(output)),
            Err(error) => Some(Input::Unreadable(Unreadable::of(&record.value, error.to_string()))),
        };
        Pending { input, position: Some(position_after(&reference)), reference: Some(reference), is_progress: false }
    }

    /// Decides one input for all subjects that it concerns, evolving the state with each decision.
    fn decide(&mut self, item: &Pending, drafts: &mut Vec<Draft>, env: &Env) -> Result<(), Stop> {
        let Some(input) = &item.input else { return Ok(()) };
        if self.concerns_closed_job(input) {
            return Ok(());
        }
        let mut answered: BTreeSet<Subject> = match &item.reference {
            Some(reference) => self.owned.answered(reference).iter().filter_map(|bytes| Subject::from_bytes(bytes).ok()).collect(),
            None => BTreeSet::new(),
        };
        let at = self.owned.stamp();
        while let Some(decision) = self
            .partition
            .decide_next(&self.policy, &FakeRules, input, item.reference.as_ref(), &answered)
            .map_err(|error| Stop::Defect(error.to_string()))?
        {
            for event in &decision.events {
                env.tell(|| format!("settle {event:?}"));
            }
            let before = self.owner_of(&decision.subject);
            self.partition
                .evolve(at, item.reference.as_ref(), &decision.subject, &decision.events)
                .map_err(|error| Stop::Defect(error.to_string()))?;
            let key = before.or_else(|| self.owner_of(&decision.subject)).unwrap_or_default();
            drafts.push(Draft {
                key,
                at,
                input: item.reference.clone(),
                subject: decision.subject.to_bytes(),
                traceparent: None,
                events: decision.events.iter().map(|event| Bytes(event.encode())).collect(),
            });
            // `Ready` names no input: it is asked until nothing is ready, and the same account may be served again.
            if !matches!(input, Input::Ready) {
                answered.insert(decision.subject);
            }
        }
        Ok(())
    }

    /// Whether a fact is about a job that was closed: such a fact must not open it anew.
    fn concerns_closed_job(&self, input: &Input) -> bool {
        let Input::Fact { event, .. } = input else { return false };
        let ours = event.owner(&self.policy.genesis).is_some_and(|owner| self.partition.owns(&owner));
        let Some(job) = event.job().filter(|_| ours) else { return false };
        let key = job_key(&self.policy.genesis, job);
        self.partition.job(&key).is_none() && self.owned.store.rows().contains_key(&(Table::ClosedJobs.id(), key.0.to_vec()))
    }

    fn owner_of(&self, subject: &Subject) -> Option<Vec<u8>> {
        match subject {
            Subject::Job(key) => self.partition.job(key).map(|job| job.owner.0.to_vec()),
            Subject::Account(id) => self.partition.account(id).map(|account| account.owner.0.to_vec()),
            Subject::Lane(lane) => Some(lane.as_str().as_bytes().to_vec()),
            Subject::Partition => None,
        }
    }

    fn write(&mut self, drafts: Vec<Draft>) -> Result<(), Stop> {
        if drafts.is_empty() {
            return Ok(());
        }
        let records = self.owned.append(drafts)?;
        let rows = self.partition.changes().map_err(|error| Stop::Defect(error.to_string()))?;
        self.owned.commit(&records, rows)?;
        self.publisher.publish(&mut self.owned, &records)
    }

    /// An orderly stop.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn stop(&mut self) -> Result<(), Stop> {
        self.owned.record_progress()
    }
}

fn input_error(error: InputError) -> Stop {
    Stop::Lost(error.to_string())
}

/// Publishes what derives from a jobs partition, at least once.
#[derive(Clone)]
pub struct Publisher {
    /// The journal, as the process sees it.
    pub journal: Arc<dyn EventJournal>,
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// The jobs partition.
    pub at: TopicPartition,
    /// What tells this process from others; nothing but a bug may depend on it.
    pub process: u64,
}

impl Publisher {
    /// Publishes what a crash may have kept back.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn catch_up(&self, owned: &mut Owned) -> Result<(), Stop> {
        let mut reader = finish(PartitionReader::open(self.journal.clone(), self.at.clone(), Frontier::START))??;
        let from = owned.published_next();
        loop {
            let batch = finish(reader.next_batch())??;
            let due: Vec<_> = batch.records.into_iter().filter(|record| Offset(record.record.sequence.0) >= from).collect();
            self.publish(owned, &due)?;
            if owned.is_published() {
                return Ok(());
            }
            // A read that shows nothing is not the log's end: what was left out here would never be published.
            if batch.caught_up {
                finish(reader.wait())??;
            }
        }
    }

    fn publish(&self, owned: &mut Owned, records: &[AcceptedRecord]) -> Result<(), Stop> {
        let mut out: BTreeMap<TopicPartition, Vec<NewRecord>> = BTreeMap::new();
        for record in records {
            let events = record.record.decode_events::<JobsEvent>().map_err(|error| Stop::Defect(error.to_string()))?;
            for mut message in derive(&self.at, &self.genesis, &record.hash, &record.record, &events) {
                if owned.mutant() == Some(Mutant::ReceiptsWithoutIdentity)
                    && let Derived::Receipt(receipt) = &mut message
                {
                    receipt.id = EventId(sha256(&[&receipt.id.0, &self.process.to_be_bytes()]));
                }
                let (topic, value) = place(message);
                out.entry(topic).or_default().push(NewRecord { key: Vec::new(), value, attributes: Attributes::default() });
            }
        }
        for (topic, messages) in out {
            finish(self.journal.append(&topic, messages))?.map_err(|error: AppendError| Stop::Lost(error.to_string()))?;
        }
        if let Some(last) = records.last() {
            owned.published(Offset(last.record.sequence.0.saturating_add(1)));
        }
        Ok(())
    }
}

/// Where a derived message goes, and its bytes.
pub fn place(message: Derived) -> (TopicPartition, Vec<u8>) {
    let name = |topic: Topic| topic.name(DEFAULT_PREFIX).partition(0);
    match message {
        Derived::Receipt(receipt) => (name(Topic::Receipts), ReceiptsEvent::from(*receipt).encode()),
        Derived::JobReceipt(receipt) => (name(Topic::Receipts), ReceiptsEvent::from(receipt).encode()),
        Derived::ReceiptReversed(reversed) => (name(Topic::Receipts), ReceiptsEvent::from(*reversed).encode()),
        Derived::Reputation(observed) => (name(Topic::Reputation), observed.encode()),
        Derived::DeadLetter(letter) => (name(Topic::DeadLetters), letter.encode()),
    }
}
