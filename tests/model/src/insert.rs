//! Insertion: the reverse scan of each instruction over everything before it, and round each loop.

use std::collections::BTreeSet;

use pipewright_abi::PipeId;
use pipewright_abi::kernel::node_kind;

use crate::{Entry, Group, Model, What};

#[derive(Clone, Default)]
struct Record {
    done: BTreeSet<PipeId>,
    seen: BTreeSet<usize>,
}

impl Model<'_> {
    /// Inserts pairs and barriers for all dependences, and the tail barrier.
    pub fn insert(&mut self) {
        for i in 0..self.count() {
            match self.node(i).kind {
                node_kind::INSTRUCTION => self.scan(i, 0, i, 0, &mut Record::default(), None),
                node_kind::LOOP_END => self.carried(i),
                _ => {}
            }
        }
        if self.choices.tail_barrier && self.count() > 0 {
            let last = (0..self.count()).rev().find(|&i| self.node(i).kind != node_kind::PLACEHOLDER);
            let all = self.target.view().all_pipes().expect("the target has a pipe for all");
            let group = self.groups.len();
            let at = last.expect("a kernel does not consist of placeholders");
            let new =
                Group { src: all, dst: all, barrier: true, tail: true, wait_at: at, ..Group::default() };
            self.groups.push(new);
            self.post[at].push(Entry { group, what: What::Barrier });
        }
    }

    fn carried(&mut self, end: usize) {
        let begin = self.node(end).begin.index();
        for x in begin..=end {
            if self.node(x).kind != node_kind::INSTRUCTION {
                continue;
            }
            let mut record = Record::default();
            let before = self.groups.len();
            // The slice `begin ..= x`: positions 0 to x - begin.
            self.scan(x, 0, x - begin, begin, &mut record, Some(end));
            assert_eq!(self.groups.len(), before, "the prefix of an iteration is covered");
            self.scan(x, x, end, 0, &mut record, Some(end));
        }
    }

    fn absorb(&self, list: &[Entry], record: &mut Record, pipe: PipeId) {
        for y in list {
            let group = &self.groups[y.group];
            if y.what == What::Barrier {
                if group.src == pipe {
                    record.done.insert(pipe);
                }
            } else if group.dst == pipe || record.done.contains(&group.dst) {
                if y.what == What::Set && record.seen.contains(&y.group) {
                    record.done.insert(group.src);
                }
                if y.what == What::Wait {
                    record.seen.insert(y.group);
                }
            }
        }
    }

    /// Scans positions `lo <= i < hi` of the slice that starts at node `base`, downward.
    fn scan(
        &mut self,
        now: usize,
        lo: usize,
        hi: usize,
        base: usize,
        record: &mut Record,
        carrier: Option<usize>,
    ) {
        let pipe = self.node(now).pipe;
        self.absorb(&self.pre[base + hi], record, pipe);
        let (lo, mut i) = (lo as isize, hi as isize - 1);
        while i >= lo {
            let n = base + i as usize;
            let node = self.node(n);
            let at = |id: pipewright_abi::NodeId| id.index() as isize;
            let len = if node.begin.is_some() { at(node.end) - at(node.begin) } else { 0 };
            match node.kind {
                node_kind::INSTRUCTION => {
                    self.absorb(&self.post[n], record, pipe);
                    self.attempt(now, n, record, carrier);
                    self.absorb(&self.pre[n], record, pipe);
                }
                node_kind::LOOP_END => {
                    let mut copy = record.clone();
                    self.scan(now, lo.max(i - len) as usize, i as usize, base, &mut copy, carrier);
                    if self.choices.keep_loop_history {
                        record.seen = copy.seen;
                    }
                    i -= len;
                }
                node_kind::IF_END => {
                    let middle = i - (at(node.end) - at(node.middle));
                    let (mut a, mut b) = (record.clone(), record.clone());
                    self.scan(now, (i - len) as usize, middle as usize, base, &mut a, carrier);
                    self.scan(now, middle as usize, i as usize, base, &mut b, carrier);
                    record.done.extend(a.done.intersection(&b.done));
                    i -= len;
                }
                node_kind::ELSE_BEGIN if i != lo => i -= at(node.middle) - at(node.begin),
                _ => {}
            }
            i -= 1;
        }
    }

    fn attempt(&mut self, now: usize, n: usize, record: &mut Record, carrier: Option<usize>) {
        let (later, earlier) = (self.node(now).pipe, self.node(n).pipe);
        let target = self.target.view();
        if target.is_scalar(later) && target.is_scalar(earlier) {
            return;
        }
        if (now == n && carrier.is_none()) || record.done.contains(&earlier) {
            return;
        }
        let roots = self.dependence(now, n);
        if roots.is_empty() {
            return;
        }
        let group = self.groups.len();
        let new = Group { src: earlier, dst: later, carrier, set_at: n, wait_at: now, ..Group::default() };
        if later == earlier {
            self.groups.push(Group { barrier: true, ..new });
            self.pre[now].push(Entry { group, what: What::Barrier });
        } else {
            self.groups.push(Group { roots, ..new });
            self.post[n].push(Entry { group, what: What::Set });
            self.pre[now].push(Entry { group, what: What::Wait });
        }
        record.done.insert(earlier);
    }
}
