//! The inherents of a parachain block that has no relay chain: the time, and a made-up relay state with just what the runtime reads.
use crate::chain::Header;
use crate::scale::{Hash, compact, sized};
use crate::trie;

/// Acurast's parachain id.
const PARA_ID: u32 = 3396;
/// Milliseconds of an Aura slot, and of a relay chain slot.
pub const SLOT_MS: u64 = 6_000;

const RELAY_ACTIVE_CONFIG: [u8; 32] = key(0x06de3d8a54d27e44a9d5ce189618f22d, 0xb4b49d95320d9021994c850f25b8e385);
const RELAY_CURRENT_SLOT: [u8; 32] = key(0x1cb6f36e027abb2091cfb5110ab5087f, 0x06155b3cd9a8c9e5e9a23fd5dc13a5ed);
const RELAY_DMQ_HEAD: [u8; 32] = key(0x63f78c98723ddc9073523ef3beefda0c, 0x4d7fefc408aac59dbfe80a72ac8e3ce5);
const RELAY_HRMP_INGRESS: [u8; 32] = key(0x6a0da05ca59913bc38a8630590f2627c, 0x1d3719f5b0b12c7105c073c507445948);
const RELAY_HRMP_EGRESS: [u8; 32] = key(0x6a0da05ca59913bc38a8630590f2627c, 0xf12b746dcf32e843354583c9702cc020);
const RELAY_PARA_HEAD: [u8; 32] = key(0xcd710b30bd2eab0352ddcc26417aa194, 0x1b3c252fcb29d88eff4f3de5de4476c3);

/// A storage prefix from its two halves, as polkadot's well-known keys are written.
#[allow(clippy::indexing_slicing)] // evaluated when compiled
const fn key(pallet: u128, item: u128) -> [u8; 32] {
    let (a, b) = (pallet.to_be_bytes(), item.to_be_bytes());
    let mut out = [0; 32];
    let mut i = 0;
    while i < 16 {
        out[i] = a[i];
        out[i + 16] = b[i];
        i += 1;
    }
    out
}

/// The digest item by which Aura finds the block's slot.
pub fn aura_pre_digest(slot: u64) -> Vec<u8> {
    let mut log = vec![6];
    log.extend(b"aura");
    log.extend(sized(&slot.to_le_bytes()));
    log
}

/// `Timestamp.set(now_ms)` as an unsigned extrinsic.
pub fn timestamp(now_ms: u64) -> Vec<u8> {
    unsigned(&[vec![2, 0], compact(now_ms)].concat())
}

/// `ParachainSystem.set_validation_data` over a relay chain state that holds just what the runtime reads.
pub fn validation_data(parent: &Header, slot: u64) -> Vec<u8> {
    // HostConfiguration as far as cumulus abridges it: code size, head data, queue and message limits, and async backing.
    let config: Vec<u8> = [3_145_728u32, 32_768, 8, 1_048_576, 65_536, 5, 10, 1, 0, 3, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
    let head = parent.encode();
    let mut entries = [
        (RELAY_ACTIVE_CONFIG.to_vec(), config),
        (RELAY_CURRENT_SLOT.to_vec(), slot.to_le_bytes().to_vec()),
        (of_para(RELAY_DMQ_HEAD), vec![0; 32]),
        (of_para(RELAY_HRMP_INGRESS), vec![0]),
        (of_para(RELAY_HRMP_EGRESS), vec![0]),
        (of_para(RELAY_PARA_HEAD), sized(&head)),
    ];
    entries.sort();
    let borrowed: Vec<(&[u8], &[u8])> = entries.iter().map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
    let relay = trie::build(&borrowed, false, None);
    let relay_number = 1_001u32.saturating_add(u32::try_from(parent.number).unwrap_or(u32::MAX));
    let mut call = vec![1, 0];
    call.extend(sized(&head));
    call.extend(relay_number.to_le_bytes());
    call.extend(relay.root as Hash);
    call.extend(5_242_880u32.to_le_bytes()); // max_pov_size, bytes
    call.extend(compact(relay.nodes.len() as u64));
    call.extend(relay.nodes.iter().flat_map(|node| sized(node)));
    call.extend([0, 0]); // no downward and no horizontal messages
    unsigned(&call)
}

fn of_para(prefix: [u8; 32]) -> Vec<u8> {
    let id = PARA_ID.to_le_bytes();
    [prefix.to_vec(), twox_hash::XxHash64::oneshot(0, &id).to_le_bytes().to_vec(), id.to_vec()].concat()
}

fn unsigned(call: &[u8]) -> Vec<u8> {
    sized(&[&[4u8], call].concat())
}
