//! The chain: headers, the states of recent blocks, runtime calls through smoldot's executor, and block building.
//!
//! It isn't a consensus node: one author, blocks on request, and a head that can be moved.
//! Invariant: `head` has a header, a state and a body, and `by_number` is the chain of headers that ends in it.
use crate::history::History;
use crate::inherents::{SLOT_MS, aura_pre_digest, timestamp, validation_data};
use crate::scale::{Hash, blake2_256, compact, from_hex};
use crate::trie;
use anyhow::{Context, Result, anyhow, bail, ensure};
use smoldot::executor::{host, runtime_call, storage_diff::TrieDiff, vm};
use smoldot::trie::{TrieEntryVersion, nibbles_to_bytes_suffix_extend};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Storage of one block, by key.
pub type State = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// States are kept for this many of the newest blocks (twice what ordinary nodes keep), and for genesis.
pub const STATES_KEPT: u64 = 512;
/// Bodies are smaller and kept longer. Headers are kept for ever.
pub const BODIES_KEPT: u64 = 16_384;
/// Transactions that wait for the next block.
pub const POOL_MAX: usize = 4_096;

/// What identifies a block and its place in the chain.
#[derive(Clone)]
pub struct Header {
    /// Hash of the block before.
    pub parent: Hash,
    /// Height; genesis is 0.
    pub number: u64,
    /// Root of the storage after the block.
    pub state_root: Hash,
    /// Root of the block's extrinsics.
    pub extrinsics_root: Hash,
    /// Encoded digest items.
    pub logs: Vec<Vec<u8>>,
}

impl Header {
    /// SCALE bytes; their BLAKE2b-256 is the block's hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.parent.to_vec();
        out.extend(compact(self.number));
        out.extend(self.state_root);
        out.extend(self.extrinsics_root);
        out.extend(compact(self.logs.len() as u64));
        out.extend(self.logs.concat());
        out
    }
}

/// A header with its hash and the block's time.
pub struct Block {
    /// BLAKE2b-256 of the encoded header.
    pub hash: Hash,
    /// The header.
    pub header: Header,
    /// The block's timestamp, ms since the Unix epoch.
    pub time_ms: u64,
}

/// One chain with its runtime, its clock and its pool.
pub struct Chain {
    // Taken while a call runs; empty only after a call that unwound, which every later call reports.
    runtime: Option<host::HostVmPrototype>,
    blocks: HashMap<Hash, Arc<Block>>,
    by_number: Vec<Hash>,
    states: History<State>,
    bodies: History<Vec<Vec<u8>>>,
    head: Arc<Block>,
    clock_ms: u64,
    pool: Vec<Vec<u8>>,
    properties: serde_json::Value,
}

impl Chain {
    /// The genesis of a raw chain spec, its clock at `clock_ms`. Fails when the spec isn't raw or its runtime doesn't compile.
    pub fn from_spec(spec: &serde_json::Value, clock_ms: u64) -> Result<Chain> {
        let top =
            spec.pointer("/genesis/raw/top").and_then(|top| top.as_object()).context("not a raw chain spec: genesis.raw.top is missing")?;
        let mut state = State::new();
        for (key, value) in top {
            state.insert(from_hex(key)?, from_hex(value.as_str().context("a genesis value isn't a string")?)?.into());
        }
        let code = state.get(&b":code"[..]).context("the chain spec has no runtime (:code)")?;
        let runtime = host::HostVmPrototype::new(host::Config {
            module: &code[..],
            heap_pages: vm::HeapPages::new(2048),
            exec_hint: vm::ExecHint::ValidateAndCompile,
            allow_unresolved_imports: true,
        })
        .map_err(|e| anyhow!("the runtime doesn't compile: {e}"))?;
        let header = Header {
            parent: [0; 32],
            number: 0,
            state_root: root(&state),
            extrinsics_root: trie::build(&[], false, None).root,
            logs: vec![],
        };
        let clock_ms = clock_ms - clock_ms % SLOT_MS;
        let genesis = Arc::new(Block { hash: blake2_256(&header.encode()), header, time_ms: clock_ms });
        let mut chain = Chain {
            runtime: Some(runtime),
            blocks: HashMap::new(),
            by_number: vec![],
            states: History::new(STATES_KEPT),
            bodies: History::new(BODIES_KEPT),
            head: genesis.clone(),
            clock_ms,
            pool: vec![],
            properties: spec.get("properties").cloned().unwrap_or_default(),
        };
        chain.push(genesis, state, vec![]);
        Ok(chain)
    }

    /// The newest block.
    pub fn head(&self) -> Arc<Block> {
        self.head.clone()
    }

    /// The block of that hash, on the chain or on an abandoned fork.
    pub fn block(&self, hash: &Hash) -> Option<Arc<Block>> {
        self.blocks.get(hash).cloned()
    }

    /// The chain's block of that height.
    pub fn block_at(&self, number: u64) -> Option<Arc<Block>> {
        self.block(self.by_number.get(usize::try_from(number).ok()?)?)
    }

    /// Storage after a block; fails when it is older than `STATES_KEPT` blocks.
    pub fn state(&self, block: &Block) -> Result<Arc<State>> {
        self.states
            .get(&block.hash)
            .with_context(|| format!("state pruned: block {} is older than {STATES_KEPT} blocks", block.header.number))
    }

    /// Extrinsics of a block; fails when it is older than `BODIES_KEPT` blocks.
    pub fn body(&self, block: &Block) -> Result<Arc<Vec<Vec<u8>>>> {
        self.bodies
            .get(&block.hash)
            .with_context(|| format!("body pruned: block {} is older than {BODIES_KEPT} blocks", block.header.number))
    }

    /// Properties of the chain spec.
    pub fn properties(&self) -> &serde_json::Value {
        &self.properties
    }

    /// Runs one runtime function over `state` plus `diff`; returns its output and leaves its writes in `diff`.
    fn call(&mut self, state: &State, diff: &mut TrieDiff, function: &str, input: &[u8]) -> Result<Vec<u8>> {
        let vm = self.runtime.take().context("an earlier call lost the runtime; restart the node")?;
        let mut run = match runtime_call::run(runtime_call::Config {
            virtual_machine: vm,
            function_to_call: function,
            parameter: std::iter::once(input),
            storage_main_trie_changes: std::mem::replace(diff, TrieDiff::empty()),
            storage_proof_size_behavior: runtime_call::StorageProofSizeBehavior::ConstantReturnValue(0),
            max_log_level: 0,
            calculate_trie_changes: false,
        }) {
            Ok(run) => run,
            Err((e, vm)) => {
                self.runtime = Some(vm);
                bail!("{function}: {e}");
            }
        };
        loop {
            run = match run {
                runtime_call::RuntimeCall::Finished(Ok(done)) => {
                    let out = done.virtual_machine.value().as_ref().to_vec();
                    self.runtime = Some(done.virtual_machine.into_prototype());
                    *diff = done.storage_changes.into_main_trie_diff();
                    return Ok(out);
                }
                runtime_call::RuntimeCall::Finished(Err(e)) => {
                    self.runtime = Some(e.prototype);
                    bail!("{function}: {}", e.detail);
                }
                runtime_call::RuntimeCall::StorageGet(get) => {
                    let value = if get.child_trie().is_some() { None } else { state.get(get.key().as_ref()).cloned() };
                    get.inject_value(value.map(|v| (std::iter::once(v), TrieEntryVersion::V1)))
                }
                runtime_call::RuntimeCall::NextKey(next) if next.branch_nodes() => next.inject_key(None::<std::iter::Empty<_>>),
                runtime_call::RuntimeCall::NextKey(next) => {
                    let key: Vec<u8> = nibbles_to_bytes_suffix_extend(next.key()).collect();
                    let prefix: Vec<u8> = nibbles_to_bytes_suffix_extend(next.prefix()).collect();
                    let or_equal = next.or_equal();
                    let found = state
                        .range(key.clone()..)
                        .find(|(k, _)| or_equal || **k != key)
                        .map(|(k, _)| k.clone())
                        .filter(|k| k.starts_with(&prefix));
                    next.inject_key(found.map(|k| smoldot::trie::bytes_to_nibbles(k.into_iter())))
                }
                runtime_call::RuntimeCall::ClosestDescendantMerkleValue(c) => c.resume_unknown(),
                runtime_call::RuntimeCall::SignatureVerification(s) => s.verify_and_resume(),
                runtime_call::RuntimeCall::LogEmit(l) => l.resume(),
                runtime_call::RuntimeCall::OffchainStorageSet(o) => o.resume(),
                other => {
                    self.runtime = Some(other.into_prototype());
                    bail!("{function}: off-chain functions are not available");
                }
            };
        }
    }

    /// Runs a runtime function at a block and throws its writes away.
    pub fn query(&mut self, block: &Block, function: &str, input: &[u8]) -> Result<Vec<u8>> {
        let state = self.state(block)?;
        self.call(&state, &mut TrieDiff::empty(), function, input)
    }

    /// Takes an encoded extrinsic into the pool when the runtime finds it valid at the head; returns its hash.
    pub fn submit(&mut self, extrinsic: Vec<u8>) -> Result<Hash> {
        ensure!(self.pool.len() < POOL_MAX, "the pool is full: {POOL_MAX} transactions wait for dev_newBlock");
        let head = self.head();
        let input = [&[2u8], &extrinsic[..], &head.hash].concat(); // 2: from an external source
        let verdict = self.query(&head, "TaggedTransactionQueue_validate_transaction", &input)?;
        ensure!(verdict.first() == Some(&0), "invalid transaction: 0x{}", hex::encode(&verdict));
        let hash = blake2_256(&extrinsic);
        self.pool.push(extrinsic);
        Ok(hash)
    }

    /// Builds a block with the pool's transactions. Those that the runtime refuses are dropped.
    pub fn build_from_pool(&mut self) -> Result<Arc<Block>> {
        let pool = std::mem::take(&mut self.pool);
        // A failed build must not lose what was submitted.
        self.build(&pool).inspect_err(|_| self.pool = pool)
    }

    /// Builds a block on the head, one slot later than the clock. Transactions that the runtime refuses as invalid, or
    /// that don't fit any more, are left out; when the block itself fails, nothing has changed.
    pub fn build(&mut self, transactions: &[Vec<u8>]) -> Result<Arc<Block>> {
        let parent = self.head();
        let parent_state = self.state(&parent)?;
        let time_ms = self.clock_ms.saturating_add(SLOT_MS);
        let slot = time_ms / SLOT_MS;
        let mut header = Header {
            parent: parent.hash,
            number: parent.header.number.saturating_add(1),
            state_root: [0; 32],
            extrinsics_root: [0; 32],
            logs: vec![aura_pre_digest(slot)],
        };
        let mut diff = TrieDiff::empty();
        self.call(&parent_state, &mut diff, "Core_initialize_block", &header.encode())?;
        let mut body = vec![];
        for inherent in [timestamp(time_ms), validation_data(&parent.header, slot)] {
            let out = self.call(&parent_state, &mut diff, "BlockBuilder_apply_extrinsic", &inherent)?;
            ensure!(out == [0, 0], "inherent rejected: 0x{}", hex::encode(out));
            body.push(inherent);
        }
        for transaction in transactions {
            let before = diff.clone();
            match self.call(&parent_state, &mut diff, "BlockBuilder_apply_extrinsic", transaction) {
                Ok(out) if out.first() == Some(&0) => body.push(transaction.clone()),
                _ => diff = before,
            }
        }
        let sealed = self.call(&parent_state, &mut diff, "BlockBuilder_finalize_block", &[])?;
        // The runtime's header: parent, number, state root, extrinsics root, digest. Only the extrinsics root is taken:
        // the state root is computed here, since the executor was told not to calculate tries.
        let at = 32 + compact(header.number).len() + 32;
        header.extrinsics_root = sealed.get(at..at + 32).context("the runtime returned a short header")?.try_into()?;
        let mut state = (*parent_state).clone();
        for (key, value, ()) in diff.diff_into_iter_unordered() {
            match value {
                Some(value) => state.insert(key, value.into()),
                None => state.remove(&key),
            };
        }
        header.state_root = root(&state);
        let block = Arc::new(Block { hash: blake2_256(&header.encode()), header, time_ms });
        self.clock_ms = time_ms;
        self.push(block.clone(), state, body);
        Ok(block)
    }

    fn push(&mut self, block: Arc<Block>, state: State, body: Vec<Vec<u8>>) {
        let number = block.header.number;
        self.by_number.truncate(usize::try_from(number).unwrap_or(usize::MAX));
        self.by_number.push(block.hash);
        self.states.insert(number, block.hash, Arc::new(state));
        self.bodies.insert(number, block.hash, Arc::new(body));
        self.blocks.insert(block.hash, block.clone());
        self.head = block;
    }

    /// Overwrites storage of the head block, whose hash stays the same: set what a block's facts depend on before that block is mined.
    pub fn set_storage(&mut self, pairs: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        let mut state = (*self.state(&self.head)?).clone();
        for (key, value) in pairs {
            match value {
                Some(value) => state.insert(key, value.into()),
                None => state.remove(&key),
            };
        }
        self.states.insert(self.head.header.number, self.head.hash, Arc::new(state));
        Ok(())
    }

    /// Makes an earlier block, or one of a fork, the head. Fails when its state is pruned.
    pub fn set_head(&mut self, block: Arc<Block>) -> Result<()> {
        self.state(&block)?;
        let mut chain = vec![];
        let mut at = block.clone();
        while self.by_number.get(usize::try_from(at.header.number)?) != Some(&at.hash) {
            chain.push(at.hash);
            at = self.block(&at.header.parent).context("a fork without its parent")?;
        }
        self.by_number.truncate(usize::try_from(at.header.number)?.saturating_add(1));
        self.by_number.extend(chain.into_iter().rev());
        self.head = block;
        Ok(())
    }

    /// Sets the clock; the next block is one slot later. Fails when that is before the head's own time.
    pub fn time_travel(&mut self, clock_ms: u64) -> Result<()> {
        ensure!(clock_ms >= self.head.time_ms, "the clock can't go back: the head's time is {} ms", self.head.time_ms);
        self.clock_ms = clock_ms;
        Ok(())
    }
}

/// The state root under state version 1.
fn root(state: &State) -> Hash {
    let entries: Vec<(&[u8], &[u8])> = state.iter().map(|(k, v)| (&k[..], &v[..])).collect();
    trie::build(&entries, true, Some(&[])).root
}
