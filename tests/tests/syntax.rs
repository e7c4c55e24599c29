//! Reading and writing `.pto` text: diagnostics, round trips, and inputs that nobody would write.

#[path = "syntax/diagnostics.rs"]
mod diagnostics;
#[path = "syntax/fuzz.rs"]
mod fuzz;
#[path = "syntax/generate.rs"]
mod generate;
#[path = "syntax/round_trip.rs"]
mod round_trip;
#[path = "syntax/same.rs"]
mod same;

use std::sync::LazyLock;

use pipewright::target;
use pipewright_abi::target::TargetData;
use pipewright_tests::workspace;

/// The target that everything here is read with.
static TARGET: LazyLock<TargetData> = LazyLock::new(|| {
    let file = workspace().join("pipelines/targets/a3.toml");
    target::load(&file, &[]).expect("the target can be read")
});
