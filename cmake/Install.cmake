# cmake --install: the program, every room as a static library with its header, a CMake package (find_package(relearn), targets
# relearn::core ... relearn::cluster) and relearn.pc. tests/install/test_install.sh builds a consumer with either.
include(CMakePackageConfigHelpers)
get_property(rooms GLOBAL PROPERTY RELEARN_ROOMS)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/relearn)

install(TARGETS relearn RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY analysis DESTINATION ${CMAKE_INSTALL_DATADIR}/relearn PATTERN "__pycache__" EXCLUDE)
install(TARGETS ${rooms} EXPORT relearn ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/relearn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT relearn NAMESPACE relearn:: FILE relearn-targets.cmake DESTINATION ${package_dir})

configure_package_config_file(cmake/relearn-config.cmake.in relearn-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(relearn-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/relearn-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/relearn-config-version.cmake
        DESTINATION ${package_dir})

# Static libraries, so whoever links them needs everything below too: the rooms from right to left, then what has no .pc of its own.
set(pc_libs "")
foreach(room ${rooms})
  string(PREPEND pc_libs "-l${room} ")
endforeach()
string(APPEND pc_libs "${RELEARN_HDF5_HL}")
foreach(library ${MPI_C_LIBRARIES})
  string(APPEND pc_libs " ${library}")
endforeach()
if(dnnl_FOUND)
  string(APPEND pc_libs " -ldnnl ${OpenMP_C_FLAGS}")
endif()
string(APPEND pc_libs " ${RELEARN_SCALAPACK}")
string(APPEND pc_libs " -lm")
set(pc_cflags "")
foreach(dir ${MPI_C_INCLUDE_DIRS})
  string(APPEND pc_cflags " -I${dir}")
endforeach()
set(pc_requires "${HDF5_PARALLEL_MODULE_NAME} openblas jansson libxxhash libutf8proc yaml-0.1 libpcre2-8")
configure_file(cmake/relearn.pc.in relearn.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/relearn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
