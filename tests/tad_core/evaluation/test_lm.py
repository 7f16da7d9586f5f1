"""The model class ``tad``: requests in, texts out, and how lm-eval makes one from its command line."""

import re
from types import SimpleNamespace

import pytest
from lm_eval._cli.utils import key_val_to_dict
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from lm_eval.api.registry import get_model
from sqlitedict import SqliteDict

from tad_core.config import ModelConfig, elsewhere
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.decoding.loop import Loop
from tad_core.errors import ConfigError, ModelError
from tad_core.evaluation.answers import cut_before
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.lm import TadLM
from tad_core.serving.requests import ChatAsked


@pytest.fixture
def generator(tiny_checkpoint):
    return Generator.load(ModelConfig(path=str(tiny_checkpoint), device="cpu", threads=1), batch_size=3)


def request(text, doc_id, until=None, task="t", **more):
    return Instance("generate_until", {}, (text, {"until": until, **more}), 0, (task, doc_id, 1))


def test_generate_until_keeps_the_order_and_counts_each_request(generator):
    prompts = ["Anna has 3 apples", "b", "How many cards does Dan have ?", "b"]
    lm = TadLM.over(generator, DecodeSpec(8, 4))
    texts = lm.generate_until([request(p, i) for i, p in enumerate(prompts)])
    for i, prompt in enumerate(prompts):
        (alone,) = TadLM.over(generator, DecodeSpec(8, 4)).generate_until([request(prompt, 0)])
        assert texts[i] == alone
        assert lm.decoded["t", i, 0].forwards == lm.decoded["t", i, 0].revealed
    assert texts[1] == texts[3]


def test_until_cuts_before_the_first_mark(generator):
    assert cut_before("a b c", ["c", "b"]) == "a "
    assert cut_before("a b c", ["", "x"]) == "a b c"
    lm = TadLM.over(generator, DecodeSpec(8, 4))
    (whole,) = lm.generate_until([request("Anna has", 0)])
    mark = whole.split()[-1]
    assert lm.generate_until([request("Anna has", 0, until=mark)]) == [whole[: whole.index(mark)]]


@pytest.mark.parametrize(
    ("settings", "heat"),
    [
        ({}, None), ({"do_sample": False, "temperature": 0.7}, None), ({"temperature": 0.0}, None),
        ({"do_sample": True, "temperature": 0}, None), ({"do_sample": True}, "1"), ({"temperature": 0.7}, "0.7"),
    ],
)  # fmt: skip
def test_a_task_that_wants_its_answers_drawn_is_told_that_they_are_not(settings, heat, monkeypatch):
    told = []
    monkeypatch.setattr("tad_core.evaluation.lm.tell", told.append)
    one = Decoded([1], 1, [1], False)
    texts = SimpleNamespace(text=lambda decoded: "a")
    lm = TadLM(texts, DecodeSpec(8, 4), lambda requests, keep: [one] * len(requests))
    assert lm.generate_until([request("a", 0, **settings), request("b", 1)]) == ["a", "a"]
    assert told == ([] if heat is None else [told[0]])
    assert heat is None or f"(temperature {heat}); they are greedy here" in told[0]


def test_a_temperature_that_is_no_number_is_named_before_anything_is_decoded():
    lm = TadLM(None, DecodeSpec(8, 4), lambda requests, keep: pytest.fail("decoded"))
    with pytest.raises(
        ConfigError, match="gen_kwargs: temperature: 'warm' is not accepted; use a number from 0 on"
    ):
        lm.generate_until([request("a", 0, temperature="warm")])


def test_lm_eval_builds_the_model_from_its_command_line(tiny_checkpoint):
    extra = {"batch_size": 2, "device": "cpu", "max_batch_size": None}
    made = get_model("tad").create_from_arg_string(
        f"pretrained={tiny_checkpoint},response_length=8,block_length=4,threshold=0.7", extra
    )
    assert made.spec == DecodeSpec(8, 4, "entropy", 0.7, block_add_threshold=0.1)
    assert made.texts.batch_size == 2
    single = get_model("tad").create_from_arg_string(f"pretrained={tiny_checkpoint},batch_size=1", extra)
    assert (single.spec.method, single.spec.response_length, single.spec.block_length) == (
        "token_by_token",
        256,
        32,
    )
    assert single.texts.batch_size == 1
    most = get_model("tad").create_from_arg_string(f"pretrained={tiny_checkpoint},batch_size=auto", extra)
    assert most.texts.batch_size == "auto"
    # 1 is what lm-eval hands over where nobody said anything
    assert (
        get_model("tad")
        .create_from_arg_obj({"pretrained": str(tiny_checkpoint)}, {"batch_size": 1})
        .texts.batch_size
        == 32
    )
    # a former field that never changed a result is read over, as in a configuration
    gone = get_model("tad").create_from_arg_string(
        f"pretrained={tiny_checkpoint},threshold=0.7,decoded_threshold=0.95,mask_in_entropy=False", extra
    )
    assert gone.spec == DecodeSpec(256, 32, "entropy", 0.7, 0.1, mask_in_entropy=False)
    with pytest.raises(ConfigError, match="pretrained is missing"):
        TadLM.create_from_arg_obj({})
    with pytest.raises(ConfigError, match="thresold is not known"):
        TadLM.create_from_arg_obj({"pretrained": str(tiny_checkpoint), "thresold": 1})
    with pytest.raises(ModelError, match=r"^model_args: pretrained: /none is not a folder"):
        TadLM.create_from_arg_obj({"pretrained": "/none"})
    with pytest.raises(
        ConfigError, match=r"^model_args: device: 'abacus' is not accepted: use auto, cpu, cuda"
    ):
        TadLM.create_from_arg_obj({"pretrained": str(tiny_checkpoint), "device": "abacus"})
    with pytest.raises(
        ConfigError, match=r"^model_args: pretrained: 'a+… is not accepted: no folder has a name"
    ):
        TadLM.create_from_arg_obj({"pretrained": 300 * "a"})
    with pytest.raises(ConfigError, match=r"^model_args: dtype: 'int2' is not accepted"):
        TadLM.create_from_arg_obj({"pretrained": str(tiny_checkpoint), "dtype": "int2"})
    with pytest.raises(NotImplementedError, match="no exact likelihood"):
        made.loglikelihood([])
    with pytest.raises(ConfigError, match="own template is the only one"):
        made.chat_template("other")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("workers=two", "workers: 'two' is not accepted; use a whole number from 0 on"),
        ("workers=-1", "workers: -1 is not accepted"),
        ("batch_size=0", "batch_size: 0 is not accepted; use a whole number from 1 on, or auto"),
        ("batch_size=auto:4", "batch_size: 'auto:4' is not accepted"),
        ("batch_size=8.5", "batch_size: 8.5 is not accepted"),
        ("early_stop=no", "early_stop: 'no' is not accepted; use True or False"),
        ("cache=dual,refresh_blocks=0", "refresh_blocks: 0 is not accepted; use True or False"),
        ("response_length=64.0", "response_length: 64.0 is not accepted; use a whole number"),
        ("threshold=low", "threshold: 'low' is not accepted; use a number"),
        ("threshold=True", "threshold: True is not accepted; use a number"),
        ("method=1", "method: 1 is not accepted; use a name"),
    ],
)
def test_an_argument_of_another_type_is_one_clear_error(argument, says):
    with pytest.raises(ConfigError, match="^model_args: " + re.escape(says)):
        TadLM.create_from_arg_string(f"pretrained=x,{argument}")


@pytest.mark.parametrize(
    ("name", "given"),
    [("revision", "0012345"), ("revision", "12e4567"), ("pretrained", "007"), ("adapter", "2024")],
)
def test_a_name_that_lm_eval_has_read_as_a_number_is_refused(name, given):
    """``007`` would be the folder 7, and a commit of digits another one."""
    said = f"^model_args: {name}: \\S+ is not accepted: lm-eval has read a number; put it in quotes"
    with pytest.raises(ConfigError, match=said):
        TadLM.create_from_arg_string(f"pretrained=x,{name}={given}")
    with pytest.raises(ConfigError, match=said):
        TadLM.create_from_arg_obj({"pretrained": "x", **key_val_to_dict(f"{name}={given}")})
    quoted = key_val_to_dict(f'{name}="{given}"')  # as the error says, on the command line
    with pytest.raises(ModelError, match=r"^model_args: pretrained"):
        TadLM.create_from_arg_obj({"pretrained": "x", **quoted})


def test_names_of_public_code_are_each_answered_with_ours():
    """LLaDA's, Fast-dLLM's and Dream's evaluations name the same things otherwise: all of them in one error."""
    said = (
        ("model_path=x,gen_length=64,mc_num=1", ["model_path is not known; here it is pretrained",
                                                 "gen_length is not known; here it is response_length",
                                                 "mc_num is not known; leave it out, a masked diffusion model has no"]),
        ("pretrained=x,use_cache=True,dual_cache=True", ["use_cache is not known; here it is cache=prefix",
                                                         "dual_cache is not known; here it is cache=dual_block"]),
        ("pretrained=x,diffusion_steps=4,treshold=1,foo=2", ["diffusion_steps is not known; here it is method=low_conf",
                                                             "treshold is not known; did you mean threshold?",
                                                             "foo is not known; leave it out"]),
    )  # fmt: skip
    for arguments, lines in said:
        with pytest.raises(ConfigError) as refused:
            TadLM.create_from_arg_string(arguments)
        *each, all_of_them = str(refused.value).split("\n")
        assert [line.startswith(f"model_args: {said}") for line, said in zip(each, lines, strict=True)], each
        assert all_of_them.startswith("model_args: use pretrained, adapter, ")


def test_every_name_of_public_code_leads_to_one_that_there_is():
    known = {"pretrained", "adapter", "dtype", *DecodeSpec.__dataclass_fields__}
    for name, ours in elsewhere.DECODING.items():
        assert name not in known
        assert ours.startswith("-") or re.match(r"\w+", ours)[0] in known, name
    for name, ours in elsewhere.REQUEST.items():
        assert name not in ChatAsked.model_fields and re.match(r"\w+", ours)[0] in ChatAsked.model_fields


def test_settings_of_the_decoder_in_a_request_are_refused_where_they_would_do_nothing():
    """``--gen_kwargs`` of public code: the answers would be decoded by other settings, without a word."""
    lm = TadLM(None, DecodeSpec(8, 4), lambda requests, keep: pytest.fail("decoded"))
    with pytest.raises(ConfigError) as refused:
        lm.generate_until([request("a", 0, gen_length=16, steps=4, threshold=0.5, temperature=0)])
    assert str(refused.value).split("\n") == [
        "gen_kwargs: gen_length is not read; here it is response_length, in --model_args",
        "gen_kwargs: steps is not read; here it is method=low_confidence with tokens_per_forward, the response over "
        "the steps, in --model_args",
        "gen_kwargs: threshold is not read there; give it in --model_args",
    ]


def test_a_task_that_wants_longer_or_shorter_answers_is_told_how_long_they_are(monkeypatch):
    told = []
    monkeypatch.setattr("tad_core.evaluation.asked.tell", told.append)
    lm = TadLM(
        SimpleNamespace(text=lambda one: "a"), DecodeSpec(8, 4), lambda r, keep: [Decoded([1], 1, [1], False)]
    )
    lm.generate_until([request("a", 0, max_gen_toks=8)])
    assert told == []
    lm.generate_until([request("a", 0, max_gen_toks=1024)])
    assert told == [
        "warning: answers of 1024 tokens are asked for (by the task or --gen_kwargs); they have 8 here, which "
        "response_length in --model_args changes"
    ]


def test_a_cache_of_answers_is_one_models_and_one_decoders(tiny_checkpoint, tmp_path):
    """lm-eval's cache knows prompts alone."""

    def cached(name="answers", **options):
        arguments = {
            "pretrained": str(tiny_checkpoint),
            "device": "cpu",
            "response_length": 8,
            "block_length": 8,
        }
        return CachingLM(TadLM.create_from_arg_obj(arguments | options), str(tmp_path / f"{name}.db"))

    asked = [request("Anna has 3 apples", 0, until="x")]
    first = cached(threshold=0.5)
    answers = first.generate_until(asked)
    again = cached(threshold=0.5, batch_size=2)  # the batch does not show
    assert again.generate_until(asked) == answers and not again.lm.decoded
    with pytest.raises(
        ConfigError, match=r"^--use_cache: .*answers.db holds the answers of another model or decoder, "
    ):
        cached(threshold=0.9)
    other = cached("other", threshold=0.9)
    other.generate_until(asked)
    assert other.lm.decoded
    unknown = SqliteDict(str(tmp_path / "unknown.db"), autocommit=True)
    unknown["a hash"] = "an answer"
    unknown.close()
    with pytest.raises(ConfigError, match="answers of a model that it does not name"):
        cached("unknown")


def test_answers_are_in_the_cache_as_soon_as_they_are_decoded(
    tiny_checkpoint, generator, tmp_path, monkeypatch
):
    """A command that is killed goes on from them."""

    def cached():
        arguments = {
            "pretrained": str(tiny_checkpoint),
            "device": "cpu",
            "response_length": 8,
            "block_length": 8,
        }
        return CachingLM(TadLM.create_from_arg_obj(arguments), str(tmp_path / "answers.db"))

    asked = [request(f"Anna has {n} apples" * (n + 1), n, until="x") for n in range(3)]
    whole = TadLM.over(generator, DecodeSpec(8, 8)).generate_until(asked)
    killed, step, ended = cached(), Loop.step, []

    def until_the_second(self):
        if ended:
            raise KeyboardInterrupt
        done = step(self)
        ended.extend(done)
        return done

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "step", until_the_second)
        killed.generate_until(asked)
    assert len(ended) == 1
    killed.dbdict.close()
    again = cached()
    assert again.generate_until(asked) == whole
    assert {place for _, place, _ in again.lm.decoded} == {0, 1, 2} - set(ended)
