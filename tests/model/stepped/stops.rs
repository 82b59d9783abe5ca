//! Where everything stops until the schedule lets it go on: who stands where, who is frozen, and who
//! is cut off from what.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use tokio::sync::oneshot;

use super::{Stage, Way};

/// What a process may be cut off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    TokenStore,
    Locks,
    /// The session store and the provider, which everybody reaches.
    Elsewhere,
}

/// How a process notices that it is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Fails,
    Hangs,
}

#[derive(Default)]
pub(super) struct Stops {
    parked: Vec<Parked>,
    /// What the end of its process has stopped.
    never: Vec<oneshot::Sender<()>>,
    /// Lives that stand still.
    frozen: HashSet<usize>,
    cuts: HashMap<(usize, Place), Cut>,
}

struct Parked {
    at: &'static str,
    place: Place,
    life: usize,
    release: oneshot::Sender<()>,
}

impl Stops {
    fn may_go_on(&self, parked: &Parked) -> bool {
        let cut = self.cuts.get(&(parked.life, parked.place));
        !self.frozen.contains(&parked.life) && cut != Some(&Cut::Hangs)
    }

    fn moving(&self) -> impl Iterator<Item = usize> {
        let parked = self.parked.iter().enumerate();
        parked.filter(|(_, parked)| self.may_go_on(parked)).map(|(index, _)| index)
    }
}

impl Stage {
    /// How many could go on.
    pub fn parked(&self) -> usize {
        self.state().stops.moving().count()
    }

    /// Lets one of the parked go on; `pick` chooses which.
    pub fn release(&self, pick: usize) {
        let mut state = self.state();
        // Whoever was dropped while parked does not count.
        state.stops.parked.retain(|parked| !parked.release.is_closed());
        let count = state.stops.moving().count();
        let picked = state.stops.moving().nth(pick % count.max(1));
        if let Some(index) = picked {
            let parked = state.stops.parked.remove(index);
            drop(state);
            let _ = parked.release.send(());
        }
    }

    /// Lets everything of one process go on. Whether there was anything.
    pub fn release_all_of(&self, life: usize) -> bool {
        let mut state = self.state();
        let stops = &mut state.stops;
        let all = std::mem::take(&mut stops.parked);
        let is_meant = |parked: &Parked| parked.life == life && stops.may_go_on(parked);
        let (go, stay): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
        stops.parked = stay;
        drop(state);
        let any = !go.is_empty();
        for parked in go {
            let _ = parked.release.send(());
        }
        any
    }

    /// Whatever of a process that ends is still under way gets no further.
    pub(super) fn stop_for_ever(&self, life: usize) {
        let stops = &mut self.state().stops;
        let all = std::mem::take(&mut stops.parked);
        let (dead, parked): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|parked| parked.life == life);
        stops.parked = parked;
        stops.never.extend(dead.into_iter().map(|parked| parked.release));
    }

    /// Nothing of a process moves, or everything does again.
    pub fn set_frozen(&self, life: usize, frozen: bool) {
        let stops = &mut self.state().stops;
        if frozen {
            stops.frozen.insert(life);
        } else {
            stops.frozen.remove(&life);
        }
    }

    pub fn is_frozen(&self, life: usize) -> bool {
        self.state().stops.frozen.contains(&life)
    }

    /// A process no longer reaches a place.
    pub fn cut_off(&self, life: usize, place: Place, cut: Cut) {
        self.state().stops.cuts.insert((life, place), cut);
    }

    /// Every process reaches everything again.
    pub fn heal(&self) {
        self.state().stops.cuts.clear();
    }
}

impl Way {
    pub(super) async fn park(&self, at: &'static str) {
        self.park_on_the_way_to(Place::Elsewhere, at).await;
    }

    pub(super) async fn park_on_the_way_to(&self, place: Place, at: &'static str) {
        let released = {
            let mut state = self.stage.state();
            let (release, released) = oneshot::channel();
            if state.lives.contains(&self.life) {
                state.stops.parked.push(Parked { at, place, life: self.life, release });
            } else {
                state.stops.never.push(release);
            }
            released
        };
        // Fails when the case is over.
        let _ = released.await;
    }

    pub(super) fn fails_at(&self, place: Place) -> bool {
        self.stage.state().stops.cuts.get(&(self.life, place)) == Some(&Cut::Fails)
    }
}

impl fmt::Debug for Stops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parked = self.parked.iter().map(|parked| (parked.at, parked.life));
        f.debug_list().entries(parked).entry(&self.frozen).entry(&self.cuts).finish()
    }
}
