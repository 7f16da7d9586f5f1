"""Clients that go away, are slow, or are too many: one clear answer, no slot lost."""

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
from tests.tad_core.serving.conftest import CHAT, HELLO, running
from tests.tad_core.serving.test_requests import WRONG
from tests.waiting import CEILING_S, get, post, stream, until

LONG = {**HELLO, "max_tokens": 128, "method": "token_by_token", "early_stop": False}


def settled(service, open_=0):
    """Return once so many responses are open."""
    seen = service.stream
    until(lambda: seen.open == open_ and seen.running <= open_, f"{open_} responses are open")


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


def test_a_piece_is_one_line_for_every_reader():
    """Python's readers of lines end one at more letters than the format of the stream does."""
    piece = {"text": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh\ni 東"}
    sent = []

    async def pieces():
        yield piece

    async def send(message):
        sent.append(message.get("body", b""))

    async def still_there():
        return await asyncio.Event().wait()

    events = patience.Events(pieces(), lambda: None)
    asyncio.run(asyncio.wait_for(events({}, still_there, send), CEILING_S))
    first, _, last, _ = b"".join(sent).decode().splitlines()
    assert json.loads(first.removeprefix("data: ")) == piece and "東" in first and last == "data: [DONE]"


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


def test_work_for_who_went_away_is_counted_and_no_text(models):
    with running(models[:1], Limits(slots=1, waiting=9, width=256, timeout_s=CEILING_S)) as (url, service):
        with stream("POST", url + CHAT, json={**LONG, "stream": True}) as held:
            assert next(held.iter_lines()).startswith("data: ")
        settled(service)
        counted = get(f"{url}/metrics").text
        forwards = float(counted.split('tad_forwards_total{model="llada"} ')[1].split("\n")[0])
        assert 4 <= forwards <= 128
        assert "tad_text_tokens_total{" not in counted and "tad_request_seconds_count{" not in counted
        whole = post(url + CHAT, json=LONG).json()["usage"]["forwards"]
        counted = get(f"{url}/metrics").text
        assert f'tad_forwards_total{{model="llada"}} {forwards + whole}' in counted, "an answer counts once"


@pytest.mark.parametrize("each", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_clients_of_every_kind_lose_nothing(server, each):
    """Right answers and clear errors among clients that leave at any moment."""
    url, service = server
    right = post(url + CHAT, json=HELLO).json()["choices"]
    wrong: list[str] = []

    def many(number):
        draw = random.Random(number)
        with httpx.Client(base_url=url, timeout=CEILING_S) as client:
            for _ in range(each):
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


def test_who_sends_a_long_prompt_is_waited_for_by_nobody(server, models, monkeypatch):
    came, others = threading.Event(), threading.Event()
    wish = type(models[0]).wish

    def slowly(served, asked, width):
        came.set()
        assert others.wait(CEILING_S)
        return wish(served, asked, width)

    monkeypatch.setattr(type(models[0]), "wish", slowly)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(post(server[0] + CHAT, json=HELLO)))
    asking.start()
    assert came.wait(CEILING_S)
    assert httpx.get(f"{server[0]}/health", timeout=CEILING_S / 4).status_code == 200
    others.set()
    asking.join()
    assert answers[0].status_code == 200


def test_a_fault_of_the_server_is_told_in_the_same_form(server, models, monkeypatch):
    monkeypatch.setattr(type(models[0]), "wish", lambda *_: 1 / 0)
    answer = post(server[0] + CHAT, json=HELLO)
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
    assert "division" not in answer.text
    assert answer.headers["connection"] == "close", "the next request on it would be lost"
    counted = get(f"{server[0]}/metrics").text
    assert f'tad_requests_total{{model="llada",route="{CHAT}",status="500"}} 1.0' in counted


def test_a_model_without_numbers_is_a_fault_that_no_later_try_mends(server, models, monkeypatch):
    model = models[0].model
    head = model.head
    monkeypatch.setattr(model, "head", lambda hidden: head(hidden) * float("nan"))
    answer = post(server[0] + CHAT, json=HELLO)
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "not_numbers"
    assert "are not numbers (NaN)" in answer.text and "retry-after" not in answer.headers


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
    own = ("localhost", "LOCALHOST", "127.0.0.1", "[::1]", "127.0.0.2")  # the last by `--host 127.0.0.2`
    for name in (*own, *(f"{one}:{port}" for one in own)):
        assert get(f"{server[0]}/health", headers={"Host": name}).status_code == 200, name
    for name in ("10.0.0.1", "localhost.example", "127.0.0.1.example", "[localhost]", ""):
        assert get(f"{server[0]}/health", headers={"Host": name}).status_code in (400, 403), name


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
