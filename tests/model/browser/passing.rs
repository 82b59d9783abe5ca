//! How time passes, for everybody or for all but those who stand still.

use std::time::Duration;

use super::Browser;
use crate::stepped::{Cut, Place};

impl Browser {
    /// Time passes, and nobody who waits notices, as while a machine sleeps.
    pub fn pass(&self, time: Duration) {
        self.stage.clock.advance(time);
        for process in &self.processes {
            process.clock.advance(time);
        }
    }

    /// Time passes for everybody.
    pub fn advance(&self, time: Duration) {
        self.stage.note_slow();
        self.pass(time);
        for process in &self.processes {
            if self.stage.is_frozen(process.way.life) {
                process.missed.set(process.missed.get() + time);
            } else {
                process.runtime.block_on(tokio::time::advance(time));
            }
        }
    }

    /// The wall clock of a process jumps. By it, tokens may be good that are not.
    pub fn jump(&mut self, pick: usize, seconds: i64) {
        self.stage.note_jump(seconds);
        let process = pick % self.processes.len();
        self.processes[process].clock.jump_wall(seconds);
    }

    /// A process stands still: none of its tasks moves and none of its timers ends.
    pub fn freeze(&mut self, pick: usize) {
        let process = &self.processes[pick % self.processes.len()];
        self.stage.set_frozen(process.way.life, true);
    }

    /// Whoever stands still goes on, and believes what it did. `in_time`: what it waited for comes
    /// before its timers.
    pub fn thaw(&mut self, in_time: bool) {
        for process in &self.processes {
            let life = process.way.life;
            if !self.stage.is_frozen(life) {
                continue;
            }
            self.stage.set_frozen(life, false);
            if in_time {
                self.stage.release_all_of(life);
                process.run();
            }
            process.runtime.block_on(tokio::time::advance(process.missed.take()));
        }
    }

    /// One process no longer reaches a place.
    pub fn cut_off(&mut self, pick: usize, place: Place, cut: Cut) {
        let process = &self.processes[pick % self.processes.len()];
        self.stage.cut_off(process.way.life, place, cut);
    }

    /// Every task gets as far as it can.
    pub fn run_all_that_can_run(&self) {
        // Processes hear of each other.
        for _ in 0..2 {
            for process in &self.processes {
                if !self.stage.is_frozen(process.way.life) {
                    process.run();
                }
            }
        }
    }
}
