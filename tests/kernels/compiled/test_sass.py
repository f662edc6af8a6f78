"""Lines of machine code as nvdisasm prints them, read into what they write and where they go."""

import pytest

from kernels.compiled.sass import Code, parse_sass


def listing(*lines: str) -> Code:
    """Instructions at 16 bytes each; a line that ends in a colon is a label."""
    text, at = [], 0
    for line in lines:
        text.append(line if line.endswith(":") else f"        /*{at:04x}*/                   {line} ;")
        at += 0 if line.endswith(":") else 16
    return parse_sass("\n".join(["\t.section\t.text._kernel", ".text._kernel:", *text]))


@pytest.mark.parametrize(
    ("line", "registers"),
    [
        ("IMAD.MOV.U32 R7, RZ, RZ, UR8", "7"),
        ("@!P0 IADD3 R8, P2, R4, 0x30, RZ", "8"),
        ("@UP1 MOV R3, R9", "3"),
        ("IMAD.WIDE.U32 R4, R5, 0x2, R6", "4 5"),
        ("IMAD.HI.U32 R4, R5, R6, RZ", "4"),
        ("LDSM.16.M88.4 R176, [R20+UR9+0xc000]", "176 177 178 179"),
        ("LDSM.16.MT88.2 R24, [R3]", "24 25"),
        ("LDSM.16.M88 R24, [R3]", "24"),
        ("LDS.128 R12, [R4]", "12 13 14 15"),
        ("LDG.E.64 R12, desc[UR4][R2.64]", "12 13"),
        ("LDG.E.U16 R12, desc[UR4][R2.64]", "12"),
        ("CS2R R88, SRZ", "88 89"),
        ("CS2R.32 R88, SR_CLOCKLO", "88"),
        ("S2R R10, SR_CTAID.X", "10"),
        ("SHF.R.U64 R10, R12, 0x2, R13", "10"),
        ("SHFL.BFLY PT, R5, R4, 0x1, 0x1f", "5"),
        ("LOP3.LUT P0, R5, R3, 0x7, RZ, 0xc0, !PT", "5"),
        ("LOP3.LUT P0, RZ, R3, 0x7, RZ, 0xc0, !PT", ""),
        ("F2FP.F16.F32.PACK_AB R6, R7, R8", "6"),
        ("HADD2.F32 R3, -RZ, R4.H1_H1", "3"),
        ("PRMT R3, R4, 0x5410, R5", "3"),
        ("SEL R3, R4, R5, P0", "3"),
        ("P2R R141, PR, RZ, 0x40", "141"),
        ("MUFU.RCP64H R5, R9", "5"),
        ("DFMA R4, R6, R8, R10", "4 5"),
        ("F2F.F64.F32 R4, R6", "4 5"),
        ("HMMA.16816.F32 R4, R8, R12, R4", "4 5 6 7"),
        ("ATOMG.E.ADD.STRONG.GPU PT, R9, desc[UR4][R2.64], R5", "9"),
        ("SYNCS.ARRIVE.TRANS64 R5, [UR10], R8", "5"),
        ("SYNCS.ARRIVE.TRANS64 RZ, [UR10], R8", ""),
        ("SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR10+0x14020], R8", ""),
        ("ISETP.GE.AND P0, PT, R7.reuse, 0x100, PT", ""),
        ("FSETP.GT.AND P0, PT, R7, R8, PT", ""),
        ("PLOP3.LUT P0, PT, PT, PT, UP0, 0x80, 0x0", ""),
        ("STS.128 [R133+UR5+0xe100], R88", ""),
        ("STG.E.128 desc[UR4][R2.64], R8", ""),
        ("STSM.16.M88.4 [R3], R4", ""),
        ("LDGSTS.E.BYPASS.128 [R37], desc[UR14][R12.64], !P6", ""),
        ("UTMALDG.4D [UR16], [UR4]", ""),
        ("RED.E.ADD.STRONG.GPU desc[UR4][R2.64], R5", ""),
        ("R2UR UR8, R5", ""),
        ("UIADD3 UR8, UR8, 0x20, URZ", ""),
        ("BAR.SYNC.DEFER_BLOCKING R5, R6", ""),
        ("RET.REL.NODEC R20 `(_kernel)", ""),
        ("NOP", ""),
        ("HGMMA.64x16x16.F32 R24, R88, gdesc[UR8], R24, gsb0", "24 25 26 27 28 29 30 31"),
    ],
)
def test_what_is_written_is_told_by_position(line: str, registers: str) -> None:
    (instruction,) = listing(line).instructions
    assert list(instruction.writes) == [int(word) for word in registers.split()]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("HGMMA.64x128x16.F32 R88, R176, gdesc[UR20], R88", [176, 177, 178, 179]),
        ("HGMMA.64x64x8.F32.TF32 R24, R108.reuse, gdesc[UR8], RZ, !UPT, gsb0", [108, 109, 110, 111]),
        ("QGMMA.64x128x32.F32.E4M3.E4M3 R24, R4, gdesc[UR8], R24", [4, 5, 6, 7]),
        ("IGMMA.64x64x32.S8.S8 R24, R4, gdesc[UR8], R24, gsb0", [4, 5, 6, 7]),
        ("HGMMA.64x128x16.F32 R88, gdesc[UR20], R88, gsb0", []),
        ("HMMA.16816.F32 R4, R8, R12, R4", None),
    ],
)
def test_where_a_product_reads_a(line: str, read: list[int] | None) -> None:
    (instruction,) = listing(line).instructions
    assert instruction.a_registers is None if read is None else list(instruction.a_registers) == read
    assert instruction.ends_group == ("gsb0" in line)


def test_what_a_wait_leaves_in_flight() -> None:
    code = listing("WARPGROUP.DEPBAR.LE gsb0, 0x3", "WARPGROUP.ARRIVE", "DEPBAR.LE SB0, 0x4")
    assert [instruction.groups_after_wait for instruction in code.instructions] == [3, None, None]


def test_where_code_goes() -> None:
    code = listing(
        "MOV R1, R2",
        ".L_x_0:",
        "@!P0 BRA `(.L_x_2)",
        ".L_x_1:",
        "BRA.DIV UR4, `(.L_x_1)",
        "@P1 BRA `(.L_x_0)",
        "@P2 EXIT",
        "EXIT",
        ".L_x_2:",
        "BRA `(.L_x_1)",
    )
    assert [code.successors(place) for place in range(7)] == [[1], [2, 6], [3, 2], [4, 1], [5], [], [2]]
    assert code.size == 7 * 16
    # what is laid out behind the end and branches back into the loop is part of it, and no loop of its own
    assert sorted(map(sorted, code.loops())) == [[1, 2, 3, 6], [2]]


def test_data_and_directives_are_no_instructions() -> None:
    text = "\t.align\t128\n        /*0000*/ \t.byte\t0x01\n        /*0000*/                   EXIT ;\n.L_x_5:\n"
    code = parse_sass(text)
    assert [instruction.name for instruction in code.instructions] == ["EXIT"]
    assert code.labels == {".L_x_5": 1}
