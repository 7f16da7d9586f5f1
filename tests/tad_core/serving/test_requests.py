"""Bodies, routes and methods: what is wrong is named in one clear answer."""

from __future__ import annotations

import json

import httpx
import pytest

from tad_core.serving import patience, requests
from tests.tad_core.serving.conftest import CHAT, HELLO
from tests.waiting import CEILING_S, get, post


def said(content, **more):
    return {"role": "user", "content": content, **more}


PICTURE = {"type": "image_url", "image_url": {"url": "data:"}}
WRONG = [
    ({**HELLO, "temperatur": 1}, "temperatur: is not known; see docs/serving.md", "temperatur"),
    ({**HELLO, "gen_length": 64}, "gen_length: is not known; here it is max_tokens", "gen_length"),
    ({**HELLO, "dual_cache": True}, "dual_cache: is not known; here it is cache, as dual_block", "dual_cache"),
    ({**HELLO, "temperature": 3}, "less than or equal to 2", "temperature"),
    ({**HELLO, "temperature": "hot"}, "valid number", "temperature"),
    ({**HELLO, "max_tokens": 0}, "greater than or equal to 1", "max_tokens"),
    ({**HELLO, "max_tokens": True}, "valid integer", "max_tokens"),
    ({**HELLO, "max_tokens": 100_000}, "more than the 256 that llada takes", "messages"),
    ({**HELLO, "max_tokens": 5, "max_completion_tokens": 9}, "5 and max_completion_tokens 9 are", "max_tokens"),
    ({**HELLO, "n": 17}, "less than or equal to 16", "n"),
    ({**HELLO, "n": 16, "stop": ["a"] * 17}, "use at most 16", "stop"),
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
    assert answer.status_code == 400
    assert "chat template does not take them" in answer.json()["error"]["message"]


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


def test_every_parameter_of_the_client_is_known():
    """Offered, accepted where it changes nothing, or refused with what is accepted: never as a typing error."""
    of_chat = pytest.importorskip(
        "openai.types.chat.completion_create_params", reason="pip install -e .[dev]"
    )
    of_text = pytest.importorskip("openai.types.completion_create_params")
    for theirs, ours in ((of_chat, requests.ChatAsked), (of_text, requests.TextAsked)):
        known = {*ours.model_fields, *requests.NEUTRAL, *requests._OF_THE_CLIENT}
        assert set(theirs.CompletionCreateParamsBase.__annotations__) - known == set()
