"""Written forms that are not said as they are spelled: abbreviations, units, currencies, symbols."""

# ruff: noqa: RUF001, SIM905 - typographic signs are what is read here; lists of words are words

from collections.abc import Mapping

ABBREVIATIONS: Mapping[str, str] = {
    "e.g": "for example",
    "i.e": "that is",
    "etc": "et cetera",
    "vs": "versus",
    "approx": "approximately",
    "dept": "department",
    "govt": "government",
    "univ": "university",
    "w/": "with",
    "w/o": "without",
    "b/c": "because",
    "n/a": "not applicable",
    "aka": "also known as",
    "et al": "and others",
    "Jr": "junior",
    "Sr": "senior",
    "Inc": "incorporated",
    "Ltd": "limited",
    "Corp": "corporation",
    "Co": "company",
    "Bros": "brothers",
    "Ave": "avenue",
    "Blvd": "boulevard",
    "Rd": "road",
    "Fig": "figure",
    "Vol": "volume",
    "Ph.D": "P.H.D",
}
"""By the form without its last full stop."""

WITH_FULL_STOP = frozenset({"Co", "Inc", "Ltd", "Corp", "Jr", "Sr", "Ave", "Rd", "Fig", "Vol", "Bros"})
"""Abbreviations that are other words, or names, without their full stop."""

TITLES: Mapping[str, str] = {
    "Mr": "mister",
    "Mrs": "missus",
    "Ms": "miz",
    "Dr": "doctor",
    "Prof": "professor",
    "St": "saint",
    "Mt": "mount",
    "Ft": "fort",
    "Gen": "general",
    "Gov": "governor",
    "Sen": "senator",
    "Rep": "representative",
    "Capt": "captain",
    "Lt": "lieutenant",
    "Col": "colonel",
    "Sgt": "sergeant",
    "Rev": "reverend",
}
"""Said in full before a capitalised word; `St` after one is a street."""

UNITS: Mapping[str, tuple[str, str]] = {
    "km": ("kilometer", "kilometers"),
    "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "GW": ("gigawatt", "gigawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "fps": ("frame per second", "frames per second"),
    "px": ("pixel", "pixels"),
    "dB": ("decibel", "decibels"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "°": ("degree", "degrees"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "%": ("percent", "percent"),
    "¢": ("cent", "cents"),
    "x": ("time", "times"),
    "×": ("time", "times"),
    "k": ("thousand", "thousand"),
    "K": ("thousand", "thousand"),
    "M": ("million", "million"),
    "B": ("billion", "billion"),
    "bn": ("billion", "billion"),
    "tn": ("trillion", "trillion"),
}
"""What follows a number, in the singular and the plural."""

WORDLIKE_UNITS = frozenset({"x", "×", "g", "l", "L", "s", "h", "m", "K", "M", "B", "W", "k"})
"""Units taken for such only when joined to their number: alone they are mostly something else."""

CURRENCIES: Mapping[str, tuple[str, str, str, str]] = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₿": ("bitcoin", "bitcoins", "cent", "cents"),
}
"""Singular and plural of the unit and of its hundredth."""

MAGNITUDES: Mapping[str, str] = {
    "k": "thousand",
    "m": "million",
    "mm": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
    "tn": "trillion",
    "hundred": "hundred",
    "thousand": "thousand",
    "million": "million",
    "billion": "billion",
    "trillion": "trillion",
}
"""What may stand between an amount and its currency, in lower case."""

MONTHS: Mapping[str, str] = {
    "Jan": "January",
    "Feb": "February",
    "Mar": "March",
    "Apr": "April",
    "Jun": "June",
    "Jul": "July",
    "Aug": "August",
    "Sep": "September",
    "Sept": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

SYMBOLS: Mapping[str, str] = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "≈": "approximately",
    "%": "percent",
    "@": "at",
    "×": "times",
    "÷": "divided by",
    "→": "to",
    "≤": "at most",
    "≥": "at least",
    "±": "plus or minus",
    "°": "degrees",
}
"""Said wherever they stand; all other symbols are silent."""

BEFORE_NUMBER: Mapping[str, str] = {
    "-": "minus",
    "−": "minus",
    "+": "plus",
    "±": "plus or minus",
    "~": "about",
    "≈": "approximately",
    "<": "less than",
    ">": "more than",
    "≤": "at most",
    "≥": "at least",
    "#": "number",
}

MONARCHS = frozenset(
    "Henry Louis Elizabeth Charles George Edward William Richard James John Paul Pius Benedict Leo Napoleon Catherine "
    "Nicholas Philip Alexander Frederick Peter Ramses Cleopatra Innocent Gregory Mary Victor".split()
)
"""Names after which a Roman numeral is an ordinal."""

ROMAN: Mapping[str, int] = {
    numeral: value
    for value, numeral in enumerate("II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX".split(), 2)
}
