//! Short worlds with a name, for what storms seldom bring about: each must end well, and with one bug or another it doesn't.

use crate::chain::GWEI;
use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::scenario::finish;
use crate::violation::Violation;
use crate::world::{Making, World};
use acurast_events::lanes::LanesEvent;

/// Ticks within which the root of a plain world is final.
const ROOTED_TICKS_MAX: usize = 40;

/// Ticks after which a ladder has come to its cap: a step of a fifth every five seconds, from one gwei to fifty.
const LADDER_TICKS: u64 = 160;

/// A probe: its name, and the world at its end.
type Probe = (&'static str, fn(Option<Mutant>) -> Result<World, Stop>);

/// All of them.
pub const ALL: [Probe; 3] = [
    ("at the operator's cap the same bytes are sent again", dear),
    ("an effect that somebody else brought about is found and not sent again", delivered_by_another),
    ("no answer is not a missing transaction", unanswered),
];

/// A world of one job whose root is final, and whose output is yet to come.
///
/// # Errors
/// When it can't begin.
pub fn rooted(mutant: Option<Mutant>) -> Result<World, Stop> {
    let mut world = World::plain(Making { mutant, ..Making::default() }, 1, 1)?;
    for _ in 0..ROOTED_TICKS_MAX {
        world.tick();
        if world.lane_events().iter().any(|event| matches!(event, LanesEvent::SlotFinal(_))) {
            break;
        }
    }
    Ok(world)
}

/// The output's transaction reverts; then somebody else delivers it.
fn delivered_by_another(mutant: Option<Mutant>) -> Result<World, Stop> {
    let mut world = rooted(mutant)?;
    let id = world.script.jobs.first().and_then(|job| job.settlement(0)).ok_or_else(|| Stop::Defect("no job".to_owned()))?;
    world.env.chain.hidden_poison.insert(id);
    world.hand_in(0, 0);
    let mut reverted = None;
    for _ in 0..ROOTED_TICKS_MAX {
        world.tick();
        reverted = world.env.chain.mined().find(|(_, success)| !success).and_then(|(tx, _)| tx.items.first().cloned());
        if reverted.is_some() {
            break;
        }
    }
    // What he paid isn't known: the ledger's alarm is right.
    world.foul = true;
    if let Some(item) = reverted {
        world.env.chain.hidden_poison.clear();
        world.env.chain.deliver_foreign(&item);
    }
    world.ticks(20);
    Ok(world)
}

/// The output's transaction waits in the pool, and for long nobody answers anything.
fn unanswered(mutant: Option<Mutant>) -> Result<World, Stop> {
    let mut world = rooted(mutant)?;
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    world.hand_in(0, 0);
    world.ticks(3);
    world.env.trouble.no_answer = 1_000;
    world.ticks(30);
    Ok(world)
}

/// Nothing that the caps allow is mined for a long time: the root's ladder comes to its end.
fn dear(mutant: Option<Mutant>) -> Result<World, Stop> {
    let mut world = World::plain(Making { mutant, ..Making::default() }, 1, 1)?;
    world.env.chain.customs.mine_priority_min = 1_000 * GWEI;
    world.ticks(LADDER_TICKS);
    Ok(world)
}

/// The first probe that doesn't end well, and why.
pub fn noticed(mutant: Option<Mutant>) -> Option<(&'static str, Violation)> {
    ALL.into_iter().find_map(|(name, probe)| match probe(mutant) {
        Ok(mut world) => finish(&mut world).violations.into_iter().next().map(|violation| (name, violation)),
        Err(stop) => Some((name, Violation::Defect(stop.to_string()))),
    })
}
