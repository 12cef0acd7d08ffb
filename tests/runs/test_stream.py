"""A map over the cluster: the same results, in the same order, with the same errors as a plain `map`."""

from __future__ import annotations

import errno

import pyarrow as pa
import pytest

from midb_ray.errors import UserError
from midb_ray.runs import stream

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_values_and_tables_come_in_the_order_of_the_items() -> None:
    def work(number: int) -> object:
        import time

        time.sleep(0.2 if number == 0 else 0)  # the first is the last to be done
        return pa.table({"n": range(number)}) if number % 2 else {"n": number}

    found = list(stream.over_cluster(work, range(12)))
    assert found == [work(number) for number in range(12)]


def test_nothing_to_do_gives_nothing() -> None:
    assert list(stream.over_cluster(str, [])) == []


def test_a_result_carries_no_more_than_its_own_rows() -> None:
    table = pa.table({"text": ["x" * 100] * 10_000})
    (found,) = stream.over_cluster(lambda start: table.slice(start, 1), [5])
    assert found.num_rows == 1
    assert found.nbytes < 1000


def test_what_the_user_can_mend_comes_back_as_it_was_raised() -> None:
    def refuse(number: int) -> int:
        if number == 2:
            raise UserError("The file is a picture.")
        return number

    results = stream.over_cluster(refuse, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match=r"^The file is a picture.$"):
        next(results)


def test_a_failure_of_storage_comes_back_as_the_oserror_it_was() -> None:
    def read(path: str) -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()

    with pytest.raises(FileNotFoundError) as told:
        list(stream.over_cluster(read, ["/nowhere/at/all"]))
    assert (told.value.errno, told.value.filename) == (errno.ENOENT, "/nowhere/at/all")


def test_an_error_that_cannot_travel_keeps_its_words() -> None:
    class StrangeError(OSError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"bucket {one} lost {two}")

    with pytest.raises(OSError, match="bucket 1 lost 2"):
        stream._result(stream._applied(_raise(StrangeError(1, 2)), pa.table({"item": [b"N."]}, schema=stream._ITEM)))


def test_a_mistake_of_ours_is_not_taken_for_the_users() -> None:
    with pytest.raises(Exception, match="modulo by zero") as told:
        list(stream.over_cluster(lambda number: 1 // number, [0]))
    assert not isinstance(told.value, UserError)


def test_the_context_of_other_datasets_stays_as_it_was() -> None:
    import ray.data

    before = ray.data.DataContext.get_current().execution_options.preserve_order
    assert list(stream.over_cluster(abs, [-1])) == [1]
    assert ray.data.DataContext.get_current().execution_options.preserve_order == before


def _raise(error: Exception) -> object:
    def function(_: object) -> None:
        raise error

    return function
