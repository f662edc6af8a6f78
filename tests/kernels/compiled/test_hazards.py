"""Small listings with and without the faults, in loops and in straight code."""

import pytest

from kernels.compiled.hazards import Hazards, find_hazards, hazard_reason
from tests.kernels.compiled.test_sass import listing

A_0 = "HGMMA.64x64x16.F32 R24, R88, gdesc[UR8], R24, gsb0"
A_1 = "HGMMA.64x64x16.F32 R24, R92, gdesc[UR8], R24, gsb0"
SHARED = "HGMMA.64x64x16.F32 R24, gdesc[UR8], R24, gsb0"
DRAIN = "WARPGROUP.DEPBAR.LE gsb0, 0x0"
ONE_LEFT = "WARPGROUP.DEPBAR.LE gsb0, 0x1"
LOAD_0, LOAD_1 = "LDSM.16.M88.4 R88, [R3]", "LDSM.16.M88.4 R92, [R4]"
BARRIER = "BAR.SYNC.DEFER_BLOCKING 0x0"
COPY = "LDGSTS.E.BYPASS.128 [R37], desc[UR14][R12.64]"


def loop(*body: str) -> Hazards:
    return find_hazards(listing("MOV R1, R2", ".L_x_0:", *body, "@P0 BRA `(.L_x_0)", DRAIN, "EXIT"))


def test_code_without_wgmma() -> None:
    assert find_hazards(listing("HMMA.16816.F32 R4, R8, R12, R4", COPY, "EXIT")) == Hazards(None, "", 0, True)


@pytest.mark.parametrize(
    ("body", "overwrites", "depth"),
    [
        # each waits for itself
        ((LOAD_0, A_0, DRAIN), 0, 0),
        # only round the back edge: the product of this step reads what the next loads
        ((LOAD_0, A_0, ONE_LEFT), 1, 1),
        # two in turn, one in flight: the wait behind the second is for the first, whose registers come next
        ((LOAD_0, A_0, ONE_LEFT, LOAD_1, A_1, ONE_LEFT), 0, 1),
        # both loaded at the front, the second of the step before still in flight
        ((LOAD_0, LOAD_1, A_0, ONE_LEFT, A_1, ONE_LEFT), 1, 1),
        # nothing waits at all
        ((LOAD_0, A_0), 1, None),
        # a part of what is read is enough, and so is a branch that may not be taken
        (("MOV R91, R5", A_0, ONE_LEFT), 1, 1),
        (("@P3 F2FP.F16.F32.PACK_AB R90, R7, R8", A_0, ONE_LEFT), 1, 1),
        (("IMAD.WIDE R90, R7, R8, R10", A_0, ONE_LEFT), 1, 1),
        (("MOV R87, R5", "MOV R92, R5", A_0, ONE_LEFT), 0, 1),
        # what stores or compares reads
        (("STS.128 [R88], R88", "ISETP.NE.AND P0, PT, R88, R89, PT", A_0, ONE_LEFT), 0, 1),
        # products in one group, the first of them overwritten before it is ended
        (("HGMMA.64x64x16.F32 R24, R88, gdesc[UR8], R24", LOAD_0, A_1, DRAIN), 1, 0),
        # sums of another product where A is
        ((LOAD_0, A_0, "HGMMA.64x16x16.F32 R84, gdesc[UR8], R84, gsb0", DRAIN), 1, 0),
        (("QGMMA.64x64x32.F32.E4M3.E4M3 R24, R88, gdesc[UR8], R24, gsb0", LOAD_0, DRAIN), 1, 0),
    ],
)
def test_overwrites_in_a_loop(body: tuple[str, ...], overwrites: int, depth: int | None) -> None:
    found = loop(*body)
    assert (found.overwrites, found.wait_depth, found.operand_a) == (overwrites, depth, "registers")
    assert bool(hazard_reason(found.overwrites, found.barrier, 4)) == bool(overwrites)


def test_operands_in_shared_memory_have_no_register_to_overwrite() -> None:
    found = loop(LOAD_0, SHARED, ONE_LEFT)
    assert found == Hazards(1, "shared", 0, True)


def test_one_product_from_registers_makes_the_kernel_one_of_that_kind() -> None:
    assert loop(SHARED, A_0, DRAIN).operand_a == "registers"


def test_straight_code_is_walked_too() -> None:
    unrolled = (LOAD_0, A_0, ONE_LEFT, LOAD_1, A_1, ONE_LEFT, LOAD_0, A_0, DRAIN, "EXIT")
    assert find_hazards(listing(*unrolled)) == Hazards(1, "registers", 0, True)
    early = (LOAD_0, A_0, LOAD_1, A_1, ONE_LEFT, LOAD_1, A_1, DRAIN, "EXIT")
    assert find_hazards(listing(*early)) == Hazards(1, "registers", 1, True)


def test_all_paths_are_walked() -> None:
    """Only where the branch is taken is the wait jumped over."""
    around = (LOAD_0, A_0, "@P0 BRA `(.L_x_1)", DRAIN, ".L_x_1:", LOAD_0, A_0, DRAIN, "EXIT")
    assert find_hazards(listing(*around)).overwrites == 1
    aside = (LOAD_0, A_0, "@P0 BRA `(.L_x_1)", DRAIN, "EXIT", ".L_x_1:", DRAIN, LOAD_0, A_0, DRAIN, "EXIT")
    assert find_hazards(listing(*aside)).overwrites == 0


def test_many_groups_in_flight_end() -> None:
    """Without a wait their number has no bound; the walk has."""
    assert loop(*[A_0] * 40).overwrites == 0
    assert loop(*[A_0] * 40, LOAD_0).overwrites == 1


@pytest.mark.parametrize(
    ("body", "barrier"),
    [
        ((SHARED, ONE_LEFT, BARRIER, COPY), True),
        ((BARRIER, SHARED, ONE_LEFT, COPY), False),
        ((BARRIER, SHARED, ONE_LEFT, "STS.128 [R5], R8"), False),
        ((BARRIER, SHARED, ONE_LEFT, "@UP0 UTMALDG.2D [UR8], [UR4]"), False),
        # the write comes first, and the barrier before it is the next step's
        ((COPY, SHARED, ONE_LEFT), False),
        ((BARRIER, COPY, SHARED, ONE_LEFT), True),
        # a barrier of some warps
        ((SHARED, ONE_LEFT, "BAR.SYNC.DEFER_BLOCKING 0x1, 0x80", COPY), False),
        ((SHARED, ONE_LEFT, "BAR.ARV 0x1, 0x80", COPY), False),
        # a write to global memory, and one that only some paths take without the barrier
        ((SHARED, ONE_LEFT, "STG.E.128 desc[UR4][R2.64], R8"), True),
        ((SHARED, ONE_LEFT, "@P1 BRA `(.L_x_9)", BARRIER, ".L_x_9:", COPY), False),
        # x goes through registers: its copy is read by no product, that of w is
        ((A_0, DRAIN, COPY, "LDGDEPBAR", BARRIER, COPY, "LDGDEPBAR"), True),
        ((A_0, DRAIN, COPY, "LDGDEPBAR", COPY, "LDGDEPBAR", BARRIER), False),
        ((SHARED, DRAIN, COPY, "LDGDEPBAR", BARRIER, COPY, "LDGDEPBAR"), False),
    ],
)
def test_a_barrier_stands_behind_each_wait(body: tuple[str, ...], barrier: bool) -> None:
    found = loop(*body)
    assert found.barrier == barrier
    assert bool(hazard_reason(0, found.barrier, 8)) != barrier
    assert hazard_reason(0, found.barrier, 4) == ""  # a warpgroup by itself waits for its own


def test_the_way_out_is_looked_at_too() -> None:
    """The last wait of all, and a tile that leaves through the memory that the other warpgroup's products read."""
    assert not find_hazards(listing(SHARED, DRAIN, "STS.128 [R5], R8", "EXIT")).barrier
    assert find_hazards(listing(SHARED, DRAIN, BARRIER, "STS.128 [R5], R8", "EXIT")).barrier
