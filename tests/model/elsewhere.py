"""What one process and one thread cannot show, and which test shows it: the rest of sync.md §7.1 and §7.3."""

PROVEN_ELSEWHERE = {
    "I1": "tests/sync/test_equal_senders.py::test_equal_batch_of_eight_senders_is_told_once_though_none_is_known_before",
    "I8": "tests/doors/test_road.py",
    "I11": "tests/sync/test_commit_order.py::"
    "test_polling_reader_misses_nothing_and_sees_nothing_twice_while_eight_writers_commit",
    "I12": "tests/inspections/test_fold.py",
    "I13": "tests/model/test_engine.py::test_operation_that_is_never_heard_delays_only_itself",
    "I14": "tests/inspections/test_photo_doors.py",
    "I16": "tests/model/test_engine.py::test_client_of_any_schema_may_push",
    "I17": "tests/sync/test_pull.py::test_statements_of_a_page_are_few_whatever_its_size",
}
CAUGHT_ELSEWHERE = {
    "nextval cursor": "tests/sync/test_commit_order.py::"
    "test_same_reader_is_seen_to_miss_rows_when_numbers_are_taken_at_write_time",
}
