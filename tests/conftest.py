"""Shape annotations are executed in the tests, and `-m fast` is a selection of them for while one works.

It holds one case of every test, so that each law of each room is tried on one model, but for the tests that take long.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side

import pytest
from jaxtyping import install_import_hook

install_import_hook("acdc", "beartype.beartype")  # every function of `acdc` is checked against its signature

LONG = frozenset(  # a case of them takes about a second or more
    """
    test_a_card_says_what_its_model_reaches
    test_a_damaged_journal_gives_the_same_circuit
    test_a_dead_edge_is_redundant_and_a_vital_one_needed
    test_a_graph_of_a_hundred_thousand_edges_takes_seconds
    test_a_higher_price_keeps_fewer_nodes_and_a_price_of_nothing_all
    test_a_number_of_nodes_is_met
    test_a_reader_that_leaves_is_no_error
    test_a_report_that_was_read_gives_the_same_files
    test_a_stop_has_its_exit_code
    test_a_stopped_search_goes_on_to_the_same_circuit
    test_a_tie_is_measured_over_orders_among_equals_and_says_so
    test_a_valid_file_is_read
    test_accuracy_at_the_top_and_probability_of_the_answers_by_hand
    test_answers_are_where_the_sentences_say
    test_changed_configs_are_used_or_refused
    test_compare_finds_the_area_that_the_benchmark_finds
    test_completeness_is_its_definition
    test_declarations_need_no_transformers_at_import
    test_edges_that_tie_for_the_last_places_count_against_the_method
    test_equal_arguments_give_equal_runs_and_others_do_not
    test_every_bundled_model_is_measured_on_every_task_it_can_read
    test_every_command_says_it
    test_every_order_equals_the_oracle
    test_every_speculation_width_equals_the_oracle
    test_every_tau_equals_the_oracle
    test_gates_of_nodes_close_nodes
    test_greater_than_asks_for_the_next_token_however_years_are_split
    test_held_out_prompts_are_measured_beside_the_others
    test_intervals_cover_the_truth_about_as_often_as_they_say
    test_memory_changes_no_score_with_any_metric
    test_minimality_finds_what_is_needed_only_when_another_is_away
    test_mistakes_are_told
    test_no_held_out_operands_are_trained_on_and_every_result_is_right
    test_no_held_out_prompt_and_no_held_out_template_is_trained_on
    test_no_speculation_width_and_no_memory_changes_the_circuit
    test_one_seed_gives_one_circuit_and_another_seed_other_draws
    test_other_arguments_leave_a_stopped_run_alone
    test_questions_have_the_right_answers
    test_questions_share_no_prompt_and_no_template_with_held_out_ones
    test_results_are_kept_and_given_again
    test_rows_say_how_well_each_method_recovers_the_circuit
    test_runs_are_named_compared_and_written
    test_scores_are_what_the_models_reach
    test_sweeps_equal_the_oracle
    test_the_command_converts
    test_the_command_lists_families_and_what_was_checked
    test_the_compiled_circuit_is_recovered_exactly
    test_the_compiled_circuit_s_nodes_are_recovered_exactly
    test_the_curve_changes_nothing_and_draws
    test_the_list_of_tasks_fits_the_terminal
    test_the_list_of_tasks_for_machines_has_everything
    test_the_specification_curve_is_drawn
    test_the_trained_model_does_what_its_card_says
    test_the_trained_model_equals_the_oracle
    test_the_training_comes_to_the_target_and_lowers_the_loss
    test_the_whole_model_is_1_in_every_specification
    test_the_whole_model_is_complete
    test_true_is_a_bar_at_every_entry
    test_two_runs_agree_in_all_but_time
    test_what_a_journal_holds_that_is_no_state_is_done_again
    test_what_a_search_measured_on_the_way_is_told_in_words
    test_what_is_drawn_is_drawn_by_the_seed
    """.split()
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `fast` the first case of each test that isn't long."""
    seen = set()
    for item in items:
        test, _, _ = item.nodeid.partition("[")
        asked_for = any(item.get_closest_marker(name) for name in ("slow", "network", "gpu"))
        if test not in seen and test.rpartition("::")[2] not in LONG and not asked_for:
            item.add_marker("fast")
        seen.add(test)
