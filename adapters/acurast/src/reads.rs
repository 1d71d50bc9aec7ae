//! What decoding needs from the chain beside the block itself, as data.
//!
//! The decoder is pure: it asks for [`Need`]s and is called again with their [`Answers`], until nothing is missing. Two
//! or three rounds suffice (registrations and key lists, then the values under the listed keys). A recording is nothing
//! but the answers, so a replay runs exactly the code that ran against the node.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The state that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// After the block.
    Block,
    /// Before it: after its parent.
    Parent,
}

/// One thing that has to be known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The value under a storage key.
    Value(At, Vec<u8>),
    /// All storage keys that begin so, in ascending order.
    Keys(At, Vec<u8>),
    /// The bytes of the block's extrinsic of this index.
    Extrinsic(u32),
}

/// What the chain says to a [`Need`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The value; nothing is stored there.
    Value(Option<Vec<u8>>),
    /// The keys.
    Keys(Vec<Vec<u8>>),
    /// The extrinsic; the block has none of this index.
    Extrinsic(Option<Vec<u8>>),
}

/// All answers that were gathered for a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(pub BTreeMap<Need, Answer>);

/// Something is not known yet; it was noted and the decoder has to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing;

/// The result of a decoder's pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass<T> {
    /// These are needed first.
    Needs(Vec<Need>),
    /// The result.
    Done(T),
}

/// Looks answers up and notes what is missing.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    answers: &'a Answers,
    missing: RefCell<BTreeSet<Need>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(answers: &'a Answers) -> Self {
        Self { answers, missing: RefCell::new(BTreeSet::new()) }
    }

    /// The value under `key`.
    pub(crate) fn value(&self, at: At, key: Vec<u8>) -> Result<Option<&'a [u8]>, Missing> {
        let need = Need::Value(at, key);
        match self.answers.0.get(&need) {
            Some(Answer::Value(value)) => Ok(value.as_deref()),
            _ => self.note(need),
        }
    }

    /// The keys under `prefix`.
    pub(crate) fn keys(&self, at: At, prefix: Vec<u8>) -> Result<&'a [Vec<u8>], Missing> {
        let need = Need::Keys(at, prefix);
        match self.answers.0.get(&need) {
            Some(Answer::Keys(keys)) => Ok(keys),
            _ => self.note(need),
        }
    }

    /// An extrinsic's bytes.
    pub(crate) fn extrinsic(&self, index: u32) -> Result<Option<&'a [u8]>, Missing> {
        let need = Need::Extrinsic(index);
        match self.answers.0.get(&need) {
            Some(Answer::Extrinsic(bytes)) => Ok(bytes.as_deref()),
            _ => self.note(need),
        }
    }

    fn note<T>(&self, need: Need) -> Result<T, Missing> {
        self.missing.borrow_mut().insert(need);
        Err(Missing)
    }

    /// What was asked for in vain.
    pub(crate) fn missing(self) -> Vec<Need> {
        self.missing.into_inner().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_noted_once_and_what_is_known_is_not() {
        let known = Need::Value(At::Block, vec![1]);
        let answers = Answers(BTreeMap::from([(known, Answer::Value(None))]));
        let reader = Reader::new(&answers);
        assert_eq!(reader.value(At::Block, vec![1]), Ok(None));
        assert_eq!(reader.value(At::Parent, vec![1]), Err(Missing));
        assert_eq!(reader.value(At::Parent, vec![1]), Err(Missing));
        assert_eq!(reader.extrinsic(2), Err(Missing));
        assert_eq!(reader.missing(), [Need::Value(At::Parent, vec![1]), Need::Extrinsic(2)]);
    }
}
