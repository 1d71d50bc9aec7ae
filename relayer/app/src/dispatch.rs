//! Dispatch: one lane's intents onto its chain. The lane core decides; this shell runs its actions and brings results back.
//!
//! ```text
//! jobs.v1 ─▶ accept ─▶ append, read back ─▶ actions ─▶ adapter ─▶ results ─▶ decide ─▶ append, read back ─▶ …
//! ```
//!
//! *Crash argument.* Every transaction is in the journal before its bytes leave (R1): signed bytes stay in this process until
//! their `AttemptPrepared` was read back. Whatever was running is derived again from the state after a restart.

use crate::attester_memory::AttesterMemory;
use crate::folds::LaneFold;
use crate::input_end::{InputLost, check_end};
use crate::mandate::Mandate;
use crate::metrics::{LaneLabels, Metrics, labels};
use crate::owned::{Owned, OwnedError};
use crate::recall::{RecallError, recall};
use crate::tenure::Role;
use acurast_adapter_api::lane::LaneError;
use acurast_adapter_api::oracle::{Attester, AttesterError};
use acurast_adapter_api::{LaneAdapter, SendOutcome};
use acurast_events::bytes::Bytes;
use acurast_events::caip::AccountId;
use acurast_events::eip712::RootStatement;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{LaneOpened, LanesEvent};
use acurast_events::record::{InputPosition, InputRef};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{AcceptedRecord, Draft, EventJournal, FollowError, PartitionReader};
use acurast_relayer_lane::{Action, ActionKey, Lane, LaneCoreError, LaneInput, LanePolicy};
use acurast_relayer_store::PartitionView;
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Most actions that run at once; each is bounded in time by its adapter.
const ACTIONS_MAX: usize = 32;

/// How long an idle lane sleeps at most.
const IDLE: Duration = Duration::from_secs(60);
/// A wake that is due and starts nothing is looked at again after this time.
const WAKE_MIN: Duration = Duration::from_millis(50);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Why a dispatch loop stopped.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The lane's partition can't be written or stored.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// `jobs.v1` can't be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The lane's log and its code disagree.
    #[error(transparent)]
    Core(#[from] LaneCoreError),
    /// The chain is not the configured one.
    #[error(transparent)]
    Refused(#[from] LaneError),
    /// An event is of a newer version.
    #[error("{0}")]
    Version(String),
    /// `jobs.v1` lost what was taken from it.
    #[error(transparent)]
    InputLost(#[from] InputLost),
    /// An action's task failed.
    #[error("an action of the lane failed: {0}")]
    Action(#[from] tokio::task::JoinError),
    /// An attester's memory can't be made whole.
    #[error(transparent)]
    Recall(#[from] RecallError),
    /// The partition of a lane has another lane's history.
    #[error(
        "partition {partition} of lanes.v1 belongs to lane {found}, not {configured}; a new signing key needs a `partition` of its own"
    )]
    OtherLane {
        /// The partition.
        partition: u32,
        /// The lane in the journal.
        found: AccountId,
        /// The lane that is configured.
        configured: AccountId,
    },
}

/// Dispatches one lane, or follows its partition.
pub struct DispatchRole {
    /// What the lane is.
    pub identity: LaneOpened,
    /// The operator's choices.
    pub policy: LanePolicy,
    /// The chain.
    pub adapter: Arc<dyn LaneAdapter>,
    /// Who signs roots, in ascending order of their signers.
    pub attesters: Vec<Arc<dyn Attester>>,
    /// What they signed.
    pub memories: Vec<Arc<AttesterMemory>>,
    /// All partitions of `lanes.v1`.
    pub lanes: Vec<TopicPartition>,
    /// The journal.
    pub journal: Arc<dyn EventJournal>,
    /// The partitions of `jobs.v1`.
    pub jobs: Vec<TopicPartition>,
    /// Where progress is told.
    pub metrics: Metrics,
}

#[async_trait]
impl Role for DispatchRole {
    type State = LaneFold;
    type Error = DispatchError;

    fn stage(&self) -> &'static str {
        "dispatch"
    }

    fn load(&self, view: &PartitionView) -> Result<LaneFold, DispatchError> {
        LaneFold::load(view).map_err(DispatchError::Version)
    }

    async fn own(&mut self, mut owned: Owned, state: LaneFold, mandate: &mut Mandate) -> Result<(), DispatchError> {
        let lane = state.0.unwrap_or_else(|| Lane::new(self.identity.clone()));
        if lane.identity() != &self.identity {
            let (found, configured) = (lane.identity().lane.clone(), self.identity.lane.clone());
            return Err(DispatchError::OtherLane { partition: owned.partition().partition, found, configured });
        }
        let mut jobs = Vec::with_capacity(self.jobs.len());
        for at in &self.jobs {
            let frontier = owned.input_frontier(at).map_err(OwnedError::from)?;
            let reader = PartitionReader::open(self.journal.clone(), at.clone(), frontier).await?;
            jobs.push(JobsFollower { reader, next: owned.input_next(at) });
        }
        // After the claim, so that nobody's question of an earlier term is missing; also of lanes that this process doesn't
        // drive (any more): their assignments may come to others.
        for at in &self.lanes {
            recall(&self.memories, &self.journal, at).await?;
        }
        owned.record_progress().await?;
        let Self { policy, adapter, attesters, metrics, .. } = self;
        Dispatch { lane, policy, adapter, attesters, owned, jobs, metrics }.run(mandate).await
    }
}

/// Follows one partition of `jobs.v1`.
struct JobsFollower {
    /// The partition.
    reader: PartitionReader,
    /// Sequences below were taken before the last Progress.
    next: Offset,
}

/// The loop of a lane that this replica owns.
struct Dispatch<'a> {
    lane: Lane,
    policy: &'a LanePolicy,
    adapter: &'a Arc<dyn LaneAdapter>,
    attesters: &'a [Arc<dyn Attester>],
    owned: Owned,
    jobs: Vec<JobsFollower>,
    metrics: &'a Metrics,
}

struct Done {
    key: ActionKey,
    input: LaneInput,
}

impl Dispatch<'_> {
    /// Runs until the mandate ends, or until something can't go on.
    async fn run(mut self, mandate: &mut Mandate) -> Result<(), DispatchError> {
        let name = self.adapter.lane().to_string();
        tokio::select! {
            () = mandate.ended() => return Ok(()),
            identified = self.identify() => identified?,
        }
        tracing::info!(lane = name, "dispatching");
        let mut running: JoinSet<Done> = JoinSet::new();
        let mut busy: BTreeSet<ActionKey> = BTreeSet::new();
        loop {
            let took = self.take_jobs().await?;
            while let Some(done) = running.try_join_next() {
                self.finish(done?, &mut busy).await?;
            }
            self.start(&mut running, &mut busy).await?;
            self.beat(&name);
            self.owned.progress_if_due().await?;
            self.owned.digest_if_due().await?;
            // More may be there already; results were taken above, so neither starves the other.
            if took && mandate.holds() {
                continue;
            }
            let pause = self.pause(&busy);
            let mut looked = false;
            let done = tokio::select! {
                () = mandate.ended() => {
                    // What still runs is derived again from the state; nothing of it is needed.
                    running.shutdown().await;
                    self.owned.record_progress().await?;
                    return Ok(());
                }
                done = running.join_next(), if !running.is_empty() => done,
                waited = wait_for_jobs(&self.jobs) => { waited?; None }
                waited = self.owned.watch() => { waited?; looked = true; None }
                () = tokio::time::sleep(pause) => {
                    self.step(LaneInput::Tick).await?;
                    None
                }
            };
            if looked {
                // Somebody else wrote here: stand down if it is a higher claim (R12).
                self.owned.look().await?;
            }
            if let Some(done) = done {
                self.finish(done?, &mut busy).await?;
            }
        }
    }

    /// Checks that the chain is the configured one; asks again while it can't be told.
    async fn identify(&self) -> Result<(), LaneError> {
        let mut delays = ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times().build();
        loop {
            match self.adapter.identify().await {
                Err(LaneError::Unknown { reason, .. }) => {
                    tracing::warn!(lane = %self.adapter.lane(), reason, "destination unavailable; retrying");
                    self.metrics.alarm(self.adapter.lane().as_str(), "destination_unavailable");
                    tokio::time::sleep(delays.next().unwrap_or(RETRY_MAX)).await;
                }
                known => return known,
            }
        }
    }

    async fn finish(&mut self, done: Done, busy: &mut BTreeSet<ActionKey>) -> Result<(), DispatchError> {
        busy.remove(&done.key);
        self.note_result(&done.input);
        self.step(done.input).await
    }

    fn beat(&self, name: &str) {
        let now = crate::clock::now_ms();
        self.metrics.beat("dispatch", name, now);
        let age = self.lane.status().oldest_open.map_or(0, |at| now.saturating_sub(at.0));
        self.metrics.oldest_unresolved.get_or_create(&labels("dispatch", name)).set(i64::try_from(age).unwrap_or(i64::MAX));
    }

    /// How long nothing happens by itself. A wake that is due was acted upon just now, or waits for an action that runs:
    /// its result comes first.
    fn pause(&mut self, busy: &BTreeSet<ActionKey>) -> Duration {
        let now = self.owned.stamp();
        let wake = self.lane.next_wake(self.policy, self.adapter.capabilities(), now).map_or(IDLE, |at| match at.since(now).0 {
            0 if busy.is_empty() => WAKE_MIN,
            0 => IDLE,
            later => Duration::from_millis(later),
        });
        self.owned.progress_due().map_or(wake, |due| wake.min(due))
    }

    /// Takes the intents of `jobs.v1` that are bound to this lane, one record per record of theirs. False: there was nothing.
    async fn take_jobs(&mut self) -> Result<bool, DispatchError> {
        let mut drafts = Vec::new();
        let mut positions = Vec::new();
        for index in 0..self.jobs.len() {
            let Some(follower) = self.jobs.get_mut(index) else { break };
            let batch = follower.reader.next_batch().await?;
            check_end(&follower.reader, batch.caught_up, follower.next)?;
            let at = follower.reader.partition().clone();
            let next = follower.next;
            for record in batch.records {
                let position = Offset(record.record.sequence.0);
                if position < next {
                    continue;
                }
                if record.record.subject.0.is_empty() {
                    self.owned.passed(InputPosition {
                        topic: at.topic.as_str().to_owned(),
                        partition: at.partition,
                        next: position.next(),
                    });
                    continue;
                }
                let input = InputRef {
                    topic: at.topic.as_str().to_owned(),
                    partition: at.partition,
                    position,
                    id: record.record.event_id(&record.hash, 0, 0),
                };
                positions.push(InputPosition { topic: input.topic.clone(), partition: at.partition, next: position.next() });
                self.accept(&record, input, &mut drafts)?;
            }
        }
        let took = !positions.is_empty();
        self.write(drafts).await?;
        for position in positions {
            self.owned.took(position);
        }
        Ok(took)
    }

    fn accept(&mut self, record: &AcceptedRecord, input: InputRef, drafts: &mut Vec<Draft>) -> Result<(), DispatchError> {
        let subject = self.subject();
        if self.owned.answered(&input).contains(&subject) {
            return Ok(());
        }
        let events = record.record.decode_events::<JobsEvent>().map_err(|error| DispatchError::Version(error.to_string()))?;
        let at = self.owned.stamp();
        let mut accepted = Vec::new();
        for event in events {
            let caused = self.lane.decide(self.policy, self.adapter.capabilities(), &LaneInput::Jobs(event), at)?;
            if !caused.is_empty() {
                self.lane.evolve(at, &caused)?;
                accepted.extend(caused);
            }
        }
        if !accepted.is_empty() {
            drafts.push(self.draft(Some(input), at, &accepted));
        }
        Ok(())
    }

    fn subject(&self) -> Bytes {
        Bytes(self.adapter.lane().as_str().as_bytes().to_vec())
    }

    fn draft(&self, input: Option<InputRef>, at: Timestamp, events: &[LanesEvent]) -> Draft {
        let subject = self.subject();
        let events = events.iter().map(|event| Bytes(event.encode())).collect();
        Draft { key: subject.0.clone(), at, input, subject, traceparent: None, events }
    }

    /// Decides one result and makes it durable before anything follows from it.
    async fn step(&mut self, what: LaneInput) -> Result<(), DispatchError> {
        let at = self.owned.stamp();
        let events = match self.lane.decide(self.policy, self.adapter.capabilities(), &what, at) {
            Ok(events) => events,
            // The lane stays usable: a report is asked for again, a used-up range stops new roots only.
            Err(error @ (LaneCoreError::Report { .. } | LaneCoreError::Exhausted { .. })) => {
                tracing::error!(%error, "not decided");
                self.metrics.alarm(self.adapter.lane().as_str(), "lane_undecided");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if events.is_empty() {
            return Ok(());
        }
        self.lane.evolve(at, &events)?;
        let draft = self.draft(None, at, &events);
        self.write(vec![draft]).await
    }

    async fn write(&mut self, drafts: Vec<Draft>) -> Result<(), DispatchError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let records = self.owned.append(drafts).await?;
        let rows = self.lane.changes()?;
        self.owned.commit(&records, rows, true)?;
        let name = self.adapter.lane().to_string();
        for record in &records {
            for event in record.record.decode_events::<LanesEvent>().map_err(|error| DispatchError::Version(error.to_string()))? {
                self.note_event(&name, &event);
            }
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.metrics.records.get_or_create(&labels("dispatch", &name)).inc_by(count);
        Ok(())
    }

    fn note_event(&self, lane: &str, event: &LanesEvent) {
        self.metrics.lane_events.get_or_create(&LaneLabels { lane: lane.to_owned(), kind: event.name().to_owned() }).inc();
        match event {
            LanesEvent::LaneQuarantined(quarantine) => {
                tracing::error!(lane, slot = %quarantine.slot, reason = quarantine.reason, "lane quarantined");
                self.metrics.alarm(lane, "lane_quarantined");
            }
            LanesEvent::EffectLost(lost) => {
                tracing::error!(lane, settlement = %lost.settlement_id, tx = %lost.tx, "a final effect is gone: finality broke");
                self.metrics.alarm(lane, "effect_lost");
            }
            LanesEvent::IntentDead(dead) => {
                tracing::error!(lane, settlement = %dead.settlement_id, reason = dead.reason, "settlement given up");
                self.metrics.alarm(lane, "settlement_dead");
            }
            LanesEvent::AttemptPrepared(attempt) => {
                tracing::info!(lane, slot = %attempt.slot, attempt = attempt.attempt, purpose = ?attempt.purpose, items = attempt.items.len(), tx = %attempt.tx, "prepared");
            }
            LanesEvent::SlotFinal(slot) => {
                tracing::info!(lane, slot = %slot.slot, outcome = ?slot.outcome, cost = %slot.cost, tx = %slot.tx, "final");
            }
            other => tracing::debug!(lane, event = other.name(), "decided"),
        }
    }

    fn note_result(&self, input: &LaneInput) {
        let lane = self.adapter.lane().as_str();
        match input {
            LaneInput::Sent { outcome, .. } => {
                self.metrics.sends.get_or_create(&LaneLabels { lane: lane.to_owned(), kind: outcome_name(outcome).to_owned() }).inc();
            }
            LaneInput::Failed { key, reason } => tracing::warn!(lane, action = ?key, reason, "no answer"),
            _ => {}
        }
    }

    /// Starts what the state asks for and does not run yet.
    async fn start(&mut self, running: &mut JoinSet<Done>, busy: &mut BTreeSet<ActionKey>) -> Result<(), DispatchError> {
        let now = self.owned.stamp();
        let mut looked = false;
        for action in self.lane.actions(self.policy, self.adapter.capabilities(), now)? {
            let key = action.key();
            if busy.len() >= ACTIONS_MAX || busy.contains(&key) {
                continue;
            }
            if matches!(action, Action::Broadcast { .. }) && !looked {
                // The owner's own term is current as far as the log says now (R12).
                self.owned.look().await?;
                looked = true;
            }
            if matches!(action, Action::Broadcast { .. }) && !self.owned.may_send() {
                // The lease ran out: look at the log by writing to it, then send (R12).
                self.owned.record_progress().await?;
                if !self.owned.may_send() {
                    continue;
                }
            }
            busy.insert(key.clone());
            let (adapter, attesters) = (Arc::clone(self.adapter), self.attesters.to_vec());
            running.spawn(async move { Done { input: run(action, adapter, attesters).await, key } });
        }
        Ok(())
    }
}

fn outcome_name(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted => "accepted",
        SendOutcome::AlreadyKnown => "already_known",
        SendOutcome::Rejected(_) => "rejected",
        SendOutcome::SlotTooLow => "slot_too_low",
        SendOutcome::SlotTooHigh => "slot_too_high",
        SendOutcome::FeeTooLow => "fee_too_low",
        SendOutcome::InsufficientFunds => "insufficient_funds",
        SendOutcome::Indeterminate(_) => "indeterminate",
    }
}

async fn wait_for_jobs(jobs: &[JobsFollower]) -> Result<(), FollowError> {
    futures::future::select_all(jobs.iter().map(|follower| Box::pin(follower.reader.wait()))).await.0
}

/// Runs one action to its result; a failure is a result too.
async fn run(action: Action, adapter: Arc<dyn LaneAdapter>, attesters: Vec<Arc<dyn Attester>>) -> LaneInput {
    let key = action.key();
    let failed = |error: LaneError| LaneInput::Failed { key, reason: error.to_string() };
    match action {
        Action::View => adapter.view().await.map_or_else(failed, LaneInput::View),
        Action::Simulate { key: call_key, call } => {
            adapter.simulate(&call).await.map_or_else(failed, |result| LaneInput::Simulated { call: call_key, result })
        }
        Action::Attest { statement, leaves } => attest(&attesters, statement, &leaves).await,
        Action::Reserve(request) => LaneInput::Reserved(request),
        Action::Sign { request, call } => {
            let signed = adapter.sign(request.slot, &call, &request.fee).await;
            signed.map_or_else(failed, |signed| LaneInput::Signed { request, signed })
        }
        Action::Broadcast { tx, bytes } => LaneInput::Sent { tx, outcome: adapter.broadcast(&bytes).await },
        Action::Observe(tx) => LaneInput::Observed { tx, observation: adapter.observe(&tx).await },
        Action::Report { tx, items, root } => {
            adapter.report(&tx, &items, root).await.map_or_else(failed, |report| LaneInput::Reported { tx, report })
        }
        Action::AskEffect { of, query } => {
            adapter.effect(&query).await.map_or_else(failed, |effect| LaneInput::EffectAnswer { of, effect })
        }
        Action::AskSlotOwner(slot) => adapter.slot_owner(slot).await.map_or_else(failed, |tx| LaneInput::SlotOwner { slot, tx }),
    }
}

/// Asks every attester; all of those configured must sign, and a refusal of one is final for the root.
async fn attest(attesters: &[Arc<dyn Attester>], statement: RootStatement, leaves: &[acurast_adapter_api::oracle::LeafClaim]) -> LaneInput {
    let batch = statement.batch;
    let mut signatures = Vec::new();
    for attester in attesters {
        match attester.attest(&statement, leaves).await {
            Ok(signature) => signatures.push(signature),
            Err(AttesterError::Refused { leaf, reason }) => return LaneInput::AttestRefused { batch, leaf, reason },
            Err(AttesterError::Unavailable(reason)) => return LaneInput::Failed { key: ActionKey::Attest(batch), reason },
        }
    }
    LaneInput::Attested { batch, signatures }
}
