"""Words by which weights are asked: first names, and words that come in an order."""

from typing import Any

from acdc.interpret.unmeasured import Unmeasured
from acdc.prompts.tokens import single_token

__all__ = ["names", "orders"]

NAMES = """
    John Mary James Anna David Sarah Michael Emma Robert Laura William Alice Thomas Jane Peter Susan Paul Helen Mark
    Julia George Lisa Daniel Emily Kevin Rachel Brian Karen Henry Linda Jack Kate Simon Maria Adam Nancy
""".split()
ORDERS = {
    "numbers": "1 2 3 4 5 6 7 8 9 10 11 12",
    "number words": "one two three four five six seven eight nine ten eleven twelve",
    "ordinals": "first second third fourth fifth sixth seventh eighth ninth tenth",
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "months": "January February March April May June July August September October November December",
    "letters": "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
}
LEAST_NAMES, MOST_NAMES, LEAST_ORDER = 10, 25, 4


def names(tokenizer: Any) -> list[int]:
    """First names that are single tokens.

    Raises:
        Unmeasured: There are too few.
    """
    found = [token for name in NAMES if (token := single_token(tokenizer, f" {name}")) is not None][:MOST_NAMES]
    if len(found) < LEAST_NAMES:
        raise Unmeasured(f"the tokenizer has {len(found)} of {len(NAMES)} first names as single tokens")
    return found


def orders(tokenizer: Any) -> list[list[int]]:
    """Words in their orders, each as long as all its words are single tokens, one after the other.

    Raises:
        Unmeasured: There is no such order.
    """
    found = []
    for words in ORDERS.values():
        run: list[int] = []
        for word in words.split():
            token = single_token(tokenizer, f" {word}")
            if token is None:
                break
            run.append(token)
        if len(run) >= LEAST_ORDER:
            found.append(run)
    if not found:
        raise Unmeasured("the tokenizer has no days, months, numbers or letters as single tokens")
    return found
