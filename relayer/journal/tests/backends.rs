//! One suite for all back ends of the event journal, written from R11 and R12. A back end joins with one line below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod embedded;

contract::suite!(embedded_journal, crate::embedded::Directory);
contract::suite!(simulated_journal, crate::contract::simulated::InMemory);
