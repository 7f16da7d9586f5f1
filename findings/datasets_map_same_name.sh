#!/usr/bin/env bash
# datasets 5.2.0: map cannot write text into a column of numbers, and does not say so.
#
# Guess: a function that returns {"answer": f"{answer:03d}"} makes the column one of strings, as returning floats for whole numbers makes
# it one of floats, and as any other name for it does.
# Behaviour: under a name that is there the old type is tried first, and a text that can be read as such a number is: 7 -> "007" is 7
# again, 0.5 -> "0.50" is 0.5. One text that cannot makes all of that batch, and so the column, strings. In a new column the
# types of the first batch count: 1 becomes "1" after texts, and a 2 after truth values is True.
# Seen: f"{7:03d}" 7 in the same column, "007" in another; with a last row "none" all are strings.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0
cat > "$work/names.py" <<'PY'
import datasets

datasets.disable_progress_bars()
whole = datasets.Dataset.from_list([{"answer": 7}, {"answer": 12}])
broken = datasets.Dataset.from_list([{"answer": 0.5}])
many = datasets.Dataset.from_list([{"number": number} for number in range(2000)])

found = {
    "same": whole.map(lambda row: {"answer": f"{row['answer']:03d}"})["answer"][:],
    "another": whole.map(lambda row: {"text": f"{row['answer']:03d}"})["text"][:],
    "same, 0.50": broken.map(lambda row: {"answer": f"{row['answer']:.2f}"})["answer"][:],
    "same, one is no number": whole.map(lambda row: {"answer": "none" if row["answer"] == 12 else "007"})["answer"][:],
    "same, floats": whole.map(lambda row: {"answer": row["answer"] / 2})["answer"][:],
    "new, 2 after 1,000 True": many.map(lambda row: {"score": True if row["number"] < 1000 else 2})["score"][1500],
    "new, 1 after 1,000 texts": many.map(lambda row: {"score": "x" if row["number"] < 1000 else 1})["score"][1500],
}
print(f"datasets {datasets.__version__}: {found}")
assert found["same"] == [7, 12] and found["same, 0.50"] == [0.5], "text stays text now"
assert found["another"] == ["007", "012"] and found["same, one is no number"] == ["007", "none"]
assert found["same, floats"] == [3.5, 6.0]
assert found["new, 2 after 1,000 True"] is True and found["new, 1 after 1,000 texts"] == "1", "types may change now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/names.py"
