//! The sets whose waits were seen, for scans that go down.

use crate::waits::{Pipes, only, position};

/// Sets by source pipe, descending by position: scans go down, so new ones mostly come last.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenSets(Vec<OfSource>);

#[derive(Clone, Debug)]
struct OfSource {
    src: u32,
    /// Position of the set, and the pipe that waits for it.
    sets: Vec<(u32, u32)>,
}

impl SeenSets {
    pub(crate) fn add(&mut self, src: u32, dst: u32, set: u32) {
        let found = self.0.iter().position(|of| of.src == src).unwrap_or_else(|| {
            self.0.push(OfSource { src, sets: Vec::new() });
            self.0.len() - 1
        });
        let sets = &mut self.0[found].sets;
        let at = position(sets, |&s| s > (set, dst));
        if sets.get(at) != Some(&(set, dst)) {
            sets.insert(at, (set, dst));
        }
    }

    /// Adds what `other` has.
    pub(crate) fn merge(&mut self, other: Self) {
        for of in other.0 {
            of.sets.into_iter().for_each(|(set, dst)| self.add(of.src, dst, set));
        }
    }

    /// The last position below `below` with a set from a pipe that is not `finished`, for a pipe that is `done` with.
    pub(crate) fn last(&self, below: u32, finished: Pipes, done: impl Fn(u32) -> bool) -> Option<u32> {
        let open = self.0.iter().filter(|of| finished & only(of.src) == 0);
        let last = |of: &OfSource| {
            let passed = position(&of.sets, |&(set, _)| set >= below);
            of.sets[passed..].iter().find(|&&(_, dst)| done(dst)).map(|&(set, _)| set)
        };
        open.filter_map(last).max()
    }

    /// The pipes with such a set at position `at`.
    pub(crate) fn sources_at(&self, at: u32, done: impl Fn(u32) -> bool) -> Pipes {
        let is_here = |of: &&OfSource| {
            let passed = position(&of.sets, |&(set, _)| set > at);
            of.sets[passed..].iter().take_while(|&&(set, _)| set == at).any(|&(_, dst)| done(dst))
        };
        self.0.iter().filter(is_here).fold(0, |pipes, of| pipes | only(of.src))
    }

    /// The pipes that set below position `below`.
    pub(crate) fn sources(&self, below: u32) -> Pipes {
        let set_below = self.0.iter().filter(|of| of.sets.last().is_some_and(|&(set, _)| set < below));
        set_below.fold(0, |pipes, of| pipes | only(of.src))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_set_that_counts_is_found() {
        let mut seen = SeenSets::default();
        for (src, dst, set) in [(0, 1, 5), (0, 2, 9), (3, 1, 7), (0, 1, 2)] {
            seen.add(src, dst, set);
        }
        assert_eq!(seen.last(20, 0, |dst| dst == 1), Some(7));
        assert_eq!(seen.last(20, 0, |_| true), Some(9));
        assert_eq!(seen.last(7, 0, |dst| dst == 1), Some(5));
        assert_eq!(seen.last(20, only(3), |dst| dst == 1), Some(5));
        assert_eq!(seen.last(2, 0, |_| true), None);
        assert_eq!(seen.sources_at(5, |dst| dst == 1), only(0));
        assert_eq!(seen.sources_at(5, |dst| dst == 2) | seen.sources_at(6, |_| true), 0);
        assert_eq!(seen.sources(20), only(0) | only(3));
        assert_eq!(seen.sources(6), only(0));
    }
}
