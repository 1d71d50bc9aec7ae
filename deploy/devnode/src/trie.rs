//! A Substrate base-16 Patricia trie built from scratch: its root and every node, for complete proofs.
//!
//! It is given all entries at once, sorted by key, and keeps nothing. The entries come from our own state, never from a request.
#![allow(clippy::indexing_slicing)] // every index is below a depth that the entries' shared prefix has proved
use crate::scale::{Hash, blake2_256, compact};

/// A built trie.
pub struct Trie {
    /// Hash of the top node.
    pub root: Hash,
    /// The nodes that were asked for, sorted.
    pub nodes: Vec<Vec<u8>>,
}

/// Builds the trie of `entries`, sorted by key.
/// `hash_values`: state version 1, under which values of 33 bytes and more are nodes of their own.
/// `wanted`: the keys to prove; `None` keeps every node.
pub fn build(entries: &[(&[u8], &[u8])], hash_values: bool, wanted: Option<&[Vec<u8>]>) -> Trie {
    let wanted: Option<Vec<Vec<u8>>> = wanted.map(|keys| keys.iter().map(|k| nibbles(k)).collect());
    let keyed: Vec<(Vec<u8>, &[u8])> = entries.iter().map(|(k, v)| (nibbles(k), *v)).collect();
    let mut nodes = Vec::new();
    let top = encode(&keyed, 0, hash_values, wanted.as_deref(), &mut nodes);
    let root = blake2_256(&top);
    nodes.push(top);
    nodes.sort();
    nodes.dedup();
    Trie { root, nodes }
}

fn nibbles(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|b| [b >> 4, b & 15]).collect()
}

/// Encodes the node of all `entries` (sorted, sharing their first `depth` nibbles).
fn encode(entries: &[(Vec<u8>, &[u8])], depth: usize, hash_values: bool, wanted: Option<&[Vec<u8>]>, nodes: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let Some((first, _)) = entries.first() else { return vec![0] };
    let last = &entries[entries.len() - 1].0;
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let (value, rest) = if first.len() == shared { (Some(entries[0].1), &entries[1..]) } else { (None, entries) };
    let hashed = hash_values && value.is_some_and(|v| v.len() > 32);

    let (bits, mask) = match (rest.is_empty(), value.is_some(), hashed) {
        (true, _, false) => (0b01u8 << 6, 6),
        (true, _, true) => (0b001 << 5, 5),
        (false, false, _) => (0b10 << 6, 6),
        (false, true, false) => (0b11 << 6, 6),
        (false, true, true) => (0b0001 << 4, 4),
    };
    let partial = &first[depth..shared];
    let mut out = header(bits, mask, partial.len());
    let mut nibbles = partial.iter();
    if partial.len() % 2 == 1 {
        out.extend(nibbles.next());
    }
    while let (Some(a), Some(b)) = (nibbles.next(), nibbles.next()) {
        out.push(a << 4 | b);
    }
    let groups: Vec<&[(Vec<u8>, &[u8])]> = rest.chunk_by(|a, b| a.0[shared] == b.0[shared]).collect();
    if !groups.is_empty() {
        let bitmap = groups.iter().fold(0u16, |m, g| m | 1 << g[0].0[shared]);
        out.extend(bitmap.to_le_bytes());
    }
    if let Some(value) = value {
        if hashed {
            out.extend(blake2_256(value));
            if wanted.is_none_or(|keys| keys.contains(first)) {
                nodes.push(value.to_vec());
            }
        } else {
            out.extend(compact(value.len() as u64));
            out.extend(value);
        }
    }
    for group in groups {
        let child = encode(group, shared + 1, hash_values, wanted, nodes);
        if child.len() < 32 {
            out.extend(compact(child.len() as u64));
            out.extend(child);
        } else {
            out.extend(compact(32));
            out.extend(blake2_256(&child));
            if wanted.is_none_or(|keys| keys.iter().any(|k| k.starts_with(&group[0].0[..=shared]))) {
                nodes.push(child);
            }
        }
    }
    out
}

fn header(bits: u8, size_bits: u32, mut len: usize) -> Vec<u8> {
    let max = (1usize << size_bits) - 1;
    if len < max {
        return vec![bits | len as u8];
    }
    let mut out = vec![bits | max as u8];
    len -= max;
    while len >= 255 {
        out.push(255);
        len -= 255;
    }
    out.push(len as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_trie_has_the_root_that_every_substrate_chain_gives_it() {
        let expected = "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314";
        assert_eq!(hex::encode(build(&[], true, None).root), expected);
    }

    #[test]
    fn a_proof_of_one_key_holds_its_path_and_not_its_neighbours_values() {
        let (near, far) = (vec![1u8; 40], vec![2u8; 40]);
        let entries: Vec<(&[u8], &[u8])> = vec![(b"a", &near), (b"b", &far)];
        let whole = build(&entries, true, None);
        let proof = build(&entries, true, Some(&[b"a".to_vec()]));
        assert_eq!(whole.root, proof.root);
        assert!(proof.nodes.contains(&near) && !proof.nodes.contains(&far));
    }
}
