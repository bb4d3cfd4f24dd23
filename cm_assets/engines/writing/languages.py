"""What the writers know of languages: stop words, by language tag."""

import functools

# The lists are for texts. What a speaker says to an audience, or does to a thing, shows nothing either.
_UNSEEN = frozenset(
    "actual add added adds ago allow allowed answer answers aren ate back bad beat beats become began "  # noqa: SIM905
    "begin begins believe big bigger biggest billion bought break breaks bring brings broke broken "
    "brought build built buy buys call called calls carried carries carry catch catches caught cent "
    "change changed changing cheap cheaper choose chooses chose chosen close closed closes completely "
    "continue cost costs cover covered covers create created creates cut cuts day days decide decided "
    "develop developed discover discovered doesn don double doubled draw drawn draws drew drive drives "
    "drop drops drove early easy eat eats eight eleven emit emits everyone exactly expect expected "
    "expects expensive explain explained fact facts fall falls fast faster feel feels fell felt fewer "
    "fifty fight fights fill filled fills finally find finds five flew flies fly follow forty fought "
    "found four full give goes gone good great grew grow grows half happen happened hard hate hear heard "
    "hears held help helped helps high higher highest hold holds hundred idea ideas important improve "
    "improved improves include included includes increase increased increases isn join joined joins kind "
    "late lead leads learn learned leave leaves led left literally live lived lives long longer look "
    "looked lose lost lot lots love loves low lower lowest made make makes making matter matters mean "
    "means meant meet met million move moved moves named nearly need needed nine number numbers offer "
    "offered offers open opened opens paid part pay pays people percent play plays problem problems "
    "produce produced produces provide put puts quarter question quickly ran reach reached ready real "
    "reason reasons receive received receives recently reduce reduced reduces remain remains replace "
    "replaced replaces report reported require required requires rest rise rises rising rose roughly run "
    "runs sat save saves saving sell sells send sends sent serve served serves set sets seven short "
    "shorter show showed shown shows simple simply sit sits six sleep sleeps slept slow slower slowly "
    "small smaller smallest sold speak speaks spend spent spoke spoken spread spreads stand stands start "
    "started starts stood stop suggest surprise surprises taught teach teaches tell tells ten thing "
    "things thirty thought thousand three threw throw throws time times today told tomorrow touch touched "
    "touches turn turned turns twelve twenty two understand use video wait watch way ways wear wears week "
    "weeks whole win wins won wore work worked works worse worst write writes written wrote year years "
    "yesterday young younger".split()
)


@functools.cache
def stop_words(language: str) -> frozenset[str]:
    """The words of a language that carry no subject, lower case; empty where no list is known.

    Args:
        language: BCP 47 tag; its first part counts.
    """
    from sumy.utils import get_stop_words

    try:
        return frozenset(word.replace("\u2019", "'") for word in get_stop_words(primary(language)))
    except LookupError:
        return frozenset()


@functools.cache
def unseen_words(language: str) -> frozenset[str]:
    """Words that no search for pictures should contain."""
    return stop_words(language) | (_UNSEEN if primary(language) == "en" else frozenset())


def primary(language: str) -> str:
    """The language of a tag: `en` of `en-GB`."""
    return language.split("-", 1)[0]
