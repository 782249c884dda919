"""The counters that processes share without asking the database."""

import multiprocessing

import pytest

from vtn.storage.statements.head import CLIENTS, SEQ, SharedHead


@pytest.fixture
def head(tmp_path):
    made = SharedHead(tmp_path, "postgresql://db/vtn")
    yield made
    made.close()


@pytest.fixture
def neighbour(tmp_path, head):
    made = SharedHead(tmp_path, "postgresql://db/vtn")
    yield made
    made.close()


def test_both_counters_begin_at_zero(head):
    assert (head.read(SEQ), head.read(CLIENTS)) == (0, 0)


def test_what_one_process_raises_another_reads(head, neighbour):
    head.rise(SEQ, 2**40)
    head.rise(CLIENTS, 3)
    assert (neighbour.read(SEQ), neighbour.read(CLIENTS)) == (2**40, 3)


def test_a_counter_never_falls_when_commits_are_told_out_of_order(head, neighbour):
    head.rise(SEQ, 8)
    neighbour.rise(SEQ, 7)
    assert head.read(SEQ) == 8


def test_a_counter_left_behind_by_a_crash_is_mended(head):
    head.rise(SEQ, 5)
    head.agree(SEQ, seen=5, stored=9)
    assert head.read(SEQ) == 9


def test_a_counter_of_another_life_of_the_database_is_put_back(head):
    head.rise(SEQ, 500)
    head.agree(SEQ, seen=500, stored=3)
    assert head.read(SEQ) == 3


def test_agreeing_on_an_old_answer_does_not_undo_a_newer_commit(head):
    head.rise(SEQ, 5)
    head.rise(SEQ, 6)
    head.agree(SEQ, seen=5, stored=5)
    assert head.read(SEQ) == 6


def test_the_file_outlives_its_processes_and_keeps_the_counters(tmp_path, head):
    head.rise(SEQ, 5)
    again = SharedHead(tmp_path, "postgresql://db/vtn")
    assert again.read(SEQ) == 5
    again.close()


def test_each_database_has_its_own_counters(tmp_path, head):
    other = SharedHead(tmp_path, "postgresql://db/other")
    head.rise(SEQ, 5)
    assert other.read(SEQ) == 0
    other.close()


def test_the_file_shows_no_more_of_the_database_than_a_hash_and_is_private(head):
    assert "vtn" not in head.path.name
    assert head.path.stat().st_mode & 0o077 == 0


def _raise_all(directory, start):
    head = SharedHead(directory, "shared")
    for value in range(start, 2000, 2):
        head.rise(SEQ, value)
    head.close()


def test_processes_that_raise_at_once_end_at_the_highest(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_raise_all, args=(tmp_path, start)) for start in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    head = SharedHead(tmp_path, "shared")
    assert head.read(SEQ) == 1999
    head.close()
