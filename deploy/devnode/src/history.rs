//! A bounded memory of what belongs to blocks: the newest ones by height, and genesis for ever.
use crate::scale::Hash;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Values by block hash. Forks count as blocks of their height, so a rewound chain stays bounded too.
pub struct History<T> {
    keep: u64,
    values: HashMap<Hash, Arc<T>>,
    heights: BTreeMap<u64, Vec<Hash>>,
}

impl<T> History<T> {
    /// Keeps genesis and the last `keep` heights below and including the newest one given.
    pub fn new(keep: u64) -> History<T> {
        History { keep, values: HashMap::new(), heights: BTreeMap::new() }
    }

    /// Adds or replaces the value of one block and forgets what is now too old.
    pub fn insert(&mut self, number: u64, hash: Hash, value: Arc<T>) {
        if self.values.insert(hash, value).is_none() && number > 0 {
            self.heights.entry(number).or_default().push(hash);
        }
        while let Some(oldest) = self.heights.first_entry().filter(|oldest| oldest.key().saturating_add(self.keep) <= number) {
            for hash in oldest.remove() {
                self.values.remove(&hash);
            }
        }
    }

    /// The value of a block, unless it was forgotten or never known.
    pub fn get(&self, hash: &Hash) -> Option<Arc<T>> {
        self.values.get(hash).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_genesis_and_the_newest_heights_are_kept_forks_included() {
        let mut history = History::new(3);
        for n in 0..10u8 {
            history.insert(n.into(), [n; 32], Arc::new(n));
            history.insert(n.into(), [100 + n; 32], Arc::new(n));
        }
        let kept: Vec<u8> = (1..10).filter(|n| history.get(&[*n; 32]).is_some()).collect();
        assert_eq!(kept, [7, 8, 9]);
        assert!(history.get(&[106; 32]).is_none() && history.get(&[107; 32]).is_some(), "forks live as long as their height");
        assert_eq!(history.get(&[0; 32]).as_deref(), Some(&0), "genesis stays");
    }
}
