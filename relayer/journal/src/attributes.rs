//! Attributes of a record: what Kafka calls headers, CloudEvents' context attributes in its Kafka binding.

/// Bytes of a length.
const LENGTH: usize = size_of::<usize>();

/// Named attributes of a record, in order. They repeat the value for subscribers and decide nothing.
///
/// Packed into one buffer: every reader of a record carries them along, and hardly one looks at them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    count: usize,
    /// Of each its name and its value, both behind their lengths.
    packed: Vec<u8>,
}

impl Attributes {
    /// Adds one: a name, such as `ce_type`, and its value, which is UTF-8 when we wrote it.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.packed.extend_from_slice(&part.len().to_le_bytes());
            self.packed.extend_from_slice(part);
        }
        self.count = self.count.saturating_add(1);
    }

    /// All, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.packed[..];
        std::iter::from_fn(move || Some((std::str::from_utf8(part(&mut rest)?).unwrap_or_default(), part(&mut rest)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of names and values together.
    pub fn size_bytes(&self) -> usize {
        self.packed.len().saturating_sub(self.count.saturating_mul(2 * LENGTH))
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (part, behind) = behind.split_at_checked(usize::from_le_bytes(*length))?;
    *rest = behind;
    Some(part)
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(attributes: I) -> Self {
        let mut all = Self::default();
        for (name, value) in attributes {
            all.push(name.as_ref(), value.as_ref());
        }
        all
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_comes_back_in_order_and_is_measured(
            pairs in proptest::collection::vec((".{0,12}", proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
        ) {
            let attributes: Attributes = pairs.iter().map(|(name, value)| (name, value)).collect();
            let back: Vec<_> = attributes.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(&back, &pairs);
            prop_assert_eq!((attributes.len(), attributes.is_empty()), (pairs.len(), pairs.is_empty()));
            prop_assert_eq!(attributes.size_bytes(), pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
        }
    }
}
