// A copy of the activations that goes on to the end of its last block.
#define CONVSWEEP_CUDA_NAMESPACE emulated_unguarded_tail
#define CONVSWEEP_PLANTED_FAULT unguarded_tail
#include "backend/cuda/activations.cu"
