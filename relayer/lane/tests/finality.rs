//! What was final and is not any more (R7), and keys that are elsewhere (R1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_api::Observation;
use acurast_events::bytes::SettlementId;
use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
use acurast_events::lanes::{AttemptReserved, EffectLost, LanesEvent};
use acurast_events::units::Execution;
use acurast_relayer_lane::LaneInput;
use support::shell::Shell;
use support::{GWEI, START, assignment, workload};

const FAR: u64 = START + 10_000_000;

fn lost(shell: &Shell) -> Vec<&EffectLost> {
    shell.events().filter_map(|event| if let LanesEvent::EffectLost(event) = event { Some(event) } else { None }).collect()
}

fn output_id(n: u8) -> SettlementId {
    fulfillment_settlement_id(&assignment(n), Execution(0))
}

/// A job is settled; then another one, and what is above the first is undone although it was final.
fn settled_then_broken(keep: bool) -> Shell {
    let mut shell = Shell::new(3, workload(1, FAR));
    shell.ticks(30);
    shell.assert_sound();
    let settled = shell.finals().len();
    shell.jobs.extend(support::workload(2, FAR).into_iter().filter(|event| support::is_of(event, 2)));
    shell.ticks(14);
    assert!(shell.finals().len() > settled && shell.lane.status().fulfillments_open == 0, "the second job is not final");
    shell.chain.break_finality(14, keep);
    shell.ticks(1);
    // Something that makes the lane look: a third job.
    shell.jobs.extend(support::workload(3, FAR).into_iter().filter(|event| support::is_of(event, 3)));
    shell.ticks(60);
    shell
}

#[test]
fn effects_that_a_broken_finality_took_away_are_compensated_once_each_and_the_lane_stops() {
    let shell = settled_then_broken(false);
    let quarantine = shell.lane.status().quarantine.expect("quarantined");
    assert!(quarantine.reason.contains("finality broke"), "{}", quarantine.reason);
    let ids: Vec<SettlementId> = lost(&shell).iter().map(|event| event.settlement_id).collect();
    assert!(ids.contains(&output_id(2)) && ids.contains(&root_settlement_id(&assignment(2))), "{ids:?}");
    assert!(!ids.contains(&output_id(1)), "the first job is where it was");
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "an effect was lost twice");
    for event in lost(&shell) {
        assert!(event.block.number >= event.was.number, "judged before the new chain was final that far");
    }
}

#[test]
fn effects_that_the_new_chain_has_as_well_are_not_lost() {
    let shell = settled_then_broken(true);
    assert!(shell.lane.status().quarantine.is_some());
    assert_eq!(lost(&shell), Vec::<&EffectLost>::new());
    assert!(shell.chain.settled().contains_key(&output_id(2)));
}

#[test]
fn a_broken_finality_is_noticed_after_a_restart_too() {
    let mut shell = Shell::new(3, workload(1, FAR));
    shell.ticks(30);
    shell.chain.break_finality(30, false);
    // What the process knew of blocks is gone with it.
    shell.restart();
    shell.jobs.extend(support::workload(2, FAR).into_iter().filter(|event| support::is_of(event, 2)));
    shell.ticks(80);
    assert!(shell.lane.status().quarantine.is_some());
    assert!(lost(&shell).iter().any(|event| event.settlement_id == output_id(1)));
}

fn reserved(shell: &Shell) -> Vec<&AttemptReserved> {
    shell.events().filter_map(|event| if let LanesEvent::AttemptReserved(event) = event { Some(event) } else { None }).collect()
}

#[test]
fn a_key_that_is_elsewhere_is_asked_only_for_what_the_journal_has() {
    let mut shell = Shell::new(5, workload(3, FAR));
    shell.caps.remote_signer = true;
    shell.ticks(30);
    shell.assert_sound();
    let mut before: Option<&AttemptReserved> = None;
    for event in shell.events() {
        match event {
            LanesEvent::AttemptReserved(event) => before = Some(event),
            LanesEvent::AttemptPrepared(attempt) => {
                let asked = before.take().expect("prepared without a reservation");
                assert_eq!(
                    (asked.slot, asked.attempt, &asked.items, &asked.fee),
                    (attempt.slot, attempt.attempt, &attempt.items, &attempt.fee)
                );
            }
            _ => {}
        }
    }
}

#[test]
fn a_signer_that_is_offline_keeps_the_lane_waiting_and_nothing_else_changes() {
    let mut shell = Shell::new(5, workload(3, FAR));
    shell.caps.remote_signer = true;
    shell.signer_down = true;
    shell.ticks(40);
    assert_eq!((shell.count("AttemptPrepared"), shell.finals().len()), (0, 0));
    assert!(reserved(&shell).len() < 8, "a reservation that fits is kept, not written anew: {}", reserved(&shell).len());
    shell.signer_down = false;
    shell.ticks(60);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 6);
}

#[test]
fn what_was_signed_for_a_superseded_reservation_is_never_sent() {
    let mut shell = Shell::new(5, workload(1, FAR));
    shell.caps.remote_signer = true;
    shell.ticks(6);
    shell.signer_down = true;
    shell.jobs.extend(workload(2, FAR).into_iter().filter(|event| support::is_of(event, 2)));
    shell.ticks(3);
    let late = shell.lost_signature.clone().expect("the key was asked");
    let asked = reserved(&shell).len();
    // The market moves out of the reserved price's caps before the answer comes.
    shell.chain.base_fee = 60 * GWEI;
    shell.ticks(8);
    assert!(reserved(&shell).len() > asked, "the request was not reserved anew");
    let prepared = shell.count("AttemptPrepared");
    shell.feed(&late).unwrap_or_else(|_| panic!("no crash was asked for"));
    assert_eq!(shell.count("AttemptPrepared"), prepared, "it became an attempt");
    let LaneInput::Signed { signed, .. } = late else { panic!("not signed") };
    assert_eq!(shell.chain.observe(&signed.tx), Observation::NotFound, "it was sent");
}
