//! The layout of every record that crosses the plugin boundary, against the one that was released.
//!
//! `layout.txt` holds a line for each record, with its size and the offset of each field, and one for each column, with its
//! stride. A line that is there never changes and never goes; what is new gets lines of its own when it is released.

use std::mem::{offset_of, size_of};

use pipewright_abi::column::Column;
use pipewright_abi::hazard::HazardData;
use pipewright_abi::ir::ModuleData;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::plan::PlanColumns;
use pipewright_abi::plugin::{CatalogData, OutcomeData, RunHeader};
use pipewright_abi::target::TargetData;

macro_rules! records {
    ($( $($module:ident)? $(:: $record:ident)?: $($field:ident)*; )+) => {
        fn records() -> Vec<String> {
            vec![$( {
                type Record = pipewright_abi$(::$module)?$(::$record)?;
                let fields: &[(&str, usize)] = &[$( (stringify!($field), offset_of!(Record, $field)) ),*];
                let fields: String = fields.iter().map(|(name, at)| format!(" {name}@{at}")).collect();
                let name = concat!($(stringify!($module),)? $("::", stringify!($record))?);
                format!("record {name}: {} bytes{fields}", size_of::<Record>())
            } ),+]
        }
    };
}

records! {
    hazard::Overlap: region flags;
    Range: start len;
    TextRange: start end;
    ir::Op: name entry block operands results attrs bodies span name_span;
    ir::Operand: value slot span;
    ir::Value: ty name op block index span;
    ir::Block: body args ops label;
    ir::Body: op blocks span;
    ir::Attr: name value span;
    ir::AttrValue: bits kind ty text detail children;
    ir::Type: kind width element text dims children detail space;
    ir::TileType: valid_rows valid_cols space blayout slayout fractal pad compact;
    kernel::Node: kind pipe op begin middle end parent accesses flags;
    kernel::Access: region mode;
    kernel::Region: base size address row_bytes pitch rows space root flags reserved;
    kernel::Root: value name span;
    kernel::Bystander: op before accesses;
    kernel::Call: op phases;
    kernel::Phase: drained kind pipe dst event_id accesses;
    kernel::KernelFacts: function flags;
    memory::Address: offset op reserved;
    plan::SyncGroup: kind src dst event_id carrier scope flags order roots;
    plan::EditRecord: code args;
    plugin::PassRecord:;
    plugin::OptionRecord:;
    plugin::RangeRecord:;
    plugin::NoteRecord:;
    sync::Sync: kind src src_attr dst dst_attr event_id id_attr id_operand;
    target::Pipe: name symbol flags;
    target::ReservedIds: src dst mask;
    target::Space: bytes align name tile qualifier flags;
    target::SpaceAlias: name space;
    target::Enum: name cpp values;
    target::EnumValue: value text symbol;
    target::Entry: name class operands results attrs pipe_rules cpp_rules alias flags unsupported;
    target::OperandSpec: name group kinds flags;
    target::AttrSpec: name ty default flags;
    target::PipeRule: pipe when;
    target::CppRule: emit when;
    target::Condition: kind name values;
    target::Phase: drained kind pipe dst event_id attr accesses when reserved;
    target::PhaseAccess: operand flags;
    target::Facts: name event_ids flag_model;
    target::SyncClass: name pipe;
}

fn columns() -> Vec<String> {
    let (hazards, kernel, plan) = (HazardData::default(), KernelData::default(), PlanColumns::default());
    let (catalog, outcome, header) = (CatalogData::default(), OutcomeData::default(), RunHeader::new(0, []));
    let (module, target) = (ModuleData::default(), TargetData::default());
    let mut columns: Vec<Column<'_>> = Vec::new();
    hazards.view().lend(&mut columns);
    kernel.view().lend(&mut columns);
    plan.view().lend(&mut columns);
    catalog.view().lend(&mut columns);
    outcome.view().lend(&mut columns);
    header.lend(&mut columns);
    module.view().lend(&mut columns);
    target.view().lend(&mut columns);
    columns.iter().map(|column| format!("column {}: {} bytes", column.id, column.stride)).collect()
}

#[test]
fn what_was_released_is_as_it_was() {
    let now = [records(), columns()].concat();
    let released: Vec<&str> =
        include_str!("layout.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(released.len() > 80, "the list was cut off");
    let lost: Vec<_> = released.iter().filter(|line| !now.iter().any(|n| n == *line)).collect();
    assert!(
        lost.is_empty(),
        "a released record or column changed:\n{lost:#?}\nit must keep its layout; put what is new into a column of its own. \
         Now:\n{}",
        now.join("\n")
    );
}
