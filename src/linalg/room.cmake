# kernels/*.c is compiled once per instruction set with -DRL_ISA=<name>; rl_linalg_init picks a table at run time.
set(isas baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND isas avx2 avx512)
endif()
set(isa_flags_baseline "")
set(isa_flags_avx2 -mavx2 -mfma)
set(isa_flags_avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/kernels/*.c)
foreach(isa ${isas})
  set(kernels_target ${target}_${isa})
  add_library(${kernels_target} OBJECT ${kernels})
  target_include_directories(${kernels_target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include
    ${CMAKE_CURRENT_SOURCE_DIR}/src/${name})
  target_link_libraries(${kernels_target} PRIVATE relearn_options PkgConfig::JANSSON)
  target_compile_definitions(${kernels_target} PRIVATE RL_ISA=${isa})
  # Loops marked `omp simd` may be vectorised, sums included; a*b+c may become one FMA (the ISA is recorded with the bits).
  target_compile_options(${kernels_target} PRIVATE -fopenmp-simd -ffp-contract=fast ${isa_flags_${isa}}
    $<$<NOT:$<CONFIG:Debug>>:-O3>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${kernels_target}>)
endforeach()
# Threads of a rank (threads.c): nothing to link where the C library has them, -pthread elsewhere.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(${target} PUBLIC $<BUILD_INTERFACE:Threads::Threads>)
