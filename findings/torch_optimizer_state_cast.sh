#!/usr/bin/env bash
# torch 2.13.0, CPU: an optimizer's state comes back from a checkpoint in the dtype of its weights, whatever it was.
#
# Guess: load_state_dict gives an optimizer the state that state_dict gave: moments kept in float32 beside bfloat16 weights are float32 after
# a resume, and a counter of whole numbers is one.
# Behaviour: every tensor of the state of a floating-point weight but the one named "step" is cast to that weight's dtype. Moments in float32
# are rounded to 8 bits, with their next updates; a counter in int64 becomes a bfloat16, in which 257 is 256 and adding 1 changes nothing;
# codes in uint8 are floats. No message. The resumed run differs from the one that was not stopped from its first step on. An optimizer that
# wants its own types back has to override load_state_dict, or put the state back by hand.
# Seen: moment 1.001 in float32 is 1.0 in bfloat16; count 257 in int64 is 256.0 in bfloat16; step stays float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/resume.py" <<'PY'
import torch


class Careful(torch.optim.Optimizer):
    """Keeps its moment in float32 and counts the steps in which a weight had a gradient."""

    def __init__(self, weights):
        super().__init__(weights, {"lr": 0.1})

    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["moment"] = torch.zeros_like(weight, dtype=torch.float32)
                    state["count"] = torch.zeros((), dtype=torch.int64)
                state["codes"] = torch.zeros(1, dtype=torch.uint8)
                state["step"] += 1
                state["count"] += 1
                state["moment"] += weight.grad.float()


weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
weight.grad = torch.ones_like(weight)
first = Careful([weight])
first.step()
first.state[weight]["moment"].fill_(1.001)
first.state[weight]["count"].fill_(257)
second = Careful([weight])
second.load_state_dict(first.state_dict())
seen = {name: (str(value.dtype).removeprefix("torch."), round(float(value), 4)) for name, value in second.state[weight].items()}
print(f"torch {torch.__version__}: saved moment float32 1.001, count int64 257; loaded {seen}")
assert seen["moment"] == ("bfloat16", 1.0), "moments keep their dtype now"
assert seen["count"] == ("bfloat16", 256.0), "counters keep their dtype now"
assert seen["codes"][0] == "bfloat16"
assert seen["step"] == ("float32", 1.0)
PY
"$work/env/bin/python" "$work/resume.py"
