//! The pass against the literal model, list by list.

use pipewright_abi::testing::{Fixture, target};
use pipewright_model::kernels::{Shape, kernels};
use pipewright_model::{Choices, Model, plan_text};
use proptest::prelude::*;
use sync_motion::SyncMotion;

proptest! {
    #[test]
    fn moves_what_the_reference_moves(
        kernel in kernels(Shape { pipes: 4, regions: 8, depth: 4, size: 40 })
    ) {
        let target = target();
        let mut model = Model::new(&kernel, &target, Choices::default());
        model.insert();
        let mut fixture = Fixture::new(kernel.clone());
        fixture.plan = model.plan();
        prop_assert_eq!(plan_text(&fixture.plan, true, true), model.text(true, true));
        fixture.run::<SyncMotion>(&[]).unwrap();
        model.motion();
        prop_assert_eq!(plan_text(&fixture.plan, true, true), model.text(true, true));
    }
}
