"""The word lists and sentence templates of the built-in tasks, with their sources.

Names, templates and the first eight places and objects are those of Wang et al. 2022 (arXiv 2211.00593, the authors'
``ioi_dataset.py``); the other places and objects are ours. The event nouns are those of Hanna et al. 2023
(arXiv 2305.00586).
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
