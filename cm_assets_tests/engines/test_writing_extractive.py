import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.writing import clauses, source
from cm_assets.engines.writing.extractive import Extractive
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import WORDS_PER_SECOND, Script

ARTICLE = """The quiet return of the night train

For decades the night train looked like a relic. Cheap flights had taken its passengers, and one operator
after another scrapped its sleeping cars. In 2016 the German railways sold their last couchettes, and most
observers expected the rest of Europe to follow.

However, the opposite happened. Austria's state railway bought 42 of the German cars, painted them dark blue,
and by 2023 it carried more than 1.5 million passengers a year through the night. "We were surprised by how young
the travellers are," said Dr. Maria Huber, who studies mobility at the University of Graz. They book months ahead,
and they rarely fly at all.

The economics remain hard. A sleeping car carries about 30 people, while a day coach of the same length carries 80,
and it can be sold only once every twenty-four hours. Track fees are charged by the kilometre, so a train from Vienna
to Paris pays five different companies before breakfast. Staff must be paid for the whole night. Yet fares cannot rise
much above the price of a flight plus a hotel room.

New builders try to change that. A Berlin company is designing cars with private pods, stacked like drawers, which
would bring the number of beds in a car to 70. A Dutch and Belgian start-up rents old cars instead, and it fills them
nearly every night of the summer. This keeps its costs low.

Climate is only part of the story. A flight from Brussels to Berlin emits roughly ten times as much carbon dioxide
per passenger as the train, but surveys show that most people choose the bed because it saves them a day. You fall
asleep in one city and wake up in the centre of another.

What is missing is rolling stock. The waiting time for a new sleeping car is four years, and only three factories in
Europe can build one. Subscribe to our newsletter for more stories like this one. © 2024 The Daily Example.
"""


def write(text: str, **fields: object) -> Script:
    return Extractive().write(VideoRequest.model_validate({"source_text": text, **fields}))


def words(script: Script) -> list[str]:
    return [word for scene in script.scenes for word in scene.text.split()]


def said(script: Script) -> str:
    return " ".join(scene.text for scene in script.scenes)


def sentences(script: Script) -> list[str]:
    return re.split(r"(?<!Dr\.)(?<=[.!?])\s", said(script))


@pytest.mark.parametrize("seconds", [15, 20, 30, 45, 60, 90])
def test_an_article_becomes_about_as_long_as_asked(seconds: int) -> None:
    length = len(words(write(ARTICLE, target_seconds=seconds))) / WORDS_PER_SECOND
    assert 0.75 * seconds <= length <= 1.2 * seconds


def test_scenes_have_six_to_twenty_two_words() -> None:
    for scene in write(ARTICLE, target_seconds=90).scenes:
        assert clauses.SHORTEST <= len(scene.text.split()) <= clauses.LONGEST
        assert 1 <= len(scene.search_terms) <= 4


@pytest.mark.parametrize("seconds", [15, 30, 45, 90])
def test_every_sentence_is_one_of_the_source_unaltered_and_in_its_order(seconds: int) -> None:
    whole = " ".join(ARTICLE.split())
    at = 0
    for sentence in sentences(write(ARTICLE, target_seconds=seconds)):
        found = whole.find(sentence, at)
        assert found >= 0, sentence
        before = whole[:found].rstrip()
        assert before == "" or before[-1] in '.!?"' or before.endswith("night train"), "begins where a sentence begins"
        at = found + len(sentence)


@pytest.mark.parametrize("seconds", [15, 30, 45, 90])
def test_no_sentence_leans_on_one_that_is_not_there(seconds: int) -> None:
    text = said(write(ARTICLE, target_seconds=seconds))
    for leaning, support in {
        "However, the opposite": "expected the rest of Europe to follow.",
        "They book months": "University of Graz.",
        "This keeps": "every night of the summer.",
        "Yet fares": "paid for the whole night.",
    }.items():
        if leaning in text:
            assert f"{support} {leaning}" in text


@pytest.mark.parametrize(
    "pointing",
    [
        "Two thirds of these sit in its arms, so an arm can decide without asking the brain.",
        '"Nobody at the institute had expected that from an arm," she said to the reporters.',
        "Most of them live alone, and that is why arms must decide without the brain.",
    ],
)
def test_a_sentence_never_points_at_another_than_its_own(pointing: str) -> None:
    support = "An octopus has about 500 million neurons."
    other = "Octopuses have three hearts, and blue blood runs through all three of the hearts."
    filler = "An arm of an octopus can decide alone, and the brain of the octopus lets the arm decide."
    text = f"{other} {filler} {support} {pointing} {other.replace('three', 'many')}"
    for seconds in range(5, 40):
        spoken = said(write(text, target_seconds=seconds))
        assert pointing not in spoken or f"{support} {pointing}" in spoken


def test_nothing_leans_on_a_start_that_was_dropped() -> None:
    text = "However, it failed. He left them there. Bees dance to tell each other where flowers are."
    assert said(write(text)) == "Bees dance to tell each other where flowers are."


def test_boilerplate_is_dropped() -> None:
    text = said(write(ARTICLE, target_seconds=600))
    assert "newsletter" not in text
    assert "©" not in text


def test_the_heading_is_the_title_and_no_scene() -> None:
    script = write(ARTICLE)
    assert script.title == "The quiet return of the night train"
    assert script.scenes[0].text.startswith("For decades")


def test_the_first_scene_stands_by_itself() -> None:
    text = "It was a cold day. However, nobody cared. " + ARTICLE.split("\n\n", 1)[1]
    assert not re.match(r"(It|However|This|They|But)\b", write(text).scenes[0].text)


def test_what_was_said_once_is_not_said_again() -> None:
    again = " ".join(f"{ARTICLE.split(chr(10), 2)[2]}".split())
    text = said(write(f"{again}\n\n{again}", target_seconds=60))
    found = [one for one in re.split(r"(?<=[.!?])\s", text) if len(one.split()) > 3]
    assert len(found) == len(set(found))


def test_writing_twice_gives_the_same_bytes() -> None:
    assert write(ARTICLE).to_bytes() == write(ARTICLE).to_bytes()


def test_faster_speech_gets_more_words() -> None:
    assert len(words(write(ARTICLE, speed=1.5, target_seconds=30))) > len(words(write(ARTICLE, target_seconds=30)))


def test_what_leans_on_a_sentence_that_was_dropped_is_dropped_too() -> None:
    text = said(write("The rain fell on the old town. Nobody came. He opened the door. Years later a letter arrived."))
    assert text == "The rain fell on the old town. Years later a letter arrived."


def test_what_leans_on_what_leans_on_nothing_is_dropped_too() -> None:
    text = said(write("But nobody believed that story. He opened the door. Years later a letter arrived."))
    assert text == "Years later a letter arrived."


def test_a_text_without_capitals_is_read() -> None:
    text = "scientists say it is the larynx. it vibrates at 25 to 150 hertz! some people think that it heals bones."
    assert said(write(text)) == text


def test_the_rest_of_a_sentence_that_was_cut_is_not_spoken() -> None:
    assert said(write("and so the story ended for them.\n\nBees dance to tell where flowers are.")) == (
        "Bees dance to tell where flowers are."
    )


def test_a_script_without_blanks_is_told_so() -> None:
    with pytest.raises(PermanentFailure, match="not set apart by blanks"):
        write(GARBAGE["no spaces"])


def test_a_heading_of_one_word_is_a_title() -> None:
    assert write("Octopus\n\nAn octopus has three hearts and blue blood.").title == "Octopus"


def test_one_sentence_is_a_script() -> None:
    script = write("Bees dance to tell each other where flowers are.")
    assert [scene.text for scene in script.scenes] == ["Bees dance to tell each other where flowers are."]


def test_a_list_becomes_a_scene_an_item() -> None:
    script = write("- Lower cost for every user\n- Faster delivery in all cities\n* No subscription needed at all\n")
    assert [scene.text for scene in script.scenes] == [
        "Lower cost for every user",
        "Faster delivery in all cities",
        "No subscription needed at all",
    ]


def test_markdown_loses_its_marks_and_nothing_else() -> None:
    text = said(
        write("# Tea\n\nThe [air](http://x.y/z(1)) up **there** is `dry`, so you drink.[12]\n\n| a | b |\n|---|---|\n")
    )
    assert text == "The air up there is dry, so you drink."


def test_html_is_read_as_its_text() -> None:
    script = write(
        "<html><head><title>No</title><style>p{}</style></head><body><nav><li>Home of all the news.</nav>"
        "<h1>Long bridges</h1><p>The longest bridge is in <b>China</b> &amp; carries\na railway.</p>"
        "<script>Never(say, this);</script></body></html>"
    )
    assert (script.title, said(script)) == ("Long bridges", "The longest bridge is in China & carries a railway.")


def test_a_heading_within_the_text_does_not_melt_into_a_sentence() -> None:
    text = "Bees dance to speak.\nHow they learn it\nYoung bees watch the old ones for several days before they dance."
    assert "How they learn it" not in said(write(text))
    assert "Young bees watch the old ones" in said(write(text))


GERMAN = (
    "Der Nachtzug ist zurück, und das überrascht alle, die ihn vor zehn Jahren abgeschrieben hatten. Die Bahn "
    "verkaufte damals ihre letzten Schlafwagen. Heute fahren mehr als eine Million Menschen im Jahr durch die Nacht. "
    "Die meisten von ihnen sind jung und fliegen nur noch selten."
)


def test_another_language_works_when_it_is_named_and_is_refused_when_not() -> None:
    assert write(GERMAN, language="de").scenes[0].text.startswith("Der Nachtzug")
    with pytest.raises(PermanentFailure, match=r"source_text.*language"):
        write(GERMAN)


@pytest.mark.parametrize("code", ["ja", "zh", "ar", "ru", "hi", "xx", "tlh", "pt-BR", "he"])
def test_every_language_tag_is_answered(code: str) -> None:
    assert write("Bees dance to tell each other where flowers are.", language=code).language == code


GARBAGE = {
    "brackets": "[" * 200_000,
    "letters": "a" * 200_000,
    "parentheses": "( " * 100_000,
    "lines": "x" + "\n" * 199_990 + "x",
    "tags": "<p>" * 66_000,
    "emphasis": "*a " * 66_000,
    "links": "[a](b" * 40_000,
    "quotes": '"' * 200_000,
    "no stops": "Word " * 40_000,
    "marks": ">" * 200_000,
    "noise": " ".join("".join(random.Random(n).choices("abcdefghijklmnop", k=6)) for n in range(9000)).title(),
    "a word": "Word",
    "a link": "https://example.com/a/b",
    "no spaces": "夜行列車が帰ってきた。多くの人が驚いている。",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_fails_soon_with_a_reason(name: str) -> None:
    start = time.process_time()
    with pytest.raises(PermanentFailure, match=r"source_text: .*give"):
        write(GARBAGE[name])
    assert time.process_time() - start < 8


def test_a_long_text_is_read_to_its_end() -> None:
    random_ = random.Random(7)
    things = (
        *("river", "mountain", "engine", "school", "teacher", "doctor", "city", "winter"),
        *("bread", "phone", "garden", "bridge", "train", "island", "robot"),
    )
    found = " ".join(
        f"The {random_.choice(things)} near the {random_.choice(things)} was found in {1900 + n % 120} by a "
        f"{random_.choice(things)} that came from the {random_.choice(things)}."
        for n in range(2500)
    )[:200_000]
    script = write(found, target_seconds=120)
    places = [found.index(sentence) / len(found) for sentence in sentences(script)]
    assert 200 < len(words(script)) < 375
    assert max(places) > 0.5


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet=st.sampled_from("ab A.,!?\n-*#>[]()<>\"'`|1\u201c\u2026\u00e9\U0001f600 "), max_size=400))
def test_any_text_is_read_without_losing_or_inventing_words(text: str) -> None:
    for sentence in source.read(text, "en").sentences:
        assert source.SHORTEST <= sentence.words <= source.LONGEST
        assert all(word.strip("*`_[]()<>\"'") in text for word in sentence.text.split())


@given(
    st.lists(
        st.sampled_from(["and", "night,", "train", "(a", "b)", "the", "of", '"so', 'it"', "long;", "x."]), min_size=1
    )
)
def test_scenes_have_all_words_of_the_sentences_in_order(some: list[str]) -> None:
    sentence = " ".join(some)
    made = clauses.scenes([sentence])
    assert " ".join(made) == sentence
    assert all(len(one.split()) <= clauses.LONGEST for one in made)
