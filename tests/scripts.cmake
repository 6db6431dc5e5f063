# Tests in Python. They need modules that a machine may lack: each exits 77 with one line that names what is missing, which CTest shows as
# skipped. The Python: -DRELEARN_TEST_PYTHON=..., else the environment's RELEARN_TEST_PYTHON, else the virtual environment that ./quickstart
# makes, else python3.
set(RELEARN_TEST_PYTHON "" CACHE FILEPATH "Python for the tests (h5py, xarray, h5netcdf; torch, transformers); empty: found")
if(RELEARN_TEST_PYTHON)
  set(test_python ${RELEARN_TEST_PYTHON})
elseif(DEFINED ENV{RELEARN_TEST_PYTHON})
  set(test_python $ENV{RELEARN_TEST_PYTHON})
elseif(EXISTS ${CMAKE_SOURCE_DIR}/build/venv/bin/python)
  set(test_python ${CMAKE_SOURCE_DIR}/build/venv/bin/python)
else()
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  set(test_python ${Python3_EXECUTABLE})
endif()

# relearn_script_test(NAME SCRIPT LABELS ... [ARGUMENTS ...] [TIMEOUT s]): left out while SCRIPT does not exist.
function(relearn_script_test name script)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;ARGUMENTS" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${script})
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_test(NAME ${name} COMMAND ${test_python} ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARG_ARGUMENTS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()

# The Python package of analysis/: numbers of the report, refusals; the page in headless Chromium; the examples of docs; Parquet.
relearn_script_test(analysis.report analysis/test_report.py LABELS unit TIMEOUT 120)
relearn_script_test(analysis.browser analysis/test_browser.py LABELS golden TIMEOUT 180)
relearn_script_test(analysis.program analysis/test_program.py LABELS golden TIMEOUT 180 ARGUMENTS --program $<TARGET_FILE:relearn>)

# relearn stats as a program: remade, killed, touched by h5py, short of seeds.
relearn_script_test(stats.program stats/test_program.py LABELS golden TIMEOUT 180 ARGUMENTS --program $<TARGET_FILE:relearn>)
# Every finder on a real model, in numpy.
relearn_script_test(concept.real_finders concept/test_real_finders.py LABELS real TIMEOUT 180 ARGUMENTS --program $<TARGET_FILE:relearn>)

# Every number of /stats a second time, in numpy.
relearn_script_test(stats.recomputed stats/test_recomputed.py LABELS golden TIMEOUT 180 ARGUMENTS --program $<TARGET_FILE:relearn>)

# docs/cli.md is what the program prints.
relearn_script_test(cli.docs cli/test_docs.py LABELS unit ARGUMENTS $<TARGET_FILE:relearn>)

# The rules of the sources: arrows between rooms, banned calls.
relearn_script_test(rules.arrows test_arrows.py LABELS unit)
relearn_script_test(rules.tidy test_tidy.py LABELS unit)
# sweeps/quick is what its generator writes; quickstart's refusals; the installed copy from outside.
relearn_script_test(quick.corpus test_quick_corpus.py LABELS unit)
add_test(NAME quick.refusals COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/test_quickstart.sh)
set_tests_properties(quick.refusals PROPERTIES LABELS unit TIMEOUT 60)
add_test(NAME install.consumer COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/test_install.sh ${CMAKE_BINARY_DIR})
set_tests_properties(install.consumer PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
add_test(NAME install.modules COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/test_modules.sh ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(install.modules PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)

# results.h5 in h5py and xarray: a synthetic sweep gathered by two ranks, then read in Python.
add_executable(make_results store/make_results.c)
target_include_directories(make_results PRIVATE ${CMAKE_SOURCE_DIR}/src/store)
target_link_libraries(make_results PRIVATE relearn_test_support relearn_store relearn_options)
set(results_folder ${CMAKE_CURRENT_BINARY_DIR}/store_results)
add_test(NAME store.make_results
         COMMAND ${relearn_mpiexec} ${MPIEXEC_NUMPROC_FLAG} 2 $<TARGET_FILE:make_results> ${results_folder})
set_tests_properties(store.make_results PROPERTIES LABELS mpi PROCESSORS 2 TIMEOUT 60 FIXTURES_SETUP store_results
  ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")
relearn_script_test(store.check_results store/check_results.py LABELS golden ARGUMENTS ${results_folder})
if(TEST store.check_results)
  set_tests_properties(store.check_results PROPERTIES FIXTURES_REQUIRED store_results)
endif()
relearn_script_test(analysis.examples analysis/test_examples.py LABELS golden TIMEOUT 120 ARGUMENTS ${results_folder})
if(TEST analysis.examples)
  set_tests_properties(analysis.examples PROPERTIES FIXTURES_REQUIRED store_results)
endif()

# tests/model/test_export_roundtrip.c runs export_roundtrip.py itself, under $RELEARN_PYTHON.
if(TEST model.export_roundtrip)
  set_property(TEST model.export_roundtrip APPEND PROPERTY ENVIRONMENT "RELEARN_PYTHON=${test_python}")
endif()
