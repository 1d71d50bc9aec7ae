//! What is known to go wrong with relayers, by name: each a whole world of settle, dispatch, journal and chains in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batches;
mod crashes;
mod fees;
mod nodes;
mod reorgs;
mod runs;
mod sends;

use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{AttemptPrepared, IntentDead, LanesEvent, SlotFinal};
use acurast_events::units::Slot;
use acurast_relayer_sim::scenario::finish;
use acurast_relayer_sim::world::{Making, World};

/// A world whose jobs are acknowledged and whose outputs are yet to come.
fn world(jobs: u8, executions: u64) -> World {
    World::plain(Making::default(), jobs, executions).unwrap()
}

/// The same, once the root of all jobs is final.
fn rooted(jobs: u8, executions: u64) -> World {
    until_rooted(world(jobs, executions))
}

fn until_rooted(mut world: World) -> World {
    for _ in 0..40 {
        world.tick();
        if finals(&world).len() == 1 {
            return world;
        }
    }
    panic!("no root became final");
}

/// A world with one output handed in that nobody mines: it waits in the pool.
fn pending() -> World {
    let mut world = rooted(1, 1);
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    world.hand_in(0, 0);
    world.ticks(3);
    assert_eq!(world.env.chain.pooled(), 1);
    world
}

use acurast_relayer_sim::chain::GWEI;

/// The world comes to its end, and holds what every run has to hold; so many outputs were delivered.
fn ends_well(world: &mut World, delivered: usize) {
    let outcome = finish(world);
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    assert_eq!(world.env.chain.contract().deliveries.len(), delivered);
}

fn attempts(world: &World) -> Vec<AttemptPrepared> {
    world.lane_events().into_iter().filter_map(|event| if let LanesEvent::AttemptPrepared(it) = event { Some(it) } else { None }).collect()
}

/// The attempts of the first output's slot, which follows the root's.
fn output_attempts(world: &World) -> Vec<AttemptPrepared> {
    attempts(world).into_iter().filter(|attempt| attempt.slot == Slot(1)).collect()
}

fn finals(world: &World) -> Vec<SlotFinal> {
    world.lane_events().into_iter().filter_map(|event| if let LanesEvent::SlotFinal(it) = event { Some(it) } else { None }).collect()
}

fn dead(world: &World) -> Vec<IntentDead> {
    world.lane_events().into_iter().filter_map(|event| if let LanesEvent::IntentDead(it) = event { Some(it) } else { None }).collect()
}

fn count(world: &World, name: &str) -> usize {
    world.lane_events().iter().filter(|event| event.name() == name).count()
}

fn job_count(world: &World, name: &str) -> usize {
    world.job_events().iter().map(JobsEvent::name).filter(|known| *known == name).count()
}
