//! Event ids, synthetic pairs made at once, widening, re-creation and demotion, interleaved as the reference does.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_abi::PipeId;
use pipewright_abi::kernel::node_kind;

use crate::{Entry, Group, Model, What};

type Key = (PipeId, PipeId);

/// Intervals of nodes during which an id of a key is taken.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    taken: BTreeMap<(Key, u32), Vec<(usize, usize)>>,
    at_loop_scope: BTreeSet<Key>,
    /// Carried pairs in the order in which they got an id, and whether it was at loop scope.
    given: Vec<(usize, bool)>,
    /// Pairs whose sets were moved in the second round.
    moved_late: Vec<usize>,
}

impl Model<'_> {
    /// Gives event ids, in two rounds, and makes the synthetic pairs.
    pub fn allocate(&mut self) {
        for i in 0..self.count() {
            for y in self.pre[i].clone() {
                let group = &self.groups[y.group];
                if !group.useless && !group.barrier && group.id.is_none() {
                    self.give(y.group);
                }
            }
        }
        let failed = self.widen();
        self.pools.at_loop_scope = failed;
        if self.pools.at_loop_scope.is_empty() {
            return;
        }
        let again = self.pools.at_loop_scope.clone();
        self.pools.taken.retain(|(key, _), _| !again.contains(key));
        let last = self.count() - 1;
        let groups = &self.groups;
        self.pre[0].retain(|y| y.what != What::Set || !again.contains(&groups[y.group].key()));
        self.post[last].retain(|y| y.what != What::Wait || !again.contains(&groups[y.group].key()));
        for i in 0..self.count() {
            for y in self.pre[i].clone() {
                let group = &mut self.groups[y.group];
                if y.what == What::Wait && again.contains(&group.key()) {
                    group.id = None;
                    self.give(y.group);
                }
            }
        }
        self.widen();
    }

    fn usable(&self, key: Key) -> Vec<u32> {
        let mask = self.target.view().usable_ids(key.0, key.1);
        (0..64).filter(|i| mask & (1 << i) != 0).take(self.choices.max_ids).collect()
    }

    fn give(&mut self, pair: usize) {
        let group = &self.groups[pair];
        let last = self.count() - 1;
        let key = group.key();
        let at_loop = self.pools.at_loop_scope.contains(&key);
        let (test, stored) = match group.carrier {
            None => ((group.set_at, group.wait_at), (group.set_at, group.wait_at)),
            Some(end) if at_loop => {
                let body = (self.node(end).begin.index(), end);
                (body, body)
            }
            Some(_) => ((0, last), (0, last + 1)),
        };
        let none = Vec::new();
        let usable = self.usable(key);
        let taken = |id: u32| self.pools.taken.get(&(key, id)).unwrap_or(&none);
        let conflict = |id: u32| taken(id).iter().any(|t| test.0.max(t.0) < test.1.min(t.1));
        let unused = usable.iter().find(|&&id| taken(id).is_empty());
        let Some(&id) = unused.or_else(|| usable.iter().find(|&&id| !conflict(id))) else { return };
        self.pools.taken.entry((key, id)).or_default().push(stored);
        self.groups[pair].id = Some(id);
        if self.groups[pair].carrier.is_some() {
            self.pools.given.push((pair, at_loop));
            self.synthesize(pair);
        }
    }

    /// Carried pairs in the order in which their synthetic pairs are to be made, one line each.
    pub fn given(&self) -> Vec<String> {
        let line = |&(pair, at_loop): &(usize, bool)| {
            let group = &self.groups[pair];
            crate::plan::given_line(at_loop, group.key(), group.carrier, group.id)
        };
        self.given_groups().iter().map(line).collect()
    }

    /// Pairs whose sets were moved in the second round, in order of moving.
    pub fn moved_late(&self) -> &[usize] {
        &self.pools.moved_late
    }

    /// Carried pairs in that order, and whether their id is at loop scope.
    pub(crate) fn given_groups(&self) -> Vec<(usize, bool)> {
        let again = |pair: usize| self.pools.at_loop_scope.contains(&self.groups[pair].key());
        let given = self.pools.given.iter().copied();
        given.filter(|&(pair, at_loop)| at_loop || !again(pair)).collect()
    }

    /// Makes the head set and tail wait of a carried pair.
    fn synthesize(&mut self, pair: usize) {
        let new = self.groups.len();
        let of = &self.groups[pair];
        let (key, carrier) = (of.key(), of.carrier.expect("only carried pairs need one"));
        let looped = self.pools.at_loop_scope.contains(&key);
        let (set_at, wait_at) =
            if looped { (self.node(carrier).begin.index(), carrier) } else { (0, self.count() - 1) };
        let (id, roots) = (of.id, of.roots.clone());
        let group = Group {
            src: key.0,
            dst: key.1,
            carrier: Some(carrier),
            synthetic: true,
            looped,
            set_at,
            wait_at,
            id,
            roots,
            ..Group::default()
        };
        self.groups.push(group);
        self.pre[set_at].push(Entry { group: new, what: What::Set });
        let wait = Entry { group: new, what: What::Wait };
        let list = &mut self.post[wait_at];
        if looped && self.choices.push_front { list.insert(0, wait) } else { list.push(wait) }
    }

    /// Lets pairs without id reuse another pair's flag. Returns the keys of those that cannot.
    fn widen(&mut self) -> BTreeSet<Key> {
        let mut failed = BTreeSet::new();
        for i in 0..self.count() {
            for y in self.post[i].clone() {
                let group = &self.groups[y.group];
                let without = y.what == What::Set && !group.useless && group.id.is_none();
                if without && !(self.choices.widening && self.reuse(y.group)) {
                    failed.insert(self.groups[y.group].key());
                }
            }
        }
        failed
    }

    fn reuse(&mut self, p: usize) -> bool {
        let of = self.groups[p].clone();
        let limit = of.carrier.map_or(0, |end| self.node(end).begin.index());
        let mut i = of.set_at as isize;
        while i >= limit as isize {
            let node = self.node(i as usize);
            if node.kind == node_kind::LOOP_BEGIN {
                break;
            }
            let fits = |y: &&Entry| {
                let q = &self.groups[y.group];
                y.what == What::Set
                    && y.group != p
                    && q.key() == of.key()
                    && q.carrier == of.carrier
                    && !q.useless
                    && q.id.is_some()
                    && !q.roots.is_empty()
                    && q.roots == of.roots
                    && q.set_at < of.set_at
                    && of.set_at <= q.wait_at
            };
            if let Some(&y) = self.post[i as usize].iter().find(fits) {
                self.groups[p].useless = true;
                if !self.pools.at_loop_scope.is_empty() {
                    self.pools.moved_late.push(y.group);
                }
                self.post[i as usize].retain(|z| *z != y);
                self.post[of.set_at].push(y);
                self.groups[y.group].set_at = of.set_at;
                return true;
            }
            if node.kind == node_kind::LOOP_END {
                i = node.begin.index() as isize;
            }
            i -= 1;
        }
        false
    }

    /// Re-creates loop-scope synthetic pairs that meet no other use of their id, and turns pairs without id into
    /// barriers of all pipes.
    pub fn finish(&mut self) {
        for i in 0..self.count() {
            for y in self.post[i].clone() {
                let group = self.groups[y.group].clone();
                if group.looped && y.what == What::Wait {
                    if !self.meets_another(y.group, &group) {
                        self.groups[y.group].useless = true;
                        self.synthesize(y.group);
                    }
                } else if y.what == What::Set && !group.useless && group.id.is_none() {
                    let demoted = &mut self.groups[y.group];
                    (demoted.barrier, demoted.demoted) = (true, true);
                    let all = self.target.view().all_pipes().expect("the target has a pipe for all");
                    (demoted.src, demoted.dst) = (all, all);
                    self.post[i].retain(|z| *z != y);
                    let wait = Entry { group: y.group, what: What::Wait };
                    for z in self.pre[group.wait_at].iter_mut().filter(|z| **z == wait) {
                        z.what = What::Barrier;
                    }
                }
            }
        }
    }

    fn meets_another(&self, own: usize, group: &Group) -> bool {
        (0..self.count()).filter(|&i| i <= group.set_at || i >= group.wait_at).any(|i| {
            self.pre[i].iter().any(|y| {
                let other = &self.groups[y.group];
                y.group != own
                    && y.what != What::Barrier
                    && !other.useless
                    && other.key() == group.key()
                    && other.id == group.id
            })
        })
    }
}
