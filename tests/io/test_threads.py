"""Results, order and errors of calls in threads."""

import threading

import pytest

from rotated_atss.io.threads import map_batches_in_threads, map_in_threads


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_the_order_of_the_items(workers):
    finished = []
    assert map_in_threads(lambda item: item * item, range(20), workers, finished.append) == [n * n for n in range(20)]
    assert sorted(finished) == list(range(20))


def test_threads_run_concurrently():
    barrier = threading.Barrier(2, timeout=10)
    assert map_in_threads(lambda item: barrier.wait() >= 0, [0, 1], 2) == [True, True]


@pytest.mark.parametrize("workers", [1, 3])
def test_error_of_the_first_failing_item_is_raised(workers):
    def fail(item):
        if item >= 2:
            raise ValueError(item)

    with pytest.raises(ValueError, match="2"):
        map_in_threads(fail, range(6), workers)


def test_no_items():
    assert map_in_threads(len, [], 2) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_in_order(workers):
    batches = ([10 * index + item for item in range(index)] for index in range(5))
    expected = [10 * index + item for index in range(5) for item in range(index)]
    assert map_batches_in_threads(lambda item: item, batches, workers) == expected


@pytest.mark.parametrize(("workers", "alive"), [(1, 1), (3, 2)])
def test_few_batches_are_alive(workers, alive):
    finished, most = [], []

    def batches():
        for drawn in range(6):
            most.append(drawn - len(finished) // 4)
            yield range(4)

    map_batches_in_threads(finished.append, batches(), workers)
    assert max(most) <= alive - 1


@pytest.mark.parametrize("workers", [1, 3])
def test_error_in_a_batch_ends_the_drawing(workers):
    def fail(item):
        raise ValueError(item)

    drawn = []
    with pytest.raises(ValueError):
        map_batches_in_threads(fail, (drawn.append(index) or [index] for index in range(9)), workers)
    assert len(drawn) <= 2
