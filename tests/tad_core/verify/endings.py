r"""Texts as models end them, cut, repeated, with headings and marks: the answers that must be found, and those that must not."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

RIGHT_NUMBERS = [
    ("She has 3+4=7 apples.\n#### 7", "7"), ("So the total is $1,234.\n#### 1,234.00", "1234"), ("#### $1,234", "1234"), ("#### 1234 dollars", "1234"), ("#### 7 apples", "7"), ("#### 7.", "7"),
    ("#### **7**", "7"), ("####7", "7"), ("#### Answer: 7", "7"), ("#### The answer is 7", "7"), ("#### Final Answer: 7", "7"), ("#### Final Answer\n7", "7"), ("#### Final Answer\n\\boxed{7}", "7"),
    ("#### Step 1\nWe add 3+4=7.\n#### Step 2\nSo there are 7 apples.", "7"), ("#### Step 1: Find the number\n3+4=7\n\nThe answer is 7.", "7"),
    ("### Step 1\n3 + 4 = 7\n### Final answer\nThe total is 7 apples.", "7"), ("#### 7\n#### 7\n#### 7", "7"), ("#### 7\n\nQuestion", "7"), ("#### x = 7", "7"), ("#### 3 + 4 = 7", "7"),
    ("#### $3.50", "3.5"), ("#### 3.5 hours", "3.5"), ("#### 7<|eot_id|>", "7"), ("#### 7<|endoftext|>", "7"), ("#### 7<|endoftext|><|endoftext|>", "7"), (r"\boxed{7}<|eot_id|><|endoftext|>", "7"),
    ("The answer is 7<|im_end|>", "7"), ("The answer is 7</s>", "7"), ("the total is 7 apples<|endoftext|>", "7"), (r"\boxed{7}\boxed{7}\boxed{7}", "7"), ("\\boxed{7}\n\\boxed{7}\n\\boxed{7", "7"),
    (r"The answer is \boxed{7", "7"), (r"The answer is $\boxed{7$", "7"), (r"The answer is \boxed{7}}", "7"), (r"The answer is \boxed7", "7"), (r"The answer is \boxed{\$7}", "7"),
    (r"The answer is \boxed{7 \text{ dollars}}.", "7"), (r"The answer is $\boxed{\$1,234.50}$.", "1234.50"), (r"Therefore, Janet makes $\boxed{18}$ dollars every day at the farmers' market.", "18"),
    ("Janet makes 9 * $2 = $<<9*2=18>>18 every day.", "18"), ("Janet makes 9 * $2 = $18 per day.", "18"), ("Janet makes $18/day.", "18"), ("They need 1.5 dozen, so 18 eggs.", "18"),
    ("He ran 540 meters in total", "540"), ("Final Answer: 540 meters", "540"), ("**Final Answer:** 540", "540"), (r"**Final Answer**: \boxed{540}", "540"), ("**Answer:** 540 meters per week", "540"),
    ("**Answer: 540**", "540"), ("Answer = 540", "540"), ("The final answer is **540**.", "540"), ("The final answer is: **540 meters**", "540"), ("The answer is: $540$ meters.", "540"),
    (r"The answer is: \(540\) meters.", "540"), (r"The answer is \[540\]", "540"), ("The answer is:\n\\[\n540\n\\]", "540"), ("The answer is:\n\n540", "540"), ("The answer is:\n$$540$$", "540"),
    ("The answer is therefore 540.", "540"), ("The answer is that he runs 540 meters.", "540"), ("The answer is (540).", "540"), ("The answer is $5.00 + $3.00 = $8.00.", "8"),
    ("The answer is 5 + 3 = 8.", "8"), ("The answer is 5*3=15 apples.", "15"), ("The answer is 8 apples, since 5+3=8.", "8"), ("The answer is 1 234.", "1234"), ("The answer is 70%.", "70"),
    ("The answer is 70 percent.", "70"), ("The answer is -5 degrees.", "-5"), ("It is 5 degrees below zero: -5", "-5"), ("so they have 12-5=7", "7"), ("so they have 12 - 5 = 7 left", "7"),
    ("There are 60 minutes in an hour so it takes 90/60 = 1.5 hours", "1.5"), ("Total: $1,234,567", "1234567"), ("Total cost: $12.50.", "12.5"),
    ("The total is 20.\nThe total is 20.\nThe total is 20.\nThe total", "20"), ("So she sold 20 eggs. She sold 20 eggs. She sold 20 eg", "20"),
    ("The answer is 20. The answer is 20. The answer is", "20"), ("The answer is 20. The answer is", "20"), ("The answer is 20.\n\nThe answer is:", "20"), (r"\boxed{20} The answer is \boxed{", "20"),
    (r"\boxed{20} The answer is \boxed", "20"), ("#### 20\n####", "20"), ("#### 20\n#### ", "20"), ("#### 20 ####", "20"), ("20\n\nI hope this helps!", "20"), ("20 is the answer", "20"),
    ("The answer is \\boxed{20}.\n\nLet me double check: 4*5=20. Yes.", "20"), (r"The answer is \boxed{20 eggs}.", "20"), (r"The answer is \boxed{x=20}.", "20"),
    (r"The answer is \boxed{4 \times 5 = 20}.", "20"), (r"The answer is \boxed{4*5=20}.", "20"), (r"The answer is \boxed{\text{20 eggs}}", "20"), (r"The answer is \boxed{\frac{40}{2}}", "20"),
    (r"The answer is \boxed{\frac{40}{2} = 20}", "20"), (r"The answer is \boxed{\$20.00}", "20"), (r"The answer is \boxed{20\%}", "20"), (r"The answer is \boxed{20.0}", "20"),
    (r"The answer is \boxed{20,000}", "20000"), (r"The answer is \boxed{20{,}000}", "20000"), (r"The answer is \boxed{20\,000}", "20000"), (r"The answer is \boxed{20 000}", "20000"),
    (r"\boxed{\text{Jan: } 20}", "20"), (r"\boxed{20\text{ years old}}", "20"), (r"\boxed{\dfrac{3}{4}}", "0.75"), (r"\boxed {20}", "20"), (r"\Boxed{20}", "20"), (r"\\boxed{20}", "20"),
    ("boxed{20}", "20"), (r"$$\boxed{20}$$", "20"), (r"\boxed{20}$", "20"), (r"The answer is: \boxed{20} eggs = \boxed{20}", "20"), ("\\begin{align*}\nx&=\\boxed{20}\n\\end{align*}", "20"),
    (r"\boxed{\begin{aligned} x &= 20 \end{aligned}}", "20"),
]  # fmt: skip

WRONG_NUMBERS = [
    ("#### 3 + 4 = 8", "7"), ("#### 1.5 dozen", "18"), ("#### 1.5 dozen", "1.5"), ("So the answer is 7.7.7.", "7"), ("The answer is \\boxed{7}.\n\nThe answer is \\boxed{8}.", "7"),
    ("The answer is 5 + 3 = 9.", "8"), ("The answer is 1.234,50", "1234.5"), ("Total = $ 12 . 50", "12.5"), ("It costs 12.50 dollars.\n\nStep 1: ", "12.5"),
    ("The answer is 20. The answer is 20. The answer is 2", "20"), ("The number of eggs is twenty.", "20"), ("", "20"), ("!!!!!!", "20"), (r"The answer is \boxed{4+5=20}.", "20"),
    (r"\boxed{20:00}", "20"), (r"\boxed{\text{twenty}}", "20"), (r"\boxed{20 - 5}", "20"), (r"\boxed{20, 30}", "20"), (r"\boxed{4 hours 30 minutes}", "4"), (r"\boxed{3\text{ remainder }2}", "3"),
]  # fmt: skip

RIGHT = [
    (r"Final Answer: The final answer is $\frac{1}{2}$. I hope it is correct.", r"\frac12"), (r"The final answer is $\boxed{\frac{1}{2}}$. I hope it is correct.", r"\frac12"),
    ("we get $x=2$.\nFinal Answer: The final answer is $2$. I hope it is correct.\n\nProblem:\nFind 3.", "2"), ("Final Answer: The final answer is $x^2+1$. I hope it is correct.", "x^2+1"),
    ("Final Answer: The final answer is $[2,5)$. I hope it is correct.", "[2,5)"), (r"Final Answer: The final answer is $-\frac{2}{3}$. I hope it", r"-\frac23"),
    (r"Final Answer: The final answer is $\text{(B)}$. I hope it is correct.", r"\text{(B)}"), (r"Final Answer: The final answer is $10\%$. I hope", "10"),
    (r"Final Answer: The final answer is $\$10$. I hope", "10"), ("Final Answer: The final answer is $1,000$.", "1000"), ("Final Answer: The final answer is 2.5.", "2.5"),
    ("Final Answer: The final answer is 2.5", "2.5"), (r"Final Answer: The final answer is \( \frac{1}{2} \).", r"\frac12"), (r"Final Answer: The final answer is \boxed{\frac{1}{2}}.", r"\frac12"),
    (r"Final Answer: The final answer is \[\frac{1}{2}\].", r"\frac12"), (r"Final Answer: The final answer is $$\frac{1}{2}$$.", r"\frac12"),
    ("Final Answer: The final answer is:\n\\[\\frac{1}{2}\\]", r"\frac12"), (r"The final answer is: $\boxed{(3, \frac{\pi}{2})}$", r"\left(3,\frac{\pi}{2}\right)"),
    (r"Therefore $\boxed{x = 3}$ or $\boxed{x = -3}$.", "3,-3"), (r"The roots are $\boxed{1}$, $\boxed{2}$, and $\boxed{3}$.", "1,2,3"),
    (r"The roots are $x=\boxed{1}$, $x=\boxed{2}$ and $x=\boxed{3}$.", "1,2,3"), (r"$a=\boxed{1}$ and $b=\boxed{2}$.", "1,2"),
    (r"First, \boxed{a=3}. Then $b = 4$, so \boxed{b=4}. Sum: \boxed{7}", "7"), (r"The answer is \boxed{\frac{1}{2}} \approx 0.5", r"\frac12"),
    (r"The answer is \boxed{\frac{1}{3}} or approximately 0.33", r"\frac13"), (r"The answer is \boxed{\sqrt{2}} or about 1.41.", r"\sqrt2"),
    (r"The answer is \boxed{\sqrt{2}} \approx 1.41.", r"\sqrt2"), (r"The answer is \boxed{50} or 50 cents", "50"), (r"The answer is \boxed{5} cm or 0.05 m", "5"),
    (r"The answer is \boxed{\frac{1}{2}", r"\frac12"), ("The answer is \\boxed{\\frac{1}{2}\n\\]", r"\frac12"), (r"The answer is $\boxed{12", "12"),
    (r"The answer is \boxed{\left(3, \frac{\pi}{2} \right)}", r"(3,\pi/2)"), (r"\boxed{\{1,2\}}", r"\{1,2\}"), (r"The answer is $\frac{1}{2}$.", r"\frac12"),
    (r"The answer is $x = \frac{1}{2}$ and $y = 3$.", r"(\frac12,3)"), ("The answer is 1/2.", r"\frac12"), ("The answer is (B).", r"\text{(B)}"), ("The answer is B.", r"\text{B}"),
    ("The answer is **B**.", r"\text{B}"), ("The answer is option B.", r"\text{B}"), ("The answer is (B) 12.", r"\text{B}"), ("The answer is (B) 12.", "12"),
    (r"The answer is $\textbf{(B)}\ 12$.", "12"), ("So the correct answer is C", "C"), ("The answer is x^2 + 1.", "x^2+1"), (r"The answer is $2 \cdot 3 = 6$.", "6"),
    (r"The value is $3\sqrt{2}$.", r"3\sqrt{2}"), (r"Therefore, the area is $36\pi$.", r"36\pi"), (r"Therefore, the area is $36\pi$ square units.", r"36\pi"),
    (r"Therefore, $x = \frac{3}{4}$.", r"\frac34"), (r"Therefore the minimum value is $-\frac{1}{4}$.", r"-\frac14"), (r"\boxed{\text{The answer is 5}}", "5"),
    (r"\boxed{\text{Area} = 12\pi \text{ cm}^2}", r"12\pi"), (r"\boxed{\dfrac{1}{2} \text{ or } 0.5}", r"\frac12"), (r"\boxed{\dfrac{1}{2} = 0.5}", r"\frac12"),
    (r"\boxed{0.5 = \frac{1}{2}}", r"\frac12"), (r"\boxed{\frac{1}{2} \approx 0.5}", r"\frac12"), (r"\boxed{\frac{\sqrt{2}}{2} \approx 0.707}", r"\frac{\sqrt2}{2}"), (r"\boxed{x \approx 2.5}", "2.5"),
    (r"\boxed{5} \text{ cm}", "5"), (r"$\boxed{5}\%$", "5"), (r"$\boxed{5}^\circ$", "5"), (r"$-\boxed{5}$", "-5"), (r"\boxed{x^2 + 1", "x^2+1"),
    (r"Please put the final answer in \boxed{}. So \boxed{5}", "5"), (r"\boxed{5}. I put the final answer in \boxed{}.", "5"), ("\\boxed{5}\n\nNote that the answer is in \\boxed{...} format", "5"),
    ("\\boxed{5}assistant\n\nThe answer is 6", "5"), ("<answer>5</answer>", "5"), (r"<answer> \boxed{5} </answer>", "5"), (r"<|mdm_mask|>\boxed{5}", "5"), (r"\boxed{5}<|mdm_mask|>", "5"),
    (r"\boxed{5 }", "5"), ("\\boxed{ 5\n}", "5"), (r"\boxed{5,}", "5"), (r"\boxed{5.}", "5"), (r"\boxed{$5$}", "5"), (r"\boxed{\(5\)}", "5"), ("\\boxed{\"B\"}", "B"),
    (r"\boxed{\text{``Yes''}}", r"\text{Yes}"), (r"\boxed{**5**}", "5"), (r"\boxed{\boxed{5}}", "5"), (r"$\fbox{5}$", "5"), (r"\framebox{5}", "5"),
]  # fmt: skip

WRONG = [
    ("Final Answer: The final answer is $(2,5)$", "[2,5)"), ("Final Answer: The final answer is $(2,5", "(2,5)"), (r"\boxed{7}. However, $\boxed{8}$ is wrong.", "7"),
    (r"The answer is \boxed{\frac{1}{", "1"), (r"The answer is $\boxed{12", "1"), ("The correct option is C.", "C"), ("Thus the area is 2.", r"36\pi"), (r"Therefore, $x = \sqrt{2}$.", "2"),
    ("The answer is $2^{10}$.", "10"), ("Therefore, the answer is $x^2$.", "2"), (r"so the area is $9\pi$", "9"), ("so $y = 2x+3$", "3"), (r"So there are $\binom{5}{2}$ ways", "2"),
    (r"$-\boxed{5}$", "5"), (r"$\frac{\boxed{1}}{2}$", "1/2"), (r"\boxed{answer}", "5"), (r"\boxed{}", "5"), (r"\boxed{5!}", "5"), (r"\boxed{'5'}", "5"),
]  # fmt: skip
