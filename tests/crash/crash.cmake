# Sweeps that are killed, starved of disk and damaged (docs/reliability.md). They need Linux, and no sanitizer in the way of LD_PRELOAD.
add_executable(store_digest support/store_digest.c)
target_link_libraries(store_digest PRIVATE relearn_store relearn_options)
add_library(fault_shim SHARED crash/fault_shim.c)
target_compile_definitions(fault_shim PRIVATE _GNU_SOURCE)
target_link_libraries(fault_shim PRIVATE ${CMAKE_DL_LIBS})

# relearn_crash_test(NAME SCRIPT TIMEOUT s LABELS ... [ARGUMENTS ...])
function(relearn_crash_test name script)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;ARGUMENTS" ${ARGN})
  add_test(NAME crash.${name} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/crash/${script}
           --program $<TARGET_FILE:relearn> --make-world $<TARGET_FILE:make_world> --store-digest $<TARGET_FILE:store_digest>
           --shim $<TARGET_FILE:fault_shim> --mpiexec ${MPIEXEC_EXECUTABLE} ${ARG_ARGUMENTS})
  set_tests_properties(crash.${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} PROCESSORS 2 SKIP_RETURN_CODE 77)
endfunction()

if(NOT RELEARN_SANITIZE)
  # CI: 200 kills in all. The hundreds by the clock, with MPI's second for each start, are under the label slow.
  relearn_crash_test(kills test_kills.py LABELS mpi TIMEOUT 300 ARGUMENTS --count 30)
  relearn_crash_test(points test_crash_points.py LABELS mpi TIMEOUT 300 ARGUMENTS --count 170)
  relearn_crash_test(faults test_faults.py LABELS mpi TIMEOUT 300 ARGUMENTS --count 20)
  relearn_crash_test(hardening test_hardening.py LABELS mpi TIMEOUT 120)
  relearn_crash_test(order test_order.py LABELS mpi TIMEOUT 120)
  relearn_crash_test(faults_many test_faults.py LABELS slow TIMEOUT 7200 ARGUMENTS --count 400 --seed 400)
  relearn_crash_test(damage test_damage.py LABELS mpi TIMEOUT 300 ARGUMENTS --count 8)
  relearn_crash_test(damage_many test_damage.py LABELS slow TIMEOUT 7200 ARGUMENTS --count 70 --seed 300) # 315 in all
  relearn_crash_test(kills_200 test_kills.py LABELS slow TIMEOUT 1800 ARGUMENTS --count 200 --seed 200)
  relearn_crash_test(kills_1000 test_kills.py LABELS slow TIMEOUT 7200 ARGUMENTS --count 1000 --seed 1000)
endif()

# A Slurm of our own, in two minutes; skipped where its packages are missing. (Sanitizers slow the quick sweep beyond its limits.)
if(NOT RELEARN_SANITIZE)
  add_test(NAME slurm.requeue COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/slurm/one_node.sh ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/slurm/test_slurm.py
           --program $<TARGET_FILE:relearn> --make-world $<TARGET_FILE:make_world> --store-digest $<TARGET_FILE:store_digest>
           --shim $<TARGET_FILE:fault_shim> --mpiexec ${MPIEXEC_EXECUTABLE})
  set_tests_properties(slurm.requeue PROPERTIES LABELS mpi TIMEOUT 480 PROCESSORS 2 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
  add_test(NAME slurm.clean_up COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/slurm/test_clean_up.sh)
  set_tests_properties(slurm.clean_up PROPERTIES LABELS mpi TIMEOUT 120 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
endif()

# One cycle under memcheck.
if(NOT RELEARN_SANITIZE)
  add_test(NAME crash.valgrind COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/crash/valgrind.sh $<TARGET_FILE:relearn> $<TARGET_FILE:make_world>)
  set_tests_properties(crash.valgrind PROPERTIES LABELS slow TIMEOUT 900 SKIP_RETURN_CODE 77)
endif()

# libFuzzer programs: cmake --preset fuzz, then ctest --preset fuzz (60 s each), or tests/fuzz/run.sh BUILD SECONDS TARGET.
option(RELEARN_FUZZ "libFuzzer programs for every parser of a file (clang; preset fuzz)" OFF)
if(RELEARN_FUZZ)
  function(relearn_add_fuzz_target target source)
    add_executable(fuzz_${target} fuzz/${source})
    target_compile_definitions(fuzz_${target} PRIVATE FUZZ_${target})
    target_include_directories(fuzz_${target} PRIVATE ${CMAKE_SOURCE_DIR}/src/cycle ${CMAKE_SOURCE_DIR}/src/model ${CMAKE_SOURCE_DIR}/src/train)
    target_link_libraries(fuzz_${target} PRIVATE relearn_cluster relearn_options)
    target_link_options(fuzz_${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz.${target} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run.sh ${CMAKE_BINARY_DIR} 60 ${target})
    set_tests_properties(fuzz.${target} PROPERTIES LABELS "slow;fuzz" TIMEOUT 300)
  endfunction()
  foreach(target conll concept_tokens concept_labels config safetensors tokenizer_json vocab vocab_json merges vectors_bin vectors_vec sweep journal shard checkpoint neuron_table
          stage_record journal_sealed neuron_table_sealed stage_record_sealed checkpoint_sealed tokenizer_config special_tokens_map safetensors_index weights words
          sentences training_log)
    relearn_add_fuzz_target(${target} fuzz_parser.c)
  endforeach()
  relearn_add_fuzz_target(shard_edited fuzz_shard_edited.c)
  target_include_directories(fuzz_shard_edited PRIVATE ${CMAKE_SOURCE_DIR}/src/store store)
  target_link_libraries(fuzz_shard_edited PRIVATE relearn_test_support)
endif()
