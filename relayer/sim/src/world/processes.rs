//! The processes of a world: they start, work, crash, are killed, are stopped by force, and wake up beside their successor.

use super::{Frozen, RESTART, STAND_DOWN, Woken, World};
use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::process::{Machine, Process, Start};
use crate::random::Random;
use crate::violation::Violation;

impl World {
    pub(super) fn start(&mut self) {
        self.started += 1;
        self.env.boundaries.reset();
        let start = Start {
            settings: &self.settings,
            log: self.log.clone(),
            boundaries: self.env.boundaries.clone(),
            number: self.started,
            mutant: self.env.mutant,
            random: Random::new(self.random.draw(), "process"),
            memory: self.memory.take(),
        };
        let Some(machine) = self.machines.get_mut(self.machine) else { return };
        match Process::start(start, machine) {
            Ok(process) => {
                machine.synced = (process.settle.owned.store.clone(), process.dispatch.owned.store.clone());
                self.env.tell(|| "process started".into());
                self.process = Some(process);
            }
            Err(stop) => self.note_stop(&stop),
        }
    }

    pub(super) fn note_stop(&mut self, stop: &Stop) {
        self.env.tell(|| format!("process ended: {stop}"));
        self.ended += 1;
        self.start_at = self.now() + RESTART;
        match stop {
            Stop::Crashed => {
                self.crashes += 1;
                // What a crash takes besides the process: nothing, the unsynced commits, or the whole database.
                match self.random.below(4) {
                    0 => self.with_machine(Machine::lose_power),
                    1 => self.with_machine(Machine::lose_disk),
                    _ => {}
                }
            }
            Stop::Lost(_) => {}
            Stop::Defect(reason) => self.env.blame(Violation::Defect(reason.clone())),
        }
    }

    pub(super) fn with_machine(&mut self, change: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.machines.get_mut(self.machine) {
            change(machine);
        }
    }

    pub(super) fn work(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        self.env.boundaries.reset();
        let mut result = process.dispatch.tick(&mut self.env);
        if result.is_ok() {
            result = process.work(&mut self.env, false);
        }
        match result {
            Ok(()) => self.process = Some(process),
            Err(stop) => self.bury(process, &stop),
        }
    }

    pub(super) fn bury(&mut self, process: Process, stop: &Stop) {
        let goes_on = matches!(stop, Stop::Lost(_)) && self.env.mutant == Some(Mutant::ApplyBeforeReadBack);
        if goes_on {
            let (jobs, lane) = (process.settle.owned.store.clone(), process.dispatch.owned.store.clone());
            self.with_machine(|machine| (machine.jobs, machine.lane) = (jobs, lane));
            self.memory = Some(process.memory());
        } else {
            self.with_machine(|machine| machine.keep(process));
        }
        self.note_stop(stop);
    }

    /// kill -9, and a new start.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            self.env.met.machine += 1;
            self.bury(process, &Stop::Crashed);
        }
    }

    /// The process is stopped where it stands, with what it started still to be sent; another one takes over on another machine.
    pub fn freeze(&mut self, ms: u64) {
        if self.frozen.is_some() || self.woken.is_some() {
            return;
        }
        let Some(mut process) = self.process.take() else { return };
        self.env.boundaries.reset();
        self.env.met.machine += 1;
        if let Err(stop) = process.work(&mut self.env, true) {
            self.bury(process, &stop);
            return;
        }
        self.frozen = Some(Frozen { process, machine: self.machine, wakes: self.now() + ms });
        self.machine = 1 - self.machine;
        self.start_at = self.now() + RESTART;
    }

    /// A process that was stopped wakes, believes that nothing happened, and has to find out.
    pub(super) fn wake(&mut self, now: u64) {
        if self.frozen.as_ref().is_some_and(|frozen| frozen.wakes <= now)
            && let Some(Frozen { process, machine, .. }) = self.frozen.take()
        {
            self.env.tell(|| "stopped process wakes".into());
            self.woken = Some(Woken { process, machine, since: now });
        }
        let Some(Woken { mut process, machine, since }) = self.woken.take() else { return };
        self.env.boundaries.reset();
        let mut result = process.dispatch.tick(&mut self.env);
        if result.is_ok() {
            result = process.work(&mut self.env, false);
        }
        match result {
            Ok(()) if now > since + STAND_DOWN && self.process.is_some() => {
                self.env.blame(Violation::Term("a process that lost its partitions never stood down".into()));
            }
            Ok(()) => self.woken = Some(Woken { process, machine, since }),
            Err(stop) => {
                self.env.tell(|| format!("woken process ended: {stop}"));
                self.ended += 1;
                if let Stop::Defect(reason) = &stop {
                    self.env.blame(Violation::Defect(reason.clone()));
                }
                self.crashes += u64::from(stop == Stop::Crashed);
                if let Some(home) = self.machines.get_mut(machine) {
                    home.keep(process);
                }
            }
        }
    }

    /// The wall clock of the machine that works is wrong by so much from now on.
    pub fn skew(&mut self, ms: i64) {
        self.env.met.machine += 1;
        self.with_machine(|machine| machine.clock.set_skew(ms));
    }
}
