//! Motion of entries out of constructs, and removal of pairs that another pair covers.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use pipewright_abi::kernel::{kernel_flag, node_kind};

use crate::{Entry, Model, What};

impl Model<'_> {
    /// Moves waits before, and sets behind, constructs that do not hold their partner.
    pub fn motion(&mut self) {
        for begin in 0..self.count() {
            let node = self.node(begin);
            if node.kind == node_kind::IF_BEGIN {
                let (middle, end) = (node.middle.index(), node.end.index());
                for (lo, hi) in [(begin, middle), (middle, end)] {
                    let outside = |at: usize| at >= hi || at <= lo;
                    for i in lo + 1..hi {
                        self.move_out(i, begin, end, None, outside);
                    }
                }
            }
        }
        for end in 0..self.count() {
            let node = self.node(end);
            if node.kind == node_kind::LOOP_END {
                let begin = node.begin.index();
                let outside = |at: usize| at > end || at < begin;
                for i in begin + 1..end {
                    self.move_out(i, begin, end, Some(end), outside);
                }
            }
        }
    }

    fn move_out(
        &mut self,
        i: usize,
        begin: usize,
        end: usize,
        carrier: Option<usize>,
        outside: impl Fn(usize) -> bool,
    ) {
        for y in std::mem::take(&mut self.pre[i]) {
            let group = &mut self.groups[y.group];
            let stays = carrier.is_some() && group.carrier == carrier;
            if y.what == What::Wait && !stays && outside(group.set_at) {
                group.wait_at = begin;
                self.pre[begin].push(y);
            } else {
                self.pre[i].push(y);
            }
        }
        for y in std::mem::take(&mut self.post[i]).into_iter().rev() {
            let group = &mut self.groups[y.group];
            let stays = carrier.is_some() && group.carrier == carrier;
            if y.what == What::Set && !stays && outside(group.wait_at) {
                group.set_at = end;
                self.post[end].insert(0, y);
            } else {
                self.post[i].push(y);
            }
        }
    }

    /// Removes pairs that another pair of the same key covers.
    pub fn remove(&mut self) {
        let irregular = self.kernel.facts[0].flags & kernel_flag::IRREGULAR != 0;
        if irregular && self.choices.skip_irregular {
            return;
        }
        let mut pairs: Vec<usize> = (0..self.groups.len()).filter(|&g| !self.groups[g].barrier).collect();
        pairs.sort_by_key(|&g| (Reverse(self.groups[g].carrier), Reverse(g)));
        for p in pairs {
            if self.covered(p) {
                self.erase(p);
                self.groups[p].useless = true;
            }
        }
    }

    pub(crate) fn erase(&mut self, group: usize) {
        for list in self.pre.iter_mut().chain(&mut self.post) {
            list.retain(|y| y.group != group);
        }
    }

    fn covered(&self, p: usize) -> bool {
        let group = &self.groups[p];
        let mut found = BTreeSet::new();
        if group.set_at < group.wait_at {
            return self.search(group.set_at, group.wait_at, &mut found, p);
        }
        let end = group.carrier.expect("a pair that goes backward is carried");
        let begin = self.node(end).begin.index();
        self.search(group.set_at, end, &mut found, p) || self.search(begin, group.wait_at, &mut found, p)
    }

    fn matches(&self, found: &mut BTreeSet<usize>, y: &Entry, p: usize) -> bool {
        let same = self.groups[y.group].key() == self.groups[p].key();
        if y.what == What::Barrier || y.group == p || !same {
            return false;
        }
        if y.what == What::Set {
            found.insert(y.group);
        }
        y.what == What::Wait && found.contains(&y.group)
    }

    fn search(&self, b: usize, e: usize, found: &mut BTreeSet<usize>, p: usize) -> bool {
        let mut res = false;
        for y in &self.post[b] {
            res = res || self.matches(found, y, p);
        }
        let mut i = b + 1;
        while i < e {
            for y in &self.pre[i] {
                res = res || self.matches(found, y, p);
            }
            let node = self.node(i);
            let (middle, end) = (node.middle.index(), node.end.index());
            match node.kind {
                node_kind::IF_BEGIN if e < middle => {}
                node_kind::IF_BEGIN if e < end => i = middle,
                node_kind::IF_BEGIN => {
                    let mut copy = found.clone();
                    let first = self.search(i, middle, &mut copy, p);
                    let second = self.search(middle, end, &mut copy, p);
                    if first && second {
                        return true;
                    }
                    i = end;
                }
                node_kind::ELSE_BEGIN | node_kind::IF_END | node_kind::LOOP_BEGIN | node_kind::LOOP_END => {
                    i = end
                }
                _ => {}
            }
            for y in &self.post[i] {
                res = res || self.matches(found, y, p);
            }
            i += 1;
        }
        for y in &self.pre[e] {
            res = res || self.matches(found, y, p);
        }
        res
    }
}
