// Activations of one element: y of x, and dx of y and dy.
#pragma once

#include "backend/cuda/launch.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

struct Relu {
  // NaN stays NaN.
  __device__ float forward(float x) const { return x < 0.0F ? 0.0F : x; }
  __device__ float backward(float y, float dy) const { return 0.0F < y ? dy : 0.0F; }
};

struct LeakyRelu {
  float slope;
  __device__ float forward(float x) const { return x < 0.0F ? x * slope : x; }
  __device__ float backward(float y, float dy) const { return 0.0F < y ? dy : dy * slope; }
};

struct Tanh {
  __device__ float forward(float x) const { return math::tanh(x); }
  __device__ float backward(float y, float dy) const { return dy * ::fmaf(0.0F - y, y, 1.0F); }
};

struct Sigmoid {
  __device__ float forward(float x) const { return math::sigmoid(x); }
  __device__ float backward(float y, float dy) const { return dy * (y * (1.0F - y)); }
};

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
