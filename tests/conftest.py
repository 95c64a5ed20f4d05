"""Shape annotations are executed in the tests, and `-m fast` is a selection of them for while one works.

It holds one case of every test, so that each law of each room is tried on one model, but for the tests that take long.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side

import pytest

from tests.signatures import Now, check_signatures

check_signatures("acdc")  # before any module of it is imported

LONG = frozenset(  # a case of them takes about a second or more
    """
    test_a_bundled_model_s_prompt_is_traced_by_its_text
    test_a_card_says_what_its_model_reaches
    test_a_cell_restores_what_hooks_restore
    test_a_circuit_of_it_is_found_and_evaluated_by_its_name
    test_a_circuit_without_scores_has_no_curve_and_an_empty_one_is_judged_too
    test_a_damaged_journal_gives_the_same_circuit
    test_a_dead_edge_is_redundant_and_a_vital_one_needed
    test_a_forecast_says_at_most_how_many_passes_each_part_takes
    test_a_graph_of_a_hundred_thousand_edges_takes_seconds
    test_a_higher_l0_penalty_keeps_fewer_nodes_and_none_keeps_all
    test_a_killed_process_s_run_ends_with_the_same_circuit
    test_a_large_model_s_evaluation_is_shortened_unless_it_is_thorough
    test_a_method_s_scores_are_what_it_says
    test_a_notebook_shows_a_run_and_its_evaluation
    test_a_number_of_nodes_is_met
    test_a_prompt_is_traced_by_noise
    test_a_reader_that_leaves_is_no_error
    test_a_report_that_was_read_gives_the_same_files
    test_a_request_to_end_is_obeyed_as_ctrl_c_is
    test_a_run_is_evaluated_from_another_folder_once_its_task_is_trusted_or_named
    test_a_run_killed_at_some_points_ends_with_the_same_circuit
    test_a_state_of_another_training_is_left_alone
    test_a_stop_has_its_exit_code
    test_a_stopped_search_goes_on_to_the_same_circuit
    test_a_task_that_prints_leaves_json_alone_and_one_that_exits_is_told
    test_a_tie_is_measured_over_orders_among_equals_and_says_so
    test_a_valid_file_is_read
    test_accuracy_at_the_top_and_probability_of_the_answers_by_hand
    test_all_are_measured_on_the_same_prompts
    test_all_parts_of_a_saved_run
    test_an_evaluation_with_other_settings_is_kept_and_found_again
    test_answers_are_where_the_sentences_say
    test_changed_configs_are_used_or_refused
    test_compare_finds_the_area_that_the_benchmark_finds
    test_completeness_is_its_definition
    test_declarations_need_no_transformers_at_import
    test_direct_paths_are_edges
    test_each_true_edge_matters_and_no_other_does
    test_edges_that_tie_for_the_last_places_count_against_the_method
    test_equal_arguments_give_equal_runs_and_others_do_not
    test_every_block_that_is_removed_costs_less_than_tau
    test_every_bundled_model_is_measured_on_every_task_it_can_read
    test_every_cell_equals_hooks_on_the_model
    test_every_command_says_it
    test_every_method_runs_with_every_metric_in_every_dtype
    test_every_order_equals_the_oracle
    test_every_speculation_width_equals_the_oracle
    test_every_tau_equals_the_oracle
    test_gates_of_nodes_close_nodes
    test_greater_than_asks_for_the_next_token_however_years_are_split
    test_held_out_prompts_are_measured_beside_the_others
    test_import_and_help_load_nothing_heavy
    test_intervals_cover_the_truth_about_as_often_as_they_say
    test_it_knows_whom_a_gift_goes_to
    test_its_logits_are_hugging_face_s
    test_memory_changes_no_score_with_any_metric
    test_minimality_finds_what_is_needed_only_when_another_is_away
    test_mistakes_are_told
    test_named_effects_are_removals_from_the_whole_model
    test_named_nodes_and_edges_have_rows_of_their_own
    test_names_say_which_arguments_differ_whatever_they_are
    test_no_bos_on_the_command_line_is_recorded_and_evaluated_so
    test_no_circuit_is_run_twice_for_two_parts
    test_no_held_out_operands_are_trained_on_and_every_result_is_right
    test_no_held_out_prompt_and_no_held_out_template_is_trained_on
    test_no_memory_and_no_neighbour_changes_a_cell_whatever_is_measured
    test_no_speculation_width_and_no_memory_changes_the_circuit
    test_one_seed_gives_one_circuit_and_another_seed_other_draws
    test_noising_finds_the_members_of_an_and_and_denoising_those_of_an_or
    test_one_pair_s_maps_are_printed_and_kept
    test_other_arguments_leave_a_stopped_run_alone
    test_paths_of_a_task_are_mapped
    test_paths_through_mlps_are_wang_s_runs
    test_predictions_change_no_rise
    test_prompts_that_the_search_saw_are_not_called_held_out
    test_questions_have_the_right_answers
    test_questions_share_no_prompt_and_no_template_with_held_out_ones
    test_results_are_kept_and_given_again
    test_rows_say_how_well_each_method_recovers_the_circuit
    test_runs_are_named_compared_and_written
    test_scores_are_what_the_models_reach
    test_scores_of_the_opposite_sign_are_told_and_turned
    test_spelling_splits_neither_folders_nor_fingerprints
    test_sweeps_equal_the_oracle
    test_the_bar_goes_on_by_itself_and_leaves_nothing_behind
    test_the_circuit_is_minimal_by_the_oracle
    test_the_command
    test_the_command_converts
    test_the_command_lists_families_and_what_was_checked
    test_the_compiled_circuit_is_recovered_exactly
    test_the_compiled_circuit_s_nodes_are_recovered_exactly
    test_the_compiled_induction_model_s_map_is_nonzero_at_its_true_nodes_alone
    test_the_curve_changes_nothing_and_draws
    test_the_list_of_tasks_fits_the_terminal
    test_the_list_of_tasks_for_machines_has_everything
    test_the_real_model_s_facts_are_at_the_country_and_then_at_the_end
    test_the_specification_curve_is_drawn
    test_the_trained_model_does_what_its_card_says
    test_the_trained_model_equals_the_oracle
    test_the_training_comes_to_the_target_and_lowers_the_loss
    test_the_whole_model_is_1_in_every_specification
    test_the_whole_model_is_complete
    test_true_is_a_bar_at_every_entry
    test_two_runs_agree_in_all_but_time
    test_what_a_search_measured_on_the_way_is_told_in_words
    test_what_is_drawn_is_drawn_by_the_seed
    test_without_a_choice_and_without_blocks_it_is_acdc
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-call", action="store_true", help="check every call's shapes, not a test's first ones")


def pytest_configure(config: pytest.Config) -> None:
    Now.every_call = config.getoption("--every-call")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    Now.test += 1
