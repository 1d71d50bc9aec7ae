//! Settle: sealed facts, outputs and what lanes saw, into the history of jobs and accounts (one partition of `jobs.v1`).
//!
//! ```text
//! read a batch of each input ─▶ decide, evolving the speculative state ─▶ append, read back ─▶ store ─▶ derive, publish
//! ```
//!
//! *Order.* Before a batch of a source is decided, all that `outputs.v1` held after that batch was read is decided: an
//! output that is there counts before a seal or removal ends its execution (PROTOCOL §5).
//!
//! *Crash argument.* Decisions are durable with their append; the store follows and may lag. Whoever owns the partition next
//! folds the log's tail, goes on with the inputs at the last Progress, and passes over subjects that answered an input already.

pub mod control;
mod inputs;
#[cfg(test)]
mod poison_tests;
mod queries;
mod role;

use crate::input_end::InputLost;
use crate::mandate::Mandate;
use crate::metrics::{Metrics, labels};
use crate::owned::{Owned, OwnedError};
use crate::publish::{PublishError, Publisher};
use crate::query::Query;
use acurast_events::ids::job_key;
use acurast_events::jobs::JobsEvent;
use acurast_events::record::InputRef;
use acurast_events::units::Offset;
use acurast_relayer_core::{DecideError, EvolveError, Input, Partition, Policy, Subject, Table};
use acurast_relayer_journal::{AcceptedRecord, Draft, FollowError, InputError, InputReader, SealError};
use acurast_relayer_store::StoreError;
pub use control::Announce;
use control::is_of_letters;
use inputs::{LaneFollower, Pending, SourceFollower, encode};
use queries::Answers;
pub use role::SettleRole;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Most decisions in one append.
const DRAFTS_MAX: usize = 2_000;

/// Most questions answered between two batches.
const QUERIES_MAX: usize = 256;

/// Why a settle loop stopped.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The partition can't be written or stored.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// A decision contradicts the state: a defect.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The journal contradicts the code: it was written by another version, or is not what it was.
    #[error(transparent)]
    Evolve(#[from] EvolveError),
    /// An input topic can't be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A source topic breaks its own rules.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// `outputs.v1` or `control.v1` can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Derived records can't be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored row or event is not of this version.
    #[error("{0}")]
    Version(String),
    /// An input topic lost what was taken from it.
    #[error(transparent)]
    InputLost(#[from] InputLost),
}

/// The settle loop of a partition that this replica owns.
struct Settle<'a> {
    /// The state: speculative while a batch is decided, applied otherwise.
    partition: Partition,
    /// What the operator configured.
    policy: &'a Policy,
    /// The destinations' pure sides.
    rules: &'a crate::registry::ChainRules,
    /// The partition's journal and store.
    owned: Owned,
    /// Source topics.
    sources: Vec<SourceFollower>,
    /// Partitions of `lanes.v1`.
    lanes: Vec<LaneFollower>,
    /// The partition of `outputs.v1`.
    outputs: InputReader,
    /// The partition of `control.v1`.
    control: InputReader,
    /// Publishes what derives from the partition.
    publisher: &'a Publisher,
    /// Questions from outside.
    queries: &'a mut mpsc::Receiver<Query>,
    /// Tells how far outputs and commands were taken.
    announce: &'a Announce,
    /// Where progress is told.
    metrics: &'a Metrics,
    /// Whether dead letters were opened or ended since they were counted.
    letters_noted: bool,
}

impl Settle<'_> {
    /// Runs until the mandate ends, or until something can't go on.
    async fn run(mut self, mandate: &mut Mandate) -> Result<(), SettleError> {
        let subject = self.owned.partition().to_string();
        tracing::info!(partition = %subject, open_jobs = self.partition.jobs().count(), "settling");
        loop {
            let worked = self.cycle().await?;
            self.beat(&subject)?;
            for _ in 0..QUERIES_MAX {
                let Ok(query) = self.queries.try_recv() else { break };
                self.answers().answer(query)?;
            }
            if !mandate.holds() {
                self.owned.record_progress().await?;
                return Ok(());
            }
            if !worked {
                self.wait(mandate).await?;
            }
        }
    }

    fn answers(&self) -> Answers<'_> {
        Answers { partition: &self.partition, view: self.owned.view(), policy: self.policy, rules: self.rules }
    }

    fn beat(&mut self, subject: &str) -> Result<(), SettleError> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.open_jobs.get_or_create(&labels("settle", subject)).set(gauge(self.partition.jobs().count()));
        if std::mem::take(&mut self.letters_noted) {
            let open = self.answers().open_letters()?;
            self.metrics.open_dead_letters.get_or_create(&labels("settle", subject)).set(gauge(open));
        }
        self.metrics.beat("settle", subject, crate::clock::now_ms());
        Ok(())
    }

    /// Sleeps until an input, a question, the mandate's end, or the next Progress.
    async fn wait(&mut self, mandate: &mut Mandate) -> Result<(), SettleError> {
        let due = self.owned.progress_due().unwrap_or(Duration::from_secs(3_600));
        let Self { sources, lanes, outputs, control, queries, owned, .. } = self;
        let sources = futures::future::select_all(sources.iter().map(|source| Box::pin(source.reader.wait())));
        let lanes = async {
            if lanes.is_empty() {
                std::future::pending().await
            } else {
                futures::future::select_all(lanes.iter().map(|lane| Box::pin(lane.reader.wait()))).await.0
            }
        };
        let mut looked = false;
        let asked = tokio::select! {
            () = mandate.ended() => None,
            () = tokio::time::sleep(due) => None,
            (waited, ..) = sources => { waited?; None }
            waited = lanes => { waited?; None }
            waited = outputs.wait() => { waited?; None }
            waited = control.wait() => { waited?; None }
            waited = owned.watch() => { waited?; looked = true; None }
            query = queries.recv() => query,
        };
        if looked {
            // Somebody else wrote here: stand down if it is a higher claim.
            self.owned.look().await?;
        }
        asked.map_or(Ok(()), |query| self.answers().answer(query))
    }

    /// One batch of every input, decided, appended, stored and published. False: there was nothing.
    async fn cycle(&mut self) -> Result<bool, SettleError> {
        let mut blocks = Vec::new();
        for source in &mut self.sources {
            blocks.extend(source.next().await?);
        }
        let outputs_end = self.outputs.end().await?;
        let mut pending = Vec::new();
        while !self.outputs.reached(outputs_end) {
            for record in self.outputs.next_batch().await? {
                pending.push(self.output_input(&record));
            }
        }
        for record in self.control.next_batch().await? {
            pending.push(self.control_input(&record));
        }
        for lane in &mut self.lanes {
            pending.extend(lane.next().await?);
        }
        pending.extend(blocks);
        let worked = pending.iter().any(|item| !item.is_progress);
        let mut drafts = Vec::new();
        for item in &mut pending {
            self.look_up(item).await?;
            self.decide(item, &mut drafts)?;
            if drafts.len() >= DRAFTS_MAX {
                self.write(std::mem::take(&mut drafts)).await?;
            }
        }
        self.decide(&Pending::ready(), &mut drafts)?;
        self.write(drafts).await?;
        for item in pending {
            match item.position {
                Some(position) if item.is_progress => self.owned.passed(position),
                Some(position) => self.owned.took(position),
                None => {}
            }
        }
        self.owned.progress_if_due().await?;
        self.owned.digest_if_due().await?;
        self.announce.taken(self.outputs.next_offset(), self.control.next_offset());
        Ok(worked)
    }

    /// Decides one input for all subjects that it concerns, evolving the state with each decision.
    fn decide(&mut self, item: &Pending, drafts: &mut Vec<Draft>) -> Result<(), SettleError> {
        let Some(input) = &item.input else { return Ok(()) };
        if self.concerns_closed_job(input)? {
            return Ok(());
        }
        let mut answered: BTreeSet<Subject> = match &item.reference {
            Some(reference) => self.owned.answered(reference).iter().filter_map(|bytes| Subject::from_bytes(bytes).ok()).collect(),
            None => BTreeSet::new(),
        };
        let at = self.owned.stamp();
        while let Some(decision) = self.partition.decide_next(self.policy, self.rules, input, item.reference.as_ref(), &answered)? {
            let before = self.owner_of(&decision.subject);
            self.partition.evolve(at, item.reference.as_ref(), &decision.subject, &decision.events)?;
            self.note(&decision.subject, &decision.events);
            let key = before.or_else(|| self.owner_of(&decision.subject)).unwrap_or_default();
            drafts.push(Draft {
                key,
                at,
                input: item.reference.clone(),
                subject: decision.subject.to_bytes(),
                traceparent: None,
                events: encode(&decision.events),
            });
            // `Ready` names no input: it is asked until nothing is ready, and the same account may be served again.
            if !matches!(input, Input::Ready) {
                answered.insert(decision.subject);
            }
        }
        Ok(())
    }

    /// Whether a fact is about a job that was closed: such a fact must not open it anew. A job that is open is not looked up.
    fn concerns_closed_job(&self, input: &Input) -> Result<bool, SettleError> {
        let Input::Fact { event, .. } = input else { return Ok(false) };
        let ours = event.owner(&self.policy.genesis).is_some_and(|owner| self.partition.owns(&owner));
        let Some(job) = event.job().filter(|_| ours) else { return Ok(false) };
        let key = job_key(&self.policy.genesis, job);
        if self.partition.job(&key).is_some() {
            return Ok(false);
        }
        Ok(self.owned.view().get(Table::ClosedJobs.id(), &key.0)?.is_some())
    }

    /// Key of the records about a subject: its owner; the lane itself for a lane's book; none for the partition's own.
    fn owner_of(&self, subject: &Subject) -> Option<Vec<u8>> {
        match subject {
            Subject::Job(key) => self.partition.job(key).map(|job| job.owner.0.to_vec()),
            Subject::Account(id) => self.partition.account(id).map(|account| account.owner.0.to_vec()),
            Subject::Lane(lane) => Some(lane.as_str().as_bytes().to_vec()),
            Subject::Partition => None,
        }
    }

    fn note(&mut self, subject: &Subject, events: &[JobsEvent]) {
        let _span = match subject {
            Subject::Job(job) => tracing::debug_span!("decide", %job),
            Subject::Account(escrow) => tracing::debug_span!("decide", %escrow),
            Subject::Lane(lane) => tracing::debug_span!("decide", %lane),
            Subject::Partition => tracing::debug_span!("decide"),
        }
        .entered();
        for event in events {
            tracing::debug!(event = event.name(), "decided");
            self.note_letters(event);
            self.letters_noted |= is_of_letters(event, subject);
            if let JobsEvent::LedgerDiffers(differs) = event {
                tracing::error!(escrow = %differs.escrow_id, ledger = %differs.ledger, contract = %differs.contract, what = differs.what, "ledger and contract differ");
                self.metrics.alarm(&differs.escrow_id.to_string(), "ledger_differs");
            }
        }
    }

    /// Appends decisions, reads them back, stores what they changed, and publishes what derives from them.
    async fn write(&mut self, drafts: Vec<Draft>) -> Result<(), SettleError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let records = self.owned.append(drafts).await?;
        let rows = self.partition.changes().map_err(|error| SettleError::Version(error.to_string()))?;
        self.owned.commit(&records, rows, true)?;
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.metrics.records.get_or_create(&labels("settle", &self.owned.partition().to_string())).inc_by(count);
        self.publisher.publish(&mut self.owned, &records).await?;
        Ok(())
    }
}

/// The id that settle's decisions about event `n` of a record derive from.
pub(crate) fn event_reference(at: &acurast_events::topics::TopicPartition, record: &AcceptedRecord, kind: u16, n: u32) -> InputRef {
    InputRef {
        topic: at.topic.as_str().to_owned(),
        partition: at.partition,
        position: Offset(record.record.sequence.0),
        id: record.record.event_id(&record.hash, kind, n),
    }
}
