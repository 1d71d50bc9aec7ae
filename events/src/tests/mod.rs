//! Tests of what is released: golden bytes, schemas, and the wire itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub
)]

mod golden;
mod protoc;
mod reference;
pub(crate) mod sample;
mod schema;
mod view;
mod wire;

use std::path::PathBuf;

/// What `BLESS` allows a test to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bless {
    /// Nothing: a difference fails the test.
    Nothing,
    /// `BLESS=1`: what is new. Released bytes stay.
    New,
    /// `BLESS=all`: everything anew. For work before a release only.
    All,
}

fn bless() -> Bless {
    match std::env::var("BLESS").as_deref() {
        Ok("all") => Bless::All,
        Ok(_) => Bless::New,
        Err(_) => Bless::Nothing,
    }
}

fn crate_path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}
