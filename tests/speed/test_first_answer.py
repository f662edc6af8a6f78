from tests.speed.first_answer import times


def test_the_times_are_those_of_the_first_row_the_first_and_the_last_answer_and_the_end() -> None:
    lines = [
        "quick on a CPU",
        "resnet50/eager/fp32/b1/i224/stream  so far 31.2 ms, 32 images/s",
        "So far, with 4 cases",
    ]
    lines += [
        "resnet50/eager/fp32/b8/i224/stream  so far 140 ms, 57 images/s",
        "So far, with 4 cases",
        "Records: there",
    ]
    assert times((float(second), line) for second, line in enumerate(lines)) == {
        "first line": 0.0,
        "first row": 1.0,
        "first answer": 2.0,
        "an answer for each batch": 4.0,
        "end": 5.0,
    }
    assert times([]) == {}
