//! `verify`: the prover against a second opinion.

mod explorer;
mod random;
mod soundness;
