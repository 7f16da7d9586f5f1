"""The text of every benchmark's prompt, literally, under the chat templates of both families."""

import pytest

from tad_core.data.prompts import encode_text
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.prompting import chat_text, encode, messages_of
from tests.tad_core.evaluation.benchmarks.conftest import load

#: The templates as the published tokenizers have them.
LLADA = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
    "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
DREAM = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
HEAD = {
    "llada": "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\n",
    "dream": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
}
TAIL = {
    "llada": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "dream": "<|im_end|>\n<|im_start|>assistant\n",
}

MATH = r"""Problem:
Find the domain of the expression  $\frac{\sqrt{x-2}}{\sqrt{5-x}}$.

Solution: The expressions inside each square root must be non-negative. Therefore, $x-2 \ge 0$, so $x\ge2$, and $5 - x \ge 0$, so $x \le 5$. Also, the denominator cannot be equal to zero, so $5-x>0$, which gives $x<5$. Therefore, the domain of the expression is $\boxed{[2,5)}$.
Final Answer: The final answer is $[2,5)$. I hope it is correct.

Problem:
If $\det \mathbf{A} = 2$ and $\det \mathbf{B} = 12,$ then find $\det (\mathbf{A} \mathbf{B}).$

Solution: We have that $\det (\mathbf{A} \mathbf{B}) = (\det \mathbf{A})(\det \mathbf{B}) = (2)(12) = \boxed{24}.$
Final Answer: The final answer is $24$. I hope it is correct.

Problem:
Terrell usually lifts two 20-pound weights 12 times. If he uses two 15-pound weights instead, how many times must Terrell lift them in order to lift the same total weight?

Solution: If Terrell lifts two 20-pound weights 12 times, he lifts a total of $2\cdot 12\cdot20=480$ pounds of weight.  If he lifts two 15-pound weights instead for $n$ times, he will lift a total of $2\cdot15\cdot n=30n$ pounds of weight.  Equating this to 480 pounds, we can solve for $n$:
\begin{align*}
30n&=480\\
\Rightarrow\qquad n&=480/30=\boxed{16}
\end{align*}
Final Answer: The final answer is $16$. I hope it is correct.

Problem:
If the system of equations

\begin{align*}
6x-4y&=a,\\
6y-9x &=b.
\end{align*}has a solution $(x, y)$ where $x$ and $y$ are both nonzero,
find $\frac{a}{b},$ assuming $b$ is nonzero.

Solution: If we multiply the first equation by $-\frac{3}{2}$, we obtain

$$6y-9x=-\frac{3}{2}a.$$Since we also know that $6y-9x=b$, we have

$$-\frac{3}{2}a=b\Rightarrow\frac{a}{b}=\boxed{-\frac{2}{3}}.$$
Final Answer: The final answer is $-\frac{2}{3}$. I hope it is correct.

Problem:
Compute $1+1$.

Solution:"""  # noqa: E501

HUMANEVAL = '''Write a solution to the following problem and make sure that it passes the tests:
```python
from typing import List


def twice(xs: List[int]) -> List[int]:
    """ Double each.
    >>> twice([1])
    [2]
    """

```
'''
HUMANEVAL_PREFIX = '''Here is the completed function:
```python
from typing import List


def twice(xs: List[int]) -> List[int]:
    """ Double each.
    >>> twice([1])
    [2]
    """

'''

MBPP = (
    "You are an expert Python programmer, and here is your task: Write a function to find the similar elements from "
    "the given two tuple lists. Your code should pass these tests:\n\n"
    "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)\n"
    "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)\n"
    "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)\n[BEGIN]\n"
    "def similar_elements(test_tup1, test_tup2):\r\n  res = tuple(set(test_tup1) & set(test_tup2))\r\n"
    "  return (res) \n[DONE]\n\n"
    "You are an expert Python programmer, and here is your task: Write a python function to identify non-prime "
    "numbers. Your code should pass these tests:\n\n"
    "assert is_not_prime(2) == False\nassert is_not_prime(10) == True\nassert is_not_prime(35) == True\n[BEGIN]\n"
    "import math\r\ndef is_not_prime(n):\r\n    result = False\r\n    for i in range(2,int(math.sqrt(n)) + 1):\r\n"
    "        if n % i == 0:\r\n            result = True\r\n    return result\n[DONE]\n\n"
    "You are an expert Python programmer, and here is your task: Write a function to find the largest integers from a "
    "given list of numbers using heap queue algorithm. Your code should pass these tests:\n\n"
    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] \n"
    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] \n"
    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)==[85, 75, 65, 58, 35]\n[BEGIN]\n"
    "import heapq as hq\r\ndef heap_queue_largest(nums,n):\r\n  largest_nums = hq.nlargest(n, nums)\r\n"
    "  return largest_nums\n[DONE]\n\n"
    "You are an expert Python programmer, and here is your task: Write a python function to add two numbers. Your code "
    "should pass these tests:\n\n"
    "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(0, 0) == 0\n[BEGIN]\n"
)
MBPP_INSTRUCT = (
    "You are an expert Python programmer, and here is your task:\nWrite a python function to add two numbers.\n"
    "Your code should pass these tests:\nassert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(0, 0) == 0"
)
MBPP_SHOT = (
    "You are an expert Python programmer, and here is your task:\nWrite a function to find the similar elements from "
    "the given two tuple lists.\nYour code should pass these tests:\n"
    "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)\n"
    "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)\n"
    "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)\n```python\n"
    "def similar_elements(test_tup1, test_tup2):\r\n  res = tuple(set(test_tup1) & set(test_tup2))\r\n"
    "  return (res) \n```\n\n"
)

#: benchmark -> the user's turn, the beginning of the answer
EXPECTED = {
    "gsm8k": (
        "Question: Tom has 3 boxes of 4 pens. How many pens?\nAnswer: Please reason step by step, and put your final "
        "answer within \\boxed{}.",
        "",
    ),
    "gsm8k_cot_zeroshot": ("Q: Tom has 3 boxes of 4 pens. How many pens?\nA: Let's think step by step.", ""),
    "minerva_math": (MATH, ""),
    "humaneval": (HUMANEVAL, ""),
    "humaneval_instruct": (HUMANEVAL, HUMANEVAL_PREFIX),
    "mbpp": (MBPP, ""),
    "mbpp_instruct": (MBPP_INSTRUCT, "\n```python\n"),
    "humaneval_plus": (HUMANEVAL, ""),
    "humaneval_plus_instruct": (HUMANEVAL, HUMANEVAL_PREFIX),
    "mbpp_plus": (MBPP, ""),
    "mbpp_plus_instruct": (
        "Write a python function to add two numbers. Your code should satisfy the following assertion:\n"
        "assert add(1, 2) == 3",
        "Here is a solution to this programming problem:\n```python\n",
    ),
}


class Template:
    """A tokenizer that knows nothing but its chat template."""

    def __init__(self, template):
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            template
        )

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert not tokenize
        return self._template.render(
            messages=messages, add_generation_prompt=add_generation_prompt, bos_token="<|startoftext|>"
        )


def test_every_benchmark_is_here():
    assert set(EXPECTED) == set(BENCHMARKS)


@pytest.mark.parametrize("task", EXPECTED)
def test_the_prompt(task, small_problems):
    user, prefix = EXPECTED[task]
    problem = small_problems[task][0]
    messages = [{"role": "user", "content": user}]
    assert messages_of(problem) == messages + ([{"role": "assistant", "content": prefix}] if prefix else [])
    llada = chat_text(Template(LLADA), messages_of(problem))
    assert llada == HEAD["llada"] + user.strip() + TAIL["llada"] + prefix
    assert chat_text(Template(DREAM), messages_of(problem)) == HEAD["dream"] + user + TAIL["dream"] + prefix


def test_examples_on_request(small_files):
    (problem, _) = load("mbpp_instruct", small_files["mbpp_instruct"], options={"num_fewshot": 1})
    assert messages_of(problem)[0]["content"] == MBPP_SHOT + MBPP_INSTRUCT
    problem = load("minerva_math", small_files["minerva_math"], options={"num_fewshot": 0})[0]
    assert messages_of(problem)[0]["content"] == "Problem:\nCompute $1+1$.\n\nSolution:"


def test_a_begun_answer_is_continued_as_transformers_would(small_problems, long_model):
    """The library's own way to continue a last message, under a template that does not trim."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(long_model.path)
    tokenizer.chat_template = DREAM
    for task in ("humaneval_instruct", "mbpp_instruct"):
        messages = messages_of(small_problems[task][0])
        expected = tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=True)
        assert chat_text(tokenizer, messages) == expected
        assert encode(tokenizer, small_problems[task][0]) == encode_text(tokenizer, expected)
