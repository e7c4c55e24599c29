//! The pass against the literal model, which makes synthetic pairs while it allocates: the same statements at the
//! same places in the same order.

use backward_match::BackwardMatch;
use pipewright_abi::GroupId;
use pipewright_abi::plan::{Edit, NO_EVENT};
use pipewright_abi::testing::{Fixture, target};
use pipewright_model::kernels::{Shape, kernels};
use pipewright_model::{Choices, Model, plan_text};
use proptest::prelude::*;

proptest! {
    #[test]
    fn closes_what_the_reference_closes(
        kernel in kernels(Shape { pipes: 4, regions: 6, depth: 4, size: 60 }),
        max_ids in 1usize..5,
        push_front: bool,
    ) {
        let target = target();
        let choices = Choices { max_ids, push_front, ..Choices::default() };
        let mut model = Model::new(&kernel, &target, choices);
        model.insert();
        model.motion();
        model.remove();
        model.allocate();
        let mut fixture = Fixture::new(kernel.clone());
        fixture.plan = model.plan();
        let moved: Vec<_> = model.moved_late().iter().map(|&g| GroupId::from_index(g)).collect();
        fixture.write_column(pipewright_abi::artifact::LATE_SETS, &moved);
        let tail_wait = if push_front { "push-front" } else { "push-back" };
        fixture.run::<BackwardMatch>(&[("tail-wait", tail_wait.into())]).unwrap();

        // The model demotes in the same breath.
        let plan = &fixture.plan;
        let lacks_id = |&g: &_| plan.group(g).is_pair() && plan.group(g).event_id == NO_EVENT;
        let demoted: Vec<_> = plan.live_groups().filter(lacks_id).collect();
        demoted.into_iter().for_each(|group| fixture.edit(Edit::Demote { group }));
        model.finish();
        prop_assert_eq!(plan_text(&fixture.plan, false, true), model.text(false, true));
    }
}
