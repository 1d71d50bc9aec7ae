//! Properties of the acceptance rule over random logs: it is the same for every reader, and stable under growth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::record::{Claim, Entry, Record};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::{Offset, Sequence, Term, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{Acceptance, AcceptedRecord, Attributes, Frontier, Halt, LogRecord, Verdict};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One step of a random log. Writers are few, so that their doings meet.
#[derive(Debug, Clone)]
enum Step {
    /// `writer` claims with the highest term so far plus `raise` (0: a rival of the same term).
    Claim { writer: u8, raise: u64 },
    /// `writer` writes the next record of its own view.
    Write { writer: u8 },
    /// `writer` writes it, and it is lost on the way.
    Lose { writer: u8 },
    /// An earlier entry again.
    Repeat { index: usize },
    /// A record with a random place in the chain.
    Forge { writer: u8, term: u64, sequence: u64 },
    /// Bytes.
    Garbage(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let writer = 0..4u8;
    prop_oneof![
        2 => (writer.clone(), 0..3u64).prop_map(|(writer, raise)| Step::Claim { writer, raise }),
        8 => writer.clone().prop_map(|writer| Step::Write { writer }),
        1 => writer.clone().prop_map(|writer| Step::Lose { writer }),
        2 => (0..64usize).prop_map(|index| Step::Repeat { index }),
        1 => (writer, 0..6u64, 0..8u64).prop_map(|(writer, term, sequence)| Step::Forge { writer, term, sequence }),
        1 => proptest::collection::vec(any::<u8>(), 0..48).prop_map(Step::Garbage),
    ]
}

fn at() -> TopicPartition {
    TopicName::new("acurast.jobs.v1").partition(3)
}

fn record(term: Term, writer: WriterId, sequence: Sequence, previous: RecordHash) -> Record {
    let subject = sequence.0.to_be_bytes().to_vec().into();
    Record { term, writer, sequence, previous, at: Timestamp(1), input: None, subject, traceparent: None, events: Vec::new() }
}

/// The log that the steps leave. A writer starts from what is accepted when it claims, as the rule for owners asks, and
/// then follows its own view only.
fn log(steps: &[Step]) -> Vec<LogRecord> {
    let mut log: Vec<LogRecord> = Vec::new();
    let mut views: BTreeMap<u8, (Term, Sequence, RecordHash)> = BTreeMap::new();
    let mut term = Term(0);
    for step in steps {
        let value = match step {
            Step::Claim { writer, raise } => {
                term = Term(term.0 + raise);
                let frontier = read(&log).1.unwrap_or(Frontier::START);
                views.insert(*writer, (term, frontier.next_sequence, frontier.hash));
                Some(Entry::Claim(Claim { term, writer: WriterId([*writer; 16]), at: Timestamp(0) }).encode())
            }
            Step::Write { writer } | Step::Lose { writer } => {
                let view = views.entry(*writer).or_insert((Term(0), Sequence(0), RecordHash::ZERO));
                let written = record(view.0, WriterId([*writer; 16]), view.1, view.2);
                let value = Entry::Record(written.clone()).encode();
                *view = (view.0, view.1.next(), written.hash(&at(), &value));
                matches!(step, Step::Write { .. }).then_some(value)
            }
            Step::Repeat { index } => log.get(*index).map(|entry| entry.value.clone()),
            Step::Forge { writer, term, sequence } => {
                Some(Entry::Record(record(Term(*term), WriterId([*writer; 16]), Sequence(*sequence), RecordHash([1; 32]))).encode())
            }
            Step::Garbage(bytes) => Some(bytes.clone()),
        };
        if let Some(value) = value {
            let offset = Offset(log.len() as u64);
            log.push(LogRecord { offset, key: Vec::new(), value, attributes: Attributes::default(), at: Timestamp(0) });
        }
    }
    log
}

/// What a reader from the start accepts, and where it stands; nothing if it halts.
fn read(log: &[LogRecord]) -> (Vec<AcceptedRecord>, Option<Frontier>) {
    let (accepted, acceptance, halt) = resume(Frontier::START, log);
    (accepted, halt.is_none().then(|| acceptance.frontier()))
}

fn resume(frontier: Frontier, log: &[LogRecord]) -> (Vec<AcceptedRecord>, Acceptance, Option<Halt>) {
    let mut acceptance = Acceptance::resume(at(), frontier);
    let mut accepted = Vec::new();
    for raw in log {
        match acceptance.offer(raw) {
            Ok(Verdict::Accepted(record)) => accepted.push(*record),
            Ok(Verdict::Claimed(_) | Verdict::Skipped(_)) => {}
            Err(halt) => return (accepted, acceptance, Some(halt)),
        }
    }
    (accepted, acceptance, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_accepts_the_same_wherever_it_resumed(steps in proptest::collection::vec(step(), 0..60)) {
        let log = log(&steps);
        let (all, end, halt) = resume(Frontier::START, &log);
        for (taken, last) in all.iter().enumerate() {
            let frontier = last.frontier();
            let rest = &log[usize::try_from(frontier.next_offset.0).unwrap()..];
            let (accepted, acceptance, same_halt) = resume(frontier, rest);
            prop_assert_eq!(&accepted, &all[taken + 1..]);
            prop_assert_eq!(&same_halt, &halt);
            prop_assert_eq!(acceptance.frontier(), end.frontier());
            prop_assert_eq!(acceptance.owner(), end.owner());
            prop_assert_eq!(acceptance.next_offset(), end.next_offset());
        }
    }

    #[test]
    fn what_was_accepted_stays_accepted_when_the_log_grows(steps in proptest::collection::vec(step(), 0..60)) {
        let log = log(&steps);
        let (all, _, _) = resume(Frontier::START, &log);
        for length in 0..=log.len() {
            let (prefix, _, _) = resume(Frontier::START, &log[..length]);
            prop_assert!(all.starts_with(&prefix));
        }
    }

    #[test]
    fn accepted_records_are_one_chain_of_rising_terms_with_one_writer_each(steps in proptest::collection::vec(step(), 0..60)) {
        let (all, _, _) = resume(Frontier::START, &log(&steps));
        let mut writers: BTreeMap<Term, WriterId> = BTreeMap::new();
        let (mut hash, mut term) = (RecordHash::ZERO, Term(0));
        for (index, accepted) in all.iter().enumerate() {
            let record = &accepted.record;
            prop_assert_eq!(record.sequence, Sequence(index as u64));
            prop_assert_eq!(record.previous, hash);
            prop_assert!(record.term >= term);
            prop_assert_eq!(*writers.entry(record.term).or_insert(record.writer), record.writer);
            (hash, term) = (accepted.hash, record.term);
        }
    }

    #[test]
    fn a_hole_in_the_offsets_halts_wherever_it_is(steps in proptest::collection::vec(step(), 2..40), hole in any::<prop::sample::Index>()) {
        let mut log = log(&steps);
        prop_assume!(log.len() >= 2);
        let hole = hole.index(log.len() - 1);
        let (_, whole, halt) = resume(Frontier::START, &log);
        prop_assume!(halt.is_none());
        log.remove(hole);
        let (_, _, halt) = resume(Frontier::START, &log);
        let jumped = Halt::Jumped { at: at(), expected: Offset(hole as u64), found: Offset(hole as u64 + 1) };
        prop_assert_eq!(halt, Some(jumped));
        prop_assert_eq!(whole.check_end(Offset(log.len() as u64)).is_err(), true);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let entries = values.into_iter().zip(0..).map(|(value, offset)| LogRecord {
            offset: Offset(offset), key: Vec::new(), value, attributes: Attributes::default(), at: Timestamp(0),
        });
        let (accepted, _, _) = resume(Frontier::START, &entries.collect::<Vec<_>>());
        prop_assert!(accepted.is_empty());
    }
}
