//! A world as it stood at one moment, from which it can go on again and again, each time into another crash.
//!
//! Parts of a world share what changes under them: the world's clock, the machines' wrong clocks, the crash points and the
//! log. A moment keeps the values of these cells beside the copy of all the rest, and puts them back: so a copy needs no new
//! ties. What is not in [`Moment`] must follow from a world's plain fields; the campaign compares, for each seed, a run that
//! began at a moment with the same run from its beginning.

use super::World;
use crate::boundary::Counts;
use acurast_relayer_journal::LogMoment;

/// A world at one moment.
pub struct Moment {
    world: World,
    now: u64,
    skews: Vec<i64>,
    counts: Counts,
    log: LogMoment,
}

impl World {
    /// This moment.
    pub fn moment(&self) -> Moment {
        Moment {
            world: self.clone(),
            now: self.now(),
            skews: self.machines.iter().map(|machine| machine.clock.skew()).collect(),
            counts: self.env.boundaries.counts(),
            log: self.log.moment(),
        }
    }
}

impl Moment {
    /// The world as it was. Every other world of the same beginning is over with it: they share clocks, crash points and log.
    pub fn world(&self) -> World {
        let world = self.world.clone();
        world.env.clock.put_back(self.now);
        world.machines.iter().zip(&self.skews).for_each(|(machine, skew)| machine.clock.set_skew(*skew));
        world.env.boundaries.put_back(self.counts);
        world.log.put_back(&self.log);
        world
    }
}
