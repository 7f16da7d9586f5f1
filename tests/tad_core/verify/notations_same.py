r"""Answers as models write them that are the same: they must pass, either way round."""
# ruff: noqa: E501 (tables; signs as models write them)

from __future__ import annotations

SAME: dict[str, list[tuple[str, str]]] = {
    "said exactly": [
        ("18, not 19", "18"), ("$18, not $19", "18"), ("5 only", "5"), ("only 5", "5"), ("exactly 15", "15"), (r"\text{exactly } 15", "15"), (r"15\text{ only}", "15"), ("5 apples only", "5"),
    ],
    "worked out": [
        (r"\gcd(4,6)", "2"), (r"\operatorname{lcm}(4, 6)", "12"), (r"\text{lcm}(4,6)=12", "12"), (r"2\gcd(4,6)", "4"), (r"\gcd(4,6)^2", "4"), (r"\frac{\gcd(4,6)}{4}", r"\frac12"),
    ],
    "absolute values": [
        ("|x|<3", "(-3,3)"), (r"|x| \le 3", "[-3,3]"), ("3>|x|", "-3<x<3"), (r"|x|\ge 3", r"(-\infty,-3]\cup[3,\infty)"), ("|x|>3", "x<-3 or x>3"), (r"|x| < \frac12", "(-0.5,0.5)"),
    ],
    "intervals / unions": [
        (r"(-\infty, 2) \cup (3, \infty)", r"(-\infty,2)\cup(3,\infty)"), (r"(3, +\infty) \cup (-\infty, 2)", r"(-\infty,2)\cup(3,\infty)"),
        (r"\left(-\infty,-\frac{1}{2}\right]\cup\left[\frac{5}{2},\infty\right)", r"(-\infty,-0.5]\cup[2.5,\infty)"), (r"]-\infty, 2[", r"(-\infty,2)"),
        (r"\mathbb{R} \setminus \{1\}", r"(-\infty,1)\cup(1,\infty)"), (r"x \in (-\infty, 2) \cup (3, \infty)", r"(-\infty,2)\cup(3,\infty)"), (r"x \in [-2, 7]", "[-2,7]"),
        ("[-2,7]", r"x \in [-2,7]"), (r"-2 \le x \le 7", "[-2,7]"), (r"-2 \leq x \leq 7", r"x \in [-2,7]"), ("x < 3", r"(-\infty,3)"), (r"x \geq 3", r"[3,\infty)"),
        (r"x<2 \text{ or } x>3", r"(-\infty,2)\cup(3,\infty)"), (r"(2, \infty)", r"(2, +\infty)"), (r"\left( 2, \infty \right)", r"(2,\infty)"), (r"[1, 2] \text{ or } [3, 4]", r"[1,2]\cup[3,4]"),
        (r"\left(0, \frac{\pi}{4}\right]", r"(0,\pi/4]"), (r"\{x \mid x > 3\}", r"(3,\infty)"), (r"\{x : x > 3\}", "x>3"), (r"\{x | 1 < x < 2\}", "(1,2)"), (r"\text{all real numbers}", r"\mathbb{R}"),
        (r"(-\infty, \infty)", r"\mathbb{R}"),
    ],
    "sets, lists": [
        (r"\{1, 2, 3\}", r"\{3,2,1\}"), (r"1, 2, \text{ and } 3", "1,2,3"), ("1, 2, and 3", "1,2,3"), (r"1,\ 2,\ 3", "1,2,3"), ("1; 2; 3", "1,2,3"), (r"\{1; 2; 3\}", r"\{1,2,3\}"),
        (r"\text{1 and 2}", "1,2"), ("x = 1, 2", "1,2"), (r"x = 1 \text{ and } x = 2", "1,2"), ("x_1 = 1, x_2 = 2", "1,2"), (r"x = 3 \pm 2\sqrt{2}", r"3+2\sqrt2,3-2\sqrt2"),
        (r"\frac{3 \pm \sqrt{5}}{2}", r"\frac{3+\sqrt5}{2}, \frac{3-\sqrt5}{2}"), (r"\pm 3", "-3,3"), (r"x=\pm3", r"\pm 3"), (r"-3 \text{ and } 3", r"\pm3"), (r"\{-3, 3\}", r"\pm3"),
        (r"\emptyset", r"\text{no solution}"), (r"\text{No solution}", r"\text{no solutions}"), (r"\text{no real solutions}", r"\text{no solution}"), (r"\text{None}", r"\text{none}"),
        (r"\text{DNE}", r"\text{does not exist}"), (r"\text{undefined}", r"\text{Undefined}"), (r"\varnothing", r"\emptyset"), (r"\{\}", r"\emptyset"),
    ],
    "tuples, vectors, matrices": [
        (r"(3, \frac{\pi}{2})", r"\left( 3, \frac{\pi}{2} \right)"), (r"\left(3,\dfrac{\pi}{2}\right)", r"(3,\pi/2)"), ("x=3, y=4", "(3,4)"), ("y=4, x=3", "(3,4)"),
        (r"x=3 \text{ and } y=4", "(x,y)=(3,4)"), (r"\langle 1, 2, 3 \rangle", r"\begin{pmatrix}1\\2\\3\end{pmatrix}"), (r"\langle 1, 2, 3 \rangle", "(1,2,3)"),
        (r"\begin{pmatrix} 1 \\ 2 \\ 3 \end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \\ 3 \end{bmatrix}"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
        (r"\left[\begin{array}{cc} 1 & 2 \\ 3 & 4 \end{array}\right]", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        (r"\begin{pmatrix} -\frac{1}{2} \\ 0.5 \end{pmatrix}", r"\begin{pmatrix} -1/2 \\ 1/2 \end{pmatrix}"),
        (r"\frac{1}{2}\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1/2 \\ 1 \end{pmatrix}"), (r"\begin{pmatrix} 1 \\ 2 \\ \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\begin{smallmatrix}1\\2\end{smallmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"), (r"\mathbf{v} = \begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\mathbf{A} = \begin{pmatrix}1&2\\2&1\end{pmatrix}", r"\begin{pmatrix}1&2\\2&1\end{pmatrix}"), ("(-1, 2), (3, 4)", "(3,4),(-1,2)"), (r"\{(-1,2),(3,4)\}", "(-1,2),(3,4)"),
        (r"(-1,2) \text{ and } (3,4)", "(-1,2),(3,4)"), ("(1,2); (3,4)", "(1,2),(3,4)"), ("(1;2)", "(1,2)"), ("P = (1,2)", "(1,2)"),
    ],
    "mixed numbers, fractions": [
        (r"2\frac{3}{4}", r"\frac{11}{4}"), (r"2 \frac{3}{4}", "2.75"), (r"-1\dfrac{1}{3}", r"-\frac43"), (r"2\tfrac34", "11/4"), ("11/4", r"\frac{11}{4}"), (r"\frac{-3}{4}", r"-\frac{3}{4}"),
        (r"\frac{3}{-4}", r"-\frac{3}{4}"), (r"\frac{6}{8}", r"\frac{3}{4}"), ("3/4", "0.75"), (r"{3 \over 4}", r"\frac{3}{4}"), (r"\frac 3 4", r"\frac{3}{4}"), (r"\frac34", "3/4"),
        (r"\frac3{4}", "3/4"), ("3 / 4", "3/4"), (r"\left(\frac{3}{4}\right)", "3/4"), (r"\text{3/4}", "3/4"), (r"\frac{3}{4}x", "0.75x"), ("3x/4", r"\frac{3x}{4}"), ("½", r"\frac12"),
        ("2½", r"\frac52"), ("¾", "0.75"),
    ],
    "percent / decimal": [
        (r"50\%", "50"), (r"50\%", r"50\%"), (r"12.5\%", r"12\frac12\%"), (r"12.5 \text{ percent}", "12.5"), (r"33\frac{1}{3}\%", r"33\frac13"),
    ],
    "degrees": [
        (r"45^\circ", "45"), ("45°", "45"), (r"45 \text{ degrees}", "45"), (r"45^{\circ}", r"45^\circ"), (r"45\degree", r"45^\circ"), (r"\angle ABC = 45^\circ", "45"),
        (r"m\angle ABC = 45^\circ", "45"), (r"\theta = 45^\circ", "45"), (r"45.0^\circ", "45"), (r"45^{\text{o}}", "45"), ("45^o", "45"), (r"-10^\circ \text{C}", "-10"),
    ],
    "units": [
        (r"12 \text{ cm}^2", "12"), (r"12 \text{ square centimeters}", "12"), (r"12\,\mathrm{cm}^2", "12"), (r"12 \, \text{cm}^{2}", "12"), (r"12\text{ cm}^2", r"12\text{ square centimeters}"),
        (r"12\text{ sq cm}", r"12\text{ cm}^2"), (r"12~\text{cm}^3", "12"), (r"12 \text{ m/s}", "12"), (r"12 \frac{\text{m}}{\text{s}}", "12"), (r"12\ \text{mph}", "12"),
        (r"12 \text{ miles per hour}", r"12\text{ mph}"), (r"12 \text{ km/h}", "12"), (r"36\pi \text{ cm}^3", r"36\pi"), (r"36 \pi \text{ cubic inches}", r"36\pi"),
        (r"5\sqrt{2} \text{ units}", r"5\sqrt2"), (r"\sqrt{2} \text{ meters}", r"\sqrt{2}"), (r"\frac{3}{5} \text{ hours}", r"\frac35"), (r"12 \text{ ways}", "12"),
        (r"12\text{ in}", r"12\text{ inches}"), (r"200 \text{ minutes}", "200"), (r"5 \text{ (units)}", "5"), (r"5\text{ apples}", "5"), ("5 apples", "5"), (r"\text{5 apples}", "5"),
        (r"12 \text{ cents}", "12"), ("12¢", "12"),
    ],
    "currency": [
        (r"\$1{,}234.50", "1234.5"), (r"\$1,234.50", "1234.50"), (r"\$ 12", "12"), (r"\text{\$}12", "12"), (r"\text{\$12}", "12"), (r"12\text{ dollars}", r"\$12"), (r"\text{€}12", "12"),
        (r"12 \text{ USD}", "12"), (r"\$12.00", "12"), (r"-\$12", "-12"),
    ],
    "thousands": [
        ("1{,}000{,}000", "1000000"), ("1,000,000", "1000000"), (r"1\,000\,000", "1000000"), (r"1\;000\;000", "1000000"), ("1\u2009000\u2009000", "1000000"), ("1\u202f000", "1000"),
        ("1\u00a0000", "1000"), ("1 000 000", "1000000"), ("1,234", "1,234"), ("12,345.67", "12345.67"), ("-1{,}234", "-1234"), ("-1,234", "-1234"),
    ],
    "scientific": [
        (r"1.5 \times 10^{3}", "1500"), (r"1.5 \cdot 10^3", "1500"), ("1.5e3", "1500"), ("1.5E+3", "1500"), ("1.5 * 10^3", "1500"), ("1.5 × 10^3", "1500"), ("1.5×10³", "1500"), ("10^3", "1000"),
        ("10^{-3}", "0.001"), ("2^{10}", "1024"),
    ],
    "bases": [
        ("101_2", "101_{2}"), (r"101_{\text{2}}", "101_2"), ("101_{(2)}", "101_2"), (r"101_{\text{base }2}", "101_2"), ("(101)_{2}", "101_2"), ("1A3_{16}", "1a3_{16}"), (r"\text{1011}_2", "1011_2"),
    ],
    "recurring": [
        (r"0.\overline{3}", r"\frac13"), (r"0.\dot{3}", r"\frac13"), (r"0.\overline{142857}", r"\frac17"), (r"0.1\overline{6}", r"\frac16"), (r"3.\overline{3}", r"\frac{10}{3}"),
        (r"0.\bar{3}", r"\frac13"), (r"0.3\bar{3}", r"\frac13"), (r"0.\dot{1}\dot{2}", r"\frac{4}{33}"), ("0.(3)", r"\frac13"),
    ],
    "radicals": [
        (r"\sqrt[3]4+\sqrt[3] 2", r"\sqrt[3]{2}+\sqrt[3]{4}"), (r"\sqrt{8}", r"2\sqrt{2}"), (r"\sqrt[3]{16}", r"2\sqrt[3]{2}"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"), (r"\sqrt{7+4\sqrt3}", r"2+\sqrt3"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        ("2^{1/2}", r"\sqrt{2}"), (r"2^{\frac{1}{3}}", r"\sqrt[3]{2}"), ("√2", r"\sqrt{2}"), ("2√3", r"2\sqrt{3}"), ("√(2+√3)", r"\sqrt{2+\sqrt{3}}"), ("sqrt(2)", r"\sqrt{2}"),
        ("2sqrt(3)", r"2\sqrt{3}"), ("2*sqrt(3)/3", r"\frac{2\sqrt{3}}{3}"), (r"\sqrt 2", r"\sqrt{2}"), (r"\sqrt{2}/2", r"\frac{\sqrt2}{2}"), (r"(\sqrt{2})/(2)", r"\frac{\sqrt2}{2}"),
        (r"(1+\sqrt{5})/2", r"\frac{1+\sqrt5}{2}"),
    ],
    "complex": [
        ("3+4i", "4i+3"), (r"\frac{1}{2} + \frac{\sqrt{3}}{2}i", r"\frac{1+i\sqrt{3}}{2}"), (r"e^{i\pi/3}", r"\frac{1+i\sqrt{3}}{2}"), (r"\text{cis } 60^\circ", r"\frac{1+i\sqrt{3}}{2}"),
        (r"\operatorname{cis} 60^\circ", r"e^{i\pi/3}"), (r"2(\cos 60^\circ + i \sin 60^\circ)", r"1+i\sqrt3"), ("0 + 1i", "i"), ("1i", "i"), ("2 + i, 2 - i", r"2 \pm i"),
    ],
    "equations": [
        ("x = 5", "5"), ("5 = x", "5"), ("x = 5.", "5"), ("y = 2x + 1", "y=2x+1"), ("2x - y = -1", "y=2x+1"), ("f(x) = x^2 + 1", "x^2+1"), ("y = x^2 + 1", "x^2+1"),
        ("x^2+y^2=25", "x^2 + y^2 - 25 = 0"), (r"\frac{x^2}{4}+\frac{y^2}{9}=1", "9x^2+4y^2=36"), (r"3 \times 4 = 12", "12"), ("2+3=5", "5"), (r"\frac{12}{4} = 3", "3"),
        (r"\frac{12}{4} = 3 \text{ apples}", "3"), (r"x = \frac{12}{4} = 3", "3"), (r"\sqrt{16}=4", "4"), (r"P(A) = \frac{1}{3}", r"\frac13"), (r"P(X=2) = \frac{1}{3}", r"\frac13"),
        (r"\text{Area} = 12", "12"), (r"\text{Area} = 12 \text{ cm}^2", "12"), (r"\text{Total cost} = \$12", "12"), (r"\text{The answer is } 12", "12"),
        (r"\text{Answer: } 12", "12"), (r"\cos \theta = \frac{1}{2}", r"\frac12"), (r"\sin A = \frac{3}{5}", r"\frac35"), (r"\log_2 8 = 3", "3"), ("|x| = 3", "3"),
        ("f(3) = 7", "7"), ("f^{-1}(3) = 7", "7"), ("a_{10} = 7", "7"), (r"\lfloor x \rfloor = 7", "7"), (r"x \approx 3.14", "3.14"), (r"\approx 3.14", "3.14"), (r"x = 5 \text{ units}", "5"),
        (r"\boxed{5}", "5"), (r"\mathbf{5}", "5"), (r"\textbf{5}", "5"), (r"\mathrm{5}", "5"), (r"\color{red}{5}", "5"), (r"\underline{5}", "5"), (r"\displaystyle \frac{1}{2}", r"\frac12"),
        (r"\dfrac{1}{2}.", r"\frac12"), (r"\mathbf{(3,4)}", "(3,4)"), (r"\large 5", "5"),
    ],
    "polynomials": [
        ("x^2+2x+1", "1+2x+x^2"), ("(x+1)^2", "x^2+2x+1"), ("(x+1)(x+1)", "(x+1)^2"), ("(x - 3)(x + 2)", "(x+2)(x-3)"), ("-x^2+1", "(1-x)(1+x)"), ("3x^{2}y", "3yx^2"), ("2(x+3)", "2x+6"),
        ("(x^2+3)(x-1)", "(x-1)(x^2+3)"), ("x(x+1)", "x^2+x"), ("6x^2 - x - 2", "(3x-2)(2x+1)"), ("x²+1", "x^2+1"), ("x³", "x^3"), ("x₁", "x_1"), ("x**2+1", "x^2+1"), ("2*x+1", "2x+1"),
        (r"2 \cdot x + 1", "2x+1"),
    ],
    "inequalities": [
        ("x > 2", "2 < x"), (r"x\ge2", r"x \geq 2"), ("2 < x < 5", "5>x>2"), (r"x \in \mathbb{R}", r"\mathbb{R}"), ("k < 4", r"(-\infty,4)"), (r"x \neq 3", r"x\ne3"),
    ],
    "time": [
        (r"3\text{ p.m.}", r"3:00\text{ p.m.}"), (r"\text{June 20th}", r"\text{June 20}"), (r"3:30 \text{ PM}", r"3:30 \text{ p.m.}"), (r"3:30 \text{ pm}", "3:30"), (r"3{:}30 \text{ p.m.}", "3:30"), (r"\text{3:30 PM}", r"3:30\text{ p.m.}"),
    ],
    "ratio": [
        ("3:4", "3:4"), ("3 : 4", "3:4"), (r"3 \text{ to } 4", "3:4"), (r"3\text{:}4", "3:4"), ("3:4", r"\frac34"), ("6:8", "3:4"), ("10:15", "2:3"), ("1:2", "0.5"), ("2:1", "2"), ("10:30", r"\frac13"), (r"\sqrt{3}:1", r"\sqrt3"),
        (r"1:\sqrt{2}", r"\frac{\sqrt2}{2}"), ("a:b = 2:3", r"\frac23"), ("3 to 4", "0.75"),
    ],
    "infinity": [
        (r"\infty", r"+\infty"), (r"\text{infinity}", r"\infty"),
    ],
    "letters of choice": [
        ("(B)", r"\text{B}"), ("B", r"\text{(B)}"), (r"\text{(B)}", "B"), (r"\textbf{(B)}", r"\text{(B)}"), (r"\textbf{(B) }12", r"\text{(B)}"), (r"\textbf{(B)}\ 12", "12"), (r"\text{(B)}\ 12", "12"),
        (r"\text{Option B}", "B"), (r"\text{B.}", "B"), (r"\text{B) } 12", "B"), (r"\text{A, C}", "A,C"),
    ],
    "years, leading zeros": [
        ("2{,}004", "2004"), ("2004", "2004"), ("007", "7"), ("05", "5"), ("0.50", ".5"), ("-0", "0"), ("00", "0"),
    ],
    "trig": [
        (r"\sin^2 x", r"1-\cos^2 x"), (r"2\sin x\cos x", r"\sin 2x"), (r"\sin(2x)", r"2\sin(x)\cos(x)"), (r"\tan x", r"\frac{\sin x}{\cos x}"), (r"\sec^2 x", r"1 + \tan^2 x"),
        (r"\arctan 1", r"\frac{\pi}{4}"), (r"\tan^{-1} 1", r"\frac{\pi}{4}"), (r"\sin^{-1}\left(\frac12\right)", r"\frac{\pi}{6}"), (r"\cos^{-1} x", r"\arccos x"), (r"\sin x", r"\sin(x)"),
        ("sin(x)", r"\sin x"), ("cos(2x)", r"\cos 2x"), (r"\cot x", r"\frac{1}{\tan x}"),
    ],
    "logs": [
        (r"\log_{2} 3", r"\frac{\ln 3}{\ln 2}"), (r"\log_2 3", r"\frac{\log 3}{\log 2}"), (r"\ln 8", r"3\ln 2"), (r"\ln(8)", r"3 \ln(2)"), (r"\log 100", "2"), (r"\log_{10} 100", "2"),
        ("ln(2)", r"\ln 2"), (r"\log_3{2}", r"\log_3 2"), ("e^2", "e^{2}"), (r"\exp(2)", "e^2"),
    ],
    "factorial, binomial": [
        ("5!", "120"), (r"\binom{10}{3}", "120"), (r"{10 \choose 3}", "120"), (r"\frac{10!}{3!7!}", "120"), (r"\frac{10!}{3! \cdot 7!}", "120"), ("10!", "3628800"),
    ],
    "floors": [
        (r"\lfloor 3.7 \rfloor", "3"), (r"\lceil 3.2 \rceil", "4"), (r"\left\lfloor \frac{7}{2} \right\rfloor", "3"), ("|-5|", "5"), (r"\left|-5\right|", "5"),
    ],
    "words": [
        (r"\text{Yes}", r"\text{yes}"), (r"\text{Tuesday}", r"\text{Tuesday}"), ("Tuesday", r"\text{Tuesday}"), (r"\text{an ellipse}", r"\text{ellipse}"), (r"\text{Ellipse}", r"\text{ellipse}"),
        (r"\text{the circle}", r"\text{circle}"), (r"\text{ellipse.}", r"\text{ellipse}"), (r"\text{neither}", r"\text{neither}"), (r"\text{true}", r"\text{True}"), (r"\mathrm{east}", r"\text{east}"),
    ],
    "superscripts in unicode, minus, etc": [
        ("−5", "-5"), ("–5", "-5"), (r"\text{-}5", "-5"), (r"\text{−5}", "-5"), ("-(5)", "-5"), ("(-5)", "-5"), ("- 5", "-5"), ("+5", "5"), (r"5\!", "5"), (r"5 \quad", "5"), (r"5\;", "5"),
        ("5 \\\\", "5"), (r"\, 5", "5"), ("5\n", "5"), (r"5\text{ }", "5"), ("{5}", "5"), ("$5$", "5"), (r"\(5\)", "5"), (r"5\,", "5"), (r"\ 5", "5"),
    ],
    "pi": [
        (r"\pi(3)^2", r"9\pi"), (r"2\pi(x+1)", r"2\pi x+2\pi"), (r"\sin\pi(x+1)", r"-\sin(\pi x)"), ("2π", r"2\pi"), ("2pi", r"2\pi"), (r"\frac{2\pi}{3}", r"\frac23\pi"), (r"\frac{4}{3}\pi", r"4\pi/3"), (r"\pi/2", r"\frac{\pi}{2}"), (r"\frac{\pi}{2} + k\pi", r"k\pi + \frac{\pi}{2}"),
    ],
    "exponents": [
        ("2^{n+1}", r"2 \cdot 2^n"), ("2^n", "2^{n}"), ("a^{-1}", "1/a"), ("(2)^{10}", "1024"), ("9^{1/2}", "3"), (r"\frac{x^3}{x}", "x^2"), ("2^{-1}", "0.5"),
    ],
    "sums": [
        ("1+2+3", "6"), (r"\frac{n(n+1)}{2}", r"\frac{n^2+n}{2}"),
    ],
    "ordinals": [
        (r"5\text{th}", "5"), (r"5^{\text{th}}", "5"), ("5^{th}", "5"),
    ],
    "remainders": [
        (r"3 \pmod{7}", "3"), (r"x \equiv 3 \pmod{7}", "3"),
    ],
    "beside the rules": [
        ("x = 12/4 = 3", "3"), ("x = y = 3", "3"), ("a=3,b=4", "(3,4)"), ("x=3, y=4", "(y,x)=(4,3)"), ("x=3,y=4,z=5", "(3,4,5)"), (r"x\ge3\text{ and }x\le5", "[3,5]"), (r"1<x\le 2", "(1,2]"),
        (r"2\ge x>1", "(1,2]"), (r"x \neq 1, -1", r"(-\infty,-1)\cup(-1,1)\cup(1,\infty)"), (r"x \neq \pm 1", r"(-\infty,-1)\cup(-1,1)\cup(1,\infty)"),
        (r"x \neq 1 \text{ and } x\neq -1", r"(-\infty,-1)\cup(-1,1)\cup(1,\infty)"), (r"\mathbb{R}\setminus\{-1,1\}", r"(-\infty,-1)\cup(-1,1)\cup(1,\infty)"),
        (r"\mathbb{R}-\{0\}", r"(-\infty,0)\cup(0,\infty)"), (r"x\ne0", r"(-\infty,0)\cup(0,\infty)"), (r"x\in(-\infty,0)\cup(0,\infty)", r"x\ne 0"),
        (r"\{x\in\mathbb{R} : x\ne 0\}", r"(-\infty,0)\cup(0,\infty)"), (r"\{y \mid y \ge 2\}", r"[2,\infty)"), (r"\{x|x<1\text{ or }x>2\}", r"(-\infty,1)\cup(2,\infty)"),
        (r"(-\infty,\infty)", r"\text{all real numbers}"), (r"x\in\mathbb{R}", r"(-\infty,\infty)"), (r"\text{all reals}", r"(-\infty,\infty)"), ("[1,2],[3,4]", r"[1,2]\cup[3,4]"),
        (r"\frac12\begin{pmatrix}2&4\\6&8\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"), (r"-\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}-1\\-2\end{pmatrix}"),
        (r"\mathbf{A}^{-1} = \begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"), (r"\text{none}", r"\emptyset"), ("(B) 3", "3"), ("B. 3", "3"), ("B: 3", "B"),
        (r"(E) \frac12", r"\frac12"), (r"(D)\ (1,2)", "(1,2)"), ("A", "(A)"), ("(f)", "f"), (r"\text{choice B}", "B"), (r"\text{Option (B)}", "B"), ("(A) x=5", "x=5"), ("1;2;3", "3,2,1"),
        ("x_1=1, x_2=2", "2,1"), (r"5^\circ \text{C}", "5"), ("5^o", "5"), (r"2 \text{ sec}", "2"), ("sec(x)", r"\sec x"), ("2pi r", r"2\pi r"), ("2πr", r"2\pi r"), ("πr²", r"\pi r^2"),
        ("sin x + cos x", r"\sin x+\cos x"), ("log_2(8)", "3"), ("log(100)", "2"), ("sin^2(x)", r"\sin^2 x"), ("sqrt(x+1)/2", r"\frac{\sqrt{x+1}}{2}"), (r"\sqrt(x+1)+2", r"\sqrt{x+1}+2"),
        ("√3/2", r"\frac{\sqrt3}{2}"), ("x**2", "x^2"), ("2**10", "1024"), ("**5**", "5"), ("**x+1**", "x+1"), ("0.(12)", r"\frac{4}{33}"), (r"1.\dot{6}", r"\frac53"), (r"x\equiv3\pmod7", "3"),
        (r"n \equiv 3 \pmod{7}", r"3 \pmod 7"), ("3 (mod 7)", "3"), (r"12\,\frac{\text{km}}{\text{h}}", r"12\text{ km/h}"), (r"\text{5\%}", "5"), (r"\text{-5}", "-5"), (r"\text{Not: } 5", "5"),
        (r"\text{Mean: } 5", "5"), ("Mean: 5", "5"), ("Ratio: 3:4", "3:4"), (r"\text{Probability} = \frac{1}{3}", r"\frac13"), (r"P = \frac{1}{3}", r"\frac13"),
        (r"\frac{a}{b} = \frac{2}{3}", r"\frac23"), ("a:b = 2:3", "2:3"), ("abc = 6", "6"), ("f(g(2))=7", "7"), (r"\triangle ABC = 12", "12"), ("[ABC] = 12", "12"),
        (r"\text{Area of } \triangle ABC = 12", "12"), ("S_{10} = 55", "55"), ("|z| = 5", "5"), (r"\overline{AB}=5", "5"), (r"\angle A = 30", "30"), (r"\tan\theta=2", "2"), (r"\det A = 5", "5"),
        ("n = 5!", "120"), ("5! = 120", "120"), ("5! = 120", "5!"), (r"\binom{5}{2} = 10", "10"), ("2^{10} = 1024", "1024"), ("1024 = 2^{10}", "1024"), (r"\frac13=0.\overline{3}", r"\frac13"),
        (r"\frac13 \approx 0.33", r"\frac13"), (r"x=\frac13\approx0.33", r"\frac13"), (r"\begin{aligned} x &= 3 \\ y &= 4 \end{aligned}", "(3,4)"), (r"\begin{cases} x=3\\y=4\end{cases}", "(3,4)"),
        ("10⁻³", "0.001"), ("2¹⁰", "1024"), (r"\text{an odd number}", r"\text{odd number}"), (r"\text{a}", "a"), (r"\color{blue}{\frac12}", r"\frac12"), (r"\textcolor{blue}{7}", "7"),
        (r"\underline{\text{yes}}", r"\text{yes}"), (r"\large{5}", "5"), (r"\bf 5", "5"), ("A = 5", "5"), (r"12\text{ unit}^2", r"12\text{ square units}"), (r"12 \text{ sq. units}", "12"),
        (r"10\text{:}30", "10:30"), (r"\text{10:30 AM}", "10:30"), ("x = 2, -3", "2,-3"), (r"x \in \{2,-3\}", "2,-3"), (r"x=2 \text{ or } -3", "-3,2"), (r"x = 2 \lor x = -3", "2,-3"),
        (r"\{(2,3)\}", "(2,3)"), (r"\{5\}", "5"), ("(5)", "5"), (r"\frac{9}{2}\pi", r"4.5\pi"), (r"\tfrac{\pi}{6}, \tfrac{5\pi}{6}", r"\frac{5\pi}{6},\frac{\pi}{6}"), ("1.0", "1"), ("1.", "1"),
        ("1e2", "100"), (r"\mathrm{e}^2", "e^2"), (r"\operatorname{e}", "e"), (r"\mathrm{i}", "i"), ("f(x)=x+1", "y=x+1"), ("y=x+1", "x+1"), ("x+1=y", "y-x=1"), (r"\left[ -1, 1 \right]", "[-1,1]"),
        (r"\left(\frac{1}{2}, -\frac{3}{4}\right)", "(0.5,-0.75)"), ("3x-2y+5=0", "-3x+2y-5=0"), ("y-2=3(x-1)", "y=3x-1"), ("3x-2y=5", r"y=\frac{3x-5}{2}"), (r"y = -\frac{1}{2}x + 3", "x+2y=6"),
        ("x^3-x", "x(x-1)(x+1)"), ("(x-1)(x+1)(x)", "x^3-x"), ("-(x-2)(x-3)", "(2-x)(x-3)"), (r"\frac{x+1}{x-1}", r"\frac{-x-1}{1-x}"), (r"\frac{x^2-1}{x-1}", "x+1"),
        (r"\frac{1}{x}+\frac{1}{y}", r"\frac{x+y}{xy}"), ("xy", "yx"), ("x/yz", r"\frac{x}{yz}"), ("2^{3/2}", r"2\sqrt2"), (r"\sqrt{\frac{1}{2}}", r"\frac{\sqrt2}{2}"),
        (r"\sqrt{0.5}", r"\frac{1}{\sqrt2}"), (r"\sqrt[3]{-8}", "-2"), (r"\ln\frac{1}{2}", r"-\ln 2"), (r"\log_4 8", r"\frac32"), (r"\log 2 + \log 5", "1"), (r"\lg 100", "2"),
        (r"\frac{\pi}{4} + \frac{k\pi}{2}", r"\frac{\pi}{4}+\frac{k\pi}{2}"), ("n!", "n(n-1)!"), (r"\frac{n!}{(n-2)!}", "n(n-1)"), (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
        (r"\lfloor\sqrt{10}\rfloor", "3"), (r"\lceil\pi\rceil", "4"),
    ],
    "what spaces part": [
        (r"3\,1/2", r"\frac72"), (r"3\ 1/2", "3.5"), ("x = 3~1/2", r"\frac72"), ("(3 1/2, 4)", r"\left(\frac72,4\right)"), (r"(1\,000, 3)", "(1000,3)"), (r"\frac 3 4", "0.75"), (r"\binom 5 2", "10"), (r"\log_2 8", "3"),
        ("√10", r"\sqrt{10}"), (r"\sqrt 10", r"\sqrt{10}"), (r"2\sqrt13", r"\sqrt{52}"), ("√2.25", "1.5"),
    ],
    "combinations": [
        (r"{}_{10}C_3", "120"), (r"{}_{10}\text{C}_3", "120"), ("_{10}C_{3}", "120"), (r"^{10}C_3", "120"), (r"C_{10}^{3}", "120"), (r"C_{10}^{3} = 120", "120"), (r"{}_{10}P_3", "720"), (r"2 \cdot {}_5C_2", "20"), (r"{}_5C_2 \cdot {}_4C_1", "40"),
    ],
    "sets but for points": [
        (r"-1 \le x \le 1, x \ne 0", r"[-1,0) \cup (0,1]"), (r"-1 \le x \le 1 \text{ and } x \ne 0", r"[-1,0) \cup (0,1]"), (r"[-1,1] \setminus \{0\}", r"[-1,0) \cup (0,1]"), (r"[-1,1] - \{0\}", r"[-1,0) \cup (0,1]"),
        (r"x > 2, x \ne 3", r"(2,3)\cup(3,\infty)"), (r"(2,\infty)\setminus\{4, 3\}", r"(2,3)\cup(3,4)\cup(4,\infty)"), (r"\{x \in \mathbb{R} \mid x \neq 1, 3\}", r"(-\infty, 1) \cup (1, 3) \cup (3, \infty)"),
        (r"\{x : -1 \le x \le 1, x \ne 0\}", r"[-1,0) \cup (0,1]"), (r"-2 \le f(x) \le 7", "[-2,7]"), ("g(x) > 0", r"(0,\infty)"),
    ],
    "names of values": [
        (r"(r,\theta) = \left(10\sqrt{2}, \frac{\pi}{4}\right)", r"\left(10\sqrt2,\frac{\pi}{4}\right)"), (r"(\rho,\theta,\phi)=(1,2,3)", "(1,2,3)"), (r"\frac{dy}{dx} = 2e^{2x}", "2e^{2x}"), (r"P(\text{not A}) = \frac34", "0.75"),
        (r"\sum_{k=1}^{100} k", "5050"), (r"\sum_{k=1}^{100} k = 5050", "5050"), (r"\prod_{k=1}^{5} k", "120"), (r"\sum_{k=1}^n k", r"\frac{n(n+1)}{2}"),
    ],
    "braces that are not written": [
        ("{1, 2, 3}", r"\{1,2,3\}"), (r"A = {1, 2}", r"\{1,2\}"), (r"x \in {2, 3}", "2,3"), (r"\left{1,2\right}", r"\{1,2\}"), (r"\\{1,2\\}", r"\{1,2\}"), ("{{1,2},{3,4}}", r"\{\{1,2\},\{3,4\}\}"), ("{1,2} \\cup {3,4}", r"\{1,2\}\cup\{3,4\}"),
        ("{x | x > 3}", r"(3,\infty)"), (r"{x \in \mathbb{R} : x \neq 1}", r"(-\infty,1)\cup(1,\infty)"), (r"\mathbb{R} \setminus {0, 1}", r"(-\infty,0)\cup(0,1)\cup(1,\infty)"), (r"\mathbb{R} - {0}", r"(-\infty,0)\cup(0,\infty)"), ("{}", r"\emptyset"),
        (r"{\{4,5,7\}}", r"\{4,5,7\}"), (r"x = {33,\!800}", "33800"), (r"C = (14+4,4+2) = {(18,6)}", "(18,6)"), ("{(1,2),(3,4)}", "(1,2),(3,4)"), ("{5}", "5"), ("{1,234}", "1234"), (r"{\sqrt{2} \over 2}", r"\frac{1}{\sqrt2}"), (r"n^2 + n \over 2", r"\frac{n(n+1)}{2}"),
    ],
    "digits behind a power": [
        ("2^{3}5", "40"), ("2^3 5", "40"), ("2^{3} 3^{2}", "72"), ("x^{2}3", "3x^2"), ("2^{35}", "2^{35}"), ("x^{}+1", "x+1"), (r"\int_0^1 2x\,dx", "1"), (r"\sum_{k=1}^3 2k", "12"),
    ],
    "sums term by term": [
        (r"\sum_{k=1}^n k^3", r"\frac{n^2(n+1)^2}{4}"), (r"\sum_{k=0}^{n} \binom{n}{k}", "2^n"), (r"\sum_{k=0}^{n-1} 2^k", "2^n-1"), (r"\sum_{k=1}^{n} x^k", r"\frac{x^{n+1}-x}{x-1}"), (r"\prod_{k=1}^n k", "n!"), (r"\sum_{k=1}^{n}(-1)^k k", r"\frac{(-1)^n(2n+1)-1}{4}"),
        (r"\sum_{j=1}^{n}\sum_{i=1}^{j} i", r"\frac{n(n+1)(n+2)}{6}"), (r"\sum_{k=1}^{99}\frac{1}{\sqrt{k}+\sqrt{k+1}}", "9"), (r"\sum_{k=1}^{10^9} k", "500000000500000000"),
        (r"\sum_{k=1}^{\infty}\frac{1}{2^k}", "1"), (r"\frac{d}{dx}(2x) = 2", "2"), (r"\frac{d}{dx}(5) = 0", "0"), (r"\sum_{k=1}^{10} a_k = 55", "55"), (r"\int_0^1 2x\,dx = 1", "1"),
    ],
    "words around a value": [
        (r"624\ pages\ per\ year", "624"), (r"5\ cm", "5"), ("18 (eighteen)", "18"), (r"18\text{ (eighteen)}", "18"), ("eighteen (18)", "18"), ("121 (one hundred and twenty-one)", "121"), (r"8.00\$", "8"), ("8 €", "8"),
        (r"\text{$x=-2$ or $x=1$}", "1,-2"), (r"\text{The answer is $\frac{1}{2}$}", r"\frac12"), (r"\text{C: } 12", "C"), (r"\text{C: } 12", "12"),
    ],
    "where roots are real": [
        (r"\sqrt[5]{x^3}", "x^{3/5}"), (r"\sqrt{x^3}", r"x\sqrt{x}"), (r"\sqrt{x^3}", "x^{3/2}"), (r"\sqrt{12x^3}", r"2x\sqrt{3x}"), (r"\sqrt{-8}", r"2\sqrt{-2}"), (r"\frac{1}{\sqrt{x}}", "x^{-1/2}"),
    ],
    "powers that are fractions": [
        (r"9^\frac12", "3"), (r"2^\frac{1}{2}", r"\sqrt2"), (r"2^\frac62", "8"), (r"x^\frac12+1", r"1+\sqrt{x}"), (r"e^\frac{\pi i}{4}", r"e^{\pi i/4}"),
    ],
    "names in their usual order": [
        (r"r=3, \theta=\frac{\pi}{2}", r"(3,\frac{\pi}{2})"), (r"\theta=\frac{\pi}{2}, r=3", r"(3,\pi/2)"), (r"\rho=1,\theta=2,\phi=3", "(1,2,3)"), (r"z=3,r=1,\theta=2", "(1,2,3)"), ("m=3, b=4", "(3,4)"), ("b=4, m=3", "(3,4)"), (r"a=2,\lambda=1", "(2,1)"),
    ],
    "what sides come to": [
        (r"100\% - 30\% = 70\%", "70"), (r"\frac{30}{50} \times 100\% = 60\%", "60"), (r"0.6 \times 100\% = 60\%", r"60\%"), (r"20\% \times 50 = 10", "10"), (r"\left(\frac{216}{1200}\right)(100\%) = 18\%", r"18\%"),
        (r"\arctan\frac25 + \arctan\frac52 = \frac{\pi}{2}", r"\frac{\pi}{2}"), (r"\cos\gamma = \frac{\sqrt{191}}{15}", r"\frac{\sqrt{191}}{15}"), (r"\sin 2\theta = \frac{24}{25}", r"\frac{24}{25}"),
        (r"\|\mathbf{v}\| = 4", "4"), (r"\|\mathbf{v}\|^2 = 16", "16"),
    ],
    "units at a number": [
        ("16~units", "16"), ("16~cm", "16 cm"), ("10pm", "10"), ("3pm", r"3\text{ p.m.}"), ("12 dollars and 5 cents", "12.05"), ("20 dollars and 0 cents", "20"), ("12\\", "12"),
    ],
    "what money is for": [(r"\$1.25 \text{ per pound}", r"\$1.25"), ("$18 per day", "$18")],
}  # fmt: skip
