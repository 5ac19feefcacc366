"""What every engine does, as functions that take one; each name is a sentence of the contract."""

import os
from collections.abc import Callable

import pytest

from image_assets.core.errors import EngineError, StoreError
from image_assets.engines.base import Done, Engine, Lost
from image_assets_tests.engines import work


def every_task_comes_back_once_with_its_result(engine: Engine) -> None:
    outcomes = list(engine.map(work.double, [[number] for number in range(50)]))
    assert sorted((item.task, item.result) for item in outcomes) == [([n], [2 * n]) for n in range(50)]


def tasks_are_drawn_as_they_are_needed_and_not_all_at_once(engine: Engine) -> None:
    drawn = []
    tasks = (drawn.append(number) or [number] for number in range(1000))
    next(iter(engine.map(work.double, tasks)))
    assert len(drawn) < 10


def it_can_map_again_with_another_function(engine: Engine) -> None:
    assert [item.result for item in engine.map(work.double, [[1]])] == [[2]]
    assert [item.result for item in engine.map(work.negate, [[1]])] == [[-1]]


def no_tasks_are_no_outcomes(engine: Engine) -> None:
    assert list(engine.map(work.double, [])) == []


def an_error_of_the_platform_arrives_as_itself(engine: Engine) -> None:
    with pytest.raises(StoreError, match="no space left"):
        list(engine.map(work.find_a_full_disk, [[1]]))


def a_function_may_hold_much_and_travels_once(engine: Engine) -> None:
    heavy = work.Heavy(2**21)
    outcomes = list(engine.map(heavy, [[number] for number in range(20)]))
    assert [item.result for item in outcomes] == [2**21] * 20


def a_defect_is_raised_with_its_place(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"ZeroDivisionError.*(?s:.*)divide_by_zero"):
        list(engine.map(work.divide_by_zero, [[1]]))


def a_death_costs_its_task_alone_and_names_the_item(engine: Engine) -> None:
    tasks = [[1, 2], [3, 13, 4], *[[number] for number in range(20, 40)]]
    outcomes = list(engine.map(work.die_on_13, tasks))
    lost = [item for item in outcomes if isinstance(item, Lost)]
    assert [(item.task, item.position, item.reason) for item in lost] == [([3, 13, 4], 1, "decoder_crashed")]
    assert lost[0].detail == "SIGKILL: last words"
    assert len([item for item in outcomes if isinstance(item, Done)]) == len(tasks) - 1


def work_is_spread_over_other_processes(engine: Engine) -> None:
    processes = {item.result for item in engine.map(work.own_process, [[1]] * 8)}
    assert len(processes) >= 2
    assert os.getpid() not in processes


Clause = Callable[[Engine], None]
# What holds for each engine, and what for those that work in processes of their own.
OF_ALL: tuple[Clause, ...] = (
    every_task_comes_back_once_with_its_result,
    tasks_are_drawn_as_they_are_needed_and_not_all_at_once,
    it_can_map_again_with_another_function,
    no_tasks_are_no_outcomes,
    an_error_of_the_platform_arrives_as_itself,
    a_function_may_hold_much_and_travels_once,
)
OF_PROCESSES: tuple[Clause, ...] = (
    a_defect_is_raised_with_its_place,
    a_death_costs_its_task_alone_and_names_the_item,
    work_is_spread_over_other_processes,
)
