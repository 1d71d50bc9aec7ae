//! Which endpoints of a chain can be relied on: those whose head advances and agrees with the others', not those that
//! answer (R8). Pure: heads, contradictions and time come in, a verdict per endpoint comes out.
//!
//! * **Behind**: it takes about one and a half block times or more to reach a height that others have reached already; a
//!   frozen head is the extreme case. Others count when one of them is trusted or two of them are that far; one untrusted
//!   endpoint alone counts only against one whose head stands still, so that it can't discredit a good one.
//! * **Senseless**: it said something that can't be; until a whole view of the chain made sense, or for a while.
//! * **Set aside**: it contradicted a trusted endpoint or a majority about something final; for a fixed time.
//! * The *chain* stands still when no credible head advances for almost three block times: an alarm, and nobody to turn to.
//!
//! Looked at every quarter of a block time, an endpoint that freezes is noticed within three block times.

use acurast_events::units::Millis;

/// A block time has so many looks.
const LOOKS_PER_BLOCK: u64 = 4;
// In halves of the time between two looks, so that it takes no luck with a timer to be on the right side of a bound.
/// What an endpoint may need to reach a height that others have.
const CATCH_UP_HALVES: u64 = 11;
/// Time without a new head after which one untrusted peer alone counts.
const STILL_HALVES: u64 = 15;
/// Time without a new credible head after which the chain stands still.
const STALLED_HALVES: u64 = 21;
/// How often a quick chain is looked at, at most.
const LOOK_MIN: Millis = Millis(100);
/// How long one that contradicted others is set aside.
const ASIDE: Millis = Millis(300_000);

/// How long nonsense is remembered of one that nobody reads a whole view from.
const REMEMBER: Millis = Millis(60_000);

/// What is known of an endpoint's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// They can be used.
    Healthy,
    /// Its head is frozen, or late.
    Behind {
        /// Its head.
        head: u64,
        /// What others have reached.
        reached: u64,
    },
    /// It said something that can't be.
    Senseless {
        /// What.
        reason: String,
    },
    /// It contradicted a trusted endpoint, or a majority.
    SetAside {
        /// About what.
        reason: String,
    },
}

/// Something that was noticed about one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Its newest block has this height.
    Head(u64),
    /// An answer that can't be.
    Senseless(String),
    /// A whole view of the chain that made sense.
    Sensible,
    /// A contradiction of a trusted endpoint or a majority about something final.
    Contradicts(String),
}

/// A height that others had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chase {
    target: u64,
    since: Millis,
    credible: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    trusted: bool,
    head: Option<u64>,
    /// The highest head so far, and since when.
    highest: Option<(u64, Millis)>,
    chase: Option<Chase>,
    senseless: Option<Until>,
    aside: Option<Until>,
}

/// Something that is held against an endpoint for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Until {
    time: Millis,
    reason: String,
}

fn held(against: Option<&Until>, now: Millis) -> Option<String> {
    against.filter(|until| now < until.time).map(|until| until.reason.clone())
}

impl Member {
    fn credible(&self, now: Millis) -> bool {
        held(self.senseless.as_ref(), now).is_none() && held(self.aside.as_ref(), now).is_none()
    }
}

/// The endpoints of one chain, as far as their health goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolHealth {
    look: Millis,
    members: Vec<Member>,
    /// The highest height that is credible, and since when.
    chain: Option<(u64, Millis)>,
}

fn since(now: Millis, then: Millis) -> u64 {
    now.0.saturating_sub(then.0)
}

impl PoolHealth {
    /// Endpoints of a chain with this block time; for each whether it is trusted.
    pub fn new(block_time: Millis, trusted: impl IntoIterator<Item = bool>) -> Self {
        let member = |trusted| Member { trusted, head: None, highest: None, chase: None, senseless: None, aside: None };
        let look = Millis(block_time.0.checked_div(LOOKS_PER_BLOCK).unwrap_or(0).max(LOOK_MIN.0));
        Self { look, members: trusted.into_iter().map(member).collect(), chain: None }
    }

    /// How often heads should be noticed.
    pub fn look_every(&self) -> Millis {
        self.look
    }

    /// Takes in what was noticed of one endpoint; its verdict after that.
    pub fn evolve(&mut self, index: usize, notice: Notice, now: Millis) -> Health {
        if let Some(member) = self.members.get_mut(index) {
            let for_a = |time: Millis, reason: String| Some(Until { time: Millis(now.0.saturating_add(time.0)), reason });
            match notice {
                Notice::Head(head) => {
                    member.head = Some(head);
                    if member.highest.is_none_or(|(highest, _)| head > highest) {
                        member.highest = Some((head, now));
                    }
                }
                Notice::Senseless(reason) => member.senseless = for_a(REMEMBER, reason),
                Notice::Sensible => member.senseless = None,
                Notice::Contradicts(reason) => member.aside = for_a(ASIDE, reason),
            }
        }
        self.chase_all(now);
        self.verdict(index, now)
    }

    /// The verdict on one endpoint.
    pub fn verdict(&self, index: usize, now: Millis) -> Health {
        let Some(member) = self.members.get(index) else { return Health::Healthy };
        if let Some(reason) = held(member.aside.as_ref(), now) {
            return Health::SetAside { reason };
        }
        if let Some(reason) = held(member.senseless.as_ref(), now) {
            return Health::Senseless { reason };
        }
        let late = member.chase.filter(|chase| {
            let still = member.highest.is_none_or(|(_, at)| since(now, at) >= self.halves(STILL_HALVES));
            since(now, chase.since) >= self.halves(CATCH_UP_HALVES) && (chase.credible || still)
        });
        match (late, member.head) {
            (Some(chase), Some(head)) => Health::Behind { head, reached: chase.target },
            _ => Health::Healthy,
        }
    }

    /// For how long the chain has stood still, once that is too long.
    pub fn stalled(&self, now: Millis) -> Option<Millis> {
        let (_, at) = self.chain?;
        let still = since(now, at);
        (still >= self.halves(STALLED_HALVES)).then_some(Millis(still))
    }

    /// An endpoint's newest height.
    pub fn head(&self, index: usize) -> Option<u64> {
        self.members.get(index)?.head
    }

    /// So many halves of the time between two looks, in milliseconds.
    fn halves(&self, count: u64) -> u64 {
        self.look.0.saturating_mul(count).checked_div(2).unwrap_or(0)
    }

    fn chase_all(&mut self, now: Millis) {
        let catch_up = self.halves(CATCH_UP_HALVES);
        let reached: Vec<Option<(u64, bool)>> = (0..self.members.len()).map(|index| self.reached(Some(index), now)).collect();
        for (member, reached) in self.members.iter_mut().zip(reached) {
            member.chase = match (member.head, reached, member.chase) {
                (Some(head), Some((target, credible)), chase) if target > head => match chase {
                    // Still on the way to what it chased before; how far the others are by now doesn't matter.
                    Some(chase) if head < chase.target => Some(Chase { credible: chase.credible || credible, ..chase }),
                    // One that got there too late stays late until it is where the others are.
                    Some(chase) if since(now, chase.since) >= catch_up => Some(Chase { target, ..chase }),
                    _ => Some(Chase { target, since: now, credible }),
                },
                _ => None,
            };
        }
        // Of a chain's only endpoint, or the only one that was ever seen, the head is all there is.
        if let Some((height, _)) = self.reached(None, now)
            && self.chain.is_none_or(|(before, _)| height > before)
        {
            self.chain = Some((height, now));
        }
    }

    /// What the others than `except` have reached: the highest trusted head or the second highest of all, whichever is
    /// higher; failing both the only one there is, which is not credible alone.
    fn reached(&self, except: Option<usize>, now: Millis) -> Option<(u64, bool)> {
        let others = self.members.iter().enumerate().filter(|(index, member)| Some(*index) != except && member.credible(now));
        let mut heads: Vec<(u64, bool)> = others.filter_map(|(_, member)| member.head.map(|head| (head, member.trusted))).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        let trusted = heads.iter().find(|(_, trusted)| *trusted).map(|(head, _)| *head);
        let second = heads.get(1).map(|(head, _)| *head);
        match trusted.max(second) {
            Some(height) => Some((height, true)),
            None => heads.first().map(|(head, _)| (*head, false)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: u64 = 12_000;
    const LOOK: u64 = BLOCK / LOOKS_PER_BLOCK;

    /// Looks at all endpoints every quarter of a block; `head(index, block)` is what an endpoint says when the chain is at
    /// `block`. The verdicts at the end.
    fn run(trusted: &[bool], looks: u64, phase: u64, head: impl Fn(usize, u64) -> Option<u64>) -> (PoolHealth, Millis) {
        let mut pool = PoolHealth::new(Millis(BLOCK), trusted.iter().copied());
        let mut now = 0;
        for look in 0..=looks {
            now = look * LOOK + phase;
            for index in 0..trusted.len() {
                if let Some(head) = head(index, 100 + now / BLOCK) {
                    pool.evolve(index, Notice::Head(head), Millis(now));
                }
            }
        }
        (pool, Millis(now))
    }

    fn is_behind(pool: &PoolHealth, index: usize, now: Millis) -> bool {
        matches!(pool.verdict(index, now), Health::Behind { .. })
    }

    #[test]
    fn a_frozen_endpoint_that_still_answers_is_noticed_within_three_block_times() {
        for (trusted, frozen) in
            [(&[true, false][..], 0), (&[true, false], 1), (&[false; 3], 0), (&[true, true], 0), (&[true, false, false], 0)]
        {
            for phase in [0, 1, LOOK / 2, LOOK - 1] {
                // Its last block is 105, seen at 5 block times; that of all others follows one block time later.
                let stop = |index: usize, block: u64| Some(if index == frozen { block.min(105) } else { block });
                let looks = (5 + 3) * LOOKS_PER_BLOCK;
                let (pool, now) = run(trusted, looks, phase, stop);
                assert!(is_behind(&pool, frozen, now), "{trusted:?} {frozen} {phase}: {:?}", pool.verdict(frozen, now));
                for other in (0..trusted.len()).filter(|other| *other != frozen) {
                    assert_eq!(pool.verdict(other, now), Health::Healthy, "{trusted:?} {frozen}");
                }
                assert_eq!(pool.stalled(now).is_some(), trusted == [true, false] && frozen == 0, "{trusted:?} {frozen}");
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_a_little_later_than_the_others_is_healthy_and_one_that_trails_is_not() {
        let (pool, now) = run(&[false; 3], 80, 0, |index, block| Some(block - u64::from(index == 2)));
        assert_eq!(pool.verdict(2, now), Health::Healthy, "one block later for ever");
        for looks in 80..100 {
            let (pool, now) = run(&[false; 3], looks, 0, |index, block| Some(if index == 2 { block - 3 } else { block }));
            assert!(is_behind(&pool, 2, now), "three blocks later for ever, looked at {looks} times");
        }
    }

    #[test]
    fn one_that_catches_up_is_healthy_again() {
        let frozen_until = |block: u64| if block < 110 { block.min(105) } else { block };
        let (pool, now) =
            run(&[true, false], 9 * LOOKS_PER_BLOCK, 0, |index, block| Some(if index == 1 { frozen_until(block) } else { block }));
        assert!(is_behind(&pool, 1, now));
        let (pool, now) =
            run(&[true, false], 11 * LOOKS_PER_BLOCK, 0, |index, block| Some(if index == 1 { frozen_until(block) } else { block }));
        assert_eq!(pool.verdict(1, now), Health::Healthy);
    }

    #[test]
    fn one_endpoint_that_invents_heads_discredits_nobody() {
        for trusted in [&[true, false][..], &[false; 3], &[true, false, false]] {
            let liar = trusted.len() - 1;
            let (pool, now) = run(trusted, 60, 0, |index, block| Some(if index == liar { 1 << 60 } else { block }));
            for honest in 0..liar {
                assert_eq!(pool.verdict(honest, now), Health::Healthy, "{trusted:?} {honest}");
            }
            assert_eq!(pool.stalled(now), None);
        }
    }

    #[test]
    fn a_chain_that_stands_still_is_told_within_three_block_times_and_discredits_nobody() {
        for trusted in [&[true][..], &[true, false], &[false; 3]] {
            let (pool, now) = run(trusted, 8 * LOOKS_PER_BLOCK, 0, |_, block| Some(block.min(105)));
            assert!(pool.stalled(now).is_some(), "{trusted:?}");
            assert!((0..trusted.len()).all(|index| pool.verdict(index, now) == Health::Healthy));
            let (pool, now) = run(trusted, 60, 0, |_, block| Some(block));
            assert_eq!(pool.stalled(now), None);
        }
    }

    #[test]
    fn an_inventor_of_heads_does_not_hide_that_two_others_stand_still() {
        let (pool, now) = run(&[false; 3], 40, 0, |index, block| Some(if index == 0 { block * 1_000 } else { block.min(105) }));
        assert!(pool.stalled(now).is_some());
    }

    #[test]
    fn nonsense_is_forgiven_with_sense_and_a_contradiction_with_time() {
        let mut pool = PoolHealth::new(Millis(BLOCK), [true, false]);
        assert!(matches!(pool.evolve(1, Notice::Senseless("null".into()), Millis(0)), Health::Senseless { .. }));
        assert_eq!(pool.evolve(1, Notice::Sensible, Millis(1)), Health::Healthy);
        pool.evolve(1, Notice::Senseless("null".into()), Millis(1));
        assert_eq!(pool.verdict(1, Millis(1 + REMEMBER.0)), Health::Healthy);
        assert!(matches!(pool.evolve(1, Notice::Contradicts("block 5".into()), Millis(2)), Health::SetAside { .. }));
        assert!(matches!(pool.evolve(1, Notice::Sensible, Millis(3)), Health::SetAside { .. }));
        assert_eq!(pool.verdict(1, Millis(2 + ASIDE.0)), Health::Healthy);
    }

    proptest! {
        #[test]
        fn an_endpoint_that_always_has_the_highest_credible_head_is_never_behind(
            steps in proptest::collection::vec((1_usize..4, 0_u64..3, 0_u64..20_000), 1..200),
        ) {
            let mut pool = PoolHealth::new(Millis(BLOCK), [true, false, false, false]);
            let (mut now, mut top) = (0, [0_u64; 4]);
            for (index, up, pass) in steps {
                now += pass;
                top[index] += up;
                // The first one is told first, so nobody is ever ahead of it.
                top[0] = top[0].max(top[index]);
                pool.evolve(0, Notice::Head(top[0]), Millis(now));
                pool.evolve(index, Notice::Head(top[index]), Millis(now));
                prop_assert_eq!(pool.verdict(0, Millis(now)), Health::Healthy);
            }
        }

        #[test]
        fn a_single_untrusted_endpoint_never_discredits_one_whose_head_advances(
            claims in proptest::collection::vec(0_u64..1 << 40, 40),
        ) {
            let (pool, now) = run(&[true, false], 39, 0, |index, block| Some(if index == 0 { block } else { claims[(block % 40) as usize] }));
            prop_assert_eq!(pool.verdict(0, now), Health::Healthy);
        }
    }
}
