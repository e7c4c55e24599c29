#!/usr/bin/env bash
# ascendnpu_ir 1.2.0 (bishengir-opt, LLVM 19.1.7), passes hivm-inject-sync and hivm-graph-sync-solver.
#
# A loop loads ahead: `%next` is filled while `%current` is worked on, and the two change places (`scf.yield %next, %current`). From
# the second trip on V reads what MTE2 wrote a trip before. hivm-inject-sync takes each loop argument for its initial tile in
# every trip: it puts no flag between MTE2 and V at all, only barriers within each pipe. The graph solver, on the same text, orders both ways.
#
# Seen: 0 flags from the one pass, 6 from the other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-deps 'ascendnpu_ir==1.2.0'
opt=$(find "$dir/venv" -path '*/bin/bishengir-opt' | head -n 1)
"$opt" --version | head -n 2

cat > "$dir/k.mlir" <<'MLIR'
!t = memref<64xf32, #hivm.address_space<ub>>
!a = memref<?xf32, #hivm.address_space<gm>>
!g = memref<64xf32, strided<[1], offset: ?>, #hivm.address_space<gm>>
module attributes {hacc.target = #hacc.target<"Ascend910B3">} {
  func.func @k(%x: !a, %n: index) attributes {hacc.entry, hacc.function_kind = #hacc.function_kind<DEVICE>, hivm.func_core_type = #hivm.func_core_type<AIV>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %a0 = arith.constant 0 : i64
    %a1 = arith.constant 256 : i64
    %a2 = arith.constant 512 : i64
    %t0 = hivm.hir.pointer_cast(%a0) : !t
    %t1 = hivm.hir.pointer_cast(%a1) : !t
    %t2 = hivm.hir.pointer_cast(%a2) : !t
    %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%current = %t0, %next = %t1) -> (!t, !t) {
      %g = memref.reinterpret_cast %x to offset: [%i], sizes: [64], strides: [1] : !a to !g
      hivm.hir.load ins(%g : !g) outs(%next : !t)
      hivm.hir.vexp ins(%current : !t) outs(%t2 : !t)
      scf.yield %next, %current : !t, !t
    }
    return
  }
}
MLIR

flags() { "$opt" "$1" "$dir/k.mlir" | grep -cE '(set|wait)_flag\[<PIPE_(MTE2|V)>, <PIPE_(MTE2|V)>' || true; }
inject=$(flags --hivm-inject-sync)
solver=$(flags --hivm-graph-sync-solver)
echo "flags between MTE2 and V: hivm-inject-sync $inject, hivm-graph-sync-solver $solver"
[ "$inject" = 0 ] && [ "$solver" = 6 ]
