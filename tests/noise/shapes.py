"""The noise that the checks try, by name. Sizes are of natural logarithms: 0.01 is one per cent."""

from __future__ import annotations

from tests.noise.machine import Part, Shape

SIZE = 0.01

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("normal", about="independent processes"),
        Shape("t3", "t3", about="Student's t, 3 degrees of freedom"),
        Shape("outliers", "outliers", about="one process in 20 slower by 8 % on average"),
        Shape("modes", "modes", about="one process in five slower by 2.4 %"),
        Shape("ar.3", noise=0.003, parts=(Part("wander", SIZE, "case", 0.3),), about="each case wanders by itself"),
        Shape("ar.7", noise=0.003, parts=(Part("wander", SIZE, "case", 0.7),), about="each case wanders by itself"),
        Shape("ar.9", noise=0.003, parts=(Part("wander", SIZE, "case", 0.9),), about="each case wanders by itself"),
        Shape("machine-ar", parts=(Part("wander", SIZE, rho=0.7),), about="the machine wanders under all cases"),
        Shape(
            "sticky", parts=(Part("states", 0.04),), about="a clock with two states, 4 % apart, of three passes each"
        ),
        Shape("sticky-case", noise=0.005, parts=(Part("states", 0.03, "case"),), about="each case has two such states"),
        Shape("drift", parts=(Part("slope", 0.04),), about="the machine slows by 4 % from start to end"),
        Shape("sitting", parts=(Part("step", 0.015),), about="the machine is slower by 1.5 % in the second half"),
        Shape("head-noisier", head=3.0, about="head has 3 % of noise, base 1 %"),
        Shape("disturbed", parts=(Part("jolt", 0.2624),), about="one round 30 % slower, all cases"),
        Shape("throttled", throttled=0.45, about="45 % of head's windows throttled, and said of each window"),
        Shape("throttled-s", throttled=0.45, marked=False, about="the same, said in seconds alone"),
        Shape("levels", noise=0.02, about="processes differ by 2 %"),
        Shape("rare", "rare", about="one process in ten 20 % slower"),
    )
}
WIDE = ("machine-ar", "sticky", "drift", "sitting", "disturbed")
"""Those in which the machine moves under all cases at once."""
