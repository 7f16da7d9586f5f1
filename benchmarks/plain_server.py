"""A server around the plain algorithm: one request at a time, and every forward does what the public code does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any


def plain_app(served: Any) -> Any:
    """A plain server: one request at a time, finished blocks as they complete."""
    from starlette.applications import Starlette
    from starlette.concurrency import iterate_in_threadpool
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from tad_core.data.responses import text_length

    turn = asyncio.Lock()

    async def complete(request: Any) -> StreamingResponse:
        ids = (await request.json())["prompt"]

        async def lines() -> AsyncIterator[str]:
            sent, usage = "", {}
            async with turn:
                pieces = iterate_in_threadpool(plain_decode(served.model, ids, served.spec))
                async for tokens, forwards, revealed in pieces:
                    count = text_length(tokens, served.texts.ends)
                    text = served.texts.tokenizer.decode(tokens[:count], skip_special_tokens=True)
                    yield event(choices=[{"index": 0, "text": text[len(sent) :]}])
                    sent = text
                    usage = {"completion_tokens": count, "forwards": forwards, "revealed_tokens": revealed}
            yield event(choices=[], usage=usage)

        return StreamingResponse(lines(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/completions", complete, methods=["POST"])])


def event(**body: Any) -> str:
    """As a server sends it."""
    return f"data: {json.dumps(body)}\n\n"


def plain_decode(model: Any, prompt: list[int], spec: Any) -> Iterator[tuple[list[int], int, int]]:
    """The leading tokens, forwards and reveals so far: whenever a block completes, and at the end."""
    import torch
    from decode import TPF

    start, total, mask = len(prompt), len(prompt) + spec.response_length, model.mask_token_id
    ids = torch.tensor([prompt + [mask] * spec.response_length], device=model.device)
    added, forwards, told, budget = 1, 0, 0, 0.0
    while True:
        masked = ids[0, start:] == mask
        last = masked[(added - 1) * spec.block_length : added * spec.block_length]
        if added < spec.blocks and 1 - last.float().mean().item() >= spec.block_add_threshold:
            added += 1
        with torch.inference_mode():
            logits = model(ids)[0, start:total]
            chance = logits.double().softmax(-1)
            entropy = -(chance * torch.log(chance + 1e-12)).sum(-1)
            token = chance.index_fill(-1, torch.tensor([mask], device=ids.device), -1.0).argmax(-1)
        forwards += 1
        can = masked.clone()
        can[added * spec.block_length :] = False
        if spec.method == "entropy":
            take = can & (entropy < spec.threshold)
            if not take.any():
                take[entropy.masked_fill(~can, torch.inf).argmin()] = True
            first = int(masked.int().argmax()) // spec.block_length * spec.block_length
            inside = can.clone()
            inside[:first], inside[first + spec.block_length :] = False, False
            if not (take & inside).any():
                take[entropy.masked_fill(~inside, torch.inf).argmin()] = True
        else:
            count = int(budget + TPF) - int(budget)
            budget += TPF
            take = can & (can.cumsum(0) <= count)
        ids[0, start:] = torch.where(take, token, ids[0, start:])
        masked = masked & ~take
        response = ids[0, start:].tolist()
        left = int(masked.sum())
        lead = int(masked.int().argmax()) if left else spec.response_length
        over = not left or (spec.early_stop and model.eos_token_id in response[:lead])
        if over or lead // spec.block_length > told:
            told = lead // spec.block_length
            yield response[: lead if over else told * spec.block_length], forwards, len(response) - left
        if over:
            return
