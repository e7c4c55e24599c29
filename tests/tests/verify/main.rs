//! `verify`: the prover against a second opinion, on random programs and on real kernels.

mod calls;
mod confirm;
mod corpus;
mod examples;
mod explorer;
mod kernels;
mod mutation;
mod pipelines;
mod places;
mod random;
mod soundness;
mod turns;
