//! What an input means for the lane, as events of one record. One file per kind of decision.

mod accept;
mod attempts;
mod endings;
mod finality;
mod roots;

use crate::error::LaneCoreError;
use crate::input::{ActionKey, LaneInput};
use crate::lane::Lane;
use crate::policy::LanePolicy;
use acurast_adapter_api::Capabilities;
use acurast_events::lanes::LanesEvent;
use acurast_events::units::Timestamp;

/// What a decision is made with, besides the lane itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) policy: &'a LanePolicy,
    pub(crate) caps: &'a Capabilities,
    /// `at` of the record that will answer the input: max(last `at` of the partition, local clock).
    pub(crate) now: Timestamp,
}

impl Lane {
    /// The events that `input` causes, for one record stamped `now`; none when it decides nothing. Only what a restart
    /// may forget is changed; the state changes when the events were read back and folded by [`Lane::evolve`].
    ///
    /// # Errors
    /// `Exhausted` when a range of the lane is used up; `Report` when a report contradicts its attempt. The lane stays
    /// usable in both cases.
    pub fn decide(
        &mut self,
        policy: &LanePolicy,
        caps: &Capabilities,
        input: &LaneInput,
        now: Timestamp,
    ) -> Result<Vec<LanesEvent>, LaneCoreError> {
        let context = Context { policy, caps, now };
        self.volatile.note(policy, caps, input, now);
        let mut events = match input {
            LaneInput::Jobs(event) => self.accept(event)?,
            LaneInput::View(view) => {
                let mut events = self.judge_view(view);
                // A lane that is quarantined this moment plans nothing in the same record.
                if events.is_empty() {
                    events = self.housekeeping(context)?;
                }
                events
            }
            LaneInput::Tick => self.housekeeping(context)?,
            LaneInput::Simulated { call, .. } => self.condemn(context, call),
            LaneInput::Attested { batch, signatures } => self.attested(context, *batch, signatures),
            LaneInput::AttestRefused { batch, leaf, reason } => self.attestation_refused(*batch, *leaf, reason),
            LaneInput::Reserved(request) => self.reserved(context, request),
            LaneInput::Signed { request, signed } => self.prepared(context, request, signed),
            LaneInput::Sent { tx, outcome } => self.sent(tx, outcome),
            LaneInput::Observed { tx, observation } if self.state.final_slot_of(tx).is_some() => {
                self.final_observed(policy.not_found_max, tx, observation)
            }
            LaneInput::Observed { tx, observation } => self.observed(tx, observation),
            LaneInput::Reported { tx, report } => self.reported(context, tx, report).inspect_err(|_| {
                self.volatile.pause(policy, ActionKey::Report(*tx), now);
            })?,
            LaneInput::EffectAnswer { of, effect } => self.effect_answered(context, of, effect),
            LaneInput::SlotOwner { slot, tx } => self.slot_owned(context, *slot, tx.as_ref()),
            LaneInput::Failed { .. } => Vec::new(),
        };
        if events.is_empty()
            && let Some(key) = undecided(input)
        {
            // The state would ask for the same again at once.
            self.volatile.pause(policy, key, now);
        }
        if !events.is_empty() && !self.state.head.opened {
            events.insert(0, self.state.head.identity.clone().into());
        }
        Ok(events)
    }

    /// What time and the view alone cause: what is too late ends, what is lost ends, and roots are planned.
    fn housekeeping(&self, context: Context<'_>) -> Result<Vec<LanesEvent>, LaneCoreError> {
        let Some(view) = self.fresh_view(context.caps, context.now) else {
            return Ok(Vec::new());
        };
        let mut events = self.expire(context, view);
        events.extend(self.lost_attempts(context, view));
        // Expiry, and giving up what nobody signs, free the leaves of a root: they are planned by the next record, which sees
        // them.
        events.extend(self.unattested(context));
        if events.is_empty() {
            events.extend(self.plan_root(context, view)?);
        }
        Ok(events)
    }
}

/// The action whose answer, if it decides nothing, is not asked for again before a pause: what was signed and isn't wanted any
/// more, a quorum that is none, a report or an effect of before the slot was final.
fn undecided(input: &LaneInput) -> Option<ActionKey> {
    match input {
        LaneInput::Attested { batch, .. } => Some(ActionKey::Attest(*batch)),
        LaneInput::Reserved(request) => Some(ActionKey::Reserve(request.slot)),
        LaneInput::Signed { request, .. } => Some(ActionKey::Sign(request.slot)),
        LaneInput::Reported { tx, .. } => Some(ActionKey::Report(*tx)),
        LaneInput::EffectAnswer { of, .. } => Some(ActionKey::AskEffect(*of)),
        LaneInput::Jobs(_)
        | LaneInput::View(_)
        | LaneInput::Simulated { .. }
        | LaneInput::AttestRefused { .. }
        | LaneInput::Sent { .. }
        | LaneInput::Observed { .. }
        | LaneInput::SlotOwner { .. }
        | LaneInput::Failed { .. }
        | LaneInput::Tick => None,
    }
}
