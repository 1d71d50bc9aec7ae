//! Poison on `outputs.v1` and `control.v1`, through the settle loop on the embedded journal: each such record becomes a dead letter
//! that says where it stands, the rest goes on, a command ends it, and a replay comes to the same state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::control::letters;
use super::{Settle, SettleRole};
use crate::backend::Backend;
use crate::fold::fold_into;
use crate::folds::SCHEMA;
use crate::membership::Membership;
use crate::metrics::{Metrics, labels};
use crate::owned::Owned;
use crate::publish::Publisher;
use crate::query::{Query, SettleHandle};
use crate::tenure::{Ground, Role};
use acurast_events::bytes::{AssignmentId, Bytes, EventId, Genesis, OwnerKey};
use acurast_events::caip::ChainId;
use acurast_events::control::{Command, CommandTarget, CommandVia, ControlCommand, DeadLetterTarget, Resolve};
use acurast_events::derived::DeadLetter;
use acurast_events::ids::{derived_id, input_record_id};
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::partition::partition_of;
use acurast_events::topics::{Topic, TopicName};
use acurast_events::units::{Execution, Millis, Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_core::{LetterView, Partition, Policy, Subject};
use acurast_relayer_journal::{Attributes, EmbeddedJournal, EventJournal, Frontier, NewRecord, PartitionReader, ReadLimits};
use acurast_relayer_store::{Identity, Store};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const GENESIS: Genesis = Genesis([9; 32]);
const PREFIX: &str = "acurast.";
const PARTITIONS: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// The partition that is settled.
const OURS: u32 = 1;

fn name(topic: Topic) -> TopicName {
    topic.name(PREFIX)
}

fn source() -> Topic {
    Topic::Source(ChainId::substrate(&GENESIS))
}

async fn backend(directory: &Path) -> Backend {
    let journal = EmbeddedJournal::open(directory).unwrap();
    for topic in [Topic::Jobs, Topic::Outputs, Topic::Control, Topic::Receipts, Topic::Reputation, Topic::DeadLetters] {
        journal.create(&name(topic), PARTITIONS).await.unwrap();
    }
    journal.create(&name(source()), NonZeroU32::MIN).await.unwrap();
    Backend::Embedded(Arc::new(journal))
}

fn store(directory: &Path) -> Store {
    Store::open(directory, &Identity { genesis: GENESIS, prefix: PREFIX.into() }, SCHEMA).unwrap()
}

fn policy() -> Policy {
    Policy {
        genesis: GENESIS,
        acurast: ChainId::substrate(&GENESIS),
        origin_routes: Default::default(),
        operator_routes: Vec::new(),
        settlements: Vec::new(),
        deadline: Millis(0),
        payload_bytes_max: 65_536,
    }
}

fn role(journal: Arc<dyn EventJournal>) -> (SettleRole, SettleHandle) {
    let (handle, queries, announce) = SettleHandle::new(OURS);
    let at = name(Topic::Jobs).partition(OURS);
    let role = SettleRole {
        index: OURS,
        partitions: PARTITIONS,
        journal: journal.clone(),
        sources: vec![(ChainId::substrate(&GENESIS), name(source()).partition(0))],
        lanes: Vec::new(),
        outputs: name(Topic::Outputs).partition(OURS),
        control: name(Topic::Control).partition(OURS),
        policy: Arc::new(policy()),
        rules: Arc::default(),
        publisher: Publisher { journal, prefix: PREFIX.into(), partitions: PARTITIONS, genesis: GENESIS, at },
        queries,
        announce,
        metrics: Metrics::default(),
    };
    (role, handle)
}

/// Takes the partition over, as its owner does before it begins.
async fn settle<'a>(role: &'a mut SettleRole, backend: &Backend, store: &Store) -> Settle<'a> {
    let jobs = name(Topic::Jobs);
    let fold = store.partition(&jobs.partition(OURS)).unwrap();
    let mut partition = role.load(&fold.view()).unwrap();
    let journal = backend.journal();
    let reader = fold.follow(journal.clone()).await.unwrap();
    let membership = Arc::new(Membership::join(backend, &jobs, PARTITIONS).unwrap());
    let ground = Ground { journal, store: store.clone(), lease: Duration::from_secs(60), membership, metrics: Metrics::default() };
    let mut owned = Owned::take_over(reader, fold, ground, &mut partition).await.unwrap();
    owned.record_progress().await.unwrap();
    role.open(owned, partition).await.unwrap()
}

async fn work(settle: &mut Settle<'_>) {
    while settle.cycle().await.unwrap() {}
}

fn owner_of(partition: u32) -> OwnerKey {
    (0u8..=255).map(|n| OwnerKey([n; 32])).find(|owner| partition_of(&owner.0, PARTITIONS) == partition).unwrap()
}

fn output(partition: u32) -> Vec<u8> {
    let (assignment_id, execution) = (AssignmentId([1; 32]), Execution(0));
    let output = Output { assignment_id, execution, payload: Bytes(vec![1]), signature: Bytes(vec![2]) };
    OutputSubmitted { owner: owner_of(partition), output, at: Timestamp(5) }.encode()
}

fn order(n: u8, letter: EventId, partition: u32) -> Vec<u8> {
    let target = CommandTarget::DeadLetterTarget(DeadLetterTarget { id: letter, partition });
    let (who, why) = ("ana".to_owned(), "nobody's record".to_owned());
    let command = Command::Resolve(Resolve {});
    ControlCommand { id: EventId([n; 32]), target, command, who, why, at: Timestamp(5), via: CommandVia::Cli }.encode()
}

/// Garbage, nothing, a record cut short, one with a field of a later version, another partition's, and a huge one.
fn poison(good: Vec<u8>, foreign: Vec<u8>) -> Vec<Vec<u8>> {
    let cut = good[..good.len() - 1].to_vec();
    let newer = [&good[..], &[0xf8, 0xff, 0xff, 0xff, 0x0f, 1]].concat();
    vec![b"\xff\xfe garbage".to_vec(), Vec::new(), cut, newer, foreign, vec![0x0a; 3 << 20]]
}

async fn append(journal: &Arc<dyn EventJournal>, topic: Topic, values: Vec<Vec<u8>>) {
    let at = name(topic).partition(OURS);
    for value in values {
        journal.append(&at, vec![NewRecord { key: Vec::new(), value, attributes: Attributes::default() }]).await.unwrap();
    }
}

/// The id of every message of the derived topic.
async fn published(journal: &Arc<dyn EventJournal>) -> BTreeSet<EventId> {
    let mut ids = BTreeSet::new();
    for partition in 0..PARTITIONS.get() {
        let batch = journal.read(&name(Topic::DeadLetters).partition(partition), Offset(0), ReadLimits::default()).await.unwrap();
        ids.extend(batch.records.iter().map(|record| DeadLetter::decode(&record.value).unwrap().id));
    }
    ids
}

fn places(letters: &[LetterView]) -> BTreeSet<(String, u32, u64)> {
    letters.iter().map(|letter| (letter.input.topic.clone(), letter.input.partition, letter.input.position.0)).collect()
}

/// The digest of the jobs partition folded from its first record.
async fn replayed(journal: &Arc<dyn EventJournal>, until: &Frontier) -> String {
    let directory = tempfile::tempdir().unwrap();
    let at = name(Topic::Jobs).partition(OURS);
    let store = store(directory.path());
    let mut fold = store.partition(&at).unwrap();
    let mut state = Partition::new(OURS, PARTITIONS);
    let mut reader = PartitionReader::open(journal.clone(), at.clone(), Frontier::START).await.unwrap();
    while fold.position().frontier.next_sequence < until.next_sequence {
        let records = reader.next_batch().await.unwrap().records;
        fold_into(&mut fold, &mut state, records).unwrap();
    }
    fold.current_digest().to_string()
}

/// How many open dead letters Prometheus is told of.
fn told_open(settle: &mut Settle<'_>) -> usize {
    settle.beat("it").unwrap();
    usize::try_from(settle.metrics.open_dead_letters.get_or_create(&labels("settle", "it")).get()).unwrap()
}

#[tokio::test]
async fn poison_on_every_input_topic_becomes_dead_letters_and_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory.path().join("journal")).await;
    let journal = backend.journal();
    let (mut role, _handle) = role(journal.clone());
    let state = store(&directory.path().join("state"));
    let none = EventId([7; 32]);
    let outputs = poison(output(OURS), output(0));
    let commands = poison(order(1, none, OURS), order(2, none, 0));
    let (bad_outputs, bad_commands) = (outputs.len() as u64, commands.len() as u64);
    append(&journal, Topic::Outputs, outputs).await;
    append(&journal, Topic::Control, commands).await;
    // What is in order behind them: an output that nobody waits for, and a command about nothing.
    append(&journal, Topic::Outputs, vec![output(OURS)]).await;
    append(&journal, Topic::Control, vec![order(3, none, OURS)]).await;

    let mut settle = settle(&mut role, &backend, &state).await;
    work(&mut settle).await;
    assert_eq!((settle.outputs.next_offset(), settle.control.next_offset()), (Offset(bad_outputs + 1), Offset(bad_commands + 1)));
    let open = settle.answers().letters(false, None, 100).unwrap();
    let expected = (0..bad_outputs).map(|offset| ("acurast.outputs.v1".to_owned(), OURS, offset));
    let expected: BTreeSet<_> = expected.chain((0..bad_commands).map(|offset| ("acurast.control.v1".to_owned(), OURS, offset))).collect();
    assert_eq!(places(&open), expected);
    for letter in &open {
        let place = format!("record {} of {}/{OURS}", letter.input.position, letter.input.topic);
        assert!(letter.reason.starts_with(&place), "{}", letter.reason);
    }
    assert_eq!(told_open(&mut settle), open.len());
    assert_eq!(published(&journal).await, open.iter().map(|letter| letter.dead_letter).collect());
    let refused = settle.answers().command(&EventId([3; 32])).unwrap().expect("decided").refused.unwrap();
    assert!(refused.contains("no dead letter"), "{refused}");

    // An operator looks into the first one; the same command once more changes nothing.
    let first = open[0].dead_letter;
    append(&journal, Topic::Control, vec![order(4, first, OURS), order(4, first, OURS)]).await;
    work(&mut settle).await;
    let ended = settle.answers().letter_view(&first).unwrap().unwrap();
    assert_eq!((ended.state, ended.end.unwrap().given.who.as_str()), ("resolved", "ana"));
    assert_eq!(settle.answers().letters(false, None, 100).unwrap().len(), open.len() - 1);
    assert_eq!(told_open(&mut settle), open.len() - 1);
    settle.owned.record_progress().await.unwrap();

    // The next owner takes nothing of it again.
    let before = journal.end(&name(Topic::Jobs).partition(OURS)).await.unwrap();
    drop(settle);
    let mut settle = self::settle(&mut role, &backend, &state).await;
    work(&mut settle).await;
    let after = journal.end(&name(Topic::Jobs).partition(OURS)).await.unwrap();
    assert_eq!(after.0, before.0 + 2, "its claim, its first Progress, and nothing else");
    let view = state.view(&name(Topic::Jobs).partition(OURS)).unwrap();
    assert_eq!(letters(&view, true, None, 100).unwrap().len(), open.len());
    assert_eq!(replayed(&journal, &view.applied().unwrap().frontier).await, view.digest().unwrap().to_string());
}

#[tokio::test]
async fn a_crash_before_the_progress_decides_no_poison_and_no_command_twice() {
    // A Progress is due a second after the last one: a machine that is slower than that is given further chances.
    for _ in 0..20 {
        if crash_before_the_progress().await {
            return;
        }
    }
    panic!("a Progress always came first");
}

/// False: the Progress was written before the crash.
async fn crash_before_the_progress() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory.path().join("journal")).await;
    let journal = backend.journal();
    let (mut role, handle) = role(journal.clone());
    let state = store(&directory.path().join("state"));
    // Both in one batch: the command finds a dead letter that no store has yet.
    append(&journal, Topic::Outputs, vec![b"\xff".to_vec()]).await;
    let of_record = input_record_id(&name(Topic::Outputs).partition(OURS), Offset(0));
    let letter = derived_id(&of_record, &Subject::Partition.to_bytes().0, 0x0102, 0);
    append(&journal, Topic::Control, vec![order(1, letter, OURS)]).await;
    let mut settle = settle(&mut role, &backend, &state).await;
    assert!(settle.cycle().await.unwrap());
    assert_eq!(settle.answers().letter_view(&letter).unwrap().unwrap().state, "resolved");
    drop(settle);

    // No Progress was written: both inputs are read again, by an owner whose fold is gone as well.
    let elsewhere = store(&directory.path().join("elsewhere"));
    let before = journal.end(&name(Topic::Jobs).partition(OURS)).await.unwrap();
    let mut settle = self::settle(&mut role, &backend, &elsewhere).await;
    if (settle.outputs.next_offset(), settle.control.next_offset()) != (Offset(0), Offset(0)) {
        return false;
    }
    assert!(settle.cycle().await.unwrap());
    assert_eq!(
        journal.end(&name(Topic::Jobs).partition(OURS)).await.unwrap().0,
        before.0 + 2,
        "its claim, its first Progress, and nothing else"
    );
    handle.control_taken(Offset(0)).await.unwrap();
    let (reply, answer) = tokio::sync::oneshot::channel();
    settle.answers().answer(Query::Command(EventId([1; 32]), reply)).unwrap();
    assert!(answer.await.unwrap().unwrap().fate.is_some());
    true
}
