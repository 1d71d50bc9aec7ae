//! `decide`: what one input means for one subject. A file per kind of decision; this one finds whom an input concerns.
//!
//! A decision is built on a [`Draft`]: each event is folded into it as it is emitted, so that the next one sees its
//! effect, and a decision that could not be folded is never written.

mod account;
mod acknowledged;
mod control;
mod lane;
mod matched;
mod money;
mod opened;
mod outcome;
mod output;
mod plan;
mod removed;
mod reported;
mod reversed;
mod time;

pub use control::{WHO_BYTES_MAX, WHY_BYTES_MAX};

use crate::fold::{EvolveError, Scope};
use crate::input::{Decision, Input, Subject};
use crate::job::{ExecutionKey, Job, PendingOutput, SettlementPlace};
use crate::partition::Partition;
use crate::policy::{Policy, Rules};
use acurast_events::ids::{job_key, owner_key};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::record::InputRef;
use acurast_events::source::SourceEvent;
use std::collections::BTreeSet;

/// Why nothing could be decided: a defect, never an input's fault. Stop and report it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The decision contradicts the state that it was made on.
    #[error("a decision can't be folded: {0}")]
    Fold(#[from] EvolveError),
    /// The state lacks what its own events promise.
    #[error("{subject}: {missing}; the state is not what its events make it")]
    Inconsistent {
        /// Whom it concerns.
        subject: String,
        /// What is missing.
        missing: &'static str,
    },
}

/// What a decision is made with.
pub(crate) struct Context<'a> {
    pub(crate) partition: &'a Partition,
    pub(crate) policy: &'a Policy,
    pub(crate) rules: &'a dyn Rules,
    pub(crate) input: Option<&'a InputRef>,
    pub(crate) answered: &'a BTreeSet<Subject>,
}

impl<'a> Context<'a> {
    /// Starts a decision, unless the subject answered this input before.
    pub(crate) fn draft(&self, subject: Subject) -> Option<Draft<'a>> {
        if self.answered.contains(&subject) {
            return None;
        }
        let scope = Scope::new(self.partition, subject);
        let heard = self.input.is_some_and(|input| match &scope.subject {
            Subject::Job(_) => scope.job.as_ref().is_some_and(|job| job.heard.has(input)),
            Subject::Account(_) => scope.account.as_ref().is_some_and(|account| account.heard.has(input)),
            Subject::Lane(_) => scope.lane.as_ref().is_some_and(|lane| lane.heard.has(input)),
            Subject::Partition => self.partition.heard().has(input),
        });
        (!heard).then(|| Draft { scope, policy: self.policy, rules: self.rules, events: Vec::new() })
    }
}

/// A decision in the making.
pub(crate) struct Draft<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) policy: &'a Policy,
    pub(crate) rules: &'a dyn Rules,
    events: Vec<JobsEvent>,
}

impl Draft<'_> {
    pub(crate) fn emit(&mut self, event: impl Into<JobsEvent>) -> Result<(), DecideError> {
        let event = event.into();
        self.scope.apply(&event)?;
        self.events.push(event);
        Ok(())
    }

    /// The job that the decision is about.
    pub(crate) fn job(&self) -> Result<&Job, DecideError> {
        self.scope.job.as_ref().ok_or_else(|| self.inconsistent("the job is not open"))
    }

    /// Puts an output at hand for the intent that is about to be made. The fold of the intent takes it away again, so that this
    /// draft and the record's fold come to the same state.
    fn lend(&mut self, place: &SettlementPlace, pending: PendingOutput) {
        let Some(execution) = place.execution else { return };
        let key = ExecutionKey { assignment: place.assignment, execution };
        let state = self.scope.job.as_mut().and_then(|job| job.executions.get_mut(&key));
        if let Some(output) = state.and_then(|state| state.output.as_mut()) {
            output.pending = Some(pending);
        }
    }

    pub(crate) fn inconsistent(&self, missing: &'static str) -> DecideError {
        DecideError::Inconsistent { subject: self.scope.subject.to_string(), missing }
    }

    fn finish(self) -> Option<Decision> {
        (!self.events.is_empty()).then_some(Decision { subject: self.scope.subject, events: self.events })
    }
}

impl Partition {
    /// What `input` causes for one more subject, or nothing when it has caused all.
    ///
    /// The caller appends the decision as one record, reads it back, folds it with [`Partition::evolve`], adds the
    /// subject to `answered` and asks again; so no decision sees a state that isn't in the journal. `answered` also
    /// carries the subjects of records after the last Progress that already answer this input (R11). `reference` is the
    /// input's place and id, the same each time that it is read; none for [`Input::Ready`].
    ///
    /// # Errors
    /// On a defect of this crate only; whatever an input says is decided.
    pub fn decide_next(
        &self,
        policy: &Policy,
        rules: &dyn Rules,
        input: &Input,
        reference: Option<&InputRef>,
        answered: &BTreeSet<Subject>,
    ) -> Result<Option<Decision>, DecideError> {
        let context = Context { partition: self, policy, rules, input: reference, answered };
        match input {
            Input::Fact { event, block } => fact(&context, event, block),
            Input::Seal { chain, seal } => time::seal(&context, chain, seal),
            Input::Output(submitted) => output::submitted(&context, submitted),
            Input::Control(command) => control::command(&context, command),
            Input::Unreadable(record) => control::unreadable(&context, record),
            Input::Lane { lane, event } => lane::event(&context, lane, event),
            Input::Ready => plan::ready(&context),
        }
    }
}

fn fact(context: &Context<'_>, event: &SourceEvent, block: &BlockRef) -> Result<Option<Decision>, DecideError> {
    let Some(owner) = event.owner(&context.policy.genesis) else {
        // A remark can be a manifest; manifests are not acted on in this version. Seals come as an input of their own.
        return Ok(None);
    };
    if !context.partition.owns(&owner) {
        return Ok(None);
    }
    if let Some(job) = event.job() {
        let subject = Subject::Job(job_key(&context.policy.genesis, job));
        let Some(mut draft) = context.draft(subject) else { return Ok(None) };
        let owner = owner_key(&context.policy.genesis, &job.origin);
        match event {
            SourceEvent::Registered(fact) => opened::registered(&mut draft, owner, fact, block)?,
            SourceEvent::Matched(fact) => matched::matched(&mut draft, owner, fact, block)?,
            SourceEvent::Acknowledged(fact) => acknowledged::acknowledged(&mut draft, owner, fact, block)?,
            SourceEvent::Reported(fact) => reported::reported(&mut draft, fact, block)?,
            SourceEvent::Removed(_) => removed::removed(&mut draft, block)?,
            SourceEvent::Found(fact) => opened::found(&mut draft, owner, fact, block)?,
            SourceEvent::Reconciled(fact) => opened::reconciled(&mut draft, owner, fact, block)?,
            // What a script says, and who may edit it, changes nothing that is settled here.
            SourceEvent::Amended(_)
            | SourceEvent::Progress(_)
            | SourceEvent::StateDigest(_)
            | SourceEvent::BlockSealed(_)
            | SourceEvent::Remarked(_)
            | SourceEvent::UnknownEvent(_)
            | SourceEvent::QuarantinedEvent(_)
            | SourceEvent::TargetBound(_)
            | SourceEvent::EscrowOpened(_)
            | SourceEvent::EscrowToppedUp(_)
            | SourceEvent::EscrowCloseRequested(_)
            | SourceEvent::EscrowRefunded(_)
            | SourceEvent::AssignmentRevoked(_) => {}
        }
        if draft.scope.job.is_some() {
            outcome::finish(&mut draft)?;
        }
        return Ok(draft.finish());
    }
    account::fact(context, event, block)
}
