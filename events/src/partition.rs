//! Which partition a key belongs to: Kafka's murmur2, so that every client agrees (PROTOCOL §3).

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// 32-bit murmur2 with Kafka's seed.
pub fn murmur2(key: &[u8]) -> u32 {
    // Kafka hashes keys of at most 2³¹ − 1 bytes; ours have 32.
    let mut hash = SEED ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = chunk.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of `key` among `partitions`: (murmur2 & 0x7fffffff) mod N.
pub fn partition_of(key: &[u8], partitions: std::num::NonZeroU32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}
