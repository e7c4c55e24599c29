//! x
use pipewright_abi::{Pass, PassContext, PassError, PassInfo, register_pass};
struct HazardAnalysis;
impl Pass for HazardAnalysis {
    const NAME: &'static str = "hazard-analysis";
    fn info() -> PassInfo { PassInfo::new("x") }
    fn run(_cx: &mut PassContext<'_>) -> Result<(), PassError> { Ok(()) }
}
register_pass!(HazardAnalysis);
