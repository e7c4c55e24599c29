//! The pass against the literal model: ids, scopes, order of giving, moved sets.

use event_id_allocation::EventIdAllocation;
use pipewright_abi::GroupId;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::parts::Parts;
use pipewright_abi::testing::{Fixture, target};
use pipewright_model::kernels::{Shape, kernels};
use pipewright_model::{Choices, Model, plan_given, plan_text};
use proptest::prelude::*;

fn compare(kernel: &KernelData, max_ids: usize, widening: bool) -> Result<(), TestCaseError> {
    let target = target();
    let mut model = Model::new(kernel, &target, Choices { max_ids, widening, ..Choices::default() });
    model.insert();
    model.motion();
    model.remove();
    compare_from(model, kernel)
}

fn compare_from(mut model: Model<'_>, kernel: &KernelData) -> Result<(), TestCaseError> {
    let mut fixture = Fixture::new(kernel.clone());
    fixture.plan = model.plan();
    let Choices { max_ids, widening, .. } = model.choices();
    let options = [("max-ids", (max_ids as i64).into()), ("widening", widening.into())];
    fixture.run::<EventIdAllocation>(&options).unwrap();
    model.allocate();
    prop_assert_eq!(plan_text(&fixture.plan, true, false), model.text(true, false));
    prop_assert_eq!(plan_given(&fixture.plan), model.given());
    let moved: Vec<GroupId> = fixture.column(pipewright_abi::artifact::LATE_SETS).unwrap();
    let moved: Vec<usize> = moved.into_iter().map(GroupId::index).collect();
    prop_assert_eq!(&moved[..], model.moved_late());
    Ok(())
}

/// Few regions and many instructions of few pipes: the same buffers again and again, so that flags can be reused.
fn pressed() -> impl Strategy<Value = KernelData> {
    kernels(Shape { pipes: 3, regions: 5, depth: 3, size: 80 })
}

/// Forward pairs of two keys and two buffers at any two instructions of one straight piece of code.
fn overlapping_pairs(
    kernel: &KernelData,
    picks: &[(prop::sample::Index, prop::sample::Index, bool, u32)],
    max_ids: usize,
) -> Result<(), TestCaseError> {
    let target = target();
    let view = kernel.view();
    let parts = Parts::new(&view);
    let mut model = Model::new(kernel, &target, Choices { max_ids, ..Choices::default() });
    let pipe = |name| target.view().pipe(name).unwrap();
    let instructions: Vec<_> = view.instructions().collect();
    for (set, wait, first, root) in picks {
        if instructions.is_empty() {
            break;
        }
        let set = *set.get(&instructions);
        let later: Vec<_> =
            instructions.iter().filter(|&&n| n > set && parts.of(n) == parts.of(set)).collect();
        if !later.is_empty() {
            let key = if *first { (pipe("V"), pipe("MTE3")) } else { (pipe("MTE2"), pipe("V")) };
            model.add_pair(key, set.index(), wait.get(&later).index(), vec![*root]);
        }
    }
    compare_from(model, kernel)
}

proptest! {
    #[test]
    fn few_ids(kernel in pressed(), max_ids in 0usize..4) {
        compare(&kernel, max_ids, true)?;
    }

    #[test]
    fn pairs_at_random(
        kernel in kernels(Shape { pipes: 2, regions: 2, depth: 3, size: 50 }),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>(), 0u32..2), 0..40),
        max_ids in 1usize..4,
    ) {
        overlapping_pairs(&kernel, &picks, max_ids)?;
    }

    #[test]
    fn all_ids(kernel in kernels(Shape { pipes: 5, regions: 11, depth: 4, size: 60 })) {
        compare(&kernel, 8, true)?;
    }

    #[test]
    fn without_widening(kernel in pressed(), max_ids in 1usize..4) {
        compare(&kernel, max_ids, false)?;
    }
}
