//! The pass against the literal model.

use pipewright_abi::testing::{Fixture, target};
use pipewright_model::kernels::{Shape, kernels};
use pipewright_model::{Choices, Model, plan_text};
use proptest::prelude::*;
use redundancy_removal::RedundancyRemoval;

proptest! {
    #[test]
    fn removes_what_the_reference_removes(
        kernel in kernels(Shape { pipes: 4, regions: 8, depth: 4, size: 50 })
    ) {
        let target = target();
        let mut model = Model::new(&kernel, &target, Choices::default());
        model.insert();
        model.motion();
        let mut fixture = Fixture::new(kernel.clone());
        fixture.plan = model.plan();
        fixture.run::<RedundancyRemoval>(&[]).unwrap();
        model.remove();
        prop_assert_eq!(plan_text(&fixture.plan, true, true), model.text(true, true));
    }

    /// Before motion, pairs reach into and out of constructs: every turn of the walk is taken.
    #[test]
    fn also_where_pairs_reach_into_constructs(
        kernel in kernels(Shape { pipes: 3, regions: 4, depth: 4, size: 50 })
    ) {
        let target = target();
        let mut model = Model::new(&kernel, &target, Choices::default());
        model.insert();
        let mut fixture = Fixture::new(kernel.clone());
        fixture.plan = model.plan();
        fixture.run::<RedundancyRemoval>(&[]).unwrap();
        model.remove();
        prop_assert_eq!(plan_text(&fixture.plan, true, true), model.text(true, true));
    }
}
