"""Every engine runs every task once; a local worker's death costs one task and names the guilty item."""

import os

import psutil
import pytest

from image_assets.core.errors import EngineError, StoreError
from image_assets.engines import ENGINES
from image_assets.engines.base import Done, Lost
from image_assets.engines.local import LocalEngine
from image_assets_tests.engines import work
from image_assets_tests.images import make_settings_for


@pytest.fixture(params=sorted(ENGINES))
def engine(request, tmp_path):
    with ENGINES[request.param](make_settings_for(tmp_path, workers=2)) as engine:
        yield engine


def test_every_task_comes_back_once_with_its_result(engine):
    tasks = [[number] for number in range(50)]
    outcomes = list(engine.map(work.double, tasks))
    assert sorted((item.task, item.result) for item in outcomes) == [([n], [2 * n]) for n in range(50)]


def test_tasks_are_drawn_as_they_are_needed_and_not_all_at_once(engine):
    drawn = []
    tasks = (drawn.append(number) or [number] for number in range(1000))
    next(iter(engine.map(work.double, tasks)))
    assert len(drawn) < 10


def test_an_engine_can_map_again_with_another_function(engine):
    assert [item.result for item in engine.map(work.double, [[1]])] == [[2]]
    assert [item.result for item in engine.map(work.die_on_13, [[1]])] == [[1]]


def test_an_error_of_the_platform_arrives_as_itself(engine):
    with pytest.raises(StoreError, match="no space left"):
        list(engine.map(work.find_a_full_disk, [[1]]))


def test_no_tasks_are_no_outcomes(engine):
    assert list(engine.map(work.double, [])) == []


def test_a_defect_in_a_worker_is_raised_with_its_place():
    with LocalEngine(1, 30) as engine, pytest.raises(EngineError, match=r"ZeroDivisionError.*(?s:.*)divide_by_zero"):
        list(engine.map(work.divide_by_zero, [[1]]))


def test_a_killed_worker_costs_its_task_alone_and_names_the_item():
    tasks = [[1, 2], [3, 13, 4], *[[number] for number in range(20, 40)]]
    with LocalEngine(2, 30) as engine:
        outcomes = list(engine.map(work.die_on_13, tasks))
    lost = [item for item in outcomes if isinstance(item, Lost)]
    assert [(item.task, item.position, item.reason) for item in lost] == [([3, 13, 4], 1, "decoder_crashed")]
    assert lost[0].detail == "SIGKILL: last words"
    assert len([item for item in outcomes if isinstance(item, Done)]) == len(tasks) - 1


def test_a_hanging_worker_is_stopped_and_names_the_item():
    with LocalEngine(2, 0.5) as engine:
        outcomes = list(engine.map(work.sleep_on_13, [[1, 2, 13], [4]]))
    lost = [item for item in outcomes if isinstance(item, Lost)]
    assert [(item.position, item.reason) for item in lost] == [(2, "decoder_timeout")]
    assert [item.task for item in outcomes if isinstance(item, Done)] == [[4]]


def test_memory_beyond_the_limit_is_refused_and_the_worker_lives_on():
    with LocalEngine(1, 30, memory_bytes=200 * 2**20) as engine:
        (outcome,) = engine.map(work.eat_memory, [[50, 400, 100]])
    assert outcome.result == ["50 taken", "refused", "100 taken"]


def test_computing_too_long_is_ended_by_the_kernel_also_when_nobody_looks(monkeypatch):
    monkeypatch.setattr("image_assets.engines.local._CPU_GRACE_S", 0.0)
    monkeypatch.setattr("image_assets.engines.local._THREADS", 1)
    # By the clock it could go on for a minute.
    monkeypatch.setattr("image_assets.engines.local._Worker.deadline", lambda worker, _: worker.given_at + 60)
    with LocalEngine(1, 1.0) as engine:
        outcomes = list(engine.map(work.compute_on_13, [[1, 13, 2]]))
    assert [(item.position, item.reason) for item in outcomes] == [(1, "decoder_timeout")]


def test_work_is_spread_over_other_processes():
    with LocalEngine(2, 30) as engine:
        processes = {item.result for item in engine.map(work.own_process, [[1]] * 6)}
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.parametrize("ending", ["success", "error", "early"])
def test_no_process_is_left_behind(ending):
    before = set(psutil.Process().children(recursive=True))
    with LocalEngine(2, 30) as engine:
        if ending == "success":
            list(engine.map(work.double, [[1], [2]]))
        elif ending == "error":
            with pytest.raises(StoreError):
                list(engine.map(work.find_a_full_disk, [[1], [2]]))
        else:
            next(iter(engine.map(work.double, [[1], [2], [3]])))
    assert set(psutil.Process().children(recursive=True)) == before
