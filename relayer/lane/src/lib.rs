//! Dispatch's pure core: one lane (a chain and a signer) as a fold of its events.
