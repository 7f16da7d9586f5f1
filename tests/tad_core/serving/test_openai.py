"""The OpenAI client against a server on a real socket."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace

import httpx
import pytest

from tad_core.data.prompts import encode_text
from tad_core.decoding import DecodeSpec, Request, decode_requests, new_fitting
from tad_core.evaluation.prompting import chat_text
from tests.tad_core.serving.conftest import SPEC
from tests.waiting import CEILING_S, get, stream

QUESTIONS = ["What is 3 + 4 ?", "Write a function that doubles x .", "a", "Ben has 5 apples and eats 2 ."]


@pytest.fixture
def client(server):
    openai = pytest.importorskip("openai", reason="pip install -e .[dev]")
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0) as one:
        yield one


def chat(question):
    return [{"role": "user", "content": question}]


def expected(served, ids, spec=SPEC, temperature=0.0, seed=0, choice=0, most=None):
    """The text that a prompt gets alone."""
    request = Request(ids, ("", choice), temperature)
    one = decode_requests(served.model, [request], spec, 1, new_fitting(), seed)[0]
    tokens = one.tokens[: most or spec.response_length]
    length = next((i for i, t in enumerate(tokens) if t in served.texts.ends), len(tokens))
    return served.texts.tokenizer.decode(tokens[:length], skip_special_tokens=True)


def prompt_of(served, question):
    return encode_text(served.texts.tokenizer, chat_text(served.texts.tokenizer, chat(question)))


@pytest.mark.parametrize("name", [0, 1], ids=["llada", "dream"])
def test_a_chat_gets_what_the_decoder_gives_streamed_or_not(client, models, name):
    served = models[name]
    for question in QUESTIONS:
        whole = client.chat.completions.create(model=served.name, messages=chat(question))
        assert whole.choices[0].message.content == expected(served, prompt_of(served, question))
        assert whole.usage.prompt_tokens == len(prompt_of(served, question))
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        assert whole.usage.tokens_per_forward == round(whole.usage.revealed_tokens / whole.usage.forwards, 3)
        stream = client.chat.completions.create(
            model=served.name, messages=chat(question), stream=True, stream_options={"include_usage": True}
        )
        *chunks, last = list(stream)
        assert last.choices == [] and last.usage.completion_tokens == whole.usage.completion_tokens
        assert last.usage.forwards == whole.usage.forwards
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
        assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == [
            whole.choices[0].finish_reason
        ]


def test_blocks_come_one_by_one(client):
    stream = client.chat.completions.create(
        model="llada", messages=chat("go"), stream=True, max_tokens=64,
        extra_body={"method": "token_by_token", "early_stop": False},
    )  # fmt: skip
    texts = [c.choices[0].delta.content for c in stream if c.choices[0].delta.content]
    assert len(texts) > 4


def test_completions_take_texts_tokens_and_several_choices(client, models):
    served = models[0]
    ids = [encode_text(served.texts.tokenizer, q) for q in QUESTIONS[:2]]
    for prompt in (QUESTIONS[:2], ids):
        got = client.completions.create(model="llada", prompt=prompt, n=2, temperature=0.8, seed=7)
        wanted = [expected(served, p, SPEC, 0.8, 7, j) for p in ids for j in range(2)]
        assert [c.text for c in got.choices] == wanted
        assert [c.index for c in got.choices] == [0, 1, 2, 3]
    one = client.completions.create(model="llada", prompt=ids[0])
    assert one.choices[0].text == expected(served, ids[0])
    streamed = list(client.completions.create(model="llada", prompt=QUESTIONS[0], stream=True))
    assert "".join(c.choices[0].text for c in streamed) == one.choices[0].text


def test_an_answer_goes_back_as_it_came(client, models):
    first = client.chat.completions.create(model="llada", messages=chat("hello"))
    again = client.chat.completions.create(
        model="llada", messages=[*chat("hello"), first.choices[0].message, *chat("and then ?")]
    )
    told = [
        *chat("hello"), {"role": "assistant", "content": first.choices[0].message.content}, *chat("and then ?")
    ]  # fmt: skip
    ids = encode_text(models[0].texts.tokenizer, chat_text(models[0].texts.tokenizer, told))
    assert again.choices[0].message.content == expected(models[0], ids)
    theirs = {"audio": None, "function_call": None, "tool_calls": [], "annotations": []}
    parts = [{"type": "text", "text": told[1]["content"]}]
    whole = {"role": "assistant", "content": parts, "refusal": None, **theirs}
    more = client.chat.completions.create(model="llada", messages=[told[0], whole, told[2]])
    assert more.choices == again.choices


def test_a_seed_repeats_and_a_drawn_one_is_told(client):
    def ask(**more):
        return client.chat.completions.create(model="llada", messages=chat("hm"), temperature=1.5, **more)

    drawn = ask()
    assert ask(seed=drawn.seed).choices[0].message.content == drawn.choices[0].message.content
    texts = {ask(seed=i).choices[0].message.content for i in (*range(5), (1 << 63) - 1)}
    assert len(texts) > 1
    assert not hasattr(client.chat.completions.create(model="llada", messages=chat("hm")), "seed")


def test_how_it_is_decoded_can_be_said(client, models):
    served = models[0]
    ways = [
        ({"threshold": 2.0, "block_add_threshold": 0.0}, DecodeSpec(16, 4, "entropy", 2.0, 0.0)),
        ({"method": "token_by_token"}, DecodeSpec(16, 4, block_add_threshold=0.25)),
        ({"method": "confidence", "threshold": 0.5, "block_length": 8}, DecodeSpec(16, 8, "confidence", 0.5)),
        ({"method": "factor", "factor": 1.0, "cache": "prefix"},
         DecodeSpec(16, 4, "factor", 1.0, 0.25, cache="prefix", factor=1.0)),
        ({"cache": "dual", "refresh_forwards": 3}, replace(SPEC, cache="dual", refresh_forwards=3)),
    ]  # fmt: skip
    for given, spec in ways:
        got = client.chat.completions.create(model="llada", messages=chat("well"), extra_body=given)
        assert got.choices[0].message.content == expected(served, prompt_of(served, "well"), spec)


def test_the_text_has_at_most_max_tokens_of_whole_blocks(client, models):
    served = models[0]
    got = client.chat.completions.create(model="llada", messages=chat("well"), max_tokens=6)
    spec = DecodeSpec(8, 4, "entropy", 1.0, 0.25)
    assert got.choices[0].message.content == expected(served, prompt_of(served, "well"), spec, most=6)
    assert got.choices[0].finish_reason == "length" and got.usage.completion_tokens == 6
    newer = client.chat.completions.create(model="llada", messages=chat("well"), max_completion_tokens=6)
    assert newer.choices == got.choices


def tokens_of(served, text):
    """Of a text of words."""
    return len(served.texts.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_stop_string_ends_the_text_and_the_decoding(client, models):
    ask = {"model": "llada", "messages": chat("well"), "max_tokens": 64, "extra_body": {"threshold": 0.0}}
    whole = client.chat.completions.create(**ask)
    text = whole.choices[0].message.content
    stop = text[6:9]
    # HumanEval's, to which an end of text is added.
    of_lm_eval = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]
    cut = client.chat.completions.create(**ask, stop=[*of_lm_eval, stop])
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    assert cut.usage.forwards < whole.usage.forwards
    assert cut.usage.completion_tokens == tokens_of(models[0], text[: text.index(stop)])
    streamed = list(client.chat.completions.create(**ask, stop=stop, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == text[: text.index(stop)]


def test_a_canvas_shows_every_reveal_once(server):
    body = {"model": "llada", "messages": chat("well"), "stream": True, "canvas": True, "early_stop": False}
    seen, forwards = {}, []
    with stream("POST", f"{server[0]}/v1/chat/completions", json=body) as answer:
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    *chunks, last = map(json.loads, lines)
    for chunk in chunks:
        if canvas := chunk.get("canvas"):
            forwards.append(canvas["forward"])
            for place, text in canvas["revealed"]:
                assert place not in seen
                seen[place] = text
    assert sorted(seen) == list(range(16)) and forwards == list(range(1, len(forwards) + 1))
    assert last["usage"]["forwards"] == forwards[-1]


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_mixed_requests_at_once_equal_one_by_one(server, models, count):
    draw = random.Random(3)
    ways = [{}, {"threshold": 3.0}, {"cache": "dual"}, {"method": "token_by_token"}, {"block_length": 8}]
    asked = []
    for i in range(count):
        text = " ".join(draw.choice(QUESTIONS).split()[: draw.randint(1, 6)])
        more = {"temperature": 0.9, "seed": i % 5} if draw.random() < 0.3 else {}
        asked.append(
            {
                "model": draw.choice(["llada", "dream"]), "messages": chat(text),
                "max_tokens": draw.choice([4, 7, 16, 24]),
                "stream": draw.random() < 0.5, **draw.choice(ways), **more,
            }
        )  # fmt: skip

    async def one(client, body):
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        if not body["stream"]:
            return answer.json()["choices"][0]["message"]["content"]
        lines = [json.loads(s[6:]) for s in answer.text.split("\n\n") if s.startswith("data: {")]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in lines)

    async def every():
        async with httpx.AsyncClient(
            base_url=server[0], timeout=CEILING_S, limits=httpx.Limits(max_connections=200)
        ) as client:
            return await asyncio.gather(*(one(client, body) for body in asked))

    together = asyncio.run(every())
    by_name = {served.name: served for served in models}
    for body, text in zip(asked, together, strict=True):
        served = by_name[body["model"]]
        block = body.get("block_length", 4)
        fields = {k: body[k] for k in ("threshold", "cache", "method") if k in body}
        spec = DecodeSpec(
            **{"method": "entropy", "threshold": 1.0, **fields}, block_length=block, block_add_threshold=0.25,
            response_length=-(-body["max_tokens"] // block) * block,
        )  # fmt: skip
        prompt = prompt_of(served, body["messages"][0]["content"])
        heat = body.get("temperature", 0.0)
        assert text == expected(served, prompt, spec, heat, body.get("seed", 0), most=body["max_tokens"])
    assert server[1].stream.open == 0


def test_models_are_listed(client):
    assert [m.id for m in client.models.list()] == ["llada", "dream"]
    assert client.models.retrieve("dream").decoder["threshold"] == 1.0


def test_what_prometheus_reads(server, client):
    client.chat.completions.create(model="llada", messages=chat("well"))
    text = get(f"{server[0]}/metrics").text
    assert 'tad_requests_total{model="llada",route="/v1/chat/completions",status="200"}' in text
    assert 'tad_forwards_total{model="llada"}' in text and "tad_open_responses 0.0" in text
