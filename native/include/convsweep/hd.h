// Marks functions that the host and a CUDA device both compile.
#pragma once

#if defined(__CUDACC__)
#define CONVSWEEP_HD __host__ __device__
#else
#define CONVSWEEP_HD
#endif
