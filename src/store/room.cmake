# Dimension scales (H5DS) live in the high-level library beside the parallel libhdf5; its pkg-config file does not name it.
find_library(RELEARN_HDF5_HL hdf5_hl HINTS ${HDF5_PARALLEL_LIBRARY_DIRS} REQUIRED NO_DEFAULT_PATH)
target_link_libraries(relearn_store PUBLIC ${RELEARN_HDF5_HL})
