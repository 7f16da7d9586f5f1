r"""Pairs of answers by the rule that decides them: ``SAME`` must pass, ``WRONG`` must not, either way round."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

SAME: dict[str, list[tuple[str, str]]] = {
    "letters are no units": [
        (r"\sin t+\cos t", r"\cos t+\sin t"), (r"2\cos t", r"\cos t \cdot 2"), (r"\alpha t", r"t\alpha"), (r"5 + 2m", "2m + 5"),
        (r"\frac{ab}{c}", r"\frac{1}{c}ab"), (r"gh+d", "d+hg"), ("2cdx", "2xdc"), (r"\ln t - \ln s", r"-\ln s+\ln t"), (r"x\sin y", r"\sin y\times x"),
        (r"\cos^2 t", r"1-\sin^2 t"), (r"\log_28", "3"), (r"\log_2 8+x", "x+3"), (r"a^2d - b^2d", "d(a-b)(a+b)"),
    ],
    "primes": [("f'(x)+1", "1+f'(x)"), (r"f^\prime(x)", "f'(x)"), (r"2y''", "y^{\\prime\\prime}+y''"), (r"\alpha'+1", r"1+\alpha'")],
    "what the grammar drops": [
        ("2(3)", "6"), (r"2\left(\frac{1}{2}\right)", "1"), (r"2\binom{5}{2}", "20"), (r"\sin 30^\circ", r"\frac12"), (r"\tan 15^\circ", r"2-\sqrt3"),
        (r"\cos(60^\circ)", "0.5"), (r"2^T", r"2^{T}"), (r"\gamma+1", r"1+\gamma"), (r"x^(2)", "x^2"), (r"\sqrt(2)", r"\sqrt{2}"), (r"2\dbinom{4}{2}x", "12x"),
    ],
    "the imaginary unit": [
        ("x+ix", "(1+i)x"), ("(x+i)(x-i)", "x^2+1"), ("(a+bi)(a-bi)", "a^2+b^2"), (r"2x+xi+i", "(2+i)x+i"), (r"i(y-i)", "iy+1"), (r"\frac{1}{x+i}", r"\frac{x-i}{x^2+1}"),
        ("(z-i)^2", "z^2-2iz-1"),
    ],
    "small and large numbers": [
        ("10^{-50}", r"\frac{1}{10^{50}}"), (r"10^{-50}\sqrt{4}", r"2\cdot10^{-50}"), (r"2^{-200}", r"\frac{1}{2^{200}}"), (r"10^{-60}\sqrt2", r"\frac{2\cdot10^{-60}}{\sqrt2}"),
        (r"(10^8+1)^2-10^{16}-2\cdot10^8", "1"), (r"\sqrt2\sqrt3-\sqrt6", "0"), (r"\sin\pi", "0"),
    ],
    "equations and lines": [
        ("y=2x+3", "2x+3=y"), ("y=2x+3", "2x-y+3=0"), ("2x+3=y", "2x-y+3=0"), ("y = 2x+3", "y=3+2x"), ("y=2x+3", r"x=\frac{y-3}{2}"), ("x=5", "5=x"), ("x-5=0", "x=5"),
        ("f(x)=2x+3", "y=2x+3"), ("AB=12", "12"), ("5=x", "5"), ("x=y", "y=x"), (r"\frac{y-3}{2}=x", "y=2x+3"), ("y=1", "1=y"), ("x^2+y^2=4", "4=x^2+y^2"),
    ],
    "inequalities": [
        ("0<x<1", "1>x>0"), (r"0\le x<1", r"1>x\ge 0"), (r"-80\leq g(x)\leq 82", r"82\ge g(x)\ge-80"), ("x<5", "5>x"), ("x-1<0", "x<1"), (r"2x\leqslant 6", r"x\le3"), (r"-x<2", "x>-2"),
        (r"x\ne1", r"1\neq x"), (r"x\lt 3", "3>x"), ("a<b<c", "c>b>a"), ("0<2x<2", "0<x<1"),
    ],
    "about equal": [(r"\frac23\approx0.67", r"\frac23"), (r"\$\dfrac23 \approx \$0.67", r"\$\frac23"), (r"\sqrt2 \approx 1.414", r"\sqrt2")],
    "several boxes": [
        (r"2 \text{ or } 3", "3, 2"), (r"(-2,18) \text{ or } (8,38)", "(8,38),(-2,18)"), (r"30^\circ \text{ or } 150^\circ", r"150^\circ, 30^\circ"),
    ],
    "units in words": [
        ("5 more apples", "5"), (r"24\text{ m/s}", "24"), (r"12\text{ m}^2", "12"), (r"5\text{ g}", "5"), (r"6\text{ possible outcomes}", "6"), (r"5\text{ dollars a day}", "5"), ("$5 per day", "5"),
        ("100 m/s", "100"), ("20 miles/hour", "20 miles per hour"), (r"5\text{m}^3", "5 cubic meters"), ("2:30pm", "2:30 p.m."), ("60 seconds", "60"), ("10 moths", "10"), (r"3\text{ positive integers}", "3"), ("7 years old", "7"),
    ],
    "ordinals, times and ratios": [
        ("17th", "17"), (r"17^{\text{th}}", "17th"), (r"21\text{st}", "21"), ("112th", "112"), ("9:30 AM", "9:30 a.m."), (r"9{:}30", "9:30"), (r"10\text{ p.m.}", "10 pm"), (r"3\colon 4", "3:4"),
        (r"3\text{ to }4", "3:4"), ("3 to 4", "3 : 4"),
    ],
    "mixed numbers as factors": [
        (r"3\frac{1}{2}x", r"\frac{7}{2}x"), (r"3\frac12\pi", r"3.5\pi"), (r"-2\frac13x", r"-\frac73x"), (r"2\frac{x}{2}", "x"), ("1/2x", r"\frac{x}{2}"), ("-3/4x+1", "1-0.75x"), (r"1/2\sqrt3", r"\frac{\sqrt3}{2}"),
        ("x/2y", r"\frac{x}{2y}"),
    ],
    "named values": [
        ("(x,y)=(3,4)", "(3,4)"), ("(x, y) = (3, 4)", "(x,y)=(3,4)"), ("(a,b,c)=(1,2,3)", "(1, 2, 3)"), ("f^{-1}(x)=2x", "2x"), (r"A=\{1,2\}", r"\{2,1\}"),
    ],
    "other spellings": [
        (r"{8 \choose 3}", "56"), (r"{8 \choose 3}", r"\binom{8}{3}"), (r"\vec v", r"\vec{v}"), (r"\mathbb R", r"\mathbb{R}"), (r"1011_{\text{two}}", "1011_2"), ("1011 base 2", "1011_2"), (r"1011\text{ (base 2)}", "1011_2"),
        ("2e3", "2000"), ("1e-2000", "10^{-2000}"), ("dy/dx", "dy/dx"),
    ],
    "lists": [(r"5 \text{ or } 6", "6, 5"), (r"x=5\lor x=6", "5, 6"), ("1 2 3", "1, 2, 3"), (r"1\quad 2", "1,2")],
    "spellings of MATH": [
        (r"11,\! 111", "11111"), (r"1,\!234,\! 567", "1234567"), (r"11,\!111", "11,111"), (r"11\ 111", "11111"), (r"1 234 567.5", "1234567.5"), ("p - q", "p-q"), (r"\frac{\sqrt6}2", r"\frac{\sqrt6}{2}"), (r"\frac{\sqrt{6}}2+1", r"1+\sqrt{1.5}"), (r"\frac1{\sqrt2}", r"\frac{\sqrt2}2"), ("(x<3)", "x<3"), ("p - q", "-q+p"), ("a-b", "-b+a"),
        ("x-y", "-(y-x)"), (r"\{1\pm\sqrt5,-2\}", r"\{1+\sqrt5,1-\sqrt5,-2\}"), (r"\pm1,\pm2", "1,-1,2,-2"), (r"3, 1\pm i", "1+i,1-i,3"), (r"(\pm1,2)", "(1,2),(-1,2)"), (r"\pm a\mp b", "a-b,b-a"),
        (r"(12)_{10}", "12_{10}"), (r"(1011)_2", "1011_2"), (r"\left(2A\right)_{16}", "2a_{16}"), ("5!!", "15"), ("6!!", "48"), ("2\\cdot5!!", "30"), ("(3!)!", "720"),
    ],
}  # fmt: skip

WRONG: dict[str, list[tuple[str, str]]] = {
    "letters are no units": [
        (r"\alpha t", r"\alpha"), (r"\cos 2t", r"\cos 2"), (r"\sin 2c", r"\sin 2"), (r"x^2 m", "x^2"), (r"2\pi h", r"2\pi"), (r"\frac{1}{2} g", r"\frac12"), (r"3s", "3"), (r"\sqrt{2}d", r"\sqrt2"),
        (r"5t", "5"), (r"\pi l", r"\pi"), (r"\ln 2h", r"\ln 2"), (r"\cos 2t", r"\cos t"), (r"\cos t\cdot 2", r"\cos 2t"), (r"\sin x\cdot y", r"\sin xy"), ("R-r", "0"), ("Rr", "r^2"), ("I", "i"), ("2I", "2i"),
        (r"\gamma", r"\Gamma"), (r"\gamma", "0.5772156649"), (r"\delta", r"\Delta"), (r"\text{on}", r"\text{no}"), (r"\angle ABC", r"\angle BAC"),
    ],
    "primes": [("f'(x)", "f(x)"), ("f''(x)", "f'(x)"), ("y'", "y"), ("2x'", "2x"), (r"\theta'", r"\theta"), (r"f^\prime", "f"), (r"f^{\prime\prime}(x)", "f'(x)"), ("f'(x)=2x", "f(x)=2x"), ("A'", "A"), ("5'", "5")],
    "what the grammar drops": [
        ("2(3)", "5"), (r"2\left(\frac12\right)", r"\frac52"), (r"2\binom{5}{2}", "12"), (r"(2)\frac{1}{2}", r"\frac{5}{2}"), (r"\sin 30^\circ", r"\sin 30"), (r"\cos(60^\circ)", r"\cos 60"), ("x^T", "x"), ("2^T+1", "3"),
        ("11_2+1", "12"), (r"5\phantom{6}", "11"), (r"x|_{y=1}", "x"), ("1+2+\\ldots+10", "13"), ("5!!", "(5!)!"), ("6!!", "720!"), ("5!!", "120"),
    ],
    "the imaginary unit": [("x+ix", "(1-i)x"), ("(x+i)(x-i)", "x^2-1"), ("(a+bi)(a-bi)", "a^2-b^2"), ("xi", "x"), ("x+i", "x+1"), ("(z-i)^2", "z^2-1"), ("yi", "zi")],
    "small and large numbers": [
        ("10^{-50}", "10^{-60}"), ("10^{-50}", "0"), ("2^{-200}", "2^{-201}"), (r"10^{-50}\sqrt2", r"10^{-60}\sqrt2"), (r"10^{-45}\pi", "0"), ("10^{-50}", "-10^{-50}"), (r"e^{-120}", "e^{-121}"),
        ("1+10^{-40}", "1"), (r"x+10^{-50}", "x"), ("10^{50}", "10^{50}+1"), (r"x+0.30000000000000000001", "x+0.3"), ("10^{-50}x", "10^{-60}x"), ("10^{-50}i", "10^{-60}i"), ("10^{-50}x=1", "10^{-60}x=1"),
    ],
    "equations and lines": [
        ("y=2x+3", "2x+4=y"), ("y=2x+3", "2x+y+3=0"), ("y=2x+3", "x=2y+3"), ("x=5", "y=5"), ("y=2x+3", "2x-y+3=1"), ("y=2x+3", "2x+3=0"), ("2x+3", "2x-y+3=0"), ("x=5", "x+5=0"), ("f(x)=2x", "g(x)=2x"), ("y=x", "y=-x"),
        ("1=2", "3=4"), ("0=0", "x=x"), ("AB=9, CD=4", "AB=4, CD=9"), ("x=5=6", "5"), ("x=6=5", "5"), ("y=2x+3", "y<2x+3"),
    ],
    "inequalities": [
        ("0<x<1", "1<x<0"), ("0<x<1", r"0<x\le 1"), ("0<x<1", "0<y<1"), ("0<x<1", "0<x"), ("0<x<1", "x<1"), ("x<5", "x>5"), ("x<5", "5<x"), ("-x<2", "x<-2"), (r"x\ne1", "x=1"), (r"x\ne1", r"x\ne2"), ("x<1", "1"), ("0<x<1", "[0,1)"),
        (r"x\le 3", "x<3"), ("a<b<c", "a<c<b"), ("x<5", "y<5"),
    ],
    "about equal": [(r"\frac23\approx0.77", r"\frac23"), (r"5\approx6", "5"), (r"x\approx y", "x")],
    "words that reckon or doubt": [
        (rf"5\text{{ {word}}}", "5")
        for word in (
            "thousands", "millions", "mln", "bn", "dozens", "tenths", "halves", "thirds", "quarters", "quadrillion", "lakh", "approx", "approximately", "at least", "(guess)", "I think", "wrong", "unless x", "might be",
            "could be", "likely", "unsure", "until", "below", "more", "less", "possible", "negative", "percent of x", "k", "K", "M", "x", "i", "e", "versus B", "times", "roughly", "to B", "hundredths", "nineteenths",
        )
    ]
    + [("2 thirds", "2"), ("3 eighths", "3"), ("5 trillions", "5"), ("5 grand", "5"), (r"3\mathrm{i}", "3"), (r"3\mathrm{e}", "3"), (r"2\text{x}", "2"), ("$5 million", "$5"), ("$5 per day", "$5 per hour")],
    "ordinals, times and ratios": [
        ("17th", "18"), ("22th", "22"), ("11st", "11"), ("9:30 AM", "9:30 PM"), (r"10\text{ a.m.}", "10 pm"), ("3:4", "4:3"), ("3 to 4", "3"), (r"5\text{ to }6", "6"), ("3 to 4", "4:3"), ("9:30", "930"),
    ],
    "mixed numbers as factors": [
        (r"3\frac{1}{2}x", r"\frac{3}{2}x"), (r"3\frac12\pi", r"\frac{3\pi}{2}"), (r"2\frac13x", r"\frac23x"), ("1/2x", r"\frac{1}{2x}"), ("1/2(a+b)", r"\frac{1}{2(a+b)}"),
    ],
    "named values": [
        ("(x,y)=(3,4)", "(y,x)=(3,4)"), ("(x,y)=(3,4)", "(4,3)"), ("(x,y)=(3,4)", "3,4"), (r"A=\{1,2\}", r"B=\{1,2\}"), ("f^{-1}(x)=2x", "f(x)=2x"),
    ],
    "other spellings": [
        (r"{8 \choose 3}", r"{8 \choose 4}"), (r"1011_{\text{two}}", "1011_3"), ("1011 base 2", "1011"), ("2e3", "6e"), ("1e-2000", "0"), ("1e-2000", "1e-2001"), ("dy/dx", "y/x"), ("dy/dx", "dz/dx"), ("0,123", "123"),
        ("0,123", "0.123"), (r"\left(\begin{matrix}1\\2\end{matrix}\right)^T", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
    "what joins conditions": [
        (r"x<1\text{ or }x>3", r"x<1\text{ and }x>3"), ("x<-2 and x>2", "x<-2 or x>2"), (r"\text{A and B}", r"\text{A or B}"),
    ],
    "hedges": [
        (r"5 or \text{six}", "5"), (r"\text{B} or \text{C}", "(B)"), (r"\text{B} or \text{C}", "B"), ("5 or 6", "5"), (r"5\text{ or six}", "5"), (r"5\text{ or }\text{six}", "5"), ("5 or six", "5"), ("5 or", "5"),
        (r"5\text{ and }\text{six}", "5"), (r"5, \text{six}", "5"), (r"5 / \text{six}", "5"), (r"5; \text{six}", "5"), (r"5 \lor \text{six}", "5"), (r"5 \text{ six}", "5"), (r"5\text{ maybe }6", "5"), (r"5 \text{ perhaps six}", "5"),
        (r"5\text{ maybe 6}", "5"), (r"5\text{ (6)}", "5"), (r"5\text{ not six}", "5"), ("B or C", "B"), ("B, C", "(B)"), (r"\text{B or C}", r"\text{(B)}"), (r"\text{(B)} \text{ or (C)}", "(B)"), (r"\text{B}\text{C}", "B"), (r"\text{B}/\text{C}", "B"),
        (r"\text{B} and \text{C}", "(B)"), (r"\text{yes} or \text{no}", "yes"), (r"\frac12 or \text{half}", r"\frac12"), (r"5\text{ cm} or \text{six}", "5"), (r"x=5 or \text{six}", "5"), ("5 cm or 6 cm", "5"), (r"5+\text{six}", "5"),
        (r"5\%\text{ or six}", "5"), (r"90^\circ or \text{right}", "90"), ("5 6", "56"), (r"5\ 6", "56"), (r"5\quad 6", "56"), ("1 23", "123"),
    ],
    "spellings of MATH": [
        (r"11,\! 111", "11112"), (r"11, 111", "11111"), (r"1,\!23", "123"), ("p - q", "q - p"), ("a-b", "b-a"), ("p - q", "p+q"), (r"\{1\pm\sqrt5,-2\}", r"\{1+\sqrt5,-2\}"), (r"\{1\pm\sqrt5,-2\}", r"\{-1\pm\sqrt5,-2\}"),
        (r"\{1\pm\sqrt5,-2\}", r"\{1+\sqrt5,-2\},\{1-\sqrt5,-2\}"), (r"\pm1,\pm2", "1,-1,2,2"), (r"(12)_{10}", "12_{11}"), (r"(12)_{10}", "12"), (r"(12)_3", "5"), ("5!!", "14"), ("7!!", "(7!)!"),
    ],
}  # fmt: skip
