//! Turns each set/wait pair that got no event id into a barrier of all pipes, in the place of its wait.
//!
//! The barrier orders more than the pair did, so the result stays correct; it costs the overlap of all pipes. What
//! must hold afterwards: every pair has an event id. Time: linear in the groups.

use pipewright_abi::plan::{Edit, NO_EVENT, Role};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

/// The pass.
#[derive(Debug)]
pub struct PipeAllDemotion;

register_pass!(PipeAllDemotion);

impl Pass for PipeAllDemotion {
    const NAME: &'static str = "pipe-all-demotion";

    fn info() -> PassInfo {
        PassInfo::new("Turns pairs without event id into barriers of all pipes")
            .reads(&["sync-groups", "event-ids"])
            .writes(&["barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let plan = cx.plan();
        let lacks_id = |&g: &_| plan.group(g).is_pair() && plan.group(g).event_id == NO_EVENT;
        let demoted: Vec<_> = plan.live_groups().filter(lacks_id).collect();
        cx.count("demoted pairs", demoted.len() as i64);
        for id in demoted {
            let group = *cx.plan().group(id);
            let node = cx.plan().place(id, Role::Wait).map_or(NodeId::NONE, |anchor| anchor.node);
            let target = cx.target();
            let (src, dst) = (target.pipe_name(group.src), target.pipe_name(group.dst));
            let usable = target.usable_ids(group.src, group.dst).count_ones();
            let round = if group.carrier.is_some() { ", carried round a loop," } else { "" };
            let message = format!(
                "{id}, a pair {src}>{dst}{round} became a barrier of all pipes: no event id was left for it \
                 (the target has {usable} for {src}>{dst})"
            );
            cx.edit(Edit::Demote { group: id })?;
            cx.remark(node, message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::plan::scope;
    use pipewright_abi::testing::{Fixture, KernelBuilder};

    #[test]
    fn only_pairs_without_id_are_demoted_where_their_wait_stands() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let load = k.instr("MTE2", &[], &[t]);
        let add = k.instr("V", &[t], &[t]);
        let mut fixture = Fixture::new(k.finish());
        let first = fixture.pair("MTE2", "V", load, add);
        let second = fixture.pair("MTE2", "V", load, add);
        fixture.barrier("V", add);
        fixture.edit(Edit::SetEventId { group: first, event_id: 3, scope: scope::NONE });
        fixture.run::<PipeAllDemotion>(&[]).unwrap();
        assert_eq!(fixture.sync(), "set MTE2>V#3; wait MTE2>V#3; bar ALL; bar V");
        assert_eq!(fixture.statistic("demoted pairs"), 1);
        let remark = &fixture.remarks[0];
        assert_eq!(remark.node, add);
        assert!(
            remark.message.starts_with(&format!("{second}, a pair MTE2>V became a barrier")),
            "{remark:?}"
        );
    }

    #[test]
    fn a_plan_with_all_ids_stays() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let load = k.instr("MTE2", &[], &[t]);
        let add = k.instr("V", &[t], &[t]);
        let mut fixture = Fixture::new(k.finish());
        let group = fixture.pair("MTE2", "V", load, add);
        fixture.edit(Edit::SetEventId { group, event_id: 0, scope: scope::NONE });
        let before = fixture.plan.clone();
        fixture.run::<PipeAllDemotion>(&[]).unwrap();
        assert_eq!(fixture.plan, before);
    }
}
