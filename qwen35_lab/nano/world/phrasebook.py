"""A phrase book: the same 160 small sentences in seven languages and six scripts.

Every form is written down or put together from forms that are: gender, case and conjugation stand in the table,
nothing is guessed. The meanings are

    this (not) · I see (not) · somebody is (not) somewhere · somebody eats or drinks something (not)

each with one of eight animals, four places, four things to eat or drink.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

LANGUAGES = ("English", "Russian", "Greek", "Hebrew", "Hindi", "Japanese", "Chinese")

# Per animal, one entry per form that a language needs, apart by "/":
#   Russian: nominative / accusative.  Greek: indefinite / definite nominative / definite accusative.
#   Hebrew: noun / gender.  Hindi: noun / form before a postposition / gender.
ANIMALS = (
    ("cat", "кошка/кошку", "μια γάτα/η γάτα/τη γάτα", "חתול/m", "बिल्ली/बिल्ली/f", "猫", "猫"),
    ("dog", "собака/собаку", "ένας σκύλος/ο σκύλος/τον σκύλο", "כלב/m", "कुत्ता/कुत्ते/m", "犬", "狗"),
    ("horse", "лошадь/лошадь", "ένα άλογο/το άλογο/το άλογο", "סוס/m", "घोड़ा/घोड़े/m", "馬", "马"),
    ("bear", "медведь/медведя", "μια αρκούδα/η αρκούδα/την αρκούδα", "דוב/m", "भालू/भालू/m", "熊", "熊"),
    ("bird", "птица/птицу", "ένα πουλί/το πουλί/το πουλί", "ציפור/f", "चिड़िया/चिड़िया/f", "鳥", "鸟"),
    ("fish", "рыба/рыбу", "ένα ψάρι/το ψάρι/το ψάρι", "דג/m", "मछली/मछली/f", "魚", "鱼"),
    ("rabbit", "кролик/кролика", "ένα κουνέλι/το κουνέλι/το κουνέλι", "ארנב/m", "खरगोश/खरगोश/m", "ウサギ", "兔子"),
    ("mouse", "мышь/мышь", "ένα ποντίκι/το ποντίκι/το ποντίκι", "עכבר/m", "चूहा/चूहे/m", "ネズミ", "老鼠"),
)
PLACES = (
    ("in the house", "в доме", "στο σπίτι", "בבית", "घर में", "家", "家里"),
    ("in the garden", "в саду", "στον κήπο", "בגינה", "बगीचे में", "庭", "花园里"),
    ("in the forest", "в лесу", "στο δάσος", "ביער", "जंगल में", "森", "森林里"),
    ("in the river", "в реке", "στο ποτάμι", "בנהר", "नदी में", "川", "河里"),
)
# The verb comes first (Hebrew: masculine / feminine), then "|", then what is eaten or drunk. Hindi: the object,
# then the verb's masculine / feminine form. English: third person, then plain form.
MEALS = (
    ("drinks/drink|water", "пьёт|воду", "πίνει|νερό", "שותה/שותה|מים", "पीता/पीती|पानी", "飲み|水", "喝|水"),
    ("drinks/drink|milk", "пьёт|молоко", "πίνει|γάλα", "שותה/שותה|חלב", "पीता/पीती|दूध", "飲み|牛乳", "喝|牛奶"),
    ("eats/eat|bread", "ест|хлеб", "τρώει|ψωμί", "אוכל/אוכלת|לחם", "खाता/खाती|रोटी", "食べ|パン", "吃|面包"),
    ("eats/eat|an apple", "ест|яблоко", "τρώει|ένα μήλο", "אוכל/אוכלת|תפוח", "खाता/खाती|सेब", "食べ|りんご", "吃|苹果"),
)


@dataclass(frozen=True)
class Meaning:
    """What a sentence says, whatever the language."""

    form: str  # "this", "see", "where" or "meal"
    animal: int
    other: int  # place or meal; 0 in the forms that have none
    true: bool  # False: negated


MEANINGS = tuple(
    Meaning(form, animal, other, true)
    for form, others in (("this", 1), ("see", 1), ("where", len(PLACES)), ("meal", len(MEALS)))
    for animal in range(len(ANIMALS))
    for other in range(others)
    for true in (True, False)
)


@cache
def say(meaning: Meaning, language: str) -> str:
    """The sentence, in one of `LANGUAGES`."""
    column = LANGUAGES.index(language)
    animal = ANIMALS[meaning.animal][column].split("/")
    place = PLACES[meaning.other][column]
    verb, meal = MEALS[meaning.other][column].split("|")
    sentence = _GRAMMAR[language](meaning.form, animal, place, verb.split("/"), meal, not meaning.true)
    return sentence[0].upper() + sentence[1:]


@cache
def understood(language: str) -> dict[str, Meaning]:
    """Every sentence of a language -> what it says."""
    return {say(meaning, language): meaning for meaning in MEANINGS}


def _english(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    who = animal[0]
    return {
        "this": f"this is {'not ' * no}a {who}.",
        "see": f"I {'do not ' * no}see the {who}.",
        "where": f"the {who} is {'not ' * no}{place}.",
        "meal": f"the {who} {f'does not {verb[1]}' if no else verb[0]} {meal}.",
    }[form]


def _russian(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    nominative, accusative = animal
    return {
        "this": f"это {'не ' * no}{nominative}.",
        "see": f"я {'не ' * no}вижу {accusative}.",
        "where": f"{nominative} {'не ' * no}{place}.",
        "meal": f"{nominative} {'не ' * no}{verb[0]} {meal}.",
    }[form]


def _greek(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    indefinite, nominative, accusative = animal
    return {
        "this": f"αυτό {'δεν ' * no}είναι {indefinite}.",
        "see": f"{'δεν ' * no}βλέπω {accusative}.",
        "where": f"{nominative} {'δεν ' * no}είναι {place}.",
        "meal": f"{nominative} {'δεν ' * no}{verb[0]} {meal}.",
    }[form]


def _hebrew(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    who, gender = animal
    feminine = gender == "f"
    return {
        "this": f"{'זאת' if feminine else 'זה'} {'לא ' * no}{who}.",
        "see": f"אני {'לא ' * no}רואה את ה{who}.",
        "where": f"ה{who} {'לא ' * no}{place}.",
        "meal": f"ה{who} {'לא ' * no}{verb[feminine]} {meal}.",
    }[form]


def _hindi(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    who, oblique, gender = animal
    return {
        "this": f"यह {who} {'नहीं ' * no}है।",
        "see": f"मैं {oblique} को {'नहीं देखता' if no else 'देखता हूँ'}।",
        "where": f"{who} {place} {'नहीं ' * no}है।",
        "meal": f"{who} {meal} {'नहीं ' * no}{verb[gender == 'f']}{'' if no else ' है'}।",
    }[form]


def _japanese(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    who = animal[0]
    return {
        "this": f"これは{who}{'ではありません' if no else 'です'}。",
        "see": f"{who}が見え{'ません' if no else 'ます'}。",
        "where": f"{who}は{place}にい{'ません' if no else 'ます'}。",
        "meal": f"{who}は{meal}を{verb[0]}{'ません' if no else 'ます'}。",
    }[form]


def _chinese(form: str, animal: list[str], place: str, verb: list[str], meal: str, no: bool) -> str:
    who = animal[0]
    return {
        "this": f"这{'不' * no}是{who}。",
        "see": f"我{'没' * no}看见{who}。",
        "where": f"{who}{'不' * no}在{place}。",
        "meal": f"{who}{'不' * no}{verb[0]}{meal}。",
    }[form]


_GRAMMAR: dict[str, Callable[[str, list[str], str, list[str], str, bool], str]] = {
    "English": _english, "Russian": _russian, "Greek": _greek, "Hebrew": _hebrew,
    "Hindi": _hindi, "Japanese": _japanese, "Chinese": _chinese,
}  # fmt: skip
