"""Permutation tests of features, prompts and other columns: right for few prompts, and for values that are mostly zero.

A t-test or a bootstrap takes the mean's distribution for nearly normal, which the mean of a handful of activations
above zero isn't. If two sets of prompts are alike, which prompt is of which set is chance; so the difference is
compared with those of other ways to share them out.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["larger_means", "paired_p"]

RESAMPLES = 9999
DRAWN = 2**22  # labels drawn at once
ROUNDING = 1e-9  # of sums of standardised values, so that equal ones are equal


def larger_means(
    first: Float[np.ndarray, "first k"],
    second: Float[np.ndarray, "second k"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Float[np.ndarray, " k"]:
    """Of each column, the p-value that the first set's mean is larger by chance, adjusted for the number of columns.

    The null hypothesis of a column is that it is distributed alike in both sets. The probability that any of the true
    null hypotheses is rejected is at most the level, whatever the columns' dependence: the statistic (the sum over the
    first set of the standardised column) is compared with the largest of its own and all less extreme columns, in the
    same permutations.

    Reference:
        Westfall and Young 1993, Resampling-based multiple testing, the step-down maxT procedure; Phipson and Smyth 2010
        for p-values of drawn permutations, which are never 0.
    """
    both, rng = np.concatenate([first, second]).astype(np.float64), np.random.default_rng(seed)
    spread = both.std(0)
    columns = (both - both.mean(0)) / np.where(spread > 0, spread, 1.0)
    order = np.argsort(-columns[: len(first)].sum(0), kind="stable")
    columns, found = columns[:, order], np.empty(len(order))
    observed, beyond = columns[: len(first)].sum(0) - ROUNDING, np.zeros(len(order))
    labels = (np.arange(len(both)) < len(first)).astype(np.float64)
    size = max(1, DRAWN // max(both.shape))
    for start in range(0, resamples, size):
        drawn = rng.permuted(np.tile(labels, (min(size, resamples - start), 1)), axis=1)
        largest = np.maximum.accumulate((drawn @ columns)[:, ::-1], axis=1)[:, ::-1]  # of this and all behind it
        beyond += (largest >= observed).sum(0)
    found[order] = np.maximum.accumulate((1 + beyond) / (1 + resamples))
    return found


def paired_p(differences: Float[np.ndarray, " n"], *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The p-value that the mean of paired differences is so far from 0, on either side, by chance.

    The null hypothesis is that the two of a pair are interchangeable, so each difference could have the other sign.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2 or not differences.any():
        return 1.0
    found = permutation_test(
        (differences,),
        lambda x, axis=-1: x.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, DRAWN // len(differences)),
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)
