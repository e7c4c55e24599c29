//! The reverse scan.

use std::collections::BTreeSet;

use pipewright_abi::hazard::Hazards;
use pipewright_abi::kernel::{Kernel, node_kind};
use pipewright_abi::plan::{Anchor, Entry, Role};
use pipewright_abi::{NodeId, PassContext, PassError, PipeId};

#[derive(Clone, Default)]
struct Record {
    done: u64,
    seen: BTreeSet<u32>,
}

pub(crate) fn insert(
    cx: &mut PassContext<'_>,
    kernel: &Kernel<'_>,
    hazards: &Hazards<'_>,
    keep_history: bool,
) -> Result<(), PassError> {
    let mut scan = Scan { cx, kernel, hazards, keep_history, carrier: NodeId::NONE };
    for (id, node) in kernel.node_ids().zip(kernel.nodes) {
        if node.kind == node_kind::INSTRUCTION {
            scan.carrier = NodeId::NONE;
            scan.scan(id.0, 0, id.0, &mut Record::default())?;
        } else if node.kind == node_kind::LOOP_END {
            scan.carrier = id;
            for x in node.begin.0..=id.0 {
                if kernel.nodes[x as usize].kind == node_kind::INSTRUCTION {
                    let mut record = Record::default();
                    scan.scan(x, node.begin.0, x, &mut record)?;
                    scan.scan(x, x, id.0, &mut record)?;
                }
            }
        }
    }
    Ok(())
}

fn bit(pipe: PipeId) -> u64 {
    1 << (pipe.0 & 63)
}

struct Scan<'s, 'c> {
    cx: &'s mut PassContext<'c>,
    kernel: &'s Kernel<'s>,
    hazards: &'s Hazards<'s>,
    keep_history: bool,
    carrier: NodeId,
}

impl Scan<'_, '_> {
    fn absorb(&self, list: &[Entry], record: &mut Record, pipe: PipeId) {
        for y in list {
            let group = self.cx.plan().group(y.group);
            if y.role == Role::Barrier {
                if group.src == pipe {
                    record.done |= bit(pipe);
                }
            } else if group.dst == pipe || record.done & bit(group.dst) != 0 {
                if y.role == Role::Set && record.seen.contains(&y.group.0) {
                    record.done |= bit(group.src);
                }
                if y.role == Role::Wait {
                    record.seen.insert(y.group.0);
                }
            }
        }
    }

    fn scan(&mut self, now: u32, lo: u32, hi: u32, record: &mut Record) -> Result<(), PassError> {
        let pipe = self.kernel.node(NodeId(now)).pipe;
        self.absorb(self.cx.plan().before(NodeId(hi)), record, pipe);
        let (lo, mut i) = (i64::from(lo), i64::from(hi) - 1);
        while i >= lo {
            let id = NodeId(i as u32);
            let node = *self.kernel.node(id);
            match node.kind {
                node_kind::INSTRUCTION => {
                    self.absorb(self.cx.plan().after(id), record, pipe);
                    self.attempt(now, id, record)?;
                    self.absorb(self.cx.plan().before(id), record, pipe);
                }
                node_kind::LOOP_END => {
                    let mut copy = record.clone();
                    self.scan(now, (lo as u32).max(node.begin.0), i as u32, &mut copy)?;
                    if self.keep_history {
                        record.seen = copy.seen;
                    }
                    i = i64::from(node.begin.0);
                }
                node_kind::IF_END => {
                    let (mut a, mut b) = (record.clone(), record.clone());
                    self.scan(now, node.begin.0, node.middle.0, &mut a)?;
                    self.scan(now, node.middle.0, i as u32, &mut b)?;
                    record.done |= a.done & b.done;
                    i = i64::from(node.begin.0);
                }
                node_kind::ELSE_BEGIN if i != lo => i = i64::from(node.begin.0),
                _ => {}
            }
            i -= 1;
        }
        Ok(())
    }

    fn attempt(&mut self, now: u32, n: NodeId, record: &mut Record) -> Result<(), PassError> {
        let now = NodeId(now);
        let (later, earlier) = (self.kernel.node(now).pipe, self.kernel.node(n).pipe);
        let target = self.cx.target();
        if (target.is_scalar(later) && target.is_scalar(earlier))
            || (now == n && self.carrier.is_none())
            || record.done & bit(earlier) != 0
            || !self.hazards.depends(self.kernel, now, n)
        {
            return Ok(());
        }
        if later == earlier {
            self.cx.add_barrier(later, Anchor::before(now), self.carrier, 0)?;
        } else {
            let roots = self.hazards.roots(self.kernel, now, n);
            self.cx.add_pair((earlier, later), n, now, self.carrier, &roots)?;
        }
        record.done |= bit(earlier);
        Ok(())
    }
}
