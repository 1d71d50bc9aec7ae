//! `evolve` of a job: what each of its own events does to it. Money and accounts are folded in [`crate::fold`].

use crate::fold::{Folded, NO_ASSIGNMENT, NO_EXECUTION, NO_SETTLEMENT, NOT_SETTLING};
use crate::job::{
    AcceptedOutput, Assignment, AssignmentKey, EQUIVOCATIONS_MAX, Ended, ExecutionKey, FinalEffect, Job, PendingOutput, Report, Run,
    Settlement, SettlementPlace, Settling, Stage, Ticket,
};
use acurast_events::bytes::{AssignmentId, SettlementId};
use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
use acurast_events::jobs as e;
use acurast_events::jobs::{Fault, JobsEvent, Outcome};
use acurast_events::units::{Count, Execution};

/// The key of the assignment that an id names.
fn key_of(job: &Job, id: &AssignmentId) -> Result<AssignmentKey, &'static str> {
    let found = job.assignments.iter().find(|(_, assignment)| assignment.settling.as_ref().is_some_and(|settling| settling.id == *id));
    found.map(|(key, _)| *key).ok_or(NO_ASSIGNMENT)
}

fn settling_mut<'j>(job: &'j mut Job, key: &AssignmentKey) -> Result<&'j mut Settling, &'static str> {
    job.assignments.get_mut(key).ok_or(NO_ASSIGNMENT)?.settling.as_mut().ok_or(NOT_SETTLING)
}

fn place_of(job: &Job, id: &SettlementId) -> Result<SettlementPlace, &'static str> {
    job.settlements.get(id).copied().ok_or(NO_SETTLEMENT)
}

fn settlement_of<'j>(job: &'j mut Job, id: &SettlementId) -> Result<&'j mut Settlement, &'static str> {
    let place = place_of(job, id)?;
    job.settlement_mut(&place).ok_or(NO_SETTLEMENT)
}

pub(crate) fn event(job: &mut Job, event: &JobsEvent, ticket: Ticket) -> Folded {
    match event {
        JobsEvent::DestinationChosen(event) => {
            job.rule = Some(event.rule);
            job.destination.clone_from(&event.destination);
            job.untracked_reason.clone_from(&event.reason);
            Ok(())
        }
        JobsEvent::JobMatched(event) => {
            for slot in &event.slots {
                job.matches.insert(AssignmentKey { processor: slot.processor, only: slot.execution }, slot.clone());
            }
            job.matched.get_or_insert_with(|| event.block.clone());
            Ok(())
        }
        JobsEvent::AssignmentStarted(event) => assignment_started(job, event),
        JobsEvent::NoUsableKey(_) | JobsEvent::OutputRefused(_) => Ok(()),
        JobsEvent::JobAssigned(event) => {
            job.assigned.get_or_insert_with(|| event.block.clone());
            Ok(())
        }
        JobsEvent::SettlementWaiting(event) => waiting(job, event, ticket),
        JobsEvent::LeafPlanned(event) => {
            let key = key_of(job, &event.assignment_id)?;
            let settling = settling_mut(job, &key)?;
            settling.lane = Some(event.lane.clone());
            plan(&mut settling.root, event.requeued)?;
            job.settlements.insert(event.settlement_id, SettlementPlace { assignment: key, execution: None });
            Ok(())
        }
        JobsEvent::OutputAccepted(event) => output_accepted(job, event),
        JobsEvent::Equivocated(event) => {
            let key = ExecutionKey { assignment: key_of(job, &event.assignment_id)?, execution: event.execution };
            let state = job.executions.get_mut(&key).ok_or(NO_EXECUTION)?;
            if state.equivocations.len() >= EQUIVOCATIONS_MAX {
                return Err("more equivocations than are observed");
            }
            state.equivocations.push(event.other);
            job.touched.insert(key);
            Ok(())
        }
        JobsEvent::FulfillmentPlanned(event) => {
            let place = SettlementPlace { assignment: key_of(job, &event.assignment_id)?, execution: Some(event.execution) };
            plan(job.settlement_mut(&place).ok_or(NO_SETTLEMENT)?, event.requeued)?;
            job.settlements.insert(event.settlement_id, place);
            let key = ExecutionKey { assignment: place.assignment, execution: event.execution };
            // The lane's partition has its own copy from here on.
            if let Some(output) = job.executions.get_mut(&key).and_then(|state| state.output.as_mut()) {
                output.pending = None;
            }
            Ok(())
        }
        JobsEvent::ExecutionReported(event) => reported(job, event),
        JobsEvent::ReportIndexDiffers(event) => {
            let key = AssignmentKey { processor: event.processor, only: None };
            job.assignments.get_mut(&key).ok_or(NO_ASSIGNMENT)?.next_index = event.chain;
            Ok(())
        }
        JobsEvent::SettlementIncluded(event) => match &mut settlement_of(job, &event.settlement_id)?.stage {
            Stage::Planned { included } => {
                *included = Some((event.tx, event.block.clone()));
                Ok(())
            }
            Stage::Idle | Stage::Waiting { .. } | Stage::Final(_) | Stage::Dead { .. } => Err("the settlement is not on its way"),
        },
        JobsEvent::SettlementRewound(event) => match &mut settlement_of(job, &event.settlement_id)?.stage {
            Stage::Planned { included } => {
                *included = None;
                Ok(())
            }
            Stage::Idle | Stage::Waiting { .. } | Stage::Final(_) | Stage::Dead { .. } => Err("the settlement is not on its way"),
        },
        JobsEvent::SettlementFinal(event) => end(
            settlement_of(job, &event.settlement_id)?,
            Stage::Final(FinalEffect {
                success: event.success,
                tx: event.tx,
                block: event.block.clone(),
                batch: event.batch,
                charge: event.charge,
                root_share: event.root_share,
                cost: event.cost,
                late_root: event.late_root,
            }),
        ),
        JobsEvent::SettlementDead(event) => {
            end(settlement_of(job, &event.settlement_id)?, Stage::Dead { reason: event.reason.clone(), fault: event.fault })
        }
        JobsEvent::DeadLetterRequeued(event) => event.settlement_id.map_or(Ok(()), |id| requeued(job, &id)),
        JobsEvent::ExecutionEnded(event) => ended(job, event),
        JobsEvent::RevokedByOpener(event) => {
            let key = key_of(job, &event.assignment_id)?;
            let settling = settling_mut(job, &key)?;
            settling.revoked = true;
            if !settling.root.is_planned() && !settling.root.is_over() {
                settling.root.stage = Stage::Dead { reason: "revoked by the account's opener".into(), fault: Fault::Consumer };
            }
            Ok(())
        }
        JobsEvent::JobRemoved(event) => {
            job.removed.get_or_insert_with(|| event.block.clone());
            Ok(())
        }
        JobsEvent::JobDone(event) => match &job.done {
            Some(_) => Err("it is DONE already"),
            None => {
                job.done = Some(event.block.clone());
                Ok(())
            }
        },
        JobsEvent::Progress(_)
        | JobsEvent::StateDigest(_)
        | JobsEvent::JobOpened(_)
        | JobsEvent::JobClosed(_)
        | JobsEvent::AccountOpened(_)
        | JobsEvent::AccountClosing(_)
        | JobsEvent::AccountRefunded(_)
        | JobsEvent::Posted(_)
        | JobsEvent::LedgerDiffers(_)
        | JobsEvent::SettlementReversed(_)
        | JobsEvent::InputQuarantined(_)
        | JobsEvent::DeadLetterResolved(_)
        | JobsEvent::CommandRefused(_) => Err("it is folded elsewhere"),
    }
}

fn plan(settlement: &mut Settlement, requeued: u32) -> Folded {
    if settlement.requeued != requeued {
        return Err("the intent counts its requeues otherwise");
    }
    match settlement.stage {
        Stage::Idle | Stage::Waiting { .. } => {
            settlement.stage = Stage::Planned { included: None };
            Ok(())
        }
        Stage::Planned { .. } | Stage::Final(_) | Stage::Dead { .. } => Err("the settlement was planned before"),
    }
}

fn end(settlement: &mut Settlement, stage: Stage) -> Folded {
    if !settlement.is_planned() {
        return Err("the settlement is not on its way");
    }
    settlement.stage = stage;
    Ok(())
}

/// What a lane gave up is to be planned anew; the intent follows in the same record.
fn requeued(job: &mut Job, id: &SettlementId) -> Folded {
    let place = place_of(job, id)?;
    if place.execution.is_some_and(|execution| job.has_ended(&place.assignment, execution)) {
        return Err("the execution has its outcome");
    }
    let settlement = job.settlement_mut(&place).ok_or(NO_SETTLEMENT)?;
    match settlement.stage {
        Stage::Dead { .. } => {
            settlement.stage = Stage::Idle;
            settlement.requeued = settlement.requeued.checked_add(1).ok_or("it was requeued 2³² times")?;
            Ok(())
        }
        Stage::Idle | Stage::Waiting { .. } | Stage::Planned { .. } | Stage::Final(_) => Err("the settlement was not given up"),
    }
}

fn waiting(job: &mut Job, event: &e::SettlementWaiting, ticket: Ticket) -> Folded {
    let assignment = key_of(job, &event.assignment_id)?;
    let execution = (event.execution != Execution::ALL).then_some(event.execution);
    let settlement = job.settlement_mut(&SettlementPlace { assignment, execution }).ok_or(NO_SETTLEMENT)?;
    // Who waits keeps its place, whatever it waits for by now.
    let ticket = match settlement.stage {
        Stage::Idle => ticket,
        Stage::Waiting { ticket, .. } => ticket,
        Stage::Planned { .. } | Stage::Final(_) | Stage::Dead { .. } => return Err("the settlement was planned before"),
    };
    settlement.stage = Stage::Waiting { reason: event.reason, ticket, needs: event.needs };
    Ok(())
}

fn assignment_started(job: &mut Job, event: &e::AssignmentStarted) -> Folded {
    let key = AssignmentKey { processor: event.slot.processor, only: event.slot.execution };
    if job.assignments.contains_key(&key) {
        return Err("the processor acknowledged before");
    }
    let settling = match (event.assignment_id, event.key_type, event.signer_key) {
        (Some(id), Some(key_type), Some(signer_key)) => Some(Settling {
            id,
            key_type,
            signer_key,
            not_after: event.not_after,
            root: Settlement::new(root_settlement_id(&id)),
            lane: None,
            revoked: false,
        }),
        (None, None, None) => None,
        _ => return Err("an assignment is settled with a key, or not at all"),
    };
    let end = event.first_execution.0.saturating_add(event.executions.0);
    if event.watched_from < event.first_execution || event.watched_from.0 > end {
        return Err("it watches executions that it doesn't cover");
    }
    job.matches.remove(&key);
    job.acknowledged = Count(job.acknowledged.0.saturating_add(1));
    job.start_delay_max = job.start_delay_max.max(Some(event.slot.start_delay));
    let assignment = Assignment {
        slot: event.slot.clone(),
        first: event.first_execution,
        executions: event.executions,
        watched_from: event.watched_from,
        block: event.block.clone(),
        next_index: event.next_index,
        reported_last: false,
        settling,
        cursor: event.watched_from,
        ended: Count(0),
        runs: Default::default(),
    };
    job.assignments.insert(key, assignment);
    // What began here may replace what ended long ago.
    job.retire(&key);
    Ok(())
}

fn output_accepted(job: &mut Job, event: &e::OutputAccepted) -> Folded {
    let assignment = key_of(job, &event.assignment_id)?;
    if job.has_ended(&assignment, event.execution) {
        return Err("the execution has its outcome");
    }
    let key = ExecutionKey { assignment, execution: event.execution };
    let state = job.executions.entry(key).or_default();
    if state.output.is_some() {
        return Err("an output was accepted before");
    }
    state.output = Some(AcceptedOutput {
        payload_hash: event.payload_hash,
        pending: Some(PendingOutput { payload: event.payload.clone(), signature: event.signature.clone() }),
        offset: event.offset,
    });
    state.fulfillment = Some(Settlement::new(fulfillment_settlement_id(&event.assignment_id, event.execution)));
    job.touched.insert(key);
    job.advance_cursor(&assignment);
    Ok(())
}

fn reported(job: &mut Job, event: &e::ExecutionReported) -> Folded {
    let only = AssignmentKey { processor: event.processor, only: Some(event.execution) };
    let all = AssignmentKey { processor: event.processor, only: None };
    let key = if job.assignments.contains_key(&only) { only } else { all };
    let ended = job.has_ended(&key, event.execution);
    let assignment = job.assignments.get_mut(&key).ok_or(NO_ASSIGNMENT)?;
    assignment.next_index = event.next_index;
    let is_last = assignment.slot.execution.is_some() || event.next_index >= assignment.end();
    if is_last && !assignment.reported_last {
        assignment.reported_last = true;
        job.reported_last = Count(job.reported_last.0.saturating_add(1));
    }
    let at = ExecutionKey { assignment: key, execution: event.execution };
    // A report after the outcome is an observation: it stays in the journal and changes nothing (PROTOCOL §5).
    if !ended || job.executions.contains_key(&at) {
        let report =
            Report { outcome: event.outcome, named: event.named, block: event.block.clone(), reputation: event.reputation.clone() };
        job.executions.entry(at).or_default().report.get_or_insert(report);
        job.touched.insert(at);
        job.advance_cursor(&key);
    }
    Ok(())
}

fn ended(job: &mut Job, event: &e::ExecutionEnded) -> Folded {
    let key = key_of(job, &event.assignment_id)?;
    let at = ExecutionKey { assignment: key, execution: event.execution };
    let without_trace = matches!(event.outcome, Outcome::Missed | Outcome::Cancelled);
    let assignment = job.assignments.get_mut(&key).ok_or(NO_ASSIGNMENT)?;
    let after = event.execution.0.checked_add(event.executions.0).ok_or("it ends executions past the last")?;
    if event.execution < assignment.watched_from || after > assignment.end().0 || event.executions.0 == 0 {
        return Err("it ends executions that are not watched");
    }
    if without_trace {
        if job.executions.range(at..ExecutionKey { assignment: key, execution: Execution(after) }).next().is_some() {
            return Err("an execution with an output or a report is neither missed nor cancelled");
        }
        // Those before the cursor ended, and runs end in order: what lies between would be forgotten otherwise.
        if event.execution != assignment.cursor {
            return Err("executions without a trace end in order");
        }
        assignment.add_run(event.execution, Run { count: event.executions, outcome: event.outcome });
        assignment.cursor = Execution(after);
        assignment.ended = Count(assignment.ended.0.saturating_add(event.executions.0));
        job.advance_cursor(&key);
    } else {
        let state = job.executions.get_mut(&at).ok_or(NO_EXECUTION)?;
        if event.executions.0 != 1 || state.ended.is_some() {
            return Err("the execution has its outcome");
        }
        state.ended = Some(Ended { outcome: event.outcome, fault: event.fault, latency: event.latency, detail: event.detail.clone() });
        if let Some(output) = &mut state.output {
            output.pending = None;
        }
        // Never planned, so no lane has it and none will end it.
        if let Some(fulfillment) = state.fulfillment.as_mut().filter(|fulfillment| !fulfillment.is_planned() && !fulfillment.is_over()) {
            fulfillment.stage = Stage::Dead { reason: event.detail.clone(), fault: event.fault };
        }
        assignment.ended = Count(assignment.ended.0.saturating_add(1));
        job.touched.insert(at);
    }
    job.executions_ended = Count(job.executions_ended.0.saturating_add(event.executions.0));
    let assignment = job.assignments.get_mut(&key).ok_or(NO_ASSIGNMENT)?;
    if assignment.is_complete()
        && let Some(settling) = &mut assignment.settling
        && !settling.root.is_planned()
        && !settling.root.is_over()
    {
        settling.root.stage = Stage::Dead { reason: "no execution is left that it could prove".into(), fault: Fault::Nobody };
    }
    job.retire(&key);
    Ok(())
}
