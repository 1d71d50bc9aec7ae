//! Dispatch as the relayer runs it: take intents, run actions, bring results back, write before anything follows (R1, R12).
//!
//! Actions run one tick or several, their answers come in any order, late, twice or not at all. The lane core is the relayer's.

use crate::boundary::Boundary;
use crate::chain::Node;
use crate::env::Env;
use crate::journal::finish;
use crate::mutant::Mutant;
use crate::owned::{Owned, Stop};
use crate::random::Random;
use crate::violation::Violation;
use acurast_adapter_api::{Capabilities, Effect, Observation, SendOutcome};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, SettlementId};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{LanesEvent, Purpose};
use acurast_events::record::{InputPosition, InputRef};
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{AcceptedRecord, Draft, PartitionReader};
use acurast_relayer_lane::{Action, ActionKey, Lane, LaneCoreError, LaneInput, LanePolicy};
use std::collections::BTreeSet;

/// Most actions that run at once, as in the relayer.
const ACTIONS_MAX: usize = 32;

/// An action that was started.
#[derive(Clone)]
struct Running {
    key: ActionKey,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    /// Nothing was asked yet.
    Asked(Action),
    /// The answer is on its way.
    Answered { input: LaneInput, due: u64, again: bool },
}

/// One lane's loop.
#[derive(Clone)]
pub struct Dispatch {
    /// The lane.
    pub lane: Lane,
    /// The operator's choices.
    pub policy: LanePolicy,
    /// The chain's limits.
    pub caps: Capabilities,
    /// The lane's journal and store.
    pub owned: Owned,
    jobs: PartitionReader,
    next: Offset,
    running: Vec<Running>,
    /// Time of the newest block that this process was told of.
    told: u64,
    subject: Bytes,
    random: Random,
}

impl Dispatch {
    /// A loop over a lane that was taken over. `next` is the first position of `jobs` that isn't taken.
    pub fn new(
        lane: Lane,
        policy: LanePolicy,
        caps: Capabilities,
        owned: Owned,
        jobs: PartitionReader,
        next: Offset,
        random: Random,
    ) -> Self {
        let subject = Bytes(lane.identity().lane.as_str().as_bytes().to_vec());
        Self { lane, policy, caps, owned, jobs, next, running: Vec::new(), told: 0, subject, random }
    }

    /// How many actions run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// When the next answer comes, if one is on its way.
    pub fn next_answer(&self) -> Option<u64> {
        let due = |running: &Running| match &running.stage {
            Stage::Asked(_) => 0,
            Stage::Answered { due, .. } => *due,
        };
        self.running.iter().map(due).min()
    }

    /// When something is due by itself.
    pub fn next_wake(&mut self) -> Option<Timestamp> {
        let now = self.owned.stamp();
        self.lane.next_wake(&self.policy, &self.caps, now)
    }

    /// One turn of the loop. `hold`: what is started now is not run yet, because the process is about to be stopped.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn turn(&mut self, env: &mut Env, hold: bool) -> Result<bool, Stop> {
        // Woken by its own partition or by another input: both occur.
        if self.owned.is_behind()? && self.random.chance(500) {
            self.owned.look()?;
        }
        let mut worked = self.take_jobs()?;
        worked |= self.deliver(env)?;
        worked |= self.start(env)?;
        self.owned.digest_if_due()?;
        self.owned.progress_if_due()?;
        if !hold {
            self.perform(env)?;
        }
        Ok(worked)
    }

    /// Time passed.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn tick(&mut self, env: &mut Env) -> Result<(), Stop> {
        self.step(LaneInput::Tick, env)
    }

    /// An orderly stop.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn stop(&mut self) -> Result<(), Stop> {
        self.owned.record_progress()
    }

    fn take_jobs(&mut self) -> Result<bool, Stop> {
        let batch = finish(self.jobs.next_batch())??;
        let at = self.jobs.partition().clone();
        if batch.caught_up && self.jobs.frontier().next_sequence.0 < self.next.0 {
            return Err(Stop::Lost(format!("{at}: ends before what was taken from it")));
        }
        let (mut drafts, mut positions) = (Vec::new(), Vec::new());
        for record in batch.records {
            let position = Offset(record.record.sequence.0);
            if position < self.next {
                continue;
            }
            let topic = at.topic.as_str().to_owned();
            let after = InputPosition { topic: topic.clone(), partition: at.partition, next: position.next() };
            if record.record.subject.0.is_empty() {
                self.owned.passed(after);
                continue;
            }
            let input = InputRef { topic, partition: at.partition, position, id: record.record.event_id(&record.hash, 0, 0) };
            positions.push(after);
            self.accept(&record, input, &mut drafts)?;
        }
        let took = !positions.is_empty();
        if self.owned.mutant() == Some(Mutant::ProgressPassesUndecided) && took {
            positions.drain(..).for_each(|position| self.owned.took(position));
            self.owned.record_progress()?;
        }
        self.write(drafts)?;
        positions.into_iter().for_each(|position| self.owned.took(position));
        self.owned.note_landmark(at, self.jobs.frontier());
        Ok(took)
    }

    fn accept(&mut self, record: &AcceptedRecord, input: InputRef, drafts: &mut Vec<Draft>) -> Result<(), Stop> {
        if self.owned.answered(&input).contains(&self.subject) {
            return Ok(());
        }
        let events = record.record.decode_events::<JobsEvent>().map_err(|error| Stop::Defect(error.to_string()))?;
        let at = self.owned.stamp();
        let mut accepted = Vec::new();
        for event in events {
            if matches!(event, JobsEvent::LeafPlanned(_) | JobsEvent::FulfillmentPlanned(_)) {
                let caused = self.lane.decide(&self.policy, &self.caps, &LaneInput::Jobs(event), at).map_err(defect)?;
                self.lane.evolve(at, &caused).map_err(defect)?;
                accepted.extend(caused);
            }
        }
        if !accepted.is_empty() {
            drafts.push(self.draft(Some(input), at, &accepted));
        }
        Ok(())
    }

    fn draft(&self, input: Option<InputRef>, at: Timestamp, events: &[LanesEvent]) -> Draft {
        let subject = self.subject.clone();
        let events = events.iter().map(|event| Bytes(event.encode())).collect();
        Draft { key: subject.0.clone(), at, input, subject, traceparent: None, events }
    }

    /// Decides one result and makes it durable before anything follows from it.
    fn step(&mut self, what: LaneInput, env: &mut Env) -> Result<(), Stop> {
        let signed = match &what {
            LaneInput::Signed { signed, .. } => Some(signed.clone()),
            _ => None,
        };
        let at = self.owned.stamp();
        let mut events = match self.lane.decide(&self.policy, &self.caps, &what, at) {
            Ok(events) => events,
            // The lane stays usable: a report is asked for again, a used-up range stops new roots only.
            Err(LaneCoreError::Report { .. } | LaneCoreError::Exhausted { .. }) => return Ok(()),
            Err(error) => return Err(defect(error)),
        };
        if events.is_empty() {
            return Ok(());
        }
        if let (Some(Mutant::BroadcastBeforeCommit), Some(signed)) = (env.mutant, &signed) {
            self.send(&signed.bytes, env)?;
        }
        if env.mutant == Some(Mutant::ReplacementAddsItem) {
            events.iter_mut().for_each(add_item);
        }
        for event in &events {
            env.tell(|| format!("lane   {event:?}"));
        }
        self.lane.evolve(at, &events).map_err(defect)?;
        let draft = self.draft(None, at, &events);
        match (self.write(vec![draft]), env.mutant, &signed) {
            (Err(Stop::Lost(_)), Some(Mutant::StaleTermSends), Some(signed)) => self.send(&signed.bytes, env).map(drop),
            (written, _, _) => written,
        }
    }

    fn write(&mut self, drafts: Vec<Draft>) -> Result<(), Stop> {
        if drafts.is_empty() {
            return Ok(());
        }
        let records = self.owned.append(drafts)?;
        let rows = self.lane.changes().map_err(defect)?;
        self.owned.commit(&records, rows)
    }

    /// Brings answers back that have come.
    fn deliver(&mut self, env: &mut Env) -> Result<bool, Stop> {
        let now = env.clock.now();
        let mut any = false;
        let mut at = 0;
        while at < self.running.len() {
            let come = matches!(&self.running[at].stage, Stage::Answered { due, .. } if *due <= now);
            if !come {
                at += 1;
                continue;
            }
            let Running { key, stage } = self.running.remove(at);
            let Stage::Answered { input, again, .. } = stage else { continue };
            any = true;
            if let LaneInput::View(view) = &input {
                self.told = self.told.max(view.head.timestamp.0);
            }
            if again {
                let due = now + 1_000 * env.random.between(1, 4);
                self.running.push(Running { key, stage: Stage::Answered { input: input.clone(), due, again: false } });
            }
            self.step(input, env)?;
        }
        Ok(any)
    }

    /// Starts what the state asks for and does not run yet.
    fn start(&mut self, env: &mut Env) -> Result<bool, Stop> {
        let now = self.owned.stamp();
        let mut looked = false;
        let mut any = false;
        let mut busy: BTreeSet<ActionKey> = self.running.iter().map(|running| running.key.clone()).collect();
        for action in self.lane.actions(&self.policy, &self.caps, now).map_err(defect)? {
            let key = action.key();
            if busy.len() >= ACTIONS_MAX || busy.contains(&key) || self.skips(&action) {
                continue;
            }
            if let Action::Broadcast { bytes, .. } = &action {
                if !looked {
                    // The owner's own term is current as far as the log says now (R12).
                    self.owned.look()?;
                    looked = true;
                }
                if !self.owned.may_send() {
                    // The lease ran out: look at the log by writing to it, then send (R12).
                    self.owned.record_progress()?;
                    if !self.owned.may_send() {
                        continue;
                    }
                }
                let late =
                    env.chain.signed(bytes).and_then(|tx| tx.items.iter().find(|item| item.not_after <= self.told).map(|item| item.id));
                if let Some(late) = late {
                    env.blame(Violation::SentLate(late));
                }
            }
            busy.insert(key.clone());
            self.running.push(Running { key, stage: Stage::Asked(action) });
            any = true;
        }
        Ok(any)
    }

    fn skips(&self, action: &Action) -> bool {
        let no_op = matches!(action, Action::Sign { request, .. } if request.call.purpose == Purpose::NoOp);
        no_op && self.owned.mutant() == Some(Mutant::HoleNotFilled)
    }

    /// Runs what was started.
    fn perform(&mut self, env: &mut Env) -> Result<(), Stop> {
        let now = env.clock.now();
        for index in 0..self.running.len() {
            let Stage::Asked(action) = &self.running[index].stage else { continue };
            let input = self.run(action, env)?;
            env.tell(|| format!("answer {input:?}"));
            let trouble = &env.trouble;
            let (delay, delay_max, twice) = (trouble.delay, trouble.delay_max, trouble.twice);
            let due = if env.random.chance(delay) { now + 1_000 * env.random.between(1, delay_max) } else { now };
            let again = env.random.chance(twice);
            env.met.answers += u64::from(due > now) + u64::from(again);
            self.running[index].stage = Stage::Answered { input, due, again };
        }
        Ok(())
    }

    /// One action, and what came of it.
    fn run(&self, action: &Action, env: &mut Env) -> Result<LaneInput, Stop> {
        let key = action.key();
        let failed = |reason: &str| LaneInput::Failed { key: key.clone(), reason: reason.to_owned() };
        let chance = env.trouble.no_answer;
        if env.random.chance(chance) {
            env.met.answers += 1;
            return Ok(match action {
                // *Unknown* must never count as *not found*.
                Action::Observe(tx) if env.mutant == Some(Mutant::UnknownIsNotFound) => {
                    LaneInput::Observed { tx: *tx, observation: Observation::NotFound }
                }
                Action::Observe(tx) => LaneInput::Observed { tx: *tx, observation: Observation::Unknown("timed out".into()) },
                Action::Broadcast { tx, bytes } => {
                    // It may or may not have reached the node.
                    if env.random.chance(500) {
                        self.send(bytes, env)?;
                    }
                    LaneInput::Sent { tx: *tx, outcome: SendOutcome::Indeterminate("timed out".into()) }
                }
                _ => failed("timed out"),
            });
        }
        Ok(match action {
            Action::View => {
                let node = env.node();
                let mut view = env.chain.view(node);
                match env.mutant {
                    Some(Mutant::SlotFromPending) => {
                        env.highest = env.highest.max(env.chain.pending_slot());
                        view.next_slot_head = env.highest;
                    }
                    Some(Mutant::FinalAtInclusion) => {
                        view.finalized = view.head.clone();
                        view.next_slot_final = view.next_slot_head;
                    }
                    _ => {}
                }
                LaneInput::View(view)
            }
            Action::Simulate { key, call } => LaneInput::Simulated { call: key.clone(), result: env.chain.simulate(call) },
            Action::Attest { statement, leaves } => {
                if env.trouble.attesters_offline {
                    return Ok(failed("attester unreachable"));
                }
                for (leaf, claim) in leaves.iter().enumerate() {
                    if let Some(reason) = env.assignments.refuses(claim) {
                        env.blame(Violation::Refused(claim.leaf.assignment_id, reason));
                        return Ok(LaneInput::AttestRefused { batch: statement.batch, leaf, reason: reason.to_owned() });
                    }
                }
                env.chain.attested.insert((statement.batch, statement.root));
                LaneInput::Attested { batch: statement.batch, signatures: vec![Bytes(vec![1; 65])] }
            }
            Action::Sign { request, call } => {
                if env.trouble.signer_offline {
                    return Ok(failed("signer offline"));
                }
                let signed = env.chain.sign(request.slot, call, &request.fee);
                LaneInput::Signed { request: request.clone(), signed }
            }
            Action::Reserve(request) => LaneInput::Reserved(request.clone()),
            Action::Broadcast { tx, bytes } => LaneInput::Sent { tx: *tx, outcome: self.send(bytes, env)? },
            Action::Observe(tx) => {
                let node = env.node();
                let observation = env.chain.observe(tx, node);
                if observation == Observation::NotFound {
                    env.not_found.insert(*tx);
                }
                LaneInput::Observed { tx: *tx, observation }
            }
            Action::Report { tx, .. } => match env.chain.report(tx) {
                Some(mut report) => {
                    if env.mutant == Some(Mutant::CostOncePerIntent) && report.items.is_empty() {
                        report.cost = Amount::ZERO;
                    }
                    LaneInput::Reported { tx: *tx, report }
                }
                None => failed("no receipt"),
            },
            Action::AskEffect { of, .. } if env.mutant == Some(Mutant::EffectNotAsked) => {
                LaneInput::EffectAnswer { of: *of, effect: Effect::Absent { block: env.chain.view(Node::Honest).finalized } }
            }
            // Value-bearing: a quorum answers, which a node that lags or lies doesn't move (R8).
            Action::AskEffect { of, query } => LaneInput::EffectAnswer { of: *of, effect: env.chain.effect(query, Node::Honest) },
            Action::AskSlotOwner(slot) => LaneInput::SlotOwner { slot: *slot, tx: env.chain.slot_owner(*slot) },
        })
    }

    /// Bytes leave; the world looks whether the journal has them.
    fn send(&self, bytes: &Bytes, env: &mut Env) -> Result<SendOutcome, Stop> {
        if env.boundaries.pass(Boundary::Send) {
            return Err(Stop::Crashed);
        }
        if !env.auditor.has(bytes)
            && let Some(tx) = env.chain.signed(bytes).cloned()
        {
            env.blame(Violation::NotJournaled { tx: tx.hash, slot: tx.slot });
        }
        let outcome = env.chain.broadcast(bytes);
        env.tell(|| format!("send   {bytes:?}: {outcome:?}"));
        if env.boundaries.pass(Boundary::Sent) { Err(Stop::Crashed) } else { Ok(outcome) }
    }
}

/// A bug: what replaces another carries more than it.
fn add_item(event: &mut LanesEvent) {
    if let LanesEvent::AttemptPrepared(attempt) = event
        && attempt.attempt > 0
        && attempt.purpose == Purpose::Fulfill
    {
        attempt.items.push(SettlementId::ZERO);
    }
}

fn defect(error: LaneCoreError) -> Stop {
    Stop::Defect(error.to_string())
}
