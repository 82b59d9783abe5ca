use super::*;
use crate::{
    testing::ManualClock,
    tokens::{GrantTokens, RecordKey},
};

const LIFE: Duration = Duration::from_secs(300);
const ROOM: usize = 1 << 20;

struct World {
    clock: ManualClock,
    cache: TokenCache,
    grant: GrantId,
}

impl World {
    fn new(bytes: usize) -> Self {
        let clock = ManualClock::new();
        let cache = TokenCache::new(clock.clock(), bytes);
        Self { clock, cache, grant: GrantId::random() }
    }

    fn now(&self) -> Moment {
        self.clock.clock().moment()
    }

    fn token(&self, generation: u64) -> Arc<CachedToken> {
        let tokens = GrantTokens::sample(generation, self.now().wall, LIFE);
        Arc::new(CachedToken::new(RecordKey::of(self.grant), &tokens, self.now()))
    }

    fn put(&self, grant: GrantId, generation: u64) -> Arc<CachedToken> {
        self.cache.put(grant, self.token(generation), self.now())
    }

    fn cached_generation(&self) -> Option<u64> {
        self.cache.get(self.grant).map(|token| token.generation.0)
    }
}

#[test]
fn a_read_that_comes_late_does_not_take_the_place_of_a_newer_token() {
    let world = World::new(ROOM);
    assert_eq!(world.put(world.grant, 2).generation.0, 2);
    assert_eq!(world.put(world.grant, 1).generation.0, 2, "the newest known is given");
    assert_eq!(world.cached_generation(), Some(2));
    assert_eq!(world.put(world.grant, 3).generation.0, 3);
    assert_eq!(world.cached_generation(), Some(3));
}

#[test]
fn another_read_of_the_same_token_confirms_the_one_that_is_there() {
    let world = World::new(ROOM);
    let first = world.put(world.grant, 1);
    world.clock.advance(Duration::from_secs(40));
    let began = world.now();

    let again = world.put(world.grant, 1);

    assert!(Arc::ptr_eq(&first, &again), "it keeps the claims that it has decoded");
    assert_eq!(first.confirmed_at(), began);
}

#[test]
fn an_older_read_does_not_confirm_a_newer_token() {
    let world = World::new(ROOM);
    let newer = world.put(world.grant, 2);
    let confirmed_at = newer.confirmed_at();
    world.clock.advance(Duration::from_secs(40));
    world.put(world.grant, 1);
    assert_eq!(newer.confirmed_at(), confirmed_at);
}

#[test]
fn a_token_is_removed_and_a_newer_one_stays() {
    let world = World::new(ROOM);
    let (older, newer) = (world.token(1), world.put(world.grant, 2));
    world.cache.remove_token(world.grant, &older);
    assert_eq!(world.cached_generation(), Some(2));
    world.cache.remove_token(world.grant, &newer);
    assert_eq!(world.cached_generation(), None);
}

#[test]
fn what_nobody_asks_for_leaves_within_two_sweeps() {
    let world = World::new(ROOM);
    let (used, unused) = (world.grant, GrantId::random());
    world.put(used, 1);
    world.put(unused, 1);
    for sweep in 1..=3 {
        world.clock.advance(SWEEP_EVERY);
        assert!(world.cache.get(used).is_some(), "it is asked for each time");
        world.put(GrantId::random(), 1);
        let (tokens, _) = world.cache.usage();
        // Those that came in with the last two sweeps have had no second one yet.
        let others = tokens - 1;
        assert!(others <= sweep.min(2) + usize::from(sweep == 1), "{others} after {sweep} sweeps");
    }
    assert!(world.cache.get(unused).is_none());
}

#[test]
fn its_bytes_are_bounded() {
    let world = World::new(64 * 1024);
    for _ in 0..10_000 {
        world.put(GrantId::random(), 1);
        let (_, bytes) = world.cache.usage();
        assert!(bytes <= 64 * 1024, "{bytes}");
    }
    assert!(world.cache.usage().0 > 50, "the room is used");
}

#[test]
fn a_token_too_heavy_to_be_kept_is_given_all_the_same() {
    let world = World::new(1);
    assert_eq!(world.put(world.grant, 1).generation.0, 1);
    assert_eq!(world.cached_generation(), None);
}
