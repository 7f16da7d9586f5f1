"""Clients that ask for what cannot be had, go away, are slow, or are too many: one clear answer, no slot lost."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time

import httpx
import pytest

from tad_core.serving import patience, session
from tad_core.serving import stream as streaming
from tad_core.serving.answers import GrowingText
from tad_core.serving.app import Limits
from tests.tad_core.serving.conftest import running
from tests.waiting import CEILING_S, get, post, stream, until

CHAT = "/v1/chat/completions"
HELLO = {"model": "llada", "messages": [{"role": "user", "content": "hello"}]}
LONG = {**HELLO, "max_tokens": 128, "method": "token_by_token", "early_stop": False}


def settled(service, open_=0):
    """Return once so many responses are open."""
    seen = service.stream
    until(lambda: seen.open == open_ and seen.running <= open_, f"{open_} responses are open")


def said(content, **more):
    return {"role": "user", "content": content, **more}


PICTURE = {"type": "image_url", "image_url": {"url": "data:"}}
WRONG = [
    ({**HELLO, "temperatur": 1}, "temperatur: is not known", "temperatur"),
    ({**HELLO, "temperature": 3}, "less than or equal to 2", "temperature"),
    ({**HELLO, "temperature": "hot"}, "valid number", "temperature"),
    ({**HELLO, "max_tokens": 0}, "greater than or equal to 1", "max_tokens"),
    ({**HELLO, "max_tokens": True}, "valid integer", "max_tokens"),
    ({**HELLO, "max_tokens": 100_000}, "more than the 256 that llada takes", "messages"),
    ({**HELLO, "n": 17}, "less than or equal to 16", "n"),
    ({**HELLO, "n": 16, "stop": ["a"] * 5}, "use at most 4", "stop"),
    ({**HELLO, "stop": ""}, "at least 1 character", "stop"),
    ({**HELLO, "stop": ["a", 1]}, "valid string (it is 1)", "stop.1"),
    ({**HELLO, "top_p": True}, "top_p: True is not offered; leave it out or use 1", "top_p"),
    ({**HELLO, "prediction": {}}, "prediction: {} is not offered; leave it out", "prediction"),
    ({**HELLO, "response_format": {"type": "json_object"}}, "use {'type': 'text'}", "response_format"),
    ({**HELLO, "top_p": 0.5}, "top_p: 0.5 is not offered", "top_p"),
    ({**HELLO, "tools": [{"type": "function"}]}, "is not offered", "tools"),
    ({**HELLO, "logprobs": True}, "logprobs: True is not offered", "logprobs"),
    ({**HELLO, "threshold": -1}, "threshold: -1.0 is neither an entropy nor a probability", "threshold"),
    ({**HELLO, "method": "guess"}, "use one of token_by_token, entropy, confidence", "method"),
    ({**HELLO, "method": "confidence", "threshold": 2}, "not a probability", "threshold"),
    ({**HELLO, "method": "factor"}, "factor: it is missing", "factor"),
    ({**HELLO, "method": "fixed_budget", "forward_budget": 1}, "forward_budget: 1 is not accepted", "forward_budget"),
    ({**HELLO, "factor": 1.0}, "factor: the method entropy does not read it", "factor"),
    ({**HELLO, "block_length": -4}, "greater than or equal to 1", "block_length"),
    ({**HELLO, "max_tokens": int("9" * 4300)}, "less than or equal to 2147483647", "max_tokens"),
    ({**HELLO, "block_length": 1 << 31}, "less than or equal to 2147483647", "block_length"),
    ({**HELLO, "cache": "dual", "refresh_forwards": 1 << 80}, "less than or equal to 2147483647", "refresh_forwards"),
    ({**HELLO, "block_add_threshold": 1.5}, "use 0 to 1", "block_add_threshold"),
    ({**HELLO, "cache": "suffix"}, "'none', 'dual', 'dual_block', 'prefix' or 'blocks'", "cache"),
    ({**HELLO, "canvas": True}, "set stream to true", "canvas"),
    ({**HELLO, "messages": []}, "at least 1 item", "messages"),
    ({**HELLO, "messages": [{"role": "robot", "content": "x"}]}, "'system', 'developer', 'user'", "messages.0.role"),
    ({**HELLO, "messages": "hello"}, "valid list", "messages"),
    ({**HELLO, "messages": [{"role": "assistant", "content": "x"}]}, "nothing but an answer", "messages"),
    ({**HELLO, "messages": [said(None)]}, "valid string or a valid list", "messages.0.content"),
    ({**HELLO, "messages": [said([PICTURE])]}, "should be 'text' (it is 'image_url')", "messages.0.content.0.type"),
    ({**HELLO, "messages": [said([{"type": "text"}])]}, "Field required", "messages.0.content.0.text"),
    ({**HELLO, "messages": [said("a", refusal="no")]}, "refusal: is not known", "messages.0.refusal"),
    ({**HELLO, "messages": [{**said("a"), "role": "assistant", "tool_calls": [{}]}, said("a")]},
     "tool_calls: [{}] is not offered", "messages.0"),
    ({"model": "llada"}, "Field required", "messages"),
    ({**HELLO, "messages": [{"role": "user", "content": "so " * 400}]}, "shorten the prompt", "messages"),
    ([1], "not an object", None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "says", "param"), WRONG, ids=[says for _, says, _ in WRONG])
def test_what_is_wrong_is_named(server, body, says, param):
    answer = post(server[0] + CHAT, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error"
    assert says in error["message"] and "\n" not in error["message"]
    if param is not None:
        assert error["param"] == param and error["message"].startswith(param)


def test_prompts_of_completions_are_looked_at(server):
    for prompt, says in (
        ("", "it has no tokens"),
        ([[]], "it has no tokens"),
        ([], "at least 1 item"),
        ([-1], "token -1"),
        (5, "prompt: Input should be a valid string or a valid list (it is 5)"),
        (["a", [1]], "prompt.1: Input should be a valid string"),
        ([[1, "a"]], "prompt.0.1: Input should be a valid integer (it is 'a')"),
    ):
        answer = post(f"{server[0]}/v1/completions", json={"model": "llada", "prompt": prompt})
        assert answer.status_code == 400 and says in answer.json()["error"]["message"]
    answer = post(f"{server[0]}/v1/completions", json={"model": "llada", "prompt": "a", "logprobs": 0})
    assert answer.status_code == 400 and "logprobs: 0 is not offered" in answer.text


def test_a_template_that_fails_on_messages_says_so(server, models, monkeypatch):
    template = "{{ messages[0]['content'] + 1 }}"
    monkeypatch.setattr(models[0].texts.tokenizer, "chat_template", template)
    answer = post(server[0] + CHAT, json=HELLO)
    assert (
        answer.status_code == 400 and "chat template does not take them" in answer.json()["error"]["message"]
    )


def test_models_and_routes_that_are_not_there(server):
    answer = post(server[0] + CHAT, json={**HELLO, "model": "gpt"})
    assert answer.status_code == 404 and "'gpt' is not served; use llada, dream" in answer.text
    answer = post(server[0] + CHAT, json={"messages": HELLO["messages"]})
    assert answer.status_code == 400 and "model: it is missing" in answer.text
    assert get(f"{server[0]}/v1/embeddings").json()["error"]["type"] == "invalid_request_error"
    answer = get(server[0] + CHAT)
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"
    assert httpx.options(server[0] + CHAT, timeout=CEILING_S).headers["allow"] == "POST"


def test_what_watches_asks_for_heads_and_slashes_change_nothing(server):
    for path in ("/", "/health", "/metrics", "/v1/models", "/v1/models/llada"):
        head, whole = httpx.head(server[0] + path, timeout=CEILING_S), get(server[0] + path)
        assert head.status_code == whole.status_code == 200 and head.text == ""
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert get(f"{server[0]}/v1/models/").json() == get(f"{server[0]}/v1/models").json()
    assert post(f"{server[0]}{CHAT}/", json=HELLO).status_code == 200


def test_bodies_that_are_none(server):
    json_type = {"Content-Type": "application/json"}
    for content, headers, status in (
        (b"{", json_type, 400), (b"\xff\xfe", json_type, 400), (b'{"temperature": NaN}', json_type, 400),
        (b"x" * (patience.MAX_BODY_BYTES + 1), json_type, 413), (b'{"a": "\\ud800"}', json_type, 400),
        (json.dumps(HELLO).encode(), {"Content-Type": "text/plain"}, 415),
    ):  # fmt: skip
        answer = post(server[0] + CHAT, content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]


def raw(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=CEILING_S)


def posted(body, length=None):
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length or len(content)}\r\n\r\n".encode() + content


def test_a_body_that_never_ends_is_given_up(server, monkeypatch):
    monkeypatch.setattr(patience, "BODY_S", 0.2)
    with raw(server[0]) as wire:
        wire.sendall(posted(HELLO, length=5000))
        assert b" 408 " in wire.recv(4096)


def test_one_that_does_not_read_is_given_up(monkeypatch):
    monkeypatch.setattr(patience, "READ_S", 0.1)
    closed = []

    async def pieces():
        yield {"a": 1}

    async def stuck(message):
        await asyncio.Event().wait()

    async def still_there():
        return await asyncio.Event().wait()

    events = patience.Events(pieces(), lambda: closed.append(True))
    asyncio.run(asyncio.wait_for(events({}, still_there, stuck), CEILING_S))
    assert closed == [True]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_who_goes_away_frees_the_slots(server, streamed, monkeypatch):
    forwards = []
    step = streaming._Turn.step
    monkeypatch.setattr(streaming._Turn, "step", lambda turn: forwards.append(1) or step(turn))
    wires = [raw(server[0]) for _ in range(6)]
    for wire in wires:
        wire.sendall(posted({**LONG, "stream": streamed, "n": 16}))
    settled(server[1], 96)
    for wire in wires:
        wire.close()
    settled(server[1])
    assert post(server[0] + CHAT, json=HELLO).status_code == 200
    assert len(forwards) < 96 * 128 / 2, "it was waited for what nobody reads"


def test_a_thousand_clients_of_every_kind_lose_nothing(server):
    """Right answers and clear errors among clients that leave at any moment."""
    url, service = server
    right = post(url + CHAT, json=HELLO).json()["choices"]
    wrong: list[str] = []

    def many(number):
        draw = random.Random(number)
        with httpx.Client(base_url=url, timeout=CEILING_S) as client:
            for _ in range(50):
                kind = draw.choice(["good", "streamed", "bad", "leave", "leave", "half", "garbage"])
                if kind == "good":
                    if client.post(CHAT, json=HELLO).json().get("choices") != right:
                        wrong.append(kind)
                elif kind == "streamed":
                    if "[DONE]" not in client.post(CHAT, json={**HELLO, "stream": True}).text:
                        wrong.append(kind)
                elif kind == "bad":
                    if client.post(CHAT, json=draw.choice(WRONG)[0]).status_code != 400:
                        wrong.append(kind)
                else:
                    with raw(url) as wire:
                        body = posted({**LONG, "stream": draw.random() < 0.5})
                        sent = {
                            "leave": body,
                            "half": body[: draw.randrange(len(body))],
                            "garbage": b"\x00" * 64,
                        }[kind]
                        wire.sendall(sent)
                        time.sleep(draw.random() * 0.02)

    threads = [threading.Thread(target=many, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    settled(service)
    assert post(url + CHAT, json=HELLO).json()["choices"] == right


def test_a_full_queue_says_so_and_takes_the_next_when_there_is_room(models, monkeypatch):
    with running(models[:1], Limits(slots=1, waiting=1, width=256, timeout_s=CEILING_S)) as (url, service):
        with stream("POST", url + CHAT, json={**LONG, "n": 2, "stream": True}) as held:
            assert held.status_code == 200
            told = post(url + CHAT, json=HELLO)
            assert told.status_code == 429 and "at most 1 may" in told.json()["error"]["message"]
            assert told.headers["retry-after"] == "1"
        settled(service)
        never = post(url + CHAT, json={**HELLO, "n": 3})
        assert never.status_code == 400 and "3 responses are asked for at once" in never.text
        assert never.json()["error"]["code"] == "too_many_responses"
        # Nothing is made of a request that asks for too much: a body of 1 MiB may ask for millions of responses.
        with monkeypatch.context() as patch:
            patch.setattr(session, "GrowingText", lambda *_: 1 / 0)
            many = {"prompt": [[5]] * 20, "n": 16}
            assert "320 responses are asked" in post(f"{url}/v1/completions", json=many).text
        # With one model its name may be left out.
        assert post(url + CHAT, json={"messages": HELLO["messages"]}).status_code == 200


def test_a_fault_of_the_server_is_told_in_the_same_form(server, models, monkeypatch):
    monkeypatch.setattr(type(models[0]), "wish", lambda *_: 1 / 0)
    answer = post(server[0] + CHAT, json=HELLO)
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
    assert "division" not in answer.text
    assert answer.headers["connection"] == "close", "the next request on it would be lost"
    counted = get(f"{server[0]}/metrics").text
    assert f'tad_requests_total{{model="llada",route="{CHAT}",status="500"}} 1.0' in counted


def test_a_fault_in_the_middle_of_a_stream_is_its_last_piece(server, monkeypatch):
    monkeypatch.setattr(GrowingText, "grow", lambda *_: 1 / 0)
    for body in (HELLO, {**HELLO, "stream": True}):
        answer = post(server[0] + CHAT, json=body)
        assert (
            '"type": "server_error"' in answer.text.replace('":"', '": "') and "division" not in answer.text
        )
    assert answer.text.endswith("data: [DONE]\n\n")
    monkeypatch.undo()
    settled(server[1])


def test_what_takes_too_long_is_given_up(models):
    with running(models[:1], Limits(slots=1, waiting=9, width=256, timeout_s=0.05)) as (url, service):
        assert post(url + CHAT, json=LONG).status_code == 504
        streamed = post(url + CHAT, json={**LONG, "stream": True})
        assert '"code": "timeout"' in streamed.text
        settled(service)


def test_the_key_is_asked_for(models):
    with running(models[:1], Limits(1, 9, 256, CEILING_S), api_key="secret") as (url, _):
        assert get(f"{url}/health").status_code == get(url).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer secret2"}):
            answer = post(url + CHAT, json=HELLO, headers=headers)
            assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert get(f"{url}/metrics", headers=headers).status_code == 401
            assert get(f"{url}/metrics/", headers=headers).status_code == 401
        right = {"Authorization": "bearer secret"}
        assert post(url + CHAT, json=HELLO, headers=right).status_code == 200
    with running(models[:1], Limits(1, 9, 256, CEILING_S), api_key="clé") as (url, _):
        right = {"Authorization": "Bearer clé".encode()}
        assert post(url + CHAT, json=HELLO, headers=right).status_code == 200


def test_other_names_of_this_machine_are_refused(server):
    answer = post(server[0] + CHAT, json=HELLO, headers={"Host": "elsewhere.example"})
    assert answer.status_code == 403 and "elsewhere.example" in answer.json()["error"]["message"]
    port = server[0].rsplit(":", 1)[1]
    for name in (f"localhost:{port}", "localhost", "LOCALHOST", f"[::1]:{port}", "[::1]"):
        assert get(f"{server[0]}/health", headers={"Host": name}).status_code == 200


def test_the_end_is_awaited_by_those_that_run(models):
    answers = []
    with running(models[:1], Limits(2, 9, 256, CEILING_S)) as (url, service):
        threads = [
            threading.Thread(target=lambda: answers.append(post(url + CHAT, json=LONG))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        settled(service, 4)
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [200] * 4
    assert all(a.json()["usage"]["forwards"] == 128 for a in answers)
