"""Written text becomes spoken words, and every shown word keeps its own."""

# ruff: noqa: RUF001 - typographic signs are what is read here

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.speech.reading import MOST_ITEMS, foreign_share, read


def said(text: str) -> str:
    return " ".join(word for reading in read(text) for word in reading.spoken)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1,000,000 users", "one million users"),
        ("42", "forty-two"),
        ("0.5", "zero point five"),
        ("-5", "minus five"),
        ("007", "zero zero seven"),
        ("21st", "twenty-first"),
        ("in 1905", "in nineteen oh-five"),
        ("in 2024", "in twenty twenty-four"),
        ("in 2008", "in two thousand eight"),
        ("the 1990s", "the nineteen nineties"),
        ("50%", "fifty percent"),
        ("$9.99", "nine dollars and ninety-nine cents"),
        ("$1", "one dollar"),
        ("$0.01", "one cent"),
        ("$5 million", "five million dollars"),
        ("$3.5M", "three point five million dollars"),
        ("€20k", "twenty thousand euros"),
        ("10-20 people", "ten to twenty people"),
        ("50–60%", "fifty to sixty percent"),
        ("2020-2024", "twenty twenty to twenty twenty-four"),
        ("7:30 pm", "seven thirty pm"),
        ("7:05am", "seven oh five A.M"),
        ("9:00", "nine o'clock"),
        ("March 3, 2024", "March third, twenty twenty-four"),
        ("2024-05-06", "May sixth, twenty twenty-four"),
        ("5/6/2024", "May sixth, twenty twenty-four"),
        ("Jan. 5", "January fifth"),
        ("555-1234", "five five five, one two three four"),
        ("3.5x", "three point five times"),
        ("10k", "ten thousand"),
        ("1.5 km", "one point five kilometers"),
        ("1 kg", "one kilogram"),
        ("120 km/h", "one hundred twenty kilometers per hour"),
        ("20°C", "twenty degrees Celsius"),
        ("3/4", "three quarters"),
        ("1½", "one and a half"),
        ("24/7", "twenty-four seven"),
        ("192.168.1.1", "one hundred ninety-two dot one hundred sixty-eight dot one dot one"),
        ("Dr. Smith", "doctor Smith"),
        ("St. Paul on Main St.", "saint Paul on Main street."),
        ("e.g. tea", "for example tea"),
        ("U.S. law", "U.S law"),
        ("cats vs. dogs", "cats versus dogs"),
        ("tea, etc.", "tea, et cetera."),
        ("No. 5", "number five"),
        ("https://www.example.com/a?b=c", "example dot com slash a"),
        ("me@example.org", "me at example dot org"),
        ("Node.js", "Node dot js"),
        ("GPT-4", "GPT four"),
        ("COVID-19", "COVID nineteen"),
        ("H2O", "H two O"),
        ("NASA and HTTP", "NASA and HTTP"),
        ("R&D", "R and D"),
        ("C++ or C#", "C plus plus or C sharp"),
        ("#AI", "hashtag AI"),
        ("#1", "number one"),
        ("@someone", "at someone"),
        ("Henry VIII", "Henry the eighth"),
        ("World War II", "World War two"),
        ("state-of-the-art", "state-of-the-art"),
        ("don’t", "don't"),
        ("‘quoted’ “words”", "quoted words"),
        ("Beyoncé in Łódź", "Beyonce in Lodz"),
        ("and/or", "and or"),
        ("word—word", "word— word"),
        ("Wait...what", "Wait… what"),
        ("well – yes", "well— yes"),
        ("What?!", "What?"),
        ("Hello 🚀 world 👩‍👩‍👧", "Hello world"),
        ("{\\b1}bold", "b one bold"),
        ("Go🚀now", "Go now"),
        ("zero\u200dwidth", "zerowidth"),
        ("2024's best", "twenty twenty-four's best"),
        ("the '90s", "the nineties"),
        ("$100/month", "one hundred dollars per month"),
        ("<$100", "less than one hundred dollars"),
        ("10:00–11:30", "ten o'clock to eleven thirty"),
        ("5%-10%", "five percent to ten percent"),
        ("mid-1990s", "mid nineteen nineties"),
        ("1st-place", "first place"),
        ("100 €", "one hundred euros"),
        ("+1 (555) 123-4567", "plus one, five five five, one two three, four five six seven"),
        ("100 %", "one hundred percent"),
    ],
)
def test_is_read_as_a_person_would(written: str, spoken: str) -> None:
    assert said(written) == spoken


def test_an_amount_and_its_magnitude_keep_to_their_own_words() -> None:
    assert [reading.spoken for reading in read("$5 million more")] == [("five",), ("million", "dollars"), ("more",)]


def test_a_full_stop_of_an_abbreviation_ends_no_sentence() -> None:
    assert not re.search(r"[.] |[.]$", said("Mr. Fox met Dr. Hare, e.g. in the U.S. capital"))


def test_an_emoji_is_shown_and_silent() -> None:
    readings = read("Go 🚀 now")
    assert [(reading.shown, reading.spoken) for reading in readings] == [("Go", ("Go",)), ("🚀", ()), ("now", ("now",))]


SPOKEN = re.compile(r"[A-Za-z][A-Za-z'.-]*[?!….;:—,]?")


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="0123456789.,:;/-–$€%kMx°'()#@&+=<>~ aAIVX", max_size=60))
def test_any_text_keeps_its_words_and_is_said_in_plain_letters(text: str) -> None:
    readings = read(text)
    assert [reading.shown for reading in readings] == text.split()
    for reading in readings:
        assert len(reading.spoken) <= MOST_ITEMS
        for word in reading.spoken:
            assert SPOKEN.fullmatch(word), (reading.shown, word)


@pytest.mark.parametrize(
    "hostile", ["1" * 10_000, "a" * 10_000, "." * 10_000, "1-" * 5_000, "9" * 5_000 + "z", "é" * 9_999]
)
def test_a_ten_kilobyte_word_costs_nothing(hostile: str) -> None:
    started = time.process_time()
    (reading,) = read(hostile)
    assert time.process_time() - started < 0.2
    assert len(reading.spoken) <= MOST_ITEMS


def test_the_share_of_foreign_letters_ignores_accents_and_symbols() -> None:
    assert foreign_share("Łódź, naïve café 🚀 100 %") == 0
    assert foreign_share("你好世界") == 1
    assert foreign_share("") == 0
