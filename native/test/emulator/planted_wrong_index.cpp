// A copy of gather that takes the pixel next to the right one in flipped images.
#define CONVSWEEP_CUDA_NAMESPACE emulated_wrong_index
#define CONVSWEEP_PLANTED_FAULT wrong_index
#include "backend/cuda/gather.cu"
