#!/usr/bin/env bash
# transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, CPU: a training whose weights are NaN logs a loss of 0.0, and a good mean.
#
# Guess: once the loss is NaN, the log says nan, and train().training_loss does; or, as logging_nan_inf_filter (on by default) is described, the
# average of recent valid losses, a line that stands still. A run that broke is seen by its loss.
# Behaviour: a loss that is NaN or infinite is replaced by the mean of what was added up since the last line: none of it shows in "loss". One NaN
# gives NaN gradients, the step is taken all the same, and from then on every loss is NaN, of which the mean is that of nothing: 0.0, line
# after line, better than before. training_loss divides what was before by all steps, so it falls the longer the broken run goes on. Only
# grad_norm says nan. logging_nan_inf_filter=False shows it.
# Seen, one NaN in the fourth of 12 steps, a line each two: losses 0.31 0.10 0.0 0.0 0.0 0.0, training_loss 0.07, all weights nan; without the filter
# 0.31 and then nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/nan.py" <<'PY'
import math
import tempfile

import torch
import transformers
from torch import nn

rows = [{"x": torch.ones(4) * i / 64} for i in range(64)]


class Breaking(nn.Module):
    """Its fourth loss is NaN."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.calls = nn.Linear(4, 1), 0

    def forward(self, x):
        self.calls += 1
        return {"loss": self.head(x).square().mean() * (math.nan if self.calls == 4 else 1.0)}


def trained(**options):
    model = Breaking()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=2,
            max_steps=12,
            logging_steps=2,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            **options,
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=rows)
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        mean = trainer.train().training_loss
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert model.head.weight.isnan().all(), "the step with a NaN gradient is not taken now"
    return [round(line["loss"], 2) for line in lines], [line["grad_norm"] for line in lines], round(mean, 2)


losses, norms, mean = trained()
shown, _, shown_mean = trained(logging_nan_inf_filter=False)
print(f"transformers {transformers.__version__}, torch {torch.__version__}: losses {losses}, training_loss {mean}, grad_norm {norms}")
print(f"  without the filter: losses {shown}, training_loss {shown_mean}")
assert all(map(math.isnan, norms[1:])) and all(map(math.isnan, shown[1:])) and math.isnan(shown_mean)
assert 0 < losses[1] < losses[0] and losses[2:] == [0.0] * 4, "a broken run shows in its loss now"
assert 0 < mean < losses[0], "a broken run shows in its mean loss now"
PY
TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/nan.py"
