//! Several owners fight for one partition of a journal that repeats, loses, delays and forges. Whatever happens, every
//! reader sees one chain, and what a writer was told is written is in it, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_events::bytes::{Bytes, WriterId};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::{Offset, Timestamp};
use acurast_relayer_journal::{
    AcceptedRecord, Attributes, ClaimOptions, Claiming, Clock, Draft, EventJournal, Fault, FaultRates, FollowError, Frontier, Halt,
    LogRecord, Lost, NewRecord, PartitionReader, PartitionWriter, ReadLimits, SimulatedJournal, WriteError,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 60;
const ROUNDS: u32 = 150;
const CANDIDATES: u8 = 3;

fn seeds() -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// A clock that stands still: nothing in this test depends on time.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct Run {
    journal: Arc<SimulatedJournal>,
    at: TopicPartition,
    rng: StdRng,
    writers: BTreeMap<u8, PartitionWriter>,
    claims: u64,
    /// What an owner was told is written.
    told: Vec<AcceptedRecord>,
}

impl Run {
    async fn new(seed: u64, rates: FaultRates) -> Self {
        let journal = Arc::new(SimulatedJournal::new(seed, rates));
        let topic = TopicName::new("acurast.lanes.v1");
        journal.create(&topic, NonZeroU32::MIN).await.unwrap();
        let rng = StdRng::seed_from_u64(seed ^ 0x5eed);
        Self { journal, at: topic.partition(0), rng, writers: BTreeMap::new(), claims: 0, told: Vec::new() }
    }

    fn log(&self) -> Arc<dyn EventJournal> {
        Arc::clone(&self.journal) as Arc<dyn EventJournal>
    }

    async fn round(&mut self) {
        let candidate = self.rng.random_range(0..CANDIDATES);
        match self.writers.remove(&candidate) {
            None => self.claim(candidate).await,
            // A candidate sometimes sleeps for long, and wakes as a zombie.
            Some(writer) if self.rng.random_range(0..4) == 0 => {
                self.writers.insert(candidate, writer);
                let successor = (candidate + 1) % CANDIDATES;
                self.claim(successor).await;
            }
            Some(mut writer) => {
                let drafts = (0..self.rng.random_range(1..6u8)).map(|n| draft(&writer, n)).collect();
                if let Ok(records) = writer.append(drafts).await {
                    self.told.extend(records);
                    self.writers.insert(candidate, writer);
                }
            }
        }
    }

    async fn claim(&mut self, candidate: u8) {
        self.claims += 1;
        let mut writer = [candidate; 16];
        writer[..8].copy_from_slice(&self.claims.to_be_bytes());
        let options = ClaimOptions { writer: WriterId(writer), lease: Duration::from_secs(1), clock: Arc::new(Still) };
        let Ok(mut claiming) = Claiming::begin(self.log(), self.at.clone(), Frontier::START, options).await else { return };
        let mut folded = Vec::new();
        while let Ok(batch) = claiming.next_batch().await {
            match batch {
                Some(records) => folded.extend(records),
                None => {
                    self.writers.insert(candidate, claiming.finish().unwrap());
                    // Whoever owns has folded all that any owner before it was told.
                    assert!(self.told.iter().all(|record| folded.contains(record)));
                    return;
                }
            }
        }
    }

    async fn read(&self, records_max: usize) -> Vec<AcceptedRecord> {
        let limits = ReadLimits { records_max, bytes_max: usize::MAX };
        let mut reader = PartitionReader::open(self.log(), self.at.clone(), Frontier::START).await.unwrap().with_limits(limits);
        let mut all = Vec::new();
        while reader.next_offset() < self.journal.end(&self.at).await.unwrap() {
            all.extend(reader.next_batch().await.unwrap().records);
        }
        all
    }

    async fn raw(&self) -> Vec<LogRecord> {
        self.journal.set_rates(FaultRates::default());
        let all = ReadLimits { records_max: usize::MAX, bytes_max: usize::MAX };
        self.journal.read(&self.at, Offset(0), all).await.unwrap().records
    }
}

fn draft(writer: &PartitionWriter, n: u8) -> Draft {
    Draft { key: vec![n], at: writer.stamp(), input: None, subject: Bytes(vec![n]), traceparent: None, events: Vec::new() }
}

async fn fight(seed: u64) -> Run {
    let mut run = Run::new(seed, FaultRates::all(40)).await;
    for _ in 0..ROUNDS {
        run.round().await;
    }
    run.journal.land();
    run
}

#[tokio::test]
async fn whatever_the_journal_does_readers_agree_and_nothing_acknowledged_is_lost() {
    let mut faults: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut told = 0;
    for seed in seeds() {
        let run = fight(seed).await;
        let all = run.read(usize::MAX).await;
        assert_eq!(run.read(1).await, all, "SEED={seed}");
        assert_eq!(run.read(7).await, all, "SEED={seed}");
        for record in &run.told {
            let found = all.iter().filter(|accepted| *accepted == record).count();
            assert_eq!(found, 1, "SEED={seed}: record {} of {} was acknowledged", record.record.sequence, record.owner());
        }
        told += run.told.len();
        for (fault, count) in run.journal.faults() {
            *faults.entry(fault).or_default() += count;
        }
    }
    // The test is worth something only if owners got work done and every fault happened.
    if std::env::var("SEED").is_err() {
        assert!(told > 5_000, "only {told} records were written");
        assert_eq!(faults.len(), 9, "{faults:?}");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_log() {
    let (first, second, other) = (fight(1).await, fight(1).await, fight(2).await);
    assert_eq!(first.raw().await, second.raw().await);
    assert_eq!(first.journal.faults(), second.journal.faults());
    assert_ne!(first.raw().await, other.raw().await);
}

#[tokio::test]
async fn a_log_that_is_put_back_brings_the_same_again() {
    for seed in 0..8 {
        let mut run = Run::new(seed, FaultRates::all(40)).await;
        for _ in 0..ROUNDS {
            run.round().await;
        }
        let moment = run.journal.moment();
        let mut again = Run {
            journal: run.journal.clone(),
            at: run.at.clone(),
            rng: run.rng.clone(),
            writers: run.writers.iter().map(|(candidate, writer)| (*candidate, writer.twin(&run.journal))).collect(),
            claims: run.claims,
            told: run.told.clone(),
        };
        let (first, faults) = on(&mut run).await;
        run.journal.put_back(&moment);
        let (second, faults_again) = on(&mut again).await;
        assert_eq!(first, second, "SEED={seed}");
        assert_eq!(faults, faults_again, "SEED={seed}");
        assert_eq!(run.told, again.told, "SEED={seed}");
    }
}

async fn on(run: &mut Run) -> (Vec<LogRecord>, BTreeMap<Fault, u64>) {
    for _ in 0..ROUNDS {
        run.round().await;
    }
    let faults = run.journal.faults();
    (run.raw().await, faults)
}

#[tokio::test]
async fn who_waits_for_a_log_is_woken_after_it_was_put_back() {
    let mut run = Run::new(0, FaultRates::default()).await;
    run.claim(0).await;
    let moment = run.journal.moment();
    let end = run.journal.end(&run.at).await.unwrap();
    let (journal, at) = (run.journal.clone(), run.at.clone());
    let waiting = tokio::spawn(async move { journal.wait_beyond(&at, end).await });
    tokio::task::yield_now().await;
    run.journal.put_back(&moment);
    let writer = run.writers.get_mut(&0).unwrap();
    let drafts = vec![draft(writer, 1)];
    writer.append(drafts).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(end.next()));
}

#[tokio::test]
async fn an_injected_fault_happens_at_the_next_append_only() {
    let run = Run::new(0, FaultRates::default()).await;
    let append = |value: u8| {
        let record = NewRecord { key: vec![], value: vec![value], attributes: [("n", [value])].into_iter().collect() };
        run.journal.append(&run.at, vec![record])
    };
    for (fault, grows, fails) in [
        (Fault::AckLost, 1, true),
        (Fault::Dropped, 0, true),
        (Fault::Late, 0, true),
        (Fault::MiddleLost, 0, true),
        (Fault::Repeated, 2, false),
        (Fault::Refused, 0, true),
        (Fault::Garbage, 2, false),
    ] {
        run.journal.land();
        let before = run.raw().await.len();
        run.journal.inject(&run.at, fault);
        assert_eq!(append(1).await.is_err(), fails, "{fault:?}");
        assert_eq!(run.raw().await.len() - before, grows, "{fault:?}");
    }
    let before = run.raw().await.len();
    append(2).await.unwrap();
    assert_eq!(run.raw().await.len() - before, 1);
}

#[tokio::test]
async fn an_uncertain_append_loses_the_writer_and_its_successor_finds_what_landed() {
    for (fault, landed) in [(Fault::AckLost, Some(3)), (Fault::Dropped, Some(0)), (Fault::Late, None), (Fault::MiddleLost, Some(1))] {
        let mut run = Run::new(0, FaultRates::default()).await;
        run.claim(0).await;
        let mut writer = run.writers.remove(&0).unwrap();
        let drafts = |writer: &PartitionWriter| (1..4).map(|n| draft(writer, n)).collect::<Vec<_>>();
        writer.append(drafts(&writer)).await.unwrap();
        run.journal.inject(&run.at, fault);
        let lost = writer.append(drafts(&writer)).await.unwrap_err();
        assert!(matches!(lost, WriteError::Lost { reason: Lost::Uncertain(_), .. }), "{fault:?}: {lost}");
        assert!(!writer.may_send());
        let end = run.journal.end(&run.at).await.unwrap();
        assert_eq!(writer.append(drafts(&writer)).await.unwrap_err(), lost);
        assert_eq!(run.journal.end(&run.at).await.unwrap(), end, "a lost writer appends nothing more");
        run.claim(1).await;
        let taken_over = run.read(10).await;
        // A late append lands before the successor's claim, and counts whole, or after it, and doesn't count at all.
        let found = taken_over.len() - 3;
        assert!(landed.map_or(found == 0 || found == 3, |landed| found == landed), "{fault:?}: {found} landed");
        run.journal.land();
        assert_eq!(run.read(10).await, taken_over, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_append_leaves_the_writer_as_it_was() {
    let mut run = Run::new(0, FaultRates::default()).await;
    run.claim(0).await;
    let writer = run.writers.get_mut(&0).unwrap();
    run.journal.inject(&run.at, Fault::Refused);
    let drafts = vec![draft(writer, 1)];
    assert!(matches!(writer.append(drafts.clone()).await, Err(WriteError::Refused(_))));
    assert_eq!(writer.append(drafts).await.unwrap().len(), 1);
    assert!(writer.may_send());
}

#[tokio::test]
async fn a_late_record_lands_within_the_next_appends() {
    let run = Run::new(3, FaultRates::default()).await;
    run.journal.inject(&run.at, Fault::Late);
    let record = |value: u8| NewRecord { key: vec![], value: vec![value], attributes: Attributes::default() };
    run.journal.append(&run.at, vec![record(1)]).await.unwrap_err();
    for value in 2..7 {
        run.journal.append(&run.at, vec![record(value)]).await.unwrap();
    }
    let values: Vec<_> = run.raw().await.into_iter().map(|record| record.value[0]).collect();
    assert_eq!(values.iter().filter(|value| **value == 1).count(), 1, "{values:?}");
    assert_eq!(values.len(), 6);
}

#[tokio::test]
async fn a_truncated_log_halts_its_readers_and_wakes_those_who_wait() {
    let mut run = Run::new(0, FaultRates::default()).await;
    run.claim(0).await;
    let writer = run.writers.get_mut(&0).unwrap();
    let drafts = vec![draft(writer, 1), draft(writer, 2)];
    writer.append(drafts).await.unwrap();
    let mut reader = PartitionReader::open(run.log(), run.at.clone(), Frontier::START).await.unwrap();
    assert_eq!(reader.next_batch().await.unwrap().records.len(), 2);
    run.journal.truncate(&run.at, Offset(2));
    let halt = FollowError::Halt(Halt::Shortened { at: run.at.clone(), end: Offset(2), read: Offset(3) });
    assert_eq!(reader.wait().await, Err(halt.clone()));
    assert_eq!(reader.next_batch().await, Err(halt));
}

#[tokio::test]
async fn a_read_that_stalls_where_a_reader_resumes_is_no_rewritten_log() {
    let mut run = Run::new(0, FaultRates::default()).await;
    run.claim(0).await;
    let writer = run.writers.get_mut(&0).unwrap();
    let drafts = vec![draft(writer, 1), draft(writer, 2)];
    let first = writer.append(drafts).await.unwrap()[0].frontier();
    run.journal.set_rates(FaultRates { stalled: 1_000, ..FaultRates::default() });
    let stalled = PartitionReader::open(run.log(), run.at.clone(), first).await;
    assert!(matches!(stalled, Err(FollowError::Read(_))), "a stall was taken for a log that was written anew");
    run.journal.set_rates(FaultRates::default());
    let mut reader = PartitionReader::open(run.log(), run.at.clone(), first).await.unwrap();
    assert_eq!(reader.next_batch().await.unwrap().records.len(), 1);
}
