//! Whether each construct changes a flag by the same number of tokens whichever way it is gone through.

use std::collections::BTreeMap;

use super::program::{KeyIndex, Program, Step, StepIndex};

/// A construct whose ways through it leave a flag with different numbers of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unbalanced {
    /// Begin of the construct.
    pub(super) construct: StepIndex,
    /// The flag.
    pub(super) key: KeyIndex,
    /// Sets minus waits of the then part and the else part, or of one trip and of none; none for a part that itself
    /// has no single number.
    pub(super) net: [Option<i64>; 2],
}

/// For each flag sets minus waits; none if that depends on the way. A flag that is not named has 0.
type Net = BTreeMap<KeyIndex, Option<i64>>;

/// All such constructs, in program order. A construct that only contains another one is not named again.
pub(super) fn unbalanced(program: &Program) -> Vec<Unbalanced> {
    let mut found = Vec::new();
    range(program, 0, program.steps.len(), &mut found);
    found.sort_unstable();
    found
}

fn range(program: &Program, from: StepIndex, to: StepIndex, found: &mut Vec<Unbalanced>) -> Net {
    let mut net = Net::new();
    let mut at = from;
    while at < to {
        match program.steps[at] {
            Step::Set(key) => add(&mut net, key, Some(1)),
            Step::Wait(key) => add(&mut net, key, Some(-1)),
            Step::LoopBegin { test, end, trips } => {
                let head = range(program, at + 1, test, found);
                let mut trip = range(program, test + 1, end, found);
                head.iter().for_each(|(&key, &n)| add(&mut trip, key, n));
                head.into_iter().for_each(|(key, n)| add(&mut net, key, n));
                let known = trips.max.filter(|&max| max == trips.min);
                for (key, n) in trip {
                    let all = match (n, known) {
                        (_, Some(0)) | (Some(0), _) => Some(0),
                        (Some(n), Some(trips)) => {
                            Some(n.saturating_mul(i64::try_from(trips).unwrap_or(i64::MAX)))
                        }
                        (Some(n), None) => {
                            found.push(Unbalanced { construct: at, key, net: [Some(n), Some(0)] });
                            None
                        }
                        (None, _) => None,
                    };
                    add(&mut net, key, all);
                }
                at = end;
            }
            Step::IfBegin { middle, end } => {
                let then = range(program, at + 1, middle, found);
                let otherwise = range(program, middle + 1, end, found);
                let keys: std::collections::BTreeSet<_> =
                    then.keys().chain(otherwise.keys()).copied().collect();
                for key in keys {
                    let [a, b] = [&then, &otherwise].map(|part| part.get(&key).copied().unwrap_or(Some(0)));
                    if let (Some(a), Some(b)) = (a, b)
                        && a != b
                    {
                        found.push(Unbalanced { construct: at, key, net: [Some(a), Some(b)] });
                    }
                    add(&mut net, key, if a == b { a } else { None });
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    net
}

fn add(net: &mut Net, key: KeyIndex, more: Option<i64>) {
    let sum = net.entry(key).or_insert(Some(0));
    *sum = match (*sum, more) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        _ => None,
    };
}
