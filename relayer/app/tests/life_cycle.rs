//! The recorded lives of jobs on the real runtime, folded: what became of every job, when the recording ends and once all of its
//! windows are over. `cargo test -p acurast-relayer --test life_cycle -- --nocapture` prints the table.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

use acurast_adapter_acurast::{RecordedSource, Recording};
use acurast_adapter_api::{DestinationRules, Source, SourceBlock, SourceError};
use acurast_adapter_evm::EvmRules;
use acurast_events::bytes::{BlockHash, Bytes, EscrowId, EventId, JobKey};
use acurast_events::caip::ChainId;
use acurast_events::ids::{job_key, owner_key, sha256};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::{BlockRef, Mode};
use acurast_events::record::InputRef;
use acurast_events::source::BlockSealed;
use acurast_events::units::{Count, Gas, Millis, Offset, Timestamp};
use acurast_relayer_core::rows::job_of_rows;
use acurast_relayer_core::{Input, JobView, OperatorRoute, OriginRoute, Partition, Policy, Rules, SettlementPolicy, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

const RECORDING: &str = "../../adapters/acurast/tests/fixtures/lifecycle.jsonl";
const TOPIC: &str = "acurast.source.recorded.v1";
/// Past every window and deadline of the recording.
const LATER: Millis = Millis(30 * 86_400_000);

/// What became of a job: its name in the scenario, its number, how the recording leaves it, and how time then leaves it.
///
/// `STATE@block`, then for each slot and the execution that it is for (`*`: all) the outcomes of its executions.
const LIVES: &[(&str, u128, &str, &str)] = &[
    (
        "one slot, reported",
        1,
        "OPEN@3 MATCHED@4 ASSIGNED@5 DONE@8 removed@9 | 0/*: 0 reported",
        "OPEN@3 MATCHED@4 ASSIGNED@5 DONE@8 removed@9 closed | 0/*: 0 Unverifiable",
    ),
    (
        "two slots, one execution failed, removed before the second",
        2,
        "OPEN@3 MATCHED@4 ASSIGNED@6 DONE@10 removed@10 | 0/*: 0 reported 1 Cancelled | 1/*: 0 ReportedFailure 1 Cancelled",
        "OPEN@3 MATCHED@4 ASSIGNED@6 DONE@10 removed@10 closed | 0/*: 0 Unverifiable 1 Cancelled | 1/*: 0 ReportedFailure 1 Cancelled",
    ),
    ("cancelled while open", 3, "OPEN@3 DONE@5 removed@5 closed", "OPEN@3 DONE@5 removed@5 closed"),
    ("cancelled while matched", 4, "OPEN@3 MATCHED@4 DONE@5 removed@5 closed", "OPEN@3 MATCHED@4 DONE@5 removed@5 closed"),
    (
        "executions missed between two reports, then removed",
        5,
        "OPEN@11 MATCHED@12 ASSIGNED@13 DONE@16 removed@16 | 0/*: 0 reported 1+1 Missed 3 ReportedFailure 4+1 Cancelled",
        "OPEN@11 MATCHED@12 ASSIGNED@13 DONE@16 removed@16 closed | 0/*: 0 Unverifiable 1+1 Missed 3 ReportedFailure 4+1 Cancelled",
    ),
    (
        "several reports in one block",
        6,
        "OPEN@17 MATCHED@18 ASSIGNED@19 DONE@21 | 0/*: 0 reported 1 reported 2 reported 3 reported",
        "OPEN@17 MATCHED@18 ASSIGNED@19 DONE@21 closed | 0/*: 0 Unverifiable 1 Unverifiable 2 Unverifiable 3 Unverifiable",
    ),
    ("created and removed in one block", 7, "OPEN@22 DONE@22 removed@22 closed", "OPEN@22 DONE@22 removed@22 closed"),
    (
        "acknowledged and removed in one block: keys lost, only tracked",
        8,
        "OPEN@22 MATCHED@23 ASSIGNED@24 DONE@24 removed@24 closed | 0/*:",
        "OPEN@22 MATCHED@23 ASSIGNED@24 DONE@24 removed@24 closed | 0/*:",
    ),
    (
        "matched when registered",
        9,
        "OPEN@25 MATCHED@25 ASSIGNED@26 DONE@27 | 0/*: 0 reported 1 reported",
        "OPEN@25 MATCHED@25 ASSIGNED@26 DONE@27 closed | 0/*: 0 Unverifiable 1 Unverifiable",
    ),
    (
        "competing: a processor for each execution, one never reports",
        10,
        "OPEN@28 MATCHED@29 ASSIGNED@30 | 0/0: 0 reported | 0/1:",
        "OPEN@28 MATCHED@29 ASSIGNED@30 DONE@36 closed | 0/0: 0 Unverifiable | 0/1: 1 Missed",
    ),
    ("never matched", 11, "OPEN@35", "OPEN@35 DONE@36 closed"),
    ("of an Ethereum owner, never acknowledged", 1, "OPEN@34 MATCHED@34", "OPEN@34 MATCHED@34 DONE@36 closed"),
];

struct Served(EvmRules);

impl Rules for Served {
    fn destination(&self, chain: &ChainId) -> Option<&dyn DestinationRules> {
        (*chain == evm()).then_some(&self.0)
    }
}

fn evm() -> ChainId {
    ChainId::evm(31_337)
}

/// Every job settles on one EVM chain, whose accounts nobody ever opened: so nothing but Acurast's events decides what becomes of it.
fn policy(recording: &Recording, owners: &BTreeSet<MultiOrigin>) -> Policy {
    let settlement = Bytes(vec![0x5e; 20]);
    let route = |owner: &MultiOrigin| OperatorRoute {
        owner: owner_key(&recording.genesis, owner),
        script: None,
        chain: evm(),
        settlement: settlement.clone(),
        target: Bytes(vec![0x7a; 20]),
        escrow_id: EscrowId(sha256(&[&owner_key(&recording.genesis, owner).0])),
        mode: Mode::Call,
        deadline: None,
    };
    Policy {
        genesis: recording.genesis,
        acurast: ChainId::substrate(&recording.genesis),
        origin_routes: BTreeMap::from([("ethereum20".to_owned(), OriginRoute { chain: evm(), settlement: settlement.clone() })]),
        operator_routes: owners.iter().filter(|owner| matches!(owner, MultiOrigin::Acurast(_))).map(route).collect(),
        settlements: vec![SettlementPolicy {
            chain: evm(),
            settlement: settlement.clone(),
            asset: evm().asset("slip44:60").unwrap(),
            lanes: vec![evm().account("0x00000000000000000000000000000000000000aa").unwrap()],
            root_share_gas: Gas(250_000),
            attesters_needed: 1,
            attesters: 1,
        }],
        deadline: Millis(86_400_000),
        payload_bytes_max: 65_536,
    }
}

struct Fold {
    policy: Policy,
    rules: Served,
    partition: Partition,
    closed: BTreeMap<JobKey, JobView>,
    position: u64,
}

impl Fold {
    fn take(&mut self, block: &SourceBlock) {
        let seal = block.seal();
        let at = BlockRef { chain: self.policy.acurast.clone(), number: seal.number, hash: seal.hash, timestamp: seal.timestamp };
        for fact in &block.facts {
            // Settle doesn't open a closed job anew either.
            let closed = |job: &JobId| self.closed.contains_key(&job_key(&self.policy.genesis, job));
            if !fact.job().is_some_and(closed) {
                self.decide(&Input::Fact { event: fact.clone(), block: at.clone() }, Some(fact.meta().unwrap().id));
            }
        }
        self.seal(seal);
    }

    fn seal(&mut self, seal: BlockSealed) {
        let id = EventId(sha256(&[b"seal", &seal.hash.0]));
        self.decide(&Input::Seal { chain: self.policy.acurast.clone(), seal }, Some(id));
        self.decide(&Input::Ready, None);
    }

    fn decide(&mut self, input: &Input, id: Option<EventId>) {
        let reference = id.map(|id| InputRef { topic: TOPIC.to_owned(), partition: 0, position: Offset(self.position), id });
        self.position += 1;
        let mut answered = BTreeSet::new();
        while let Some(decision) = self.partition.decide_next(&self.policy, &self.rules, input, reference.as_ref(), &answered).unwrap() {
            self.partition.evolve(Timestamp(0), reference.as_ref(), &decision.subject, &decision.events).unwrap();
            answered.insert(decision.subject);
        }
        let rows = self.partition.changes().unwrap();
        let of = |table: Table| rows.iter().filter(move |row| row.0 == table.id()).filter_map(|row| Some((&row.1[..], row.2.as_deref()?)));
        for (key, row) in of(Table::ClosedJobs) {
            let executions = of(Table::EndedExecutions).filter(|(at, _)| at.starts_with(key));
            let job = job_of_rows((key, row), executions).unwrap();
            self.closed.insert(job.key, JobView::of(&job, None));
        }
    }

    fn view(&self, job: &JobId) -> JobView {
        let key = job_key(&self.policy.genesis, job);
        self.partition.view(&key).unwrap_or_else(|| self.closed[&key].clone())
    }
}

/// A job in the words of [`LIVES`].
fn life(job: &JobView) -> String {
    let mut text = String::new();
    let steps = [("OPEN", Some(&job.opened)), ("MATCHED", job.matched.as_ref()), ("ASSIGNED", job.assigned.as_ref())];
    let steps = steps.into_iter().chain([("DONE", job.done.as_ref()), ("removed", job.removed.as_ref())]);
    let mut steps: Vec<_> = steps.filter_map(|(name, at)| Some((name, at?))).collect();
    steps.sort_by_key(|(_, at)| at.number);
    for (name, at) in steps {
        write!(text, "{name}@{} ", at.number).unwrap();
    }
    if job.closed {
        text.push_str("closed ");
    }
    let mut assignments: Vec<_> = job.assignments.iter().collect();
    assignments.sort_by_key(|assignment| (assignment.only, assignment.slot));
    for assignment in assignments {
        let only = assignment.only.map_or_else(|| "*".to_owned(), |only| only.to_string());
        write!(text, "| {}/{only}:", assignment.slot).unwrap();
        for known in &assignment.known {
            let outcome = known.outcome.map_or_else(|| "reported".to_owned(), |outcome| format!("{outcome:?}"));
            let range = if known.executions == Count(1) { String::new() } else { format!("+{}", known.executions.0 - 1) };
            write!(text, " {}{range} {outcome}", known.execution).unwrap();
        }
        text.push(' ');
    }
    text.trim_end().to_owned()
}

#[tokio::test]
async fn every_recorded_job_comes_to_what_its_scenario_says() {
    let file = std::fs::File::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING)).unwrap();
    let recording = Arc::new(Recording::read(std::io::BufReader::new(file)).unwrap());
    let mut source = RecordedSource::new(recording.clone());
    let mut blocks = Vec::new();
    loop {
        match source.next().await {
            Ok(block) => blocks.push(block),
            Err(SourceError::End { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let jobs: BTreeSet<JobId> = blocks.iter().flat_map(|block| &block.facts).filter_map(|fact| fact.job().cloned()).collect();
    let owners = jobs.iter().map(|job| job.origin.clone()).collect();

    let partition = Partition::new(0, NonZeroU32::MIN);
    let rules = Served(EvmRules { chain_id: 31_337 });
    let mut fold = Fold { policy: policy(&recording, &owners), rules, partition, closed: BTreeMap::new(), position: 0 };
    for block in &blocks {
        fold.take(block);
    }
    let mut jobs: Vec<JobId> = jobs.into_iter().collect();
    jobs.sort_by_key(|job| (matches!(job.origin, MultiOrigin::Ethereum20(_)), job.number));
    let recorded: Vec<String> = jobs.iter().map(|job| life(&fold.view(job))).collect();

    let last = blocks.last().unwrap().seal();
    let timestamp = Timestamp(last.timestamp.0 + LATER.0);
    fold.seal(BlockSealed {
        first: last.number.next(),
        number: last.number.next(),
        hash: BlockHash([0xff; 32]),
        parent: last.hash,
        timestamp,
        fact_count: Count(0),
        ..last
    });
    let later: Vec<String> = jobs.iter().map(|job| life(&fold.view(job))).collect();

    for (n, job) in jobs.iter().enumerate() {
        let name = LIVES.get(n).map_or("not in the table", |life| life.0);
        println!("{name} (job {})\n    recorded  {}\n    later     {}", job.number, recorded[n], later[n]);
    }
    let found: Vec<_> = jobs.iter().zip(recorded.iter().zip(&later)).map(|(job, (now, then))| (job.number, &now[..], &then[..])).collect();
    let expected: Vec<_> = LIVES.iter().map(|(_, number, now, then)| (*number, *now, *then)).collect();
    assert_eq!(found, expected);
}
