// A copy of batch_norm whose warps do not wait for each other before they read each other's sums.
#define CONVSWEEP_CUDA_NAMESPACE raced_between_warps
#define CONVSWEEP_PLANTED_FAULT race_between_warps
#include "backend/cuda/batch_norm.cu"
