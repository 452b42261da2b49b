# The kernels' sources and the flags each needs. Include it, then add ${CONVSWEEP_CPU_KERNEL_SOURCES} to a target.
# Every instruction set is compiled from the same templates in a namespace of its own; only these files may have its flags.
# -ffp-contract=off: the kernels say where they fuse; the compiler must not choose, or bytes would differ.
set(CONVSWEEP_CPU_KERNEL_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/dispatch.cpp
  ${CMAKE_CURRENT_LIST_DIR}/kernels_scalar.cpp)
set(CONVSWEEP_KERNEL_FLAGS -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/kernels_scalar.cpp PROPERTIES COMPILE_OPTIONS "${CONVSWEEP_KERNEL_FLAGS}")
# -Wno-maybe-uninitialized: false alarms out of GCC's own AVX-512 header (GCC bug 105593).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  list(APPEND CONVSWEEP_CPU_KERNEL_SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/kernels_avx2.cpp
    ${CMAKE_CURRENT_LIST_DIR}/kernels_avx512.cpp)
  set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/kernels_avx2.cpp PROPERTIES COMPILE_OPTIONS
    "${CONVSWEEP_KERNEL_FLAGS};-mavx2;-mfma")
  set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/kernels_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${CONVSWEEP_KERNEL_FLAGS};-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mavx2;-mfma;-mprefer-vector-width=512;-Wno-maybe-uninitialized")
endif()
