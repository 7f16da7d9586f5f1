r"""Answers as models write them that are not the same: they must not pass, either way round."""
# ruff: noqa: E501 (tables; signs as models write them)

from __future__ import annotations

WRONG: dict[str, list[tuple[str, str]]] = {
    "quotients by zero": [
        (r"\frac10", r"\frac20"), ("1/0", "2/0"), (r"\frac{x}{0}", r"\frac{2x}{0}"), (r"\frac10", r"\infty"), (r"y=\frac{1}{0}x", r"y=\frac{2}{0}x"), (r"(\frac10,1)", r"(\frac20,1)"),
        (r"\begin{pmatrix}\frac10\\1\end{pmatrix}", r"\begin{pmatrix}\frac20\\1\end{pmatrix}"), (r"\cot 0", r"\frac20"),
    ],
    "said exactly": [
        ("18, not 19", "19"), ("not 18", "18"), ("18, not 18", "18"), ("18, not 19 or 20", "18"), ("18 dozen, not 19", "18"), ("only 5 more", "5"), ("only 5 or 6", "5"), ("5 if only", "5"), ("5 not only", "5"),
        ("not exactly 15", "15"), ("almost exactly 15", "15"), ("exactly half of 15", "15"), ("exactly 15%", "0.15"),
    ],
    "worked out": [
        (r"\gcd(4,6)=3", "3"), (r"2\gcd(4,6)", "22"), (r"-\gcd(4,6)", "2"), (r"\gcd(x,6)", "6"), (r"\text{lcm}(4,6)", "24"), (r"\frac{d}{dx}(3x^2-7x)=6x+7", "6x+7"), (r"\frac{d}{dx}(3x^2-7x)", "6x+7"),
        (r"\frac{d}{dy}(3x^2)=6x", "6x"), (r"\frac{dy}{dx}", "0"), (r"\frac{dy}{dx}", r"\frac{y}{x}"),
    ],
    "absolute values": [
        ("|x|<3", "[-3,3]"), ("|x|>3", "(-3,3)"), (r"|x|\ge3", r"(-\infty,-3)\cup(3,\infty)"), ("|x+1|<3", "(-3,3)"), ("|x|<a", "(-a,a)"), ("|x|<-3", "(-3,3)"), ("|x|<3", "-3<y<3"), ("|x|<3", "x<3"), ("|x|>3", "x>3"),
    ],
    "intervals / unions": [
        (r"[0,1)\cup(1,2]", "[0,2]"), ("x > 3", r"[3,\infty)"), (r"x \le 3", r"[3,\infty)"), (r"x<2 \text{ and } x>3", r"(-\infty,2)\cup(3,\infty)"), (r"(2, \infty]", r"(2,\infty)"),
        (r"\text{All real numbers except } 1", r"\mathbb{R}"),
    ],
    "sets, lists": [
        ("x_1 = 1, x_2 = 3", "1,2"), (r"\pm 3", "3"), ("3", r"\pm 3"), (r"\{\emptyset\}", r"\emptyset"), ("0", r"\emptyset"),
    ],
    "tuples, vectors, matrices": [
        ("x=4, y=3", "(3,4)"), (r"\langle 1, 2, 3 \rangle", r"\langle 1,2,4\rangle"), (r"\begin{pmatrix} 1 & 2 \\ 4 & 3 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        (r"2\mathbf{i} + 3\mathbf{j}", r"\begin{pmatrix}2\\3\end{pmatrix}"), ("(0, 9)", "(9, 0)"),
    ],
    "mixed numbers, fractions": [
        (r"2\frac{3}{4}", r"\frac{6}{4}"), (r"-\frac{3}{4}", r"\frac{3}{4}"), (r"\text{three-fourths}", "3/4"),
    ],
    "percent / decimal": [
        (r"50\%", r"\frac12"), ("0.5", r"50\%"), (r"33.3\%", r"33\frac13\%"),
    ],
    "degrees": [
        (r"45^\circ", r"\frac{\pi}{4}"),
    ],
    "units": [
        (r"12\text{ inches}", r"12\text{ feet}"), (r"12\text{''}", r"12\text{ inches}"), (r"3 \text{ hours and } 20 \text{ minutes}", "3"), (r"3 \text{ hours } 20 \text{ minutes}", "3"),
        (r"\text{Five}", "5"),
    ],
    "currency": [
        (r"\$12 \text{ million}", "12"), (r"\$0.12", r"12\text{ cents}"),
    ],
    "thousands": [
        ("1,00,000", "100000"), ("1.000.000", "1000000"), ("10,00", "1000"), ("1,234", "(1,234)"),
    ],
    "scientific": [
        (r"6.02\times 10^{23}", r"6.02\times10^{24}"),
    ],
    "bases": [
        ("101_2", "101_3"), ("101", "101_2"), ("0x1A3", "419"),
    ],
    "recurring": [
        (r"0.333\ldots", r"\frac13"), ("0.33", r"\frac13"),
    ],
    "radicals": [
        (r"1+\sqrt{5}/2", r"\frac{1+\sqrt5}{2}"), (r"\sqrt{12}", r"3\sqrt{2}"), ("1.414", r"\sqrt2"), (r"\sqrt[4]{2}", r"\sqrt{2}"), (r"\sqrt[3]{2}", r"3\sqrt{2}"),
    ],
    "complex": [
        ("3 - 4i", "3+4i"), ("-i", "i"), ("3 + 4j", "3+4i"),
    ],
    "equations": [
        ("n = 5", "x=5"), ("x^2+y^2=5", "x^2+y^2=25"), ("2 + 3 = 6", "5"), (r"x = \frac{12}{4} = 4", "3"), ("f(3) = 8", "7"), (r"3.14 \ldots", "3.14"), (r"x=5 \text{ (only)}", "5"),
    ],
    "polynomials": [
        ("(x-3)(x-2)", "(x+2)(x-3)"), ("x^2 + 2x + 1 = 0", "x^2+2x+1"), ("x^2-5x+6", "x^2-5x-6"),
    ],
    "time": [
        (r"3\text{ a.m.}", r"3:00\text{ p.m.}"), (r"3\text{ p.m.}", r"3:30\text{ p.m.}"), (r"\text{June 21st}", r"\text{June 20}"), ("15:30", r"3:30 \text{ p.m.}"), (r"\text{3:30 PM}", r"3:30\text{ a.m.}"),
    ],
    "ratio": [
        ("3:4", r"\frac{4}{3}"), ("4:3", "3:4"), ("3:4:5", "6:8:10"), ("9:30", "3:10"), ("9:05", "9:5"), ("12:04", "3"), ("8:00", "8"), (r"10:20 \text{ a.m.}", r"\frac12"), ("3:0", "6:0"), ("a:b", r"\frac{3}{4}"),
    ],
    "infinity": [
        (r"-\infty", r"\infty"), (r"\text{infinitely many}", r"\infty"), (r"\text{infinitely many}", r"\text{infinitely many solutions}"),
    ],
    "letters of choice": [
        (r"\textbf{(B)}\ 12", "13"), ("b", r"\text{B}"), (r"\text{C}", r"\text{(B)}"), (r"\text{ACD}", "A,C,D"),
    ],
    "trig": [
        (r"\cos^{-1} x", r"\sec x"), (r"\cos 2x", r"2\cos x"), (r"-\cos x", r"\cos x"),
    ],
    "logs": [
        (r"\ln 2", r"\log 2"),
    ],
    "factorial, binomial": [
        (r"\binom{10}{3}", "121"),
    ],
    "floors": [
        (r"\lfloor 3.7 \rfloor", "4"), (r"\gcd(12,18)", "3"),
    ],
    "words": [
        (r"\text{odd}", r"\text{even}"),
    ],
    "superscripts in unicode, minus, etc": [
        (r"\phantom{1}5", "5"),
    ],
    "pi": [
        (r"2\pi", "6.28"), (r"\frac{\pi}{2} + n\pi", r"k\pi + \frac{\pi}{2}"),
    ],
    "exponents": [
        ("2^n-1", "2^{n-1}"),
    ],
    "remainders": [
        (r"3 \pmod 7", "4"),
    ],
    "beside the rules": [
        ("x^2=5", "5"), ("2x=10", "10"), ("2x+3=0", "0"), ("x^2+2x+1=0", "0"), (r"\sqrt{x}=3", "3"), (r"\log_2 x=3", "3"), (r"x \ne 5", "5"), (r"x\neq 5", "5"), (r"\text{not} = 5", "5"),
        (r"3 \times 4 = 13", "12"), (r"3\times 4 = 13", "13"), ("y = 12/4 = 3", "x=3"), ("a = 3, b = 4", "(4,3)"), ("b=3,a=4", "(3,4)"), ("x=3,y=4", "(y,x)=(3,4)"), ("x=3, x=4", "(3,4)"),
        ("x=3", "(3,4)"), ("x=3, y=4", "[3,4]"), ("x=3,y=4,z=5", "(3,4)"), ("x > 3", "(3,4)"), ("x>3", r"(-\infty,3)"), ("x<3", r"(-\infty,3]"), (r"x \ge 3, x \le 5", "[3,5]"),
        (r"3 \le x, x\le 5", "[3,5]"), ("1<x<2", "(2,1)"), ("1<x<2", "[1,2]"), ("1 < 2x < 4", "(1,4)"), (r"x\ne 1", r"(-\infty,0)\cup(0,\infty)"), (r"\mathbb{R}", r"\mathbb{Z}"),
        (r"\mathbb{R}", r"\mathbb{R}^+"), (r"\text{all integers}", r"\mathbb{R}"), (r"\text{all positive real numbers}", r"\mathbb{R}"), (r"[1,2]\cap[3,4]", r"[1,2]\cup[3,4]"),
        (r"\langle1,2\rangle", r"\begin{pmatrix}1&2\end{pmatrix}"), (r"\langle1,2\rangle", "[1,2]"), (r"\langle 1,2\rangle", r"\begin{pmatrix}2\\1\end{pmatrix}"),
        (r"2\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"), (r"\begin{pmatrix}1\\2\end{pmatrix}+t\begin{pmatrix}3\\4\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix} = \begin{pmatrix} 1 \\ 3 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"), (r"\text{None of these}", r"\emptyset"),
        (r"0 \text{ solutions}", r"\emptyset"), (r"\text{no}", r"\text{no solution}"), (r"\text{No}", r"\text{none}"), (r"\text{(B)} \text{ and } \text{(C)}", "B"), ("(B), (C)", "B"),
        ("(A) 12 (B) 13", "12"), (r"\text{(B)} + 3", "3"), ("(A)(B)", "B"), ("(C) = 5", "5"), (r"(B)\ 3", "C"), ("(D)", "(E)"), (r"\text{(B) or (C)}", "B"), ("E", "e"), ("option C", "B"),
        ("1;2", "1,3"), ("(1;2)", "(2,1)"), (r"\text{yes; no}", r"\text{yes}"), ("x^o", r"x^\circ"), ("cost(x)", r"\cos t x"), ("pie", r"\pi e"), ("sqrt(2)/2", r"\sqrt{2/2}"), ("sqrt2", r"\sqrt2"),
        ("√3/2", r"\sqrt{\frac32}"), ("0.(3)", "0.3"), ("2.(3)", "6"), (r"3 \pmod 7", "10"), (r"3\pmod{7}", r"3\pmod{8}"), (r"17 \bmod 5", "17"), (r"12 \frac{m}{s}", "12"),
        (r"12\,\frac{\text{km}}{\text{h}}", r"12\text{ m/s}"), (r"\frac{12\text{ m}}{\text{s}}", "12"), (r"\text{5 apples}", r"\text{5 oranges}"), (r"\text{5 or 6}", "5"), (r"\text{5 dozen}", "5"),
        (r"\text{about 5}", "5"), (r"\text{12 cm}", r"12\text{ m}"), (r"\text{The answer is not } 5", "5"), (r"\text{The answer is at least } 5", "5"), (r"\text{The answer is } 5 \text{ or } 6", "5"),
        ("x: 5", "5"), (r"\text{Perimeter} = 12 \text{ cm}", r"12\text{ m}"), ("f(2)=7", "f(3)=7"), ("|z|=5", "-5"), (r"\sin x = \frac12", r"\frac12"),
        (r"0.33\approx\frac13", r"\frac13"), (r"1/2 \text{ or } 0.6", "1/2"), (r"1/2 \text{ and } 0.5", "1/2"), ("1/2, 0.5", "1/2"),
        ("½", "2"), ("1½", r"\frac12"), ("x²", "2x"), ("x₁", "x"), ("A", "a"), (r"\text{the} 5", "5"), (r"5 \text{ mod } 7", "5"), ("ABC", "CBA"), (r"12\text{ students}", r"12\text{ teachers}"),
        (r"3\text{ cm} \times 4\text{ cm}", "12"), (r"3, 4, \ldots", "3,4"), (r"3,4,5,\dots", "3,4,5"), ("10.30", "10:30"), (r"60\%\text{ or }\frac35", "60"), ("2,3", "2,3,3"),
        ("(2,3),(3,2)", "(2,3)"), (r"\text{Thursday, March 3}", r"\text{Thursday}"), (r"\text{March 3}", "3"), (r"\text{May 5th}", "5"), (r"6\text{ ft } 2\text{ in}", "6"), ("6'2''", "6"),
        (r"5\text{ R }2", "5"), (r"5\text{ remainder }2", "5"), ("5 R 2", "5"), (r"\iota", "i"), ("x+2y-6", "x+2y=6"), ("[3.7]", "3"),
    ],
    "what spaces part": [
        (r"3\,1/2", r"\frac{31}{2}"), (r"3\ 1/2", "15.5"), (r"3 \; 1/2", r"\frac{31}{2}"), ("(3 1/2, 4)", r"\left(\frac{31}{2},4\right)"), (r"\sqrt{2 3}", r"\sqrt{23}"), ("(1 2, 3)", "(12,3)"), ("12 . 5", "12.5"), ("12. 5", "12.5"),
        ("2x + 1 0", "2x+10"), (r"\frac{1 2}{5}", "2.4"), ("√10", "0"), (r"\sqrt 10", "0"),
    ],
    "combinations": [(r"{}_{10}C_3", "720"), (r"{}_{10}P_3", "120"), (r"C_{10}^{3}", "1000"), (r"x^{10}C_3", "120x")],
    "sets but for points": [
        (r"[-1,1] \setminus \{0\}", "[-1,1]"), (r"[-1,1] \setminus \{0\}", r"[-1,1) \cup (1,2]"), (r"-1 \le x \le 1, y \ne 0", r"[-1,0) \cup (0,1]"), (r"-1 \le x \le 1 \text{ or } x \ne 0", r"[-1,0) \cup (0,1]"),
        (r"x \ge 2, x \ne 3", r"(2,3)\cup(3,\infty)"), (r"\{x \mid x \ne 1, 3\}", r"\{1,3\}"), (r"\{x \mid x \ne 1, 4\}", r"(-\infty, 1) \cup (1, 3) \cup (3, \infty)"), (r"-2 < f(x) \le 7", "[-2,7]"),
    ],
    "names of values": [
        (r"(r,\theta) = (1,2)", r"(\theta,r) = (1,2)"), (r"\sum_{k=1}^{100} k", "5051"), (r"\sum_{k=1}^{100} k = 5050", "100"), (r"\text{undefined at } x = 2", "2"), (r"\not= 5", "5"), (r"x \not= 5", "5"),
    ],
    "braces that are not written": [
        ("{1,2}", "(1,2)"), ("{1,2}", "[1,2]"), ("{x | x > 3}", r"[3,\infty)"), ("{1,234}", r"\{1,234\}"), (r"\mathbb{R} \setminus {1}", r"\mathbb{R}"), (r"\mathbb{R} - {1}", r"(-\infty,-1)\cup(-1,\infty)"), (r"1+{n \over 2}", r"\frac{n+1}{2}"),
    ],
    "digits behind a power": [("2^{3}5", "2^{35}"), ("x^{2}3", "x^{23}"), (r"\int_0^1 2x\,dx", "144")],
    "sums term by term": [
        (r"\sum_{k=1}^{n}(2k-1)", "n^2+1"), (r"\sum_{k=1}^{n} \frac{1}{k}", r"\ln n"), (r"\sum_{k=0}^{n-1} 2^k", "2^n"), (r"\sum_{k=1}^{n} f(k)", "n"), (r"\sum_{k=1}^{n} a_k", "na_k"), (r"\sum_{k=1}^{\infty} k", r"-\frac{1}{12}"), (r"\frac{d}{dx}x^2 = 2", "2"),
        (r"\sum_{k=1}^{3} k = 7", "7"), (r"\int_0^1 2x\,dx = 2", "2"), (r"\prod_{k=1}^{5} k = 121", "121"),
    ],
    "words around a value": [
        ("18 (nineteen)", "18"), (r"2\ ab", "2"), (r"\text{D: } 12", "C"), (r"\text{$x=-2$ or $x=1$}", "1"), (r"\text{hardly 15}", "15"), (r"\text{never 15}", "15"), (r"\text{There are at least 12 ways}", "12"), (r"\text{Amy is not 3 years old}", "3"), (r"\text{There are 2 solutions: 3 and 4}", "2"),
        (r"\text{The answer is a multiple of 5}", "5"),
    ],
    "where roots are real": [
        (r"\sqrt[5]{x^3}", "x^{5/3}"), (r"\sqrt{x^3}", r"-x\sqrt{x}"), (r"\sqrt{x^2}", "x"), (r"\sqrt{x}", r"\sqrt{|x|}"), (r"\sqrt{x}", r"\sqrt{-x}"), (r"\sqrt{-x}", r"i\sqrt{x}+1"), (r"\sqrt{-2}", r"-\sqrt{-2}"), (r"\sqrt{x}\sqrt{y}", r"\sqrt{x}\sqrt{z}"),
        (r"\sqrt{-x^2-1}", r"\sqrt{-x^2-2}"), (r"\ln(-x)", r"\ln(-2x)"),
    ],
    "degrees before a number": [(r"45^\circ30", "4530"), (r"1^\circ 2", "12"), (r"7.5^\circ0", "7.5")],
    "powers that are fractions": [(r"2^\frac12", "1"), (r"9^\frac12", r"\frac92"), (r"2^\frac{1}{2}", r"\frac{2}{2}")],
    "names in their usual order": [
        (r"r=3, \theta=\frac{\pi}{2}", r"(\frac{\pi}{2},3)"), (r"\rho=1,\theta=2,\phi=3", "(3,2,1)"), ("m=3, b=4", "(4,3)"),
    ],
    "what sides come to": [
        (r"100\% - 30\% = 60\%", "60"), (r"0.6 \times 100\% = 50\%", "50"), (r"20\% \times 50 = 11", "11"), (r"\sin 2x = \frac12", r"\frac12"), (r"\frac{2 \sin A}{\sin A} = 3", "3"), (r"\frac{x}{2} = 3", "3"), (r"\sin\theta = \frac12", "30"),
    ],
    "units at a number": [("3pm", r"3\text{ a.m.}"), ("13pm", "13"), ("12 dollars and 5 cents", "12.5"), ("16~cm", "16 m")],
    "what money is for": [(r"\$1.25 \text{ per pound}", r"\$1.25\text{ per gallon}"), ("$18 per day", "€18"), ("18 miles per hour", "18 miles")],
}  # fmt: skip
