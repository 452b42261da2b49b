// A copy of products that lacks the barrier between a slice's writers and its readers, watched for races.
#define CONVSWEEP_CUDA_NAMESPACE raced_missing_barrier
#define CONVSWEEP_PLANTED_FAULT missing_barrier
#include "backend/cuda/linear.cu"
#include "backend/cuda/product.cu"
