//! Whether the explorer sees what the prover says, on the path that the prover shows.

use std::collections::BTreeSet;

use pipewright::verify::program::{Program, Step, StepIndex};
use pipewright::verify::{Finding, Judgement, Rule};

use crate::explorer::{self, Reset};

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confirmation {
    /// The machine does what the prover says.
    Seen,
    /// Only the machine does on which no set ever waits.
    ///
    /// On some paths only this keeps two steps apart: a set waits because its flag is still set, and with it all sets
    /// behind it. The prover takes no such order for granted, because what a set does there is not documented. So the
    /// machine is tried as well on which flags count, which differs in that alone; there must also be a set that may
    /// have to wait.
    SeenWithoutStalls,
    /// A flag is set twice or waited for in vain before: what a wait sees then is not defined.
    Masked,
    /// It does not depend on a path: a flag, pipe or address that cannot be, parts that do not balance.
    OnEveryPath,
    /// The machine does not do it.
    Unseen,
}

/// Looks at a finding on its path.
pub(crate) fn confirm(program: &Program, judgement: &Judgement, finding: &Finding) -> Confirmation {
    let of_statements =
        [Rule::EventId, Rule::BarrierPipe, Rule::UnbalancedPath, Rule::CorePipe, Rule::Address];
    if of_statements.contains(&finding.rule) {
        return Confirmation::OnEveryPath;
    }
    let Some(path) =
        finding.path.as_ref().map(|path| path.steps(program)).filter(|path| is_path(program, path))
    else {
        return Confirmation::Unseen;
    };
    let path = &path[..];
    // The two statements can be two executions of one step.
    let frozen = finding.first.and_then(|first| explorer::position(path, first, finding.later));
    let shows = |reset| match finding.rule {
        Rule::DoubleSet | Rule::WaitBeforeSet | Rule::UndrainedFlag | Rule::HiddenFlag => {
            explorer::in_order(program, path).contains(&finding.rule)
        }
        Rule::Deadlock => explorer::hangs(program, path),
        rule => explorer::freeze_one(program, path, frozen, reset).contains(&rule),
    };
    if shows(Reset::Stalls) {
        return Confirmation::Seen;
    }
    let said: BTreeSet<Rule> = judgement.findings.iter().map(|f| f.rule).collect();
    if breaks_protocol(&said) {
        Confirmation::Masked
    } else if said.contains(&Rule::FlagReuse) && shows(Reset::Counts) {
        Confirmation::SeenWithoutStalls
    } else {
        Confirmation::Unseen
    }
}

/// Whether a flag is set twice or waited for in vain in program order, by the kernel or by a call.
pub(crate) fn breaks_protocol(rules: &BTreeSet<Rule>) -> bool {
    [Rule::DoubleSet, Rule::WaitBeforeSet, Rule::HiddenFlag].iter().any(|rule| rules.contains(rule))
}

/// Whether each step can follow the one before.
fn is_path(program: &Program, path: &[StepIndex]) -> bool {
    let follows = |a: StepIndex, b: StepIndex| match program.steps[a] {
        Step::IfBegin { middle, .. } => b == a + 1 || b == middle + 1,
        Step::Else { end } => b == end,
        Step::LoopTest { end, .. } => b == a + 1 || b == end + 1,
        Step::LoopEnd { begin } => b == begin + 1,
        Step::Exit => false,
        _ => b == a + 1,
    };
    path.first() == Some(&0) && path.windows(2).all(|w| follows(w[0], w[1]))
}
