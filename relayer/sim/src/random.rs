//! Randomness from a seed: the same seed and stream give the same numbers, on every machine.
//!
//! Each part of a world draws from a stream of its own, so that what one part draws never shifts another: the weather of a
//! seed is the same with and without a crash.

/// A stream of numbers (xorshift; statistical quality is of no matter here, repetition is).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream named `stream` of a seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        let named = stream.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |state, byte| mix(state ^ u64::from(byte)));
        Self(mix(named) | 1)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        mix(self.0)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw().checked_rem(n).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a thousand draws.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// An index into something of this length; 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Brings items into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.index(at + 1);
            items.swap(at, other);
        }
    }
}

/// The finaliser of splitmix64: neighbouring seeds give unrelated streams.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_itself_and_differs_from_others() {
        let draw = |seed, stream| (0..8).scan(Random::new(seed, stream), |random, _| Some(random.draw())).collect::<Vec<_>>();
        assert_eq!(draw(7, "weather"), draw(7, "weather"));
        assert_ne!(draw(7, "weather"), draw(8, "weather"));
        assert_ne!(draw(7, "weather"), draw(7, "chain"));
    }

    #[test]
    fn a_draw_stays_within_its_bounds() {
        let mut random = Random::new(1, "bounds");
        assert!((0..1_000).all(|_| (3..=9).contains(&random.between(3, 9))));
        assert_eq!(random.below(0), 0);
    }
}
