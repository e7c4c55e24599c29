//! Instructions that the one scanned now conflicts with, and which of them are still open.

use std::ops::Range;

use crate::facts::Cover;
use crate::lists::List;
use crate::turns::View;
use crate::waits::position;

/// A list of conflicting instructions.
#[derive(Debug)]
pub(crate) struct Candidate<'s> {
    list: &'s List,
    pub(crate) covers: Vec<Cover>,
    /// Members that are none: nodes of the instruction's own call.
    without: Range<u32>,
    /// The loop between whose ends the scan round it dealt with all members.
    dealt_with: Option<(u32, u32)>,
}

impl<'s> Candidate<'s> {
    /// Those members of `list` that stand before the instruction treated now, less what is covered.
    pub(crate) fn new(list: &'s List, covers: Vec<Cover>, dealt_with: Option<(u32, u32)>) -> Self {
        Self { list, covers, without: 0..0, dealt_with }
    }

    /// The same without the nodes of a call, which orders them itself.
    pub(crate) fn without(self, call: Range<u32>) -> Self {
        Self { without: call, ..self }
    }

    /// The pipe of its members.
    pub(crate) fn pipe(&self) -> u32 {
        self.list.pipe
    }

    /// The last open member below position `below` and not below `least`: its position.
    pub(crate) fn last(&self, below: u32, least: u32, view: &View<'_>) -> Option<u32> {
        let members = &self.list.members[..self.list.passed];
        let mut i = position(members, |&m| 2 * m < below);
        'members: while i > 0 && 2 * members[i - 1] + 1 >= least {
            let member = members[i - 1];
            if self.without.contains(&member) {
                i -= 1;
                continue;
            }
            for cover in &self.covers {
                if cover.holds && member < cover.all_below {
                    return None;
                }
                if cover.above < member && member < cover.below {
                    i = members[..i].partition_point(|&m| m <= cover.above);
                    continue 'members;
                }
            }
            if let Some((begin, end)) = self.dealt_with
                && begin < member
                && member < end
                && !view.is_left_over(member, begin)
            {
                let none_left_over = !view.takes_turns();
                i = if none_left_over { members[..i].partition_point(|&m| m <= begin) } else { i - 1 };
                continue;
            }
            let at = view.position(member);
            if at < below && at >= least {
                return Some(at);
            }
            i -= 1;
        }
        None
    }

    /// No open member stands below this position.
    pub(crate) fn least(&self, least: u32) -> u32 {
        let covered = self.covers.iter().filter(|c| c.holds).map(|c| c.all_below).max().unwrap_or(0);
        let members = &self.list.members[..self.list.passed];
        let first = members.partition_point(|&m| m < covered || 2 * m + 1 < least);
        members.get(first).map_or(u32::MAX, |&m| 2 * m)
    }
}
