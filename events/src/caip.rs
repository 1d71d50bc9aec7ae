//! Chain agnostic names: CAIP-2 chains (`eip155:1`), CAIP-10 accounts (`eip155:1:0xab…`), CAIP-19 assets (`eip155:1/slip44:60`).
//!
//! Every block, account and settlement carries one, so copies share the text.

use crate::bytes::Genesis;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no CAIP name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {standard} name: {reason}")]
pub struct CaipError {
    standard: &'static str,
    text: String,
    reason: &'static str,
}

fn check(part: &str, lengths: std::ops::RangeInclusive<usize>, extra: &str) -> bool {
    lengths.contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

macro_rules! caip {
    ($( $(#[doc = $doc:literal])+ $name:ident, $standard:literal, $parse:ident; )*) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl FromStr for $name {
            type Err = CaipError;
            fn from_str(text: &str) -> Result<Self, CaipError> {
                $parse(text)
                    .map(|()| Self(text.into()))
                    .map_err(|reason| CaipError { standard: $standard, text: text.chars().take(120).collect(), reason })
            }
        }
        crate::wire_as_string!($name, $($doc)+);
    )* };
}

caip! {
    /// A chain, CAIP-2: `namespace:reference`.
    ChainId, "CAIP-2", chain;
    /// An account on a chain, CAIP-10.
    AccountId, "CAIP-10", account;
    /// An asset of a chain, CAIP-19.
    AssetId, "CAIP-19", asset;
}

fn check_namespace(part: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (3..=8).contains(&part.len()) && part.chars().all(allowed) { Ok(()) } else { Err("a namespace is not 3 to 8 of a-z, 0-9 and -") }
}

fn chain(text: &str) -> Result<(), &'static str> {
    let (namespace, reference) = text.split_once(':').ok_or("no colon")?;
    check_namespace(namespace)?;
    if check(reference, 1..=32, "-_") { Ok(()) } else { Err("the reference is not 1 to 32 of A-Z, a-z, 0-9, - and _") }
}

fn account(text: &str) -> Result<(), &'static str> {
    let (id, address) = text.rsplit_once(':').ok_or("no colon")?;
    chain(id)?;
    if check(address, 1..=128, "-.%") { Ok(()) } else { Err("the address is not 1 to 128 of A-Z, a-z, 0-9, -, . and %") }
}

fn asset(text: &str) -> Result<(), &'static str> {
    let (id, asset) = text.split_once('/').ok_or("no slash")?;
    chain(id)?;
    let (namespace, reference) = asset.split_once(':').ok_or("no colon after the slash")?;
    check_namespace(namespace)?;
    // A non-fungible asset names its token after a second slash.
    let (reference, token) = reference.split_once('/').map_or((reference, None), |(reference, token)| (reference, Some(token)));
    if !check(reference, 1..=128, "-.%") {
        return Err("the reference is not 1 to 128 of A-Z, a-z, 0-9, -, . and %");
    }
    if token.is_none_or(|token| check(token, 1..=78, "-.%")) {
        Ok(())
    } else {
        Err("the token is not 1 to 78 of A-Z, a-z, 0-9, -, . and %")
    }
}

impl ChainId {
    /// The part before the colon, such as `eip155`.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }
    /// The part after the colon.
    pub fn reference(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, reference)| reference)
    }
    /// The EVM chain of number `id`.
    pub fn evm(id: u64) -> Self {
        Self(format!("eip155:{id}").into())
    }
    /// The Substrate chain of this genesis: `polkadot:` and the first 32 hex digits of its hash.
    pub fn substrate(genesis: &Genesis) -> Self {
        Self(format!("polkadot:{}", hex::encode(genesis.0.split_at(16).0)).into())
    }
    /// The account `address` of this chain.
    ///
    /// # Errors
    /// When the address has characters outside of CAIP-10's alphabet.
    pub fn account(&self, address: &str) -> Result<AccountId, CaipError> {
        format!("{self}:{address}").parse()
    }
    /// The asset `namespace:reference` of this chain, such as `slip44:60`.
    ///
    /// # Errors
    /// When the asset has characters outside of CAIP-19's alphabet.
    pub fn asset(&self, asset: &str) -> Result<AssetId, CaipError> {
        format!("{self}/{asset}").parse()
    }
}
