# relearn_room(NAME LINKS ... PRIVATE_LINKS ...): src/NAME/*.c as the static library relearn_NAME.
# A room may bring src/NAME/room.cmake for what only it needs (per-ISA sources).
function(relearn_room name)
  cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/*.c)
  set(target relearn_${name})
  add_library(${target} STATIC ${sources})
  target_include_directories(${target}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src/${name})
  target_link_libraries(${target} PUBLIC ${ARG_LINKS} PRIVATE $<BUILD_INTERFACE:relearn_options> ${ARG_PRIVATE_LINKS})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/room.cmake)
    include(${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/room.cmake)
  endif()
  set_property(GLOBAL APPEND PROPERTY RELEARN_ROOMS ${target})
endfunction()

function(relearn_program name folder)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${folder}/*.c)
  add_executable(${name} ${sources})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src/${folder})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} relearn_options)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()
