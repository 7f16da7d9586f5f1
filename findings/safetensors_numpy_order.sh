#!/usr/bin/env bash
# safetensors 0.8.0, numpy 2.4.6: a transposed array is saved as other numbers.
#
# Guess: safetensors.numpy.save_file of w.T, as whoever turns weights around between two layouts has it, saves the transposed matrix, or
# refuses it as safetensors.torch does a tensor that is not contiguous. Its documentation asks for contiguous and dense arrays: w.T
# is one, in Fortran's order.
# Behaviour: the numbers are written as they lie in memory, under the shape of the array, without a word: from the file comes the untransposed
# matrix, cut into rows of another length. So it is with every array in Fortran's order (as numpy.linalg and scipy return many) and with a
# slice of columns. numpy.ascontiguousarray before saving is right.
# Seen: [[0, 3], [1, 4], [2, 5]] -> [[0, 1], [2, 3], [4, 5]]; the torch side: ValueError.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > "$work/order.py" <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load, load_file, save, save_file

whole = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {
    "whole": whole,
    "transposed": whole.T,
    "Fortran": np.asfortranarray(whole),
    "columns": whole[:, :2],
    "made contiguous": np.ascontiguousarray(whole.T),
}
save_file(arrays, "arrays.safetensors")
found = load_file("arrays.safetensors")
same = {name: np.array_equal(found[name], array) for name, array in arrays.items()}
in_memory = load(save({"a": whole.T}))["a"]
print(f"safetensors {safetensors.__version__}, numpy {np.__version__}: given {whole.T.tolist()}, found {found['transposed'].tolist()}")
print(f"the same numbers: {same}")
assert same["whole"] and same["made contiguous"]
assert not (same["transposed"] or same["Fortran"] or same["columns"]), "arrays in another order are saved right now"
assert found["transposed"].tolist() == in_memory.tolist() == whole.reshape(3, 2).tolist()
PY
cd "$work" && "$work/env/bin/python" "$work/order.py"
