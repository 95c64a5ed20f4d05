"""A list of pairs is a task."""

import pytest

from acdc.errors import TaskError, UnknownNameError
from acdc.task import load_task
from tests.task.test_base import ALL, starts
from tests.tiny import NumberTokenizer


def test_a_list_of_pairs_is_a_task_with_a_name_and_held_out_pairs_of_its_own() -> None:
    task = load_task(ALL[:6], name="mine", held_out=ALL[6:], metric="logit_diff")
    assert (task.name, task.metric) == ("mine", "logit_diff")
    assert starts(task.batch(NumberTokenizer(), 6)) == set(range(6))
    assert starts(task.batch(NumberTokenizer(), 6, held_out=True)) == set(range(6, 12))
    with pytest.raises(TaskError, match="is empty"):
        load_task([])
    with pytest.raises(UnknownNameError, match="did you mean 'name'"):
        load_task(ALL, nam="x")
