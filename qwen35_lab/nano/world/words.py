"""The words that several kinds of sample share."""

NAMES = (
    "Mia", "Tom", "Ana", "Ben", "Lea", "Max", "Eva", "Sam", "Zoe", "Leo", "Ida", "Jon",
    "Nia", "Kai", "Pia", "Rob", "Uma", "Ted", "Amy", "Ian", "Liv", "Gus", "Fay", "Hal",
)  # fmt: skip
ANIMALS = ("cat", "dog", "fox", "owl", "bear", "pig", "hen", "duck", "mouse", "frog", "horse", "rabbit")
THINGS = (
    "ball", "book", "cup", "hat", "key", "lamp", "map", "drum",
    "kite", "bell", "shoe", "rope", "coin", "box", "pen", "doll",
)  # fmt: skip
PLACES = ("park", "garden", "house", "forest", "school", "shop", "beach", "farm", "station", "kitchen")
FOODS = (
    "tea", "milk", "bread", "rice", "soup", "cheese", "apples", "plums",
    "nuts", "honey", "fish", "eggs", "beans", "corn", "pears", "cake",
)  # fmt: skip
CITIES = (
    "Rome", "Paris", "Oslo", "Lima", "Cairo", "Delhi", "Tokyo", "Quito",
    "Accra", "Bern", "Kyiv", "Sofia", "Tunis", "Seoul", "Dhaka", "Hanoi",
)  # fmt: skip
ADJECTIVES = ("big", "small", "old", "young", "quiet", "brave")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "cyan")
YES, NO, NOTHING, NOBODY = "yes", "no", "nothing", "nobody"


def a(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"
