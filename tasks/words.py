"""The word lists and sentence templates of the built-in tasks, with their sources.

Names, IOI's templates and the first eight places and objects are those of Wang et al. 2022 (arXiv 2211.00593, the
authors' ``ioi_dataset.py``). The event nouns are those of Hanna et al. 2023 (arXiv 2305.00586), the first five
templates of the pronouns those of Mathwin and Corlouer 2023, the first template and the first eight colours of the
coloured objects those of Merullo et al. 2024 (arXiv 2310.08744). The other words and templates are ours.
"""

NAMES: tuple[str, ...] = tuple(
    """
    Michael Christopher Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David James Robert John Joseph Andrew
    Ryan Brandon Jason Justin Sarah William Jonathan Stephanie Brian Nicole Nicholas Anthony Heather Eric Elizabeth
    Adam Megan Melissa Kevin Steven Thomas Timothy Christina Kyle Rachel Laura Lauren Amber Brittany Danielle Richard
    Kimberly Jeffrey Amy Crystal Michelle Tiffany Jeremy Benjamin Mark Emily Aaron Charles Rebecca Jacob Stephen
    Patrick Sean Erin Zachary Jamie Kelly Samantha Nathan Sara Dustin Paul Angela Tyler Scott Katherine Andrea Gregory
    Erica Mary Travis Lisa Kenneth Bryan Lindsey Kristen Jose Alexander Jesse Katie Lindsay Shannon Vanessa Courtney
    Christine Alicia Cody Allison Bradley Samuel
    """.split()
)

PLACES: tuple[str, ...] = tuple(
    """
    store garden restaurant school hospital office house station
    park market library museum beach theater airport bakery church hotel bank farm
    """.split()
)

OBJECTS: tuple[str, ...] = tuple(
    """
    ring kiss bone basketball computer necklace drink snack
    book letter gift ball camera flower map ticket watch coin toy hat
    """.split()
)

# {first} and {second} are introduced, {subject} is the one of them that acts; the next word is the other one.
# ABBA: first = indirect object, second = subject. BABA: first = subject, second = indirect object.
IOI_TEMPLATES: tuple[str, ...] = (
    "Then, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} had a lot of fun at the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} were working at the {place}. {subject} decided to give a {object} to",
    "Then, {first} and {second} were thinking about going to the {place}. {subject} wanted to give a {object} to",
    "Then, {first} and {second} had a long argument, and afterwards {subject} said to",
    "After {first} and {second} went to the {place}, {subject} gave a {object} to",
    "When {first} and {second} went to the {place}, {subject} gave a {object} to",
    "When {first} and {second} got a {object} at the {place}, {subject} decided to give it to",
    "When {first} and {second} got a {object} at the {place}, {subject} decided to give the {object} to",
    "While {first} and {second} were working at the {place}, {subject} gave a {object} to",
    "While {first} and {second} were commuting to the {place}, {subject} gave a {object} to",
    "After the lunch, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Afterwards, {first} and {second} went to the {place}. {subject} gave a {object} to",
    "Then, {first} and {second} had a long argument. Afterwards {subject} said to",
    "The {place} {first} and {second} went to had a {object}. {subject} gave it to",
    "Friends {first} and {second} found a {object} at the {place}. {subject} gave it to",
)

EVENT_NOUNS: tuple[str, ...] = tuple(
    """
    abduction accord affair agreement appraisal assaults assessment attack attempts campaign captivity case challenge
    chaos clash collaboration coma competition confrontation consequence conspiracy construction consultation contact
    contract convention cooperation custody deal decline decrease demonstrations development disagreement disorder
    dispute domination dynasty effect effort employment endeavor engagement epidemic evaluation exchange existence
    expansion expedition experiments fall fame flights friendship growth hardship hostility illness impact imprisonment
    improvement incarceration increase insurgency invasion investigation journey kingdom marriage modernization
    negotiation notoriety obstruction operation order outbreak outcome overhaul patrols pilgrimage plague plan practice
    process program progress project pursuit quest raids reforms reign relationship retaliation riot rise rivalry
    romance rule sanctions shift siege slump stature stint strikes study test testing tests therapy tour tradition
    treaty trial trip unemployment voyage warfare work
    """.split()
)

YEAR_TEMPLATE = "The {noun} lasted from the year {century}{start} to the year {century}"
CENTURIES: tuple[int, ...] = (11, 12, 13, 14, 15, 16, 17)

MALE_NAMES: tuple[str, ...] = tuple(
    """
    John David Mark Paul Ryan Gary Jack Sean Carl Joe Evan Michael Christopher Matthew Joshua Daniel James Robert Joseph
    Andrew Brandon Jason Justin William Jonathan Brian Nicholas Anthony Eric Adam Kevin Steven Thomas Timothy Kyle
    Richard Jeffrey Jeremy Benjamin Aaron Charles Jacob Stephen Patrick Nathan Dustin Tyler Scott Gregory Travis
    Kenneth Bryan Jose Alexander Bradley Samuel Peter George Henry Frank Edward
    """.split()
)

FEMALE_NAMES: tuple[str, ...] = tuple(
    """
    Mary Lisa Anna Sarah Amy Susan Jessica Ashley Jennifer Amanda Stephanie Nicole Heather Elizabeth Megan Melissa
    Christina Rachel Laura Lauren Amber Brittany Danielle Kimberly Crystal Michelle Tiffany Emily Rebecca Erin Samantha
    Sara Angela Katherine Andrea Erica Lindsey Kristen Katie Vanessa Courtney Christine Alicia Allison Emma Alice Julia
    Maria Linda Barbara Margaret Helen Ruth Nancy Diana Victoria Grace Hannah Claire Sandra
    """.split()
)

PRONOUN_TEMPLATES: tuple[str, ...] = (
    "So {name} is a really great friend, isn't",
    "So {name} is such a good cook, isn't",
    "So {name} is a very good athlete, isn't",
    "So {name} is a really nice person, isn't",
    "So {name} is such a funny person, isn't",
    "So {name} is a bit of a genius, isn't",
    "So {name} is really quite clever, isn't",
    "So {name} is always very polite, isn't",
    "So {name} is rather good at chess, isn't",
    "So {name} is the best teacher here, isn't",
    "So {name} is never late for work, isn't",
    "So {name} is a very patient listener, isn't",
)

COUNTRIES: tuple[tuple[str, str], ...] = tuple(
    (country, capital)
    for country, capital in (
        line.split("-")
        for line in """
        France-Paris England-London Germany-Berlin Italy-Rome Spain-Madrid Japan-Tokyo Russia-Moscow China-Beijing
        Egypt-Cairo Greece-Athens Austria-Vienna Poland-Warsaw Ireland-Dublin Norway-Oslo Sweden-Stockholm
        Finland-Helsinki Portugal-Lisbon Belgium-Brussels Canada-Ottawa Australia-Canberra Thailand-Bangkok
        Indonesia-Jakarta Philippines-Manila Vietnam-Hanoi Cuba-Havana Peru-Lima Chile-Santiago Iraq-Baghdad Iran-Tehran
        Afghanistan-Kabul Syria-Damascus Lebanon-Beirut Turkey-Ankara Hungary-Budapest Kenya-Nairobi
        Libya-Tripoli Qatar-Doha Venezuela-Caracas Denmark-Copenhagen Pakistan-Islamabad Bangladesh-Dhaka
        Netherlands-Amsterdam Bulgaria-Sofia Serbia-Belgrade Romania-Bucharest Tunisia-Tunis Algeria-Algiers
        Morocco-Rabat Uganda-Kampala Nepal-Kathmandu Jamaica-Kingston
        """.split()
    )
)

# {what} is "capital", or in the counterfactual `other-relation` one of the other relations.
CAPITAL_TEMPLATES: tuple[str, ...] = (
    "The {what} of {country} is",
    "We know that the {what} of {country} is",
    "They say that the {what} of {country} is",
    "In this book the {what} of {country} is",
    "Everyone says that the {what} of {country} is",
    "As you know, the {what} of {country} is",
    "My friend says the {what} of {country} is",
    "Of course the {what} of {country} is",
)
OTHER_RELATIONS: tuple[str, ...] = ("history", "climate", "language", "culture")

NOUNS: tuple[tuple[str, str], ...] = tuple(
    (word, word + "s")
    for word in """
    key cabinet book car dog cat boy girl tree picture door table chair horse bird teacher doctor student author farmer
    window bridge river boat lawyer guard pilot driver singer officer customer manager athlete worker house ship
    """.split()
)
LINKS: tuple[str, ...] = ("near", "behind", "beside", "next to", "in front of", "above", "below", "across from")
AGREEMENT_TEMPLATE = "The {subject} {link} the {other}"
VERBS: tuple[tuple[str, str], ...] = (("is", "are"), ("was", "were"), ("has", "have"))

COLORS: tuple[str, ...] = tuple(
    """
    red purple blue black yellow brown green white pink gray silver gold violet crimson bronze tan
    """.split()
)
THINGS: tuple[str, ...] = tuple(
    """
    pencil notebook pen cup plate jug mug puzzle textbook leash necklace bracelet bottle ball lighter bowl box book hat
    ring watch key spoon fork knife bag coin candle phone lamp towel shirt sock glove shoe brush pillow ribbon clock
    card
    """.split()
)
COLORED_OBJECTS_TEMPLATES: tuple[str, ...] = tuple(
    "Q: On the " + scene + " a {color1} {object1}, a {color2} {object2}, and a {color3} {object3}. What color is the "
    "{asked}?\nA:"
    for scene in (
        "table, I see",
        "desk, I see",
        "floor, I see",
        "table, there is",
        "desk, there is",
        "floor, there is",
        "shelf, you see",
        "chair, there is",
    )
)

CHOICE_TEMPLATES: tuple[str, ...] = (
    "A {object} is {color}. What color is a {object}?\n{choices}\nAnswer:",
    "The {object} is {color}. What color is the {object}?\n{choices}\nAnswer:",
    "My {object} is {color}. What color is my {object}?\n{choices}\nAnswer:",
    "This {object} is {color}. What color is this {object}?\n{choices}\nAnswer:",
)

FUNCTION_NAMES: tuple[str, ...] = tuple("port read send parse build check fetch merge store apply print load".split())
ARGUMENTS: tuple[str, ...] = tuple(
    """
    size files last test code user item text node image table level order group value state label event model index
    line page point color frame token field query task path mode rate list time data name type word key file host date
    range score count limit weight region owner format target source output input result status filter option record
    """.split()
)
DOC_WORDS: tuple[str, ...] = tuple(
    """
    oil column piece crime population unit dark music river stone paper winter garden engine market forest silver
    bridge summer metal island letter doctor animal window planet
    """.split()
)
