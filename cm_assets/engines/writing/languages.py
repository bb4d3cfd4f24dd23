"""What the writers know of languages: stop words, by language tag."""

import functools

# The lists are for texts. What a speaker says to an audience, or does to a thing, shows nothing either.
_UNSEEN = frozenset(
    "today tomorrow yesterday video week weeks year years day days time times thing things way ways lot lots kind part "  # noqa: SIM905
    "make makes made making give add adds added become start starts started stop begin begins began happen happened "
    "happen change changed changing show shows showed shown find finds found mean means meant work works worked "
    "put puts run runs ran set sets turn turns turned call calls called move moves moved need needed feel feels felt "
    "leave leaves left bring brings brought hold holds held grow grows grew lose lost pay pays paid meet met "
    "include includes included continue learn learned understand believe allow allowed remain remains reach reached "
    "suggest require requires required report reported decide decided explain explained develop developed create "
    "creates created offer offers offered discover discovered build built help helps helped love loves hate matter "
    "matters spend spent cost costs save saves cut cuts drop drops rise rises rose fall falls fell double doubled "
    "doesn don isn aren won big bigger biggest small smaller smallest good great bad worse worst real easy hard simple "
    "important high higher highest low lower lowest long longer short shorter fast faster slow slower early late full "
    "whole ready million billion thousand hundred percent cent half quarter people everyone follow watch wait "
    "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty simply literally ago back "
    "goes gone actual quickly slowly finally recently roughly nearly exactly completely "
    "cheap cheaper expensive ways reason reasons fact facts number numbers idea ideas problem problems question".split()
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
