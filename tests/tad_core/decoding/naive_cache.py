"""Decoding with a cache, read aloud: one sample, keys and values in lists, attention written out."""

from __future__ import annotations

import torch

from tad_core.decoding import DecodeSpec
from tad_core.models.transformer import TransformerLM, rope_tables
from tests.tad_core.decoding.naive_decoder import SEVERAL, Trace, _by_entropy, _row, in_one_block


class Stale:
    """A model that computes the places it is told, everything else as it was last."""

    def __init__(self, model: TransformerLM, length: int) -> None:
        self.model = model
        self.cos, self.sin = rope_tables(length, *model.rope_settings(), torch.device("cpu"))
        self.keys: list[dict[int, torch.Tensor]] = [{} for _ in model.layers()]
        self.values: list[dict[int, torch.Tensor]] = [{} for _ in model.layers()]

    @torch.no_grad()
    def rows(self, ids: list[int], places: list[int]) -> dict[int, list[float]]:
        """Logits of the computed places, before the family's shift."""
        x = self.model.token_embedding()(torch.tensor([ids[at] for at in places]))
        for layer, keys, values in zip(self.model.layers(), self.keys, self.values, strict=True):
            parts, size = layer.parts(), layer.head_size
            normed = parts.attention_norm(x)
            q, k, v = (part(normed).view(len(places), -1, size) for part in (parts.q, parts.k, parts.v))
            q, k = self._rotated(q, places), self._rotated(k, places)
            keys.update(zip(places, k, strict=True))
            values.update(zip(places, v, strict=True))
            shared = q.shape[1] // k.shape[1]
            every_k = torch.stack([keys[at] for at in sorted(keys)]).repeat_interleave(shared, 1)
            every_v = torch.stack([values[at] for at in sorted(values)]).repeat_interleave(shared, 1)
            weights = (torch.einsum("qhe,khe->hqk", q, every_k) / size**0.5).softmax(-1)
            x = x + parts.o(torch.einsum("hqk,khe->qhe", weights, every_v).flatten(1))
            normed = parts.mlp_norm(x)
            x = x + parts.down(torch.nn.functional.silu(parts.gate(normed)) * parts.up(normed))
        logits = self.model.head(self.model.final_norm()(x)).double()
        return dict(zip(places, logits.tolist(), strict=True))

    def _rotated(self, x: torch.Tensor, places: list[int]) -> torch.Tensor:
        cos, sin = self.cos[places][:, None].to(x.dtype), self.sin[places][:, None].to(x.dtype)
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat((-second, first), -1) * sin


def naive_cached(model: TransformerLM, prompt: list[int], spec: DecodeSpec) -> Trace:
    """The definition: which places are computed in each forward, and what is revealed by them."""
    mask, eos, length, size = model.mask_token_id, model.eos_token_id, spec.response_length, spec.block_length
    blocks = [range(b * size, (b + 1) * size) for b in range(length // size)]
    trace, stale = Trace([mask] * length, [0] * length), Stale(model, len(prompt) + length)
    masked, added, just = [True] * length, 1, []
    since = reveals = settled = 0
    last_block = None
    while any(masked):
        done = sum(not masked[i] for i in blocks[added - 1])
        if spec.method in SEVERAL and added < len(blocks) and done / size >= spec.block_add_threshold:
            added += 1
        current = next(b for b, block in enumerate(blocks) if any(masked[i] for i in block))
        if spec.method not in SEVERAL:
            added = current + 1
        active = [i for block in blocks[:added] for i in block if masked[i]]
        refresh = (
            last_block is None
            or (spec.refresh_blocks and (current != last_block or settled < spec.refresh_settle))
            or (0 < spec.refresh_forwards <= since)
            or (0 < spec.refresh_reveals <= reveals)
        )
        ids, shift = prompt + trace.tokens, model.packed_shift
        if refresh:
            settled = settled + 1 if current == last_block else 1
            places, since, reveals, last_block = list(range(len(ids))), 0, 0, current
        elif spec.cache == "prefix":
            kept = len(prompt) + last_block * size
            places = sorted({*range(kept, len(ids)), *(len(prompt) + i - shift for i in active)})
        else:
            new = active + just
            if spec.cache == "dual_block":
                new = [i for block in blocks if set(block) & set(new) for i in block]
            needed = {len(prompt) + i for i in new} | {len(prompt) + i - shift for i in active}
            places = sorted(needed)
        trace.forwards += 1
        trace.full_forwards += refresh
        trace.computed += len(places)
        since += 1
        found = stale.rows(ids, places)
        rows = {i: _row(found[len(prompt) + i - shift], mask, spec.mask_in_entropy) for i in active}
        if spec.method in SEVERAL:
            states = ["full" if b == current else "semi" for b in range(added)]
            states += ["inactive"] * (len(blocks) - added)
            just = _by_entropy(rows, masked, blocks, states, spec.threshold, spec.method)
        else:
            just = in_one_block(spec, rows, active)
        reveals += len(just)
        if trace.reveal(just, rows, masked, eos if spec.early_stop else None):
            break
    return trace
