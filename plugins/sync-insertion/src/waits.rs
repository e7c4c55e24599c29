//! What stands where: waits with their sets, and barriers, indexed for scans that go backward.
//!
//! Positions are counted twice as fine as nodes: before node n is 2n, n itself and after it is 2n + 1.

/// A set of pipes.
pub(crate) type Pipes = u64;

/// The set of one pipe.
pub(crate) fn only(pipe: u32) -> Pipes {
    1 << pipe
}

/// A wait with its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Position of the wait.
    pub(crate) at: u32,
    /// Position of its set.
    pub(crate) set: u32,
}

/// Waits ascending by position, in runs of [`RUN`] with the latest set of each run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    waits: Vec<Wait>,
    latest_set: Vec<u32>,
}

const RUN: usize = 64;

impl Waits {
    pub(crate) fn add(&mut self, wait: Wait) {
        let position = self.below(wait.at + 1);
        self.waits.insert(position, wait);
        let run = position / RUN;
        if position + 1 == self.waits.len() {
            self.latest_set.resize(run + 1, 0);
            self.latest_set[run] = self.latest_set[run].max(wait.set);
        } else {
            self.latest_set.truncate(run);
            let latest = |run: &[Wait]| run.iter().map(|w| w.set).max().unwrap_or(0);
            self.latest_set.extend(self.waits[run * RUN..].chunks(RUN).map(latest));
        }
    }

    /// The last wait below `below` and not below `least`, whose set is not below `least_set`, that satisfies `want`.
    pub(crate) fn last(
        &self,
        below: u32,
        least: u32,
        least_set: u32,
        want: impl Fn(Wait) -> bool,
    ) -> Option<Wait> {
        let mut i = self.below(below);
        while i > 0 {
            let run = (i - 1) / RUN;
            if self.latest_set[run] < least_set {
                i = run * RUN;
                // The run may reach far down; what lies below `least` is of no interest.
                if i > 0 && self.waits[i].at < least {
                    return None;
                }
                continue;
            }
            let wait = self.waits[i - 1];
            if wait.at < least {
                return None;
            }
            if wait.set >= least_set && want(wait) {
                return Some(wait);
            }
            i -= 1;
        }
        None
    }

    /// The waits at a position.
    pub(crate) fn at(&self, position: u32) -> &[Wait] {
        let (from, to) = (self.below(position), self.below(position + 1));
        &self.waits[from..to]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    fn below(&self, at: u32) -> usize {
        position(&self.waits, |w| w.at < at)
    }
}

/// Number of leading elements that satisfy `is_before`: those that do come first. Fast if it is near the end.
pub(crate) fn position<T>(sorted: &[T], is_before: impl Fn(&T) -> bool) -> usize {
    let mut step = 1;
    let mut above = sorted.len();
    loop {
        if above == 0 {
            return 0;
        }
        let probe = above.saturating_sub(step);
        if is_before(&sorted[probe]) {
            return probe + sorted[probe..above].partition_point(is_before);
        }
        above = probe;
        step *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_from_the_end() {
        let sorted: Vec<u32> = (0..100).map(|i| i * 2).collect();
        for bound in 0..210 {
            assert_eq!(position(&sorted, |&x| x < bound), sorted.partition_point(|&x| x < bound));
        }
        assert_eq!(position(&[] as &[u32], |_| true), 0);
    }

    #[test]
    fn the_last_wanted_wait_is_found_whatever_the_order_of_adding() {
        let mut waits = Waits::default();
        let all: Vec<Wait> = (0..500).map(|i| Wait { at: i * 7 % 500, set: i * 13 % 97 }).collect();
        all.iter().for_each(|&w| waits.add(w));
        for below in (0..520).step_by(11) {
            for least_set in [0, 30, 96, 97] {
                let is_even = |w: Wait| w.set.is_multiple_of(2);
                let fits = |w: &&Wait| w.at < below && w.at >= 20 && w.set >= least_set && is_even(**w);
                let expected = all.iter().filter(fits).max_by_key(|w| w.at).copied();
                assert_eq!(waits.last(below, 20, least_set, is_even), expected);
            }
        }
    }
}
