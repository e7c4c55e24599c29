//! Kernels x pipelines: what each pipeline makes of each kernel, and which is better where.

pub mod model;
