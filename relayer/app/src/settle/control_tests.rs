//! Poison on the input topics: what a record is taken for, whatever its bytes are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use acurast_events::bytes::{AssignmentId, Bytes, OwnerKey};
use acurast_events::control::{Command, CommandVia, DeadLetterTarget, Resolve};
use acurast_events::outputs::Output;
use acurast_events::partition::partition_of;
use acurast_events::units::{Execution, Timestamp};
use acurast_relayer_journal::{Attributes, NewRecord, SimulatedJournal};
use std::num::NonZeroU32;
use std::sync::Arc;

const PARTITIONS: NonZeroU32 = NonZeroU32::new(4).unwrap();

fn owner_of_partition(partition: u32) -> OwnerKey {
    (0u8..=255).map(|n| OwnerKey([n; 32])).find(|owner| partition_of(&owner.0, PARTITIONS) == partition).unwrap()
}

fn output(owner: OwnerKey) -> Vec<u8> {
    let output =
        Output { assignment_id: AssignmentId([1; 32]), execution: Execution(0), payload: Bytes(vec![1]), signature: Bytes(vec![2]) };
    OutputSubmitted { owner, output, at: Timestamp(5) }.encode()
}

fn order(partition: u32) -> Vec<u8> {
    let target = CommandTarget::DeadLetterTarget(DeadLetterTarget { id: EventId([3; 32]), partition });
    let (who, why) = ("ana".to_owned(), "looked into".to_owned());
    let command = Command::Resolve(Resolve {});
    ControlCommand { id: EventId([4; 32]), target, command, who, why, at: Timestamp(5), via: CommandVia::Cli }.encode()
}

/// Field 536870911, the highest tag there is, as a varint 1.
fn with_unknown_field(value: &[u8]) -> Vec<u8> {
    [value, &[0xf8, 0xff, 0xff, 0xff, 0x0f, 1]].concat()
}

/// Everything that must not be taken: bytes, and what the reason says.
fn poison(good: &[u8], foreign: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (b"\xff\xfe garbage".to_vec(), ""),
        (Vec::new(), ""),
        (good[..good.len() - 1].to_vec(), ""),
        (with_unknown_field(good), "unknown field"),
        (foreign.to_vec(), "partition"),
        (vec![0x0a; 4 << 20], ""),
    ]
}

fn reason(input: Input) -> String {
    match input {
        Input::Unreadable(record) => record.reason,
        other => panic!("taken: {other:?}"),
    }
}

#[test]
fn an_output_that_is_none_or_another_partitions_is_kept_as_what_it_is() {
    let partition = Partition::new(2, PARTITIONS);
    let good = output(owner_of_partition(2));
    assert!(matches!(output_of(&partition, &good), Input::Output(_)));
    for (value, words) in poison(&good, &output(owner_of_partition(1))) {
        let reason = reason(output_of(&partition, &value));
        assert!(!reason.is_empty() && reason.contains(words), "{reason}");
    }
}

#[test]
fn a_command_that_is_none_or_another_partitions_is_kept_as_what_it_is() {
    assert!(matches!(command_of(2, &order(2)), Input::Control(_)));
    for (value, words) in poison(&order(2), &order(3)) {
        let reason = reason(command_of(2, &value));
        assert!(!reason.is_empty() && reason.contains(words), "{reason}");
    }
}

#[test]
fn a_record_that_was_replaced_is_no_evidence() {
    let partition = Partition::new(2, PARTITIONS);
    let good = output(owner_of_partition(2));
    assert!(matches!(evidence_of(&partition, &good, Offset(7), None), Evidence::Output(_, Offset(7))));
    assert!(matches!(evidence_of(&partition, &good, Offset(7), Some(content_hash(&good))), Evidence::Output(..)));
    let Evidence::Unusable(reason) = evidence_of(&partition, &good, Offset(7), Some(content_hash(b"another"))) else { panic!() };
    assert!(reason.contains("another one"), "{reason}");
    assert!(matches!(evidence_of(&partition, b"\xff", Offset(7), None), Evidence::Unusable(_)));
}

#[tokio::test]
async fn one_record_is_read_again_and_nothing_else_is_taken_for_it() {
    let journal = Arc::new(SimulatedJournal::new(1, Default::default()));
    let topic = acurast_events::topics::TopicName::new("acurast.outputs.v1");
    journal.create(&topic, NonZeroU32::MIN).await.unwrap();
    let at = topic.partition(0);
    let record = |n: u8| NewRecord { key: Vec::new(), value: vec![n; 3], attributes: Attributes::default() };
    journal.append(&at, vec![record(0), record(1), record(2)]).await.unwrap();
    assert_eq!(read_one(journal.as_ref(), &at, Offset(1)).await.unwrap(), Some(vec![1; 3]));
    assert_eq!(read_one(journal.as_ref(), &at, Offset(3)).await.unwrap(), None);
}
