//! The few encodings that block building needs: SCALE lengths, hashes, and the hex of the RPC.
use anyhow::{Context, Result};

/// A BLAKE2b-256 hash: of a header, an extrinsic or a trie node.
pub type Hash = [u8; 32];

/// BLAKE2b with 32 bytes of output.
pub fn blake2_256(data: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(blake2_rfc::blake2b::blake2b(32, &[], data).as_bytes());
    hash
}

/// `n` as SCALE `Compact<u64>`.
pub fn compact(n: u64) -> Vec<u8> {
    match n {
        0..=0x3f => vec![(n as u8) << 2],
        0x40..=0x3fff => ((n as u16) << 2 | 1).to_le_bytes().to_vec(),
        0x4000..=0x3fff_ffff => ((n as u32) << 2 | 2).to_le_bytes().to_vec(),
        _ => {
            let length = (8 - n.leading_zeros() as usize / 8).max(4);
            let mut out = vec![((length as u8 - 4) << 2) | 3];
            out.extend(n.to_le_bytes().iter().take(length));
            out
        }
    }
}

/// `data` as SCALE `Vec<u8>`: its length, then itself.
pub fn sized(data: &[u8]) -> Vec<u8> {
    [compact(data.len() as u64), data.to_vec()].concat()
}

/// The RPC's form of bytes: `0x` and lower-case digits.
pub fn to_hex(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Bytes of a hex string with or without `0x`; fails on anything else.
pub fn from_hex(text: &str) -> Result<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).with_context(|| format!("not hex: {:.40}", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_integers_take_the_shortest_of_the_four_forms() {
        for (n, expected) in [
            (0, "00"),
            (63, "fc"),
            (64, "0101"),
            (16_383, "fdff"),
            (16_384, "02000100"),
            (1 << 30, "0300000040"),
            (u64::MAX, "13ffffffffffffffff"),
        ] {
            assert_eq!(hex::encode(compact(n)), expected, "{n}");
        }
    }

    #[test]
    fn hex_is_read_with_and_without_its_prefix_and_refused_when_odd() {
        assert_eq!(from_hex("0x0aff").ok(), Some(vec![10, 255]));
        assert_eq!(from_hex("0aff").ok(), Some(vec![10, 255]));
        assert!(from_hex("0xabc").is_err());
    }
}
