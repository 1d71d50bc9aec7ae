//! What goes wrong in a random world, and when: a plan drawn from the seed before anything runs, so that a crash changes
//! nothing of it. Every plan has at least one fault; after it, everything is in order again, and has to come to an end.

use crate::chain::{GWEI, Node};
use crate::random::Random;
use crate::world::World;
use acurast_events::bytes::SettlementId;
use acurast_relayer_journal::FaultRates;
use std::collections::BTreeMap;

/// Ticks in which things go wrong.
pub const STORM_TICKS: u64 = 44;
/// Most faults of one plan.
const GUSTS_MAX: u64 = 9;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gust {
    /// The pool forgets everything, or what offers less than this.
    Evict(Option<u128>),
    /// The chain goes back so many blocks; what was in them returns to the pool or is lost.
    Reorg(usize, bool),
    /// Gas costs this much.
    BaseFee(u128),
    /// Miners ask for this priority.
    Priority(u128),
    /// The pool asks for this price.
    PoolMinimum(u128),
    /// The pool takes no more than so many of ours.
    PoolSlots(usize),
    /// The pool refuses what comes before its turn.
    RefuseGaps(bool),
    /// The node recognises what is mined when it is sent again.
    KnowsMined,
    /// The pool forgets what it takes.
    Forgetful(bool),
    /// Replacements must offer this many thousandths.
    Replacement(u128),
    /// Answers to so many sends are lost.
    LostAnswers(u32),
    /// No blocks, or blocks again.
    Stalled(bool),
    /// The contract refuses everything, or works again.
    Paused(bool),
    /// An item that reverts whatever carries it; the flag tells whether the contract names it.
    Poison(SettlementId, bool),
    /// One that reverts on the chain only.
    HiddenPoison(SettlementId),
    /// One whose transactions the node never takes.
    Rejected(SettlementId),
    /// The key has no money, or has it back.
    Broke(bool),
    /// In thousandths of calls: no answer, a late one, one that comes twice.
    Answers(u64, u64, u64),
    /// Another node answers some calls.
    Other(Option<Node>),
    /// The signer can't be reached.
    Signer(bool),
    /// Attesters can't be reached.
    Attesters(bool),
    /// kill -9.
    Kill,
    /// The process is stopped for so long, and another takes over.
    Freeze(u64),
    /// The wall clock is wrong by so much.
    Skew(i64),
    /// The journal misbehaves in so many thousandths of appends.
    Journal(u16),
    /// The ingest loops lose their process.
    Ingest,
    /// Somebody else uses the key.
    Foreign,
}

/// What goes wrong at which tick.
pub type Plan = BTreeMap<u64, Vec<Gust>>;

/// The plan of a seed; `items` are the settlements that can be poisoned.
pub fn plan(random: &mut Random, items: &[SettlementId]) -> Plan {
    let mut plan = Plan::new();
    for _ in 0..random.between(1, GUSTS_MAX) {
        let at = random.between(1, STORM_TICKS - 10);
        let until = (at + random.between(2, 16)).min(STORM_TICKS - 1);
        let item = items.get(random.index(items.len())).copied().unwrap_or(SettlementId::ZERO);
        let (gust, end) = gust(random, item);
        plan.entry(at).or_default().push(gust);
        if let Some(end) = end {
            plan.entry(until).or_default().push(end);
        }
    }
    plan
}

/// A thing that goes wrong, and what ends it.
fn gust(random: &mut Random, item: SettlementId) -> (Gust, Option<Gust>) {
    let gwei = |random: &mut Random, low, high| u128::from(random.between(low, high)) * GWEI;
    match random.below(31) {
        0 => (Gust::Evict(None), None),
        1 => (Gust::Evict(Some(gwei(random, 15, 40))), None),
        2..=4 => (Gust::Reorg(random.between(1, 4) as usize, random.chance(500)), None),
        5 | 6 => (Gust::BaseFee(gwei(random, 12, 60)), Some(Gust::BaseFee(10 * GWEI))),
        7 => (Gust::Priority(gwei(random, 2, 4)), Some(Gust::Priority(0))),
        8 => (Gust::PoolMinimum(gwei(random, 15, 40)), Some(Gust::PoolMinimum(0))),
        9 => (Gust::PoolSlots(1), Some(Gust::PoolSlots(16))),
        10 if random.chance(500) => (Gust::KnowsMined, None),
        10 => (Gust::RefuseGaps(true), Some(Gust::RefuseGaps(false))),
        11 => (Gust::Forgetful(true), Some(Gust::Forgetful(false))),
        12 => (Gust::Replacement(1_125 + u128::from(random.below(300))), Some(Gust::Replacement(1_125))),
        13 => (Gust::LostAnswers(random.between(1, 4) as u32), None),
        14 => (Gust::Stalled(true), Some(Gust::Stalled(false))),
        15 => (Gust::Paused(true), Some(Gust::Paused(false))),
        16 => (Gust::Poison(item, random.chance(500)), None),
        17 => (Gust::HiddenPoison(item), None),
        18 => (Gust::Rejected(item), None),
        19 => (Gust::Broke(true), Some(Gust::Broke(false))),
        20 | 21 => {
            let end = Gust::Answers(0, 0, 0);
            (Gust::Answers(random.between(0, 600), random.between(50, 300), random.between(0, 100)), Some(end))
        }
        22 => {
            let node = match random.below(3) {
                0 => Node::Lagging(random.between(1, 6) as usize),
                1 => Node::Frozen(random.between(1, 30) as usize),
                _ => Node::Lying,
            };
            (Gust::Other(Some(node)), Some(Gust::Other(None)))
        }
        23 => (Gust::Signer(false), Some(Gust::Signer(true))),
        24 => (Gust::Attesters(false), Some(Gust::Attesters(true))),
        25 => (Gust::Kill, None),
        26 => (Gust::Freeze(1_000 * random.between(2, 20)), None),
        27 => {
            let far = random.between(1_000, 120_000).cast_signed();
            (Gust::Skew(if random.chance(500) { far } else { -far }), Some(Gust::Skew(0)))
        }
        28 => (Gust::Journal(random.between(5, 40) as u16), Some(Gust::Journal(0))),
        29 if random.chance(200) => (Gust::Foreign, None),
        _ => (Gust::Ingest, None),
    }
}

/// Makes it so.
pub fn blow(world: &mut World, gust: &Gust) {
    world.env.tell(|| format!("GUST   {gust:?}"));
    let met = &mut world.env.met;
    match gust {
        Gust::Kill | Gust::Freeze(_) | Gust::Skew(_) | Gust::Ingest => {}
        Gust::Journal(_) => met.journal += 1,
        Gust::Answers(..) | Gust::Other(_) | Gust::Signer(_) | Gust::Attesters(_) | Gust::LostAnswers(_) => met.answers += 1,
        _ => met.chain += 1,
    }
    let chain = &mut world.env.chain;
    match gust {
        Gust::Evict(None) => chain.evict(),
        Gust::Evict(Some(below)) => chain.evict_below(*below),
        Gust::Reorg(depth, keep) => chain.reorg(*depth, *keep),
        Gust::BaseFee(wei) => chain.base_fee = *wei,
        Gust::Priority(wei) => chain.customs.mine_priority_min = *wei,
        Gust::PoolMinimum(wei) => chain.customs.pool_min_fee = *wei,
        Gust::PoolSlots(count) => chain.customs.pool_slots_max = *count,
        Gust::RefuseGaps(refuse) => chain.customs.refuse_gaps = *refuse,
        Gust::KnowsMined => chain.customs.knows_mined = true,
        Gust::Forgetful(forgets) => chain.customs.forgetful = *forgets,
        Gust::Replacement(permille) => chain.customs.replacement_permille = *permille,
        Gust::LostAnswers(count) => chain.lose_answers = *count,
        Gust::Stalled(stalled) => chain.customs.stalled = *stalled,
        Gust::Paused(paused) => chain.customs.paused = *paused,
        Gust::Poison(item, named) => drop(chain.poison.insert(*item, *named)),
        Gust::HiddenPoison(item) => drop(chain.hidden_poison.insert(*item)),
        Gust::Rejected(item) => drop(chain.reject.insert(*item)),
        Gust::Broke(broke) => chain.funds = if *broke { chain.contract().paid + GWEI } else { 10u128.pow(21) },
        Gust::Answers(none, late, twice) => {
            let trouble = &mut world.env.trouble;
            (trouble.no_answer, trouble.delay, trouble.twice, trouble.delay_max) = (*none, *late, *twice, 3);
        }
        Gust::Other(node) => world.set_node(*node, 300),
        Gust::Signer(online) => world.env.trouble.signer_offline = !online,
        Gust::Attesters(online) => world.env.trouble.attesters_offline = !online,
        Gust::Kill => world.kill(),
        Gust::Freeze(ms) => world.freeze(*ms),
        Gust::Skew(ms) => world.skew(*ms),
        Gust::Journal(permille) => world.log.set_rates(FaultRates::all(*permille)),
        Gust::Ingest => world.crash_ingest(),
        Gust::Foreign => {
            world.foul = true;
            let slot = world.env.chain.contract().next_slot;
            world.env.chain.foreign(slot);
        }
    }
}
