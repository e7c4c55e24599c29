#!/usr/bin/env bash
# ascendnpu_ir 1.2.0 (bishengir-opt, LLVM 19.1.7), passes hivm-inject-sync and hivm-graph-sync-solver.
#
# Neither pass looks at the flags and barriers that a module has already. Run on a module that is in order (the pass's own
# output), each adds all of its statements again, with the same ids: every set_flag stands twice before its wait. So the passes
# cannot complete what a person or another tool synchronized in part, and a pipeline that runs one twice is wrong without an error.
#
# Seen: twice the statements, and exit code 0, from both.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-deps 'ascendnpu_ir==1.2.0'
opt=$(find "$dir/venv" -path '*/bin/bishengir-opt' | head -n 1)
"$opt" --version | head -n 2

cat > "$dir/k.mlir" <<'MLIR'
!t = memref<64xf32, #hivm.address_space<ub>>
!g = memref<64xf32, #hivm.address_space<gm>>
module attributes {hacc.target = #hacc.target<"Ascend910B3">} {
  func.func @k(%x: !g, %y: !g) attributes {hacc.entry, hacc.function_kind = #hacc.function_kind<DEVICE>, hivm.func_core_type = #hivm.func_core_type<AIV>} {
    %a0 = arith.constant 0 : i64
    %a1 = arith.constant 256 : i64
    %t0 = hivm.hir.pointer_cast(%a0) : !t
    %t1 = hivm.hir.pointer_cast(%a1) : !t
    hivm.hir.load ins(%x : !g) outs(%t0 : !t)
    hivm.hir.vexp ins(%t0 : !t) outs(%t1 : !t)
    hivm.hir.store ins(%t1 : !t) outs(%y : !g)
    return
  }
}
MLIR

count() { grep -cE 'set_flag|wait_flag|pipe_barrier' "$1"; }
for pass in hivm-inject-sync hivm-graph-sync-solver; do
  "$opt" "--$pass" "$dir/k.mlir" -o "$dir/once.mlir"
  "$opt" "--$pass" "$dir/once.mlir" -o "$dir/twice.mlir"
  once=$(count "$dir/once.mlir")
  twice=$(count "$dir/twice.mlir")
  echo "$pass: $once statements, run again $twice"
  [ "$once" -gt 0 ] && [ "$twice" = $((2 * once)) ]
done
