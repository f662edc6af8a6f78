"""What is known of a card stands in kernels/cards/cards.py and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kernels.cards.cards import CARDS

ROOT = Path(__file__).resolve().parents[3]
CHIPS = re.compile(r"\b(" + "|".join(sorted({card.key.partition("-")[0] for card in CARDS})) + r")\b", re.IGNORECASE)


def tables(source: str) -> Iterator[str]:
    """Calls, tuples, lists and rows of dicts in which a card's name stands beside a number."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            rows = [[*node.args, *(keyword.value for keyword in node.keywords)]]
        elif isinstance(node, ast.Tuple | ast.List):
            rows = [node.elts]
        elif isinstance(node, ast.Dict):
            rows = [[key, value] for key, value in zip(node.keys, node.values, strict=True) if key]
        else:
            continue
        for row in rows:
            values = [part.value for part in row if isinstance(part, ast.Constant)]
            named = any(isinstance(value, str) and len(value) < 40 and CHIPS.search(value) for value in values)
            if named and any(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
                yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def test_what_a_table_of_cards_is() -> None:
    assert [*tables('H200 = Target("NVIDIA H200", 90, 132)')]
    assert [*tables('KNOWN = {"h100": 3.35e12}')]
    assert not [*tables('GPU = KNOWN["NVIDIA H200"]')]


def test_no_other_file_knows_anything_of_a_card() -> None:
    folders = (ROOT / "bench", ROOT / "kernels", ROOT / "resnet")
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert len(files) > 100
    found = [
        f"{path.relative_to(ROOT)}, {row}"
        for path in files
        if path.parent.name != "cards"
        for row in tables(path.read_text())
    ]
    assert found == []
