# Internal headers of store (store/h5.h): stats reads the files that store writes.
target_include_directories(relearn_stats PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
