//! `verify`: the prover against a second opinion, on random programs and on real kernels.

mod agreement;
mod calls;
mod conditional;
mod confirm;
mod corpus;
mod examples;
mod explorer;
mod kernels;
mod mutation;
mod origins;
mod paths;
mod pipelines;
mod places;
mod random;
mod soundness;
mod turns;
