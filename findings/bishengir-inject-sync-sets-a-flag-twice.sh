#!/usr/bin/env bash
# ascendnpu_ir 1.2.0 (bishengir-opt, LLVM 19.1.7), pass hivm-inject-sync.
#
# A loop keeps eight V>MTE2 flags up from one trip to the next, so all eight ids of that pair are in use when the loop ends, each
# with its last token still to be taken. Work behind the loop needs one more V>MTE2 pair. The pass gives it id 0 and puts
# its set in front of the waits that take the loop's last tokens: id 0 is set, and set again before any wait.
# What a second set does is not documented: either it waits, or a token is lost and the second wait never returns.
#
# Seen: the first V>MTE2 statement behind the loop is a set of id 0, and the loop's last one of id 0 was a set as well.
# With seven flags in the loop there is a free id, and nothing is set twice.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-deps 'ascendnpu_ir==1.2.0'
opt=$(find "$dir/venv" -path '*/bin/bishengir-opt' | head -n 1)
"$opt" --version | head -n 2

cat > "$dir/kernel.py" <<'PY'
"""Prints a kernel: a loop over N loads into tiles of their own and N operations that read them; one more load behind it."""
import sys

tiles = int(sys.argv[1])
lines = [
    "!t = memref<64xf32, #hivm.address_space<ub>>",
    "!a = memref<?xf32, #hivm.address_space<gm>>",
    "!g = memref<64xf32, strided<[1], offset: ?>, #hivm.address_space<gm>>",
    'module attributes {hacc.target = #hacc.target<"Ascend910B3">} {',
    "func.func @k(%x: !a, %n: index) attributes {hacc.entry, hacc.function_kind = #hacc.function_kind<DEVICE>,"
    " hivm.func_core_type = #hivm.func_core_type<AIV>} {",
    "%c0 = arith.constant 0 : index",
    "%c1 = arith.constant 1 : index",
    "%g = memref.reinterpret_cast %x to offset: [%c0], sizes: [64], strides: [1] : !a to !g",
]
for k in range(2 * tiles):
    lines += [f"%a{k} = arith.constant {256 * k} : i64", f"%t{k} = hivm.hir.pointer_cast(%a{k}) : !t"]
load = [f"hivm.hir.load ins(%g : !g) outs(%t{k} : !t)" for k in range(tiles)]
work = [f"hivm.hir.vexp ins(%t{k} : !t) outs(%t{tiles + k} : !t)" for k in range(tiles)]
lines += ["scf.for %i = %c0 to %n step %c1 {", *load, *work, "}", load[0], work[0], "return", "}", "}"]
print("\n".join(lines))
PY

cat > "$dir/twice.py" <<'PY'
"""Reads a module; prints the flags that are set twice, one set after the other, in the order of the text."""
import re
import sys

last = {}
for line in sys.stdin:
    if m := re.search(r"(set|wait)_flag\[<PIPE_(\w+)>, <PIPE_(\w+)>, <EVENT_ID(\d)>", line):
        key = m.group(2, 3, 4)
        if m[1] == "set" and last.get(key) == "set":
            print("set twice:", f"{key[0]}>{key[1]} #{key[2]}")
        last[key] = m[1]
PY

run() { python3 "$dir/kernel.py" "$1" > "$dir/k.mlir" && "$opt" --hivm-inject-sync "$dir/k.mlir" | python3 "$dir/twice.py"; }
seven=$(run 7)
eight=$(run 8)
echo "seven flags in the loop: ${seven:-nothing set twice}"
echo "eight flags in the loop: ${eight:-nothing set twice}"
[ -z "$seven" ] && [ "$eight" = 'set twice: V>MTE2 #0' ]
