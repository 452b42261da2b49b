// A copy of linear whose threads without an output return before the first barrier.
#define CONVSWEEP_CUDA_NAMESPACE emulated_early_return
#define CONVSWEEP_PLANTED_FAULT early_return
#include "backend/cuda/linear.cu"
#include "backend/cuda/product.cu"
